//! Permit → upstream: the very bytes that were decided, our headers only, the credential last, nothing ever sent twice. The
//! credential travels sealed beside the request to the dialer of this very server, which alone opens it.

use crate::Edge;
use crate::assertion::{self, Said};
use crate::bridge::Origin;
use crate::decide::{self, Case};
use crate::refusal::{Refusal, UpstreamFailure};
use http::{HeaderValue, Request, Response, header};
use portunus_core::dialer::{self, Body, Presented};
use portunus_core::digest::sha256;
use portunus_policy::{Caps, Operation, Permit};
use portunus_vault::Bound;

/// The one way to an upstream.
///
/// # Errors
/// When it could not be sent, broke, took too long, or the grant was revoked meanwhile.
pub async fn send(
    edge: &Edge,
    case: &Case<'_>,
    permit: &Permit,
    credential: Option<&Bound>,
) -> Result<Response<Body>, Refusal> {
    let request = request(edge, case, permit, credential).await?;
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
    credential: Option<&Bound>,
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
    if let Some(bound) = credential {
        request.extensions_mut().insert(present(edge, case, permit, bound).await?);
    }
    request.extensions_mut().insert(Origin {
        caller: case.known.digest(),
        era: case.asked.era(),
        body: case.asked.body.clone(),
        revocation: case.known.revocation(),
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

/// The credential for this server's dialer, after a last look at where that leads.
async fn present(edge: &Edge, case: &Case<'_>, permit: &Permit, bound: &Bound) -> Result<Presented, Refusal> {
    let refused = |error| Refusal::Credential { id: case.asked.id(), error };
    let server = &case.published.server;
    if edge.vault.is_newly_flagged(bound) {
        tracing::warn!(
            credential = bound.credential().name.as_str(),
            server = server.name.as_str(),
            "a credential goes into the URL's query, where logs on its way may keep it"
        );
    }
    let opened = edge.vault.open(permit, bound).await.map_err(refused)?;
    opened.present(server).map_err(refused)
}
