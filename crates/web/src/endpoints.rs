//! The OAuth endpoints that clients talk to themselves.

use crate::answer::{json, oauth_json, secret_json};
use crate::input::{self, Head};
use crate::state::State;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use portunus_oauth::error::{ErrorCode, OAuthError};
use portunus_oauth::form::Form;
use portunus_oauth::throttle::{Key, TooMany};
use portunus_oauth::{client, revocation, token};

/// `POST /oauth/token` (RFC 6749 section 3.2).
pub(crate) async fn token(Shared(state): Shared<State>, request: Request) -> Response {
    let (head, form) = match input::oauth_form(request).await {
        Ok(read) => read,
        Err(error) => return oauth_json(&error, false),
    };
    let issued = match authorization(&head) {
        Ok(header) => token::respond(&state.ports(), &state.issuer(), &form, header).await,
        Err(error) => Err(error),
    };
    match issued {
        Ok(issued) => secret_json(StatusCode::OK, &issued.body()),
        Err(error) => oauth_json(&error, head.headers.contains_key(header::AUTHORIZATION)),
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
    match client::register(&state.ports(), &body).await {
        Ok(registered) => secret_json(StatusCode::CREATED, &registered.body()),
        Err(error) => oauth_json(&error, false),
    }
}

/// `POST /oauth/revoke` (RFC 7009).
pub(crate) async fn revoke(Shared(state): Shared<State>, request: Request) -> Response {
    let (head, form) = match input::oauth_form(request).await {
        Ok(read) => read,
        Err(error) => return oauth_json(&error, false),
    };
    let revoked = match authorization(&head) {
        Ok(header) => revocation::revoke(&state.ports(), &form, header).await,
        Err(error) => Err(error),
    };
    match revoked {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => oauth_json(&error, head.headers.contains_key(header::AUTHORIZATION)),
    }
}

/// `POST /oauth/introspect` (RFC 7662).
pub(crate) async fn introspect(Shared(state): Shared<State>, request: Request) -> Response {
    let (head, form) = match input::oauth_form(request).await {
        Ok(read) => read,
        Err(error) => return oauth_json(&error, false),
    };
    match introspection(&state, &head, &form).await {
        Ok(body) => json(StatusCode::OK, body),
        Err(error) => oauth_json(&error, head.headers.contains_key(header::AUTHORIZATION)),
    }
}

async fn introspection(state: &State, head: &Head, form: &Form) -> Result<String, OAuthError> {
    let header = authorization(head)?;
    let said = revocation::introspect(&state.ports(), &state.issuer(), form, header).await?;
    Ok(serde_json::to_string(&said).unwrap_or_default())
}

/// The Authorization header, if there is one; two of them are ambiguous.
fn authorization(head: &Head) -> Result<Option<&str>, OAuthError> {
    let present = head.headers.contains_key(header::AUTHORIZATION);
    match head.header(header::AUTHORIZATION) {
        None if present => {
            let description = "there must be one Authorization header, of visible ASCII".to_owned();
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
