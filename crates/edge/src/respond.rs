//! Refusals → HTTP and JSON-RPC, in this one place. What a client reads here is all it learns: no cause, no path, no
//! policy text but its `@reason`, no secret.

use crate::refusal::{Refusal, Unauthorized, UpstreamFailure};
use crate::revocation::Cause;
use crate::{Edge, Snapshot, connect, step_up, wait};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use portunus_core::dialer::{self, Body, DialError};
use portunus_core::id::ServerName;
use portunus_mcp::answer;
use portunus_oauth::dpop::{self, DpopError};
use portunus_oauth::keys::ALGORITHMS;
use serde_json::json;

/// JSON-RPC codes of Portunus' own refusals, from the range that JSON-RPC 2.0 section 5.1 leaves to implementations.
pub mod code {
    /// A policy refused the call.
    pub const REFUSED: i32 = -32010;
    /// A human must approve the call first.
    pub const APPROVAL_NEEDED: i32 = -32011;
    /// The server, or the edge, cannot take the call now; nothing was sent.
    pub const UNAVAILABLE: i32 = -32012;
    /// The call may or may not have taken effect.
    pub const UNCERTAIN: i32 = -32013;
    /// The server's answer was withheld.
    pub const WITHHELD: i32 = -32014;
    /// The user must connect the server at its authorization server first; nothing was sent.
    pub const CONNECT_NEEDED: i32 = -32015;
    /// The protocol's own (2025-11-25): the client must send its user to a page first.
    pub const URL_ELICITATION_REQUIRED: i32 = -32042;
}

/// What is needed to point a client at its sign-in.
pub struct Place<'a> {
    /// The public URL, without a slash at the end.
    pub public_url: &'a str,
    /// The server asked for, if the request got that far.
    pub server: Option<&'a ServerName>,
}

impl Place<'_> {
    /// The parameter of a challenge that leads to the server's metadata (RFC 9728 section 5.1).
    pub(crate) fn resource_metadata(&self) -> Option<String> {
        let (base, server) = (self.public_url, self.server?);
        Some(format!("resource_metadata=\"{base}/.well-known/oauth-protected-resource/{server}/mcp\""))
    }
}

/// The answer that tells a client of a refusal.
#[must_use]
pub fn refuse(refusal: &Refusal, place: &Place<'_>) -> Response<Body> {
    match refusal {
        Refusal::Head(bad) => plain(bad.status(), "bad_request", &bad.to_string()),
        Refusal::NoServer(_) => plain(StatusCode::NOT_FOUND, "not_found", &refusal.to_string()),
        Refusal::MethodNotAllowed => {
            let mut response =
                plain(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &refusal.to_string());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, GET, DELETE"));
            response
        }
        Refusal::Unauthorized(why) => challenge(why, place),
        // No challenge: there is nothing wrong with token and proof, and no other token would help.
        Refusal::Proofs => retry_later(rpc(
            StatusCode::SERVICE_UNAVAILABLE,
            answer::error(None, code::UNAVAILABLE, &refusal.to_string(), None),
        )),
        Refusal::ApprovalNeeded(needed) => rpc(StatusCode::OK, wait::tell(needed, place)),
        Refusal::ConnectNeeded(connect) => rpc(StatusCode::OK, connect::tell(connect)),
        Refusal::StepUp(needs) => step_up::refuse(needs, place, code::REFUSED),
        Refusal::Revoked => challenge(&Unauthorized::Invalid, place),
        Refusal::Body(bad) => {
            use crate::body::BadBody;
            let status = match bad {
                BadBody::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
                BadBody::TooSlow => StatusCode::REQUEST_TIMEOUT,
                BadBody::Broken => StatusCode::BAD_REQUEST,
            };
            rpc(status, answer::error(None, -32600, &bad.to_string(), None))
        }
        Refusal::Message(reject) => rpc(reject.status, reject.to_body()),
        // The legacy era's word for: initialize again.
        Refusal::NoSession => {
            rpc(StatusCode::NOT_FOUND, answer::error(None, -32600, &refusal.to_string(), None))
        }
        Refusal::NoEvent => {
            rpc(StatusCode::BAD_REQUEST, answer::error(None, -32600, &refusal.to_string(), None))
        }
        Refusal::Store(_) | Refusal::Ledger(_) | Refusal::Internal(_) => {
            let text = "the gateway cannot decide this request now; nothing was sent. Try again shortly";
            retry_later(rpc(
                StatusCode::SERVICE_UNAVAILABLE,
                answer::error(None, code::UNAVAILABLE, text, None),
            ))
        }
        _ => rpc(StatusCode::OK, decided(refusal)),
    }
}

/// The same, counted and logged; what policies refuse is counted where it is recorded.
pub(crate) fn count(
    edge: &Edge,
    snapshot: &Snapshot,
    server: Option<&ServerName>,
    refusal: &Refusal,
) -> Response<Body> {
    if !matches!(refusal, Refusal::Policy { .. } | Refusal::ApprovalNeeded(_) | Refusal::StepUp(_)) {
        edge.metrics.refused(refusal.label());
        refusal.log(server);
    }
    refuse(refusal, &Place { public_url: &snapshot.public_url, server })
}

/// The JSON-RPC error for a refusal of a call whose id is known.
fn decided(refusal: &Refusal) -> Bytes {
    match refusal {
        Refusal::Policy { id, decision, reasons } => {
            let text = format!("Refused by policy: {} (decision {decision})", reasons.join(" "));
            let data = json!({ "decision": decision, "reasons": reasons });
            answer::error(Some(id), code::REFUSED, &text, Some(&data))
        }
        Refusal::Busy { id } => answer::error(
            Some(id),
            code::UNAVAILABLE,
            "The server has too many calls in flight; try again shortly",
            None,
        ),
        Refusal::Credential { id, .. } => unusable_credential(id),
        Refusal::Connection { id, .. } => {
            let text =
                "The connection to this server cannot be used now; try again shortly. Nothing was sent";
            answer::error(Some(id), code::UNAVAILABLE, text, None)
        }
        Refusal::Unrecorded { id } => {
            let text = "The call was sent, but it could not be recorded, so its answer is not released";
            answer::error(Some(id), code::UNCERTAIN, text, None)
        }
        Refusal::CredentialRevoked { id } => {
            answer::error(Some(id), code::UNCERTAIN, Cause::Credential.why(), None)
        }
        Refusal::Upstream(failure) => upstream(failure),
        other => answer::error(None, -32603, &other.to_string(), None),
    }
}

/// What exactly is wrong with it is for the log.
fn unusable_credential(id: &Bytes) -> Bytes {
    let text = "The credential for this server cannot be used; its owner must look at it. Nothing was sent";
    answer::error(Some(id), code::UNAVAILABLE, text, None)
}

fn upstream(failure: &UpstreamFailure) -> Bytes {
    match failure {
        UpstreamFailure::Dial { id, error: DialError::Credential(_) } => unusable_credential(id),
        UpstreamFailure::Dial { id, error: DialError::Unreachable(_) } => {
            answer::error(Some(id), code::UNAVAILABLE, "The server is not connected; nothing was sent", None)
        }
        UpstreamFailure::Dial { id, error: DialError::Busy } => answer::error(
            Some(id),
            code::UNAVAILABLE,
            "The server is busy; nothing was sent. Try again shortly",
            None,
        ),
        UpstreamFailure::Dial { id, error: DialError::Broken(_) } => answer::error(
            Some(id),
            code::UNCERTAIN,
            "The connection to the server broke during the call; it may or may not have taken effect and was not repeated",
            None,
        ),
        UpstreamFailure::TimedOut { id } => answer::error(
            Some(id),
            code::UNCERTAIN,
            "The server did not answer in time; the call may or may not have taken effect",
            None,
        ),
        UpstreamFailure::Withheld { id, .. } => {
            let text = "The server's answer could not be checked, so it was withheld";
            answer::error(Some(id), code::WITHHELD, text, None)
        }
    }
}

/// 401 with the way to the authorization server (RFC 9728 section 5.1, RFC 6750 section 3).
fn challenge(why: &Unauthorized, place: &Place<'_>) -> Response<Body> {
    let mut response = plain(StatusCode::UNAUTHORIZED, "invalid_token", &why.to_string());
    let metadata = place.resource_metadata();
    // RFC 6750 section 3.1: no error code when the request carried no authentication at all.
    let code = if let Unauthorized::Proof(error) = why { error.code() } else { "invalid_token" };
    let error =
        (*why != Unauthorized::Missing).then(|| format!("error=\"{code}\", error_description=\"{why}\""));
    let scope = Some(format!("scope=\"{}\"", portunus_oauth::config::SCOPE));
    // RFC 9449 section 7.1: whoever has such a token is told in its own scheme.
    let of_keys = matches!(why, Unauthorized::Bound | Unauthorized::Proof(_));
    let algorithms = of_keys.then(|| format!("algs=\"{}\"", ALGORITHMS.join(" ")));
    let scheme = if of_keys { "DPoP" } else { "Bearer" };
    if let Unauthorized::Proof(DpopError::Nonce(nonce)) = why
        && let Ok(nonce) = HeaderValue::from_str(nonce)
    {
        response.headers_mut().insert(dpop::NONCE_HEADER, nonce);
    }
    let parts: Vec<String> = [error, algorithms, metadata, scope].into_iter().flatten().collect();
    if let Ok(value) = HeaderValue::from_str(&format!("{scheme} {}", parts.join(", "))) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

fn plain(status: StatusCode, error: &str, message: &str) -> Response<Body> {
    let body = json!({ "error": error, "error_description": message }).to_string();
    json_response(status, body.into())
}

pub(crate) fn rpc(status: StatusCode, body: Bytes) -> Response<Body> {
    json_response(status, body)
}

fn retry_later(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn json_response(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(dialer::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    response
}
