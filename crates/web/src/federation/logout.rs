//! Signing out together with the identity provider: it tells us (back-channel logout), or we offer to lead there.

use super::party::Unproven;
use crate::answer::{self, json};
use crate::input;
use crate::state::State;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use portunus_core::caller::SignIn;
use portunus_core::limits;
use portunus_oauth::error::{ErrorCode, OAuthError};
use portunus_oauth::federation::logout::{self, Ended, LogoutError};
use portunus_oauth::jwt::{self, TokenError};
use portunus_oauth::ports::Trouble;

/// Why a logout was not carried out.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{}", .0.description)]
    Request(OAuthError),
    #[error("`logout_token` is missing")]
    Missing,
    #[error("it is of no identity provider that is known here")]
    Unknown,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Unproven(#[from] Unproven),
    #[error(transparent)]
    Logout(#[from] LogoutError),
}

/// `POST /login/oidc/backchannel-logout` (OpenID Connect Back-Channel Logout 1.0 section 2.5).
pub(crate) async fn back_channel(Shared(state): Shared<State>, request: Request) -> Response {
    match carry_out(&state, request).await {
        Ok(ended) => {
            tracing::info!(
                sessions = ended.sessions,
                grants = ended.grants,
                "signed out at the identity provider"
            );
            StatusCode::OK.into_response()
        }
        Err(refused) => {
            tracing::warn!(why = %refused, "a back-channel logout was refused");
            let trouble = match refused {
                Refused::Logout(LogoutError::Trouble(ref trouble)) => Some(trouble.clone()),
                Refused::Unproven(Unproven::Down(_)) => Some(Trouble::Busy),
                _ => None,
            };
            let status =
                if trouble.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_REQUEST };
            let description = if trouble.is_some() { "try again".to_owned() } else { refused.to_string() };
            let error = OAuthError { code: ErrorCode::InvalidRequest, description, trouble };
            json(status, error.body())
        }
    }
}

async fn carry_out(state: &State, request: Request) -> Result<Ended, Refused> {
    let (_head, form) = input::oauth_form(request).await.map_err(Refused::Request)?;
    let text = form.get("logout_token").ok_or(Refused::Missing)?;
    // Its own word is good enough to choose whose keys must have signed it.
    let login = state.login();
    let issuer = jwt::read(text)?.claimed_issuer().map(str::to_owned);
    let party = issuer.and_then(|issuer| login.with_issuer(&issuer).cloned()).ok_or(Refused::Unknown)?;
    let verified = party.verify(text, state.now()).await?;
    let token = logout::check(&verified, party.provider(), state.now())?;
    Ok(logout::apply(&state.ports(), party.provider(), &token).await?)
}

/// The page after signing out here of somebody whom a provider vouched for, when they can sign out there too
/// (OpenID Connect RP-Initiated Logout 1.0).
pub(crate) async fn elsewhere_too(state: &State, sign_in: &SignIn) -> Option<Response> {
    let login = state.login();
    let party = login.with_issuer(sign_in.issuer.as_deref()?)?;
    let metadata = party.metadata(state.now(), limits::PROVIDER_FRESH).await.ok()?;
    let mut there = metadata.end_session.clone()?;
    there
        .query_pairs_mut()
        .append_pair("client_id", &party.provider().client_id)
        .append_pair("post_logout_redirect_uri", &state.issuer().endpoint("/login"));
    Some(answer::signed_out_page(state, &party.provider().name, there.as_str()))
}
