//! The way of a request, top to bottom. Each step is a module; each `?` is a typed refusal; `respond` alone turns refusals
//! into HTTP.

use crate::asked;
use crate::caller::Room;
use crate::decide::{self, Case, Decided};
use crate::inspect;
use crate::key::{self, Key};
use crate::record;
use crate::refusal::Refusal;
use crate::respond;
use crate::revocation::Revocation;
use crate::route::{self, Route};
use crate::seal::{Seal, how_it_ended};
use crate::send;
use crate::sender;
use crate::stream;
use crate::{Edge, Snapshot, body, connect, cors, guard, handle, mirror, past, pinned, revocation, used};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use portunus_core::dialer::{Body, BodyError};
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::peer::ClientCertificate;
use portunus_core::record::{End, Verdict};
use portunus_core::trace::TraceContext;
use portunus_policy::{Caps, Permit};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Answers one request.
///
/// # Errors
/// Never: every failure is an answer.
pub async fn handle<B>(
    edge: Arc<Edge>,
    peer: SocketAddr,
    mut request: Request<B>,
) -> Result<Response<Body>, Infallible>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BodyError>,
{
    let snapshot = edge.snapshot.load_full();
    if let Err(bad) = guard::check(&request, &snapshot.hosts) {
        return Ok(respond::count(&edge, &snapshot, None, &bad.into()));
    }
    let origin = snapshot.origins.foreign(request.headers());
    if let Some(answer) = cors::preflight(&request, origin.as_ref()) {
        return Ok(cors::release(answer, origin));
    }
    let Route::Mcp(name) = route::route(request.uri().path()) else {
        let request = request.map(|body| Body::new(body.map_err(Into::into)));
        return Ok(cors::release(edge.control.serve(request, peer).await, origin));
    };
    let answer = match serve(edge.clone(), &snapshot, &name, peer, &mut request).await {
        Ok(answer) => answer,
        Err(refusal) => {
            body::discard(request.body_mut()).await;
            respond::count(&edge, &snapshot, Some(&name), &refusal)
        }
    };
    Ok(cors::release(answer, origin))
}

/// One request to a published server.
async fn serve<B>(
    edge: Arc<Edge>,
    snapshot: &Snapshot,
    name: &ServerName,
    peer: SocketAddr,
    request: &mut Request<B>,
) -> Result<Response<Body>, Refusal>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let started = Instant::now();
    guard::check_origin(request.headers(), &snapshot.origins)?;
    let published = snapshot.servers.get(name).ok_or_else(|| Refusal::NoServer(name.clone()))?;
    let now = edge.clock.now();
    let borne = edge.callers.identify(&*edge.store, name, request, now).await?;
    let known = sender::check(&edge.proofs, &snapshot.public_url, borne, request, now)?;
    let certificate = ClientCertificate::of(request.extensions()).cloned();
    let mut asked = asked::read(request, published).await?;
    handle::open(&edge, published, &mut asked, &known.caller, edge.clock.now())?;

    // A slow body took its time: everything is decided as of now.
    let now = edge.clock.now();
    let parent = asked.trace();
    let trace = parent.map_or_else(|| TraceContext::start(&*edge.rng), |parent| parent.child(&*edge.rng));
    let (known, asked, certificate, source) = (&known, &asked, certificate.as_ref(), peer.ip());
    let (whose, past) = past::before(&edge, snapshot, known, asked, now).await?;
    let (trace, whose, past) = (&trace, &whose, &past);
    let case = Case {
        snapshot,
        published,
        known,
        certificate,
        asked,
        source,
        started,
        now,
        trace,
        sql: None,
        credential_age: None,
        pin: "pinned",
        caps: Caps::NOTHING,
        wanted: None,
        whose,
        past,
    };
    // Before the edge asks anything of its own: it is this call's user who must connect.
    connect::bound(&edge, &case).await?;
    mirror::check(&edge, &case).await?;
    pinned::settle(&edge, &case).await?;
    let sql = decide::facts(&case);
    admit(&edge, &Case { now: edge.clock.now(), sql: sql.as_ref(), ..case }).await
}

/// From a request that is understood to its answer. The edge's own questions to a server go this way too.
pub(crate) async fn admit(edge: &Arc<Edge>, case: &Case<'_>) -> Result<Response<Body>, Refusal> {
    // Before the decision, which may use up an approval in the end: nothing that is known to fail afterwards.
    let room = Room::take(case.published, case.known).ok_or_else(|| Refusal::Busy { id: case.asked.id() })?;
    let (mut now, mut past) = (case.now, Arc::clone(case.past));
    for _ in 0..limits::APPROVAL_TRIES {
        let case = Case { now, past: &past, ..*case };
        let key = key::find(edge, &case).await?;
        let age = key.as_ref().map(|key| now.since(key.created_at()).as_secs());
        let case = Case { credential_age: age, pin: pinned::word(edge, &case), ..case };
        let case = &Case { caps: send::caps(&case), ..case };
        if let Decided::Permit(permit) = decide::decide(edge, case).await? {
            return permitted(edge, case, &permit, key, room).await;
        }
        // It waited: what was counted, labelled and replaced meanwhile counts, for the decision and for what is shown.
        now = edge.clock.now();
        past = past::of(edge, case.known, case.whose, now).await?;
    }
    Err(Refusal::Busy { id: case.asked.id() })
}

async fn permitted(
    edge: &Arc<Edge>,
    case: &Case<'_>,
    permit: &Permit,
    key: Option<Key>,
    room: Room,
) -> Result<Response<Body>, Refusal> {
    let (name, label) = (case.published.server.name.as_str(), case.label());
    edge.metrics.decided(name, label, Verdict::Permit);
    used::note(edge, case, permit, key.as_ref());
    let in_flight = edge.metrics.begin(name, label, room);
    let held = key.as_ref().and_then(Key::credential).cloned();
    let mut seal = Seal::new(edge, case, permit.decision().clone(), (in_flight, held));
    let exchange = exchange(edge, case, permit, key.as_ref(), &mut seal);
    let answer = revocation::unless_ended(case, key.as_ref(), exchange).await;
    let answer = answer.inspect_err(|refusal| seal.end(how_it_ended(refusal)))?;
    seal.answered(answer.status());
    Ok(stream::release(answer, seal, case, Revocation::of(case.known, key.as_ref())))
}

/// Record, send, inspect. A call that may change something is recorded before it is sent; any other while it is under
/// way, but before its answer is released.
async fn exchange(
    edge: &Arc<Edge>,
    case: &Case<'_>,
    permit: &Permit,
    key: Option<&Key>,
    seal: &mut Seal,
) -> Result<Response<Body>, Refusal> {
    let policies = permit.policies().to_vec();
    let mut intent = record::intent(edge, case, permit.decision().clone(), Verdict::Permit, policies);
    if permit.policies().is_empty() {
        intent.reason = Some(String::from("A look of the edge's own at the list, for a call that needs it."));
    }
    intent.approval = permit.approval().cloned();
    if let Some(key) = key {
        key.note(&mut intent);
    }
    let receipt = record::append(edge, intent);
    let send = send::send(edge, case, permit, key);
    let answer = if case.asked.may_change(case.published) {
        record::durable(receipt).await.inspect_err(|_| seal.end(End::Unreachable))?;
        send.await?
    } else {
        let (recorded, answer) = tokio::join!(record::durable(receipt), send);
        let answer = answer?;
        recorded.map_err(|_| Refusal::Unrecorded { id: case.asked.id() })?;
        answer
    };
    inspect::inspect(edge, case, answer).await
}
