//! The OAuth endpoints that clients talk to themselves.

use crate::answer::{json, oauth_json, secret_json};
use crate::input::{self, Head};
use crate::state::State;
use async_trait::async_trait;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use portunus_oauth::client::{DocumentFetcher, FetchError, Fetched};
use portunus_oauth::config::Issuer;
use portunus_oauth::error::{ErrorCode, OAuthError};
use portunus_oauth::form::Form;
use portunus_oauth::throttle::{Key, TooMany};
use portunus_oauth::{client, device, dpop, endpoint, revocation, token};
use std::net::IpAddr;
use std::sync::Arc;
use url::Url;

/// `POST /oauth/token` (RFC 6749 section 3.2).
pub(crate) async fn token(Shared(state): Shared<State>, request: Request) -> Response {
    let (head, form) = match input::oauth_form(request).await {
        Ok(read) => read,
        Err(error) => return oauth_json(&error, false),
    };
    let asked = Asked::new(&state, head, form);
    let issued = match asked.request() {
        Ok(request) => token::respond(&state.ports(), &request).await,
        Err(error) => Err(error),
    };
    match issued {
        Ok(issued) => secret_json(StatusCode::OK, &issued.body()),
        Err(error) => asked.refuse(&error),
    }
}

/// `POST /oauth/register` (RFC 7591).
pub(crate) async fn register(Shared(state): Shared<State>, request: Request) -> Response {
    let (head, body) = match input::whole(request).await {
        Ok(read) => read,
        Err(error) => return oauth_json(&error, false),
    };
    if !input::is_of_type(&head, "application/json") {
        let description = "the body must be application/json".to_owned();
        let code = ErrorCode::InvalidClientMetadata;
        return oauth_json(&OAuthError { code, description, trouble: None }, false);
    }
    let attempt = state.registrations().attempt(Key::address(head.peer), state.now());
    if let Err(too_many) = attempt {
        return slow_down(&too_many);
    }
    match client::register(&state.ports(), state.issuer().registration(), &body).await {
        Ok(registered) => secret_json(StatusCode::CREATED, &registered.body()),
        Err(error) => oauth_json(&error, false),
    }
}

/// `POST /oauth/device_authorization` (RFC 8628 section 3.1). Throttled like registrations: each leaves something behind.
pub(crate) async fn device_authorization(Shared(state): Shared<State>, request: Request) -> Response {
    let (head, form) = match input::oauth_form(request).await {
        Ok(read) => read,
        Err(error) => return oauth_json(&error, false),
    };
    let attempt = state.registrations().attempt(Key::address(head.peer), state.now());
    if let Err(too_many) = attempt {
        return slow_down(&too_many);
    }
    let asked = Asked::new(&state, head, form);
    let begun = match asked.request() {
        Ok(request) => device::begin(&state.ports(), &request).await,
        Err(error) => Err(error),
    };
    match begun {
        Ok(begun) => secret_json(StatusCode::OK, &begun.body()),
        Err(error) => asked.refuse(&error),
    }
}

/// `POST /oauth/revoke` (RFC 7009).
pub(crate) async fn revoke(Shared(state): Shared<State>, request: Request) -> Response {
    let (head, form) = match input::oauth_form(request).await {
        Ok(read) => read,
        Err(error) => return oauth_json(&error, false),
    };
    let asked = Asked::new(&state, head, form);
    let revoked = match asked.request() {
        Ok(request) => revocation::revoke(&state.ports(), &request).await,
        Err(error) => Err(error),
    };
    match revoked {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => asked.refuse(&error),
    }
}

/// `POST /oauth/introspect` (RFC 7662).
pub(crate) async fn introspect(Shared(state): Shared<State>, request: Request) -> Response {
    let (head, form) = match input::oauth_form(request).await {
        Ok(read) => read,
        Err(error) => return oauth_json(&error, false),
    };
    let asked = Asked::new(&state, head, form);
    match introspection(&state, &asked).await {
        Ok(body) => json(StatusCode::OK, body),
        Err(error) => asked.refuse(&error),
    }
}

async fn introspection(state: &State, asked: &Asked<'_>) -> Result<String, OAuthError> {
    let said = revocation::introspect(&state.ports(), &asked.request()?).await?;
    Ok(serde_json::to_string(&said).unwrap_or_default())
}

/// A client's request to an endpoint, with all that answering it takes.
struct Asked<'a> {
    head: Head,
    form: Form,
    issuer: Arc<Issuer>,
    fetcher: Counted<'a>,
}

impl<'a> Asked<'a> {
    fn new(state: &'a State, head: Head, form: Form) -> Self {
        let fetcher = Counted { state, peer: head.peer };
        Self { head, form, issuer: state.issuer(), fetcher }
    }
    fn request(&self) -> Result<endpoint::Request<'_>, OAuthError> {
        let authorization = authorization(&self.head)?;
        // Each good assertion is remembered until it ends: one address cannot make us remember without end.
        if self.form.get("client_assertion").is_some() {
            let Counted { state, peer } = &self.fetcher;
            state.assertions().attempt(Key::address(*peer), state.now()).map_err(|too_many| OAuthError {
                code: ErrorCode::TemporarilyUnavailable,
                description: too_many.to_string(),
                trouble: None,
            })?;
        }
        let Self { head, form, issuer, fetcher } = self;
        let dpop = single(head, dpop::HEADER, "there must be one DPoP header, of visible ASCII")?;
        let (trusted, guard) = (self.fetcher.state.trusted(), self.fetcher.state.dpop());
        let keys = endpoint::Keys { dpop, certificate: head.certificate.as_deref(), guard };
        Ok(endpoint::Request { issuer, fetcher, trusted, form, authorization, keys })
    }
    fn refuse(&self, error: &OAuthError) -> Response {
        let mut response = oauth_json(error, self.head.headers.contains_key(header::AUTHORIZATION));
        let state = self.fetcher.state;
        if error.code == ErrorCode::UseDpopNonce
            && let Ok(nonce) = HeaderValue::try_from(state.dpop().nonce(state.now()))
        {
            response.headers_mut().insert(dpop::NONCE_HEADER, nonce);
        }
        response
    }
}

/// Counts fetches like registrations: one address cannot make us fetch without end.
pub(crate) struct Counted<'a> {
    pub(crate) state: &'a State,
    pub(crate) peer: IpAddr,
}

#[async_trait]
impl DocumentFetcher for Counted<'_> {
    async fn fetch(&self, url: &Url, longest: usize) -> Result<Fetched, FetchError> {
        let attempt = self.state.registrations().attempt(Key::address(self.peer), self.state.now());
        attempt.map_err(|_too_many| FetchError::Busy)?;
        self.state.fetcher().fetch(url, longest).await
    }
}

/// The Authorization header, if there is one; two of them are ambiguous.
fn authorization(head: &Head) -> Result<Option<&str>, OAuthError> {
    single(head, "authorization", "there must be one Authorization header, of visible ASCII")
}

/// A header that may be there once.
fn single<'a>(head: &'a Head, name: &'static str, wrong: &str) -> Result<Option<&'a str>, OAuthError> {
    let name = HeaderName::from_static(name);
    let present = head.headers.contains_key(&name);
    match head.header(name) {
        None if present => {
            let description = wrong.to_owned();
            Err(OAuthError { code: ErrorCode::InvalidRequest, description, trouble: None })
        }
        header => Ok(header),
    }
}

/// The answer to too many attempts (RFC 6585 section 4).
fn slow_down(too_many: &TooMany) -> Response {
    let error = OAuthError {
        code: ErrorCode::TemporarilyUnavailable,
        description: too_many.to_string(),
        trouble: None,
    };
    let mut response = oauth_json(&error, false);
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(too_many.0.as_secs().max(1)));
    response
}
