//! The return of a browser from an identity provider. Whatever is wrong on the way, nobody is signed in, and why is
//! recorded and said.

use super::party::{Down, Party, Unproven};
use super::start::is_down;
use crate::answer::{self, Answer, Refusal, see_other, with_cookie};
use crate::cookies;
use crate::input;
use crate::sign_in::{self, local_path};
use crate::state::State;
use axum::extract::{Request, State as Shared};
use http::StatusCode;
use portunus_core::limits;
use portunus_oauth::federation::account::{self, AccountError};
use portunus_oauth::federation::attempt::{self, AnswerError, Attempt};
use portunus_oauth::federation::exchange::ExchangeError;
use portunus_oauth::federation::id_token::{self, Expected, IdToken, IdTokenError};
use portunus_oauth::form::Form;
use portunus_oauth::login::Proven;
use portunus_oauth::throttle::Key;

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error(transparent)]
    Down(#[from] Down),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error(transparent)]
    Unproven(#[from] Unproven),
    #[error("its ID token was not accepted: {0}")]
    IdToken(#[from] IdTokenError),
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// `GET /login/oidc/callback` and `GET /login/oidc/callback/{provider}`
pub(crate) async fn callback(Shared(state): Shared<State>, request: Request) -> Answer {
    let path = request.uri().path().to_owned();
    let head = input::head(request);
    let answer = Form::parse(head.query.as_bytes()).unwrap_or_default();
    let cookie_name =
        format!("{}{}", cookies::ATTEMPT, attempt::label(answer.get("state").unwrap_or_default()));
    let attempt = cookies::find(&head.headers, &cookie_name).and_then(Attempt::from_cookie);
    let login = state.login();
    let party = attempt.as_ref().and_then(|attempt| login.with_id(&attempt.provider));
    let (Some(attempt), Some(party)) = (attempt, party.filter(|party| party.provider().callback == path))
    else {
        return Err(not_under_way(&state));
    };
    // Each return makes us ask the provider: one address cannot make us ask without end.
    let key = Key::address(head.peer);
    let attempted = state.registrations().attempt(key, state.now());
    if let Err(too_many) = attempted {
        let text = format!("There were {too_many}.");
        return Err(answer::message(&state, StatusCode::TOO_MANY_REQUESTS, NOT_SIGNED_IN, &text, None));
    }
    let forget = cookies::forget(&cookie_name);
    let (proven, sid) = match prove(&state, party, &attempt, &answer).await {
        Ok(proven) => proven,
        Err(failed) => return Ok(with_cookie(refuse(&state, party, &failed).await?, forget)),
    };
    state.registrations().give_back(key);
    let response = sign_in::begin_session(
        &state,
        &head.headers,
        proven,
        sid,
        see_other(local_path(Some(&attempt.next))),
    );
    Ok(with_cookie(response.await?, forget))
}

/// Who came back, step by step.
async fn prove(
    state: &State,
    party: &Party,
    attempt: &Attempt,
    answer: &Form,
) -> Result<(Proven, Option<String>), Failed> {
    let (provider, now) = (party.provider(), state.now());
    let metadata = party.metadata(now, limits::PROVIDER_FRESH).await?;
    let code = attempt.code(answer, provider, &metadata, now)?;
    let callback = state.issuer().endpoint(&provider.callback);
    let tokens = party.redeem(&metadata, code, &attempt.verifier, &callback, now).await??;
    let verified = party.verify(tokens.id_token.expose(), now).await?;
    let expected = Expected {
        issuer: &provider.issuer,
        client_id: &provider.client_id,
        nonce: &attempt.nonce,
        max_age: attempt.oldest(now),
        now,
    };
    let token: IdToken = id_token::check(verified, &expected)?;
    let mut userinfo = None;
    if let Some(access_token) = tokens.access_token.as_ref().filter(|_| account::lacks(provider, &token)) {
        userinfo = party.userinfo(&metadata, access_token, &token.subject, now).await??;
    }
    let login = state.login();
    let person = account::person(login.providers(), provider, &token, userinfo.as_ref())?;
    if let Some(problem) = &person.groups_problem {
        tracing::warn!(provider = provider.id, user = %person.name, problem, "groups were left out");
    }
    let proven = account::sign_in(&state.ports(), login.providers(), provider, &token, &person).await?;
    Ok((proven, token.sid))
}

const NOT_SIGNED_IN: &str = "You are not signed in";

/// The page that says why, once that is recorded.
async fn refuse(state: &State, party: &Party, failed: &Failed) -> Answer {
    let (provider, why) = (party.provider(), failed.to_string());
    tracing::warn!(provider = provider.id, why, "nobody was signed in");
    if let Failed::Account(AccountError::Trouble(trouble)) = failed {
        return Err(answer::trouble(state, trouble));
    }
    // A refusal about an account is recorded where it is made, with the account's name.
    let recorded = matches!(failed, Failed::Account(AccountError::Taken(_) | AccountError::Disabled));
    if !recorded {
        let written = account::record_refusal(&state.ports(), provider, "unknown", &why).await;
        written.map_err(|trouble| answer::trouble(state, &trouble))?;
    }
    let (status, text) = match failed {
        Failed::Down(_) | Failed::Unproven(Unproven::Down(_)) => {
            (StatusCode::SERVICE_UNAVAILABLE, is_down(&provider.name, state.login().local))
        }
        Failed::Account(_) | Failed::Answer(AnswerError::Refused(_)) => {
            (StatusCode::FORBIDDEN, sentence(&why))
        }
        _ => (StatusCode::BAD_REQUEST, format!("The answer of {} was not accepted: {why}.", provider.name)),
    };
    let hint = "Go to your own page to try again. If it stays like this, tell whoever runs this site.";
    Ok(answer::message_page(state, status, NOT_SIGNED_IN, &text, Some(hint)))
}

fn not_under_way(state: &State) -> Refusal {
    answer::message(
        state,
        StatusCode::BAD_REQUEST,
        NOT_SIGNED_IN,
        "No sign-in that this would be the answer to was begun in this browser, or it took too long.",
        Some("Go to your own page and sign in from there. Cookies must be allowed for this site."),
    )
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
