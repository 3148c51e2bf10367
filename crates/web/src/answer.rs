//! Answers: pages, redirects, JSON, errors. Nothing internal leaves; it goes to the log.

use crate::input;
use crate::state::State;
use askama::Template;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use portunus_core::secret::Secret;
use portunus_core::store::StoreError;
use portunus_core::time::Timestamp;
use portunus_oauth::error::{ErrorCode, OAuthError};
use portunus_oauth::ports::Trouble;

/// An answer that ends a handler early.
pub(crate) struct Refusal(Box<Response>);

/// What handlers return.
pub(crate) type Answer = Result<Response, Refusal>;

impl Refusal {
    pub(crate) fn new(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    site: &'a str,
    title: &'a str,
    text: &'a str,
    hint: Option<&'a str>,
    /// A place to go on to, and what the link says.
    onward: Option<(&'a str, String)>,
}

/// A page.
pub(crate) fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => {
            let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
            (status, kind, html).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A page that says one thing.
pub(crate) fn message(
    state: &State,
    status: StatusCode,
    title: &str,
    text: &str,
    hint: Option<&str>,
) -> Refusal {
    Refusal::new(message_page(state, status, title, text, hint))
}

/// The same, as an answer like others.
pub(crate) fn message_page(
    state: &State,
    status: StatusCode,
    title: &str,
    text: &str,
    hint: Option<&str>,
) -> Response {
    let issuer = state.issuer();
    page(status, &Message { site: site(issuer.as_str()), title, text, hint, onward: None })
}

/// The page for somebody who signed out here and can sign out at their identity provider too.
pub(crate) fn signed_out_page(state: &State, provider: &str, there: &str) -> Response {
    let issuer = state.issuer();
    let text = format!(
        "You are still signed in at {provider}: whoever uses this browser could come back without a password."
    );
    let onward = Some((there, format!("Sign out at {provider} too")));
    let title = "You are signed out here";
    page(StatusCode::OK, &Message { site: site(issuer.as_str()), title, text: &text, hint: None, onward })
}

/// The page for a form that was not proven to come from one of our pages in this browser.
pub(crate) fn stale_form(state: &State) -> Refusal {
    message(
        state,
        StatusCode::FORBIDDEN,
        "This form is no longer good",
        "Nothing was done. It was opened in another browser, or before you signed in or out, or is not ours.",
        Some("Go back, reload the page and try again. Cookies must be allowed for this site."),
    )
}

/// The page for something that failed on our side.
pub(crate) fn trouble(state: &State, trouble: &Trouble) -> Refusal {
    tracing::error!(error = %trouble, "the control plane could not do what it was asked");
    message(
        state,
        StatusCode::SERVICE_UNAVAILABLE,
        "This could not be done just now",
        "Something failed on our side, so nothing was granted.",
        Some("Try again in a moment. If it stays like this, tell whoever runs this site."),
    )
}

/// The page for a store that failed.
pub(crate) fn store_trouble(state: &State) -> impl Fn(StoreError) -> Refusal {
    move |error| trouble(state, &Trouble::Store(error))
}

/// The page for an OAuth error that may only be shown.
pub(crate) fn oauth_page(state: &State, error: &OAuthError) -> Refusal {
    if let Some(cause) = &error.trouble {
        return trouble(state, cause);
    }
    message(
        state,
        StatusCode::BAD_REQUEST,
        "This request cannot be accepted",
        &error.description,
        Some("You were sent here by a client whose request is not in order; nothing was granted."),
    )
}

/// The JSON of an OAuth error (RFC 6749 section 5.2).
pub(crate) fn oauth_json(error: &OAuthError, authorized_by_header: bool) -> Response {
    if let Some(cause) = &error.trouble {
        tracing::error!(error = %cause, "an OAuth endpoint could not do what it was asked");
    }
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = json(status, error.body());
    if error.code == ErrorCode::InvalidClient && authorized_by_header {
        let challenge = HeaderValue::from_static("Basic realm=\"portunus\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// JSON text.
pub(crate) fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// JSON text that holds a secret.
pub(crate) fn secret_json(status: StatusCode, body: &Secret<String>) -> Response {
    json(status, body.expose().clone())
}

/// Sends the browser elsewhere with GET.
pub(crate) fn see_other(location: &str) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Adds a cookie to an answer.
pub(crate) fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Whatever has no page.
pub(crate) async fn not_found(Shared(state): Shared<State>, request: Request) -> Response {
    let head = input::head(request);
    let wants_page = head.header(header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    let issuer = state.issuer();
    let address = format!("MCP servers are at {}/NAME/mcp.", issuer.as_str());
    if wants_page {
        let title = "There is nothing at this address";
        return message(&state, StatusCode::NOT_FOUND, title, &address, None).into_response();
    }
    let body = serde_json::json!({ "error": "not_found", "message": format!("nothing is here. {address}") });
    json(StatusCode::NOT_FOUND, body.to_string())
}

pub(crate) async fn style_sheet() -> Response {
    asset("text/css; charset=utf-8", include_str!("../assets/portunus.css"))
}

pub(crate) async fn logo() -> Response {
    asset("image/svg+xml", include_str!("../assets/portunus.svg"))
}

pub(crate) fn asset(kind: &'static str, body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=300")], body).into_response()
}

/// What people call a site: its URL without the scheme.
pub(crate) fn site(issuer: &str) -> &str {
    issuer.split_once("://").map_or(issuer, |(_, rest)| rest)
}

/// A moment for people: `2026-11-23 15:04 UTC`.
pub(crate) fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute} UTC"),
        _ => text,
    }
}
