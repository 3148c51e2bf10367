//! Permit → upstream: the very bytes that were decided, our headers only, the credential last, nothing ever sent twice. The
//! credential travels sealed beside the request to the dialer of this very server, which alone opens it.

use crate::Edge;
use crate::assertion::{self, Said};
use crate::bridge::Origin;
use crate::decide::{self, Case};
use crate::key::{self, Key};
use crate::refusal::{Refusal, UpstreamFailure};
use crate::revocation::Revocation;
use http::{HeaderValue, Request, Response, StatusCode, header};
use portunus_core::dialer::{self, Body};
use portunus_core::digest::sha256;
use portunus_policy::{Caps, Operation, Permit};

/// The one way to an upstream. A call goes out once; again only when the server refused the token of a connection (401),
/// and so did nothing with it, and another token was to be had.
///
/// # Errors
/// When it could not be sent, broke, took too long, or the grant was revoked meanwhile.
pub async fn send(
    edge: &Edge,
    case: &Case<'_>,
    permit: &Permit,
    key: Option<&Key>,
) -> Result<Response<Body>, Refusal> {
    let answer = once(edge, case, permit, key).await?;
    let Some(Key::Connection(bound)) = key else { return Ok(answer) };
    let refused = key::refused(edge, case, bound, answer.status(), answer.headers()).await?;
    let Some(renewed) = refused else { return Ok(answer) };
    drop(answer);
    key::record_again(edge, permit, &renewed).await?;
    let answer = once(edge, case, permit, Some(&renewed)).await?;
    if answer.status() == StatusCode::UNAUTHORIZED {
        return Err(key::still_refused(edge, case, bound));
    }
    key::refused(edge, case, bound, answer.status(), answer.headers()).await?;
    Ok(answer)
}

async fn once(
    edge: &Edge,
    case: &Case<'_>,
    permit: &Permit,
    key: Option<&Key>,
) -> Result<Response<Body>, Refusal> {
    let request = request(edge, case, permit, key).await?;
    // Everything up to here took time: nothing that was revoked meanwhile is sent.
    if case.known.is_revoked() {
        return Err(Refusal::Revoked);
    }
    let id = || case.asked.id();
    let mut revocation = case.known.revocation();
    tokio::select! {
        biased;
        answer = tokio::time::timeout(case.published.server.limits.timeout, case.published.dialer.send(request)) => {
            match answer {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) => Err(UpstreamFailure::Dial { id: id(), error }.into()),
                Err(_) => Err(UpstreamFailure::TimedOut { id: id() }.into()),
            }
        }
        Ok(_) = revocation.wait_for(|revoked| *revoked) => Err(Refusal::Revoked),
    }
}

async fn request(
    edge: &Edge,
    case: &Case<'_>,
    permit: &Permit,
    key: Option<&Key>,
) -> Result<Request<Body>, Refusal> {
    let body = case.asked.body.clone();
    let length = body.len();
    let mut request = Request::new(if length == 0 { dialer::empty() } else { dialer::full(body) });
    *request.method_mut() = case.asked.http.clone();
    *request.uri_mut() = http::Uri::from_static("/mcp");
    let mut headers = portunus_mcp::header::forward_request(&case.asked.headers, case.asked.era());
    case.published.mirrors.strip(&mut headers, case.asked.tool());
    if length > 0 {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Ok(value) = HeaderValue::try_from(case.trace.to_string()) {
        headers.insert("traceparent", value);
    }
    let said = Said {
        tool: case.asked.tool(),
        arguments: case.asked.arguments().map(|raw| sha256(&[raw])),
        disclosure: &case.known.disclosure(&case.snapshot.engine, &decide::context(case)),
        caps: case.caps,
        sql: case.sql,
        // Nobody else makes tokens, or need be able to.
        key: case.published.built_in_sql.then(|| edge.mask_keys.text_of(&case.known.caller.grant)),
    };
    let asserted = edge
        .signer
        .assert(permit, case.known, &said, case.now)
        .ok_or(Refusal::Internal("the assertion could not be made"))?;
    headers.insert(assertion::HEADER, asserted);
    *request.headers_mut() = headers;
    if let Some(key) = key {
        key::present(edge, case, permit, key, &mut request).await?;
    }
    request.extensions_mut().insert(Origin {
        caller: case.known.digest(),
        era: case.asked.era(),
        body: case.asked.body.clone(),
        revocation: Revocation::of(case.known, key),
    });
    Ok(request)
}

/// How much of the answer may be shown. It is worked out once for a call, and kept in [`Case::caps`].
pub fn caps(case: &Case<'_>) -> Caps {
    let (engine, server) = (&case.snapshot.engine, &case.published.server.name);
    let (principal, context) = (decide::principal(case), decide::context(case));
    match (case.asked.tool(), case.asked.operation()) {
        (Some(tool), _) => engine.caps(&principal, server, tool, &context),
        // What comes may be the result of any call, resumed or fetched later.
        (None, Operation::Task(_)) => engine.caps_of_any(&principal, server, &context),
        (None, _) if case.asked.may_rest() => engine.caps_of_any(&principal, server, &context),
        _ => Caps::default(),
    }
}
