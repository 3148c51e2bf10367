//! Another system hears of what is asked, and answers (Standard Webhooks: `webhook-id`, `webhook-timestamp` and
//! `webhook-signature: v1,…`, an HMAC-SHA256 over the three with the body). Both ways are signed with one secret; a decision's
//! `webhook-id` is the id of the approval that it is about, so that no message is good for another one, or turned round.

use super::{ApprovalError, Said, decide, person};
use crate::answer;
use crate::input;
use crate::state::State;
use async_trait::async_trait;
use aws_lc_rs::hmac;
use axum::extract::{Path, Request, State as Shared};
use axum::response::Response;
use bytes::Bytes;
use data_encoding::BASE64;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use portunus_core::document::{Approval, ApprovalState, Through, User};
use portunus_core::id::{self, Id, UserName};
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::store::{Kind, load};
use portunus_core::time::Timestamp;
use portunus_oauth::client::FetchError;
use portunus_oauth::ports::Trouble;
use portunus_oauth::text;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use url::Url;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
/// Signatures in one header that are looked at.
const SIGNATURES: usize = 8;
/// In whose name deliveries are recorded.
const PORTUNUS: &str = "portunus";

/// Where approvals are announced, and what both sides sign with.
#[derive(Debug)]
pub struct Webhook {
    /// Where.
    pub url: Url,
    /// The shared secret.
    pub secret: Secret<Vec<u8>>,
}

/// A secret that is no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook's secret is {} to {} bytes: as `whsec_` and base64, or as one line of text",
    limits::WEBHOOK_SECRET_BYTES.0,
    limits::WEBHOOK_SECRET_BYTES.1
)]
pub struct BadSecret;

/// Sends one POST and brings back the status, bounded in time, redirects not followed.
#[async_trait]
pub trait Courier: Send + Sync {
    /// The status of the answer.
    async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes) -> Result<StatusCode, FetchError>;
}

impl Webhook {
    /// With a secret as Standard Webhooks writes it (`whsec_…`), or any line of text.
    ///
    /// # Errors
    /// When it is too short, too long, or not base64 behind its prefix.
    pub fn new(url: Url, secret: &str) -> Result<Self, BadSecret> {
        let text = secret.trim();
        let secret = match text.strip_prefix("whsec_") {
            Some(encoded) => BASE64.decode(encoded.as_bytes()).map_err(|_| BadSecret)?,
            None => text.as_bytes().to_vec(),
        };
        let (fewest, most) = limits::WEBHOOK_SECRET_BYTES;
        let sound = (fewest..=most).contains(&secret.len()) && !text.contains(char::is_control);
        if sound { Ok(Self { url, secret: Secret::new(secret) }) } else { Err(BadSecret) }
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose())
    }

    /// The signature over id, time and body, as it goes into the header.
    #[must_use]
    pub fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let tag = hmac::sign(&self.key(), &signed(id, &seconds.to_string(), body));
        format!("v1,{}", BASE64.encode(tag.as_ref()))
    }

    /// Whether this message is about this id, of this time, and signed.
    fn admits(&self, headers: &HeaderMap, about: &str, body: &[u8], now: Timestamp) -> bool {
        let one = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?.to_str().ok()?;
            values.next().is_none().then_some(value)
        };
        let (Some(id), Some(time), Some(signatures)) = (one(ID), one(TIMESTAMP), one(SIGNATURE)) else {
            return false;
        };
        let Ok(seconds) = time.parse::<u64>() else { return false };
        let fresh = now.as_secs().abs_diff(seconds) <= limits::WEBHOOK_TOLERANCE.as_secs();
        let message = signed(id, time, body);
        let mut tags = signatures.split(' ').take(SIGNATURES).filter_map(|one| one.strip_prefix("v1,"));
        let key = self.key();
        let good = tags.any(|tag| {
            BASE64.decode(tag.as_bytes()).is_ok_and(|tag| hmac::verify(&key, &message, &tag).is_ok())
        });
        good && fresh && id == about
    }
}

fn signed(id: &str, time: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", time.as_bytes(), b".", body].concat()
}

// --- out ---

/// Announces what is asked for from now on, and what nobody decided about in time, off the way of the request, until stopped.
pub async fn announce(state: State, mut stopped: watch::Receiver<bool>) {
    let (asked, mut news) = mpsc::channel::<String>(limits::WEBHOOKS);
    state.store().observe(Box::new(move |changes| {
        for change in changes.iter().filter(|change| change.kind == Kind::Approval) {
            // What does not fit is seen on the page all the same.
            let _ = asked.try_send(change.id.clone());
        }
    }));
    let mut deliveries = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            Some(id) = news.recv() => {
                if deliveries.len() < limits::WEBHOOKS {
                    deliveries.spawn(deliver(state.clone(), id));
                } else {
                    tracing::warn!(approval = id, "too many webhooks wait; this one is not sent");
                }
            }
            Some(_) = deliveries.join_next() => {}
        }
    }
}

async fn deliver(state: State, id: String) {
    let Some(webhook) = state.webhook() else { return };
    let approval = match load::<Approval>(state.store(), &id).await {
        Ok(Some(found)) => found.value,
        // Purged, or the store fails, which others say loudly enough.
        Ok(None) | Err(_) => return,
    };
    let kind = match approval.state {
        ApprovalState::Pending if approval.rulings.is_empty() => "approval.asked",
        ApprovalState::Expired => "approval.expired",
        _ => return,
    };
    let message = id::mint("msg", state.now(), &*state.rng());
    let body = Bytes::from(announcement(&state, kind, &approval));
    let mut tries = limits::WEBHOOK_RETRIES.iter();
    let (action, why) = loop {
        let why = match post(&state, &webhook, &message, &body).await {
            Ok(status) if status.is_success() => break ("approval.announced", None),
            Ok(status) => format!("status {}", status.as_u16()),
            Err(error) => error.to_string(),
        };
        tracing::warn!(approval = id, why, "a webhook was not taken");
        match tries.next() {
            Some(pause) => tokio::time::sleep(spread(*pause, &state)).await,
            None => break ("approval.unannounced", Some(why)),
        }
        if approval.state == ApprovalState::Pending && approval.expires_at.is_past(state.now()) {
            break ("approval.unannounced", Some(String::from("it expired")));
        }
    };
    let host = webhook.url.host_str().unwrap_or_default().to_owned();
    let mut detail = vec![("to", host.as_str()), ("message", message.as_str()), ("type", kind)];
    detail.extend(why.as_deref().map(|why| ("why", why)));
    if let Err(error) = state.ports().record(PORTUNUS, action, &id, &detail).await {
        tracing::warn!(%error, "the delivery of a webhook was not recorded");
    }
}

/// Up to a quarter longer, so that many do not come back together.
fn spread(pause: Duration, state: &State) -> Duration {
    let mut random = [0_u8; 1];
    state.rng().fill(&mut random);
    let [random] = random;
    pause + pause * u32::from(random) / 1024
}

async fn post(
    state: &State,
    webhook: &Webhook,
    message: &Id,
    body: &Bytes,
) -> Result<StatusCode, FetchError> {
    let seconds = state.now().as_secs();
    let (signature, time) = (webhook.sign(message.as_str(), seconds, body), seconds.to_string());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in [(ID, message.as_str()), (TIMESTAMP, time.as_str()), (SIGNATURE, signature.as_str())]
    {
        let value = HeaderValue::try_from(value).map_err(|_| FetchError::Unreachable)?;
        headers.insert(name, value);
    }
    state.courier().post(&webhook.url, headers, body.clone()).await
}

fn announcement(state: &State, kind: &str, approval: &Approval) -> String {
    let issuer = state.issuer();
    let url = format!("{}/approvals/{}", issuer.as_str().trim_end_matches('/'), approval.id);
    let is_over = approval.state == ApprovalState::Expired;
    let at = if is_over { approval.expires_at } else { approval.created_at };
    json!({
        "type": kind,
        "timestamp": at.to_string(),
        "data": {
            "id": approval.id,
            "url": url,
            "decision_url": (!is_over).then(|| format!("{url}/decision")),
            "user": approval.user,
            "client": approval.client_id,
            "server": approval.server,
            "tool": approval.tool,
            "arguments": approval.arguments,
            "besides": approval.besides,
            "reason": approval.reason,
            "approver": approval.approver,
            "sql": approval.sql,
            "estimate": approval.estimate,
            "expires_at": approval.expires_at.to_string(),
        },
    })
    .to_string()
}

// --- in ---

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    decision: Word,
    by: String,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Word {
    Allow,
    Deny,
}

/// `POST /approvals/{id}/decision`
pub(crate) async fn hear(Shared(state): Shared<State>, Path(id): Path<String>, request: Request) -> Response {
    match heard(&state, &id, request).await {
        Ok(decided) => {
            answer::json(StatusCode::OK, json!({ "id": decided.id, "state": decided.state }).to_string())
        }
        Err((status, error, words)) => {
            answer::json(status, json!({ "error": error, "message": words }).to_string())
        }
    }
}

type Refused = (StatusCode, &'static str, String);

async fn heard(state: &State, id: &str, request: Request) -> Result<Approval, Refused> {
    let refused = |status, error, words: &str| Err((status, error, words.to_owned()));
    let Some(webhook) = state.webhook() else {
        return refused(StatusCode::NOT_FOUND, "not_found", "no webhook is configured");
    };
    let read = input::whole(request).await;
    let (head, body) =
        read.map_err(|error| (StatusCode::BAD_REQUEST, "invalid_request", error.description))?;
    if !webhook.admits(&head.headers, id, &body, state.now()) {
        let words = "the message is not signed for this approval, or not of this time";
        return refused(StatusCode::UNAUTHORIZED, "invalid_signature", words);
    }
    let Decision { decision, by, reason } = serde_json::from_slice(&body)
        .map_err(|error| (StatusCode::BAD_REQUEST, "invalid_request", error.to_string()))?;
    let nobody = || (StatusCode::FORBIDDEN, "not_entitled", format!("`{by}` may not decide about this call"));
    let id = Id::parse(id).map_err(|error| (StatusCode::NOT_FOUND, "not_found", error.to_string()))?;
    let name = UserName::parse(&by).map_err(|_| nobody())?;
    let user = load::<User>(state.store(), name.as_str()).await.map_err(|error| trouble(&error.into()))?;
    let user = user.map(|user| user.value).filter(|user| user.disabled_at.is_none()).ok_or_else(nobody)?;
    let reason = reason.and_then(|reason| text::clean(&reason, limits::APPROVAL_REASON_CHARS));
    let said = Said { allow: decision == Word::Allow, reason: reason.as_deref(), through: Through::Webhook };
    let decided = decide(&state.ports(), &state.issuer(), &id, &person(&user), &said).await;
    decided.map_err(|error| match error {
        ApprovalError::Unknown | ApprovalError::Own => nobody(),
        ApprovalError::Expired => (StatusCode::GONE, "expired", error.to_string()),
        ApprovalError::Trouble(error) => trouble(&error),
        error => (StatusCode::CONFLICT, "decided", error.to_string()),
    })
}

fn trouble(error: &Trouble) -> Refused {
    tracing::error!(%error, "a decision could not be taken");
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        String::from("it could not be done just now; send it again"),
    )
}
