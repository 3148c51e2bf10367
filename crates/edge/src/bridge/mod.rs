//! Between the protocol eras: a [`Dialer`] in front of another one. A request in an era that the upstream speaks passes
//! untouched; any other is answered by driving the upstream in its own era. What is sent there is derived from the decided
//! bytes alone, and a call's arguments are those very bytes (law 2). The translation itself is `portunus_mcp::bridge`.
//!
//! | module | does |
//! |---|---|
//! | [`era`] | which era the upstream speaks |
//! | [`session`] | a session with a legacy upstream, over streamable HTTP or HTTP+SSE |
//! | [`sessions`] | one session per caller, made on demand |
//! | [`call`], [`parked`] | a modern client's call through it; questions of the server |
//! | [`listen`] | a modern client's subscription |
//! | [`legacy`], [`visit`] | a legacy client's session with the bridge itself |
//! | [`round`], [`changes`] | its calls and its stream at a modern upstream |
//! | [`wire`] | requests and event streams |

mod call;
mod changes;
mod era;
mod legacy;
mod listen;
mod parked;
mod round;
mod session;
mod sessions;
mod visit;
mod wire;

pub use era::Protocol;

use crate::revocation::Revocation;
use async_trait::async_trait;
use bytes::Bytes;
use call::{Answered, Open};
use era::{Eras, Legacy};
use http::{Request, Response, StatusCode};
use parked::Parked;
use portunus_core::dialer::{Body, DialError, Dialer};
use portunus_core::digest::Digest;
use portunus_core::limits;
use portunus_core::time::Rng;
use portunus_mcp::bridge::{to_legacy, to_modern};
use portunus_mcp::json::Bounds;
use portunus_mcp::message::{self, Call, Era, Message, Method, Reject};
use session::{Failure, Session};
use sessions::Sessions;
use std::sync::Arc;
use tokio::time::timeout;
use visit::Visits;
use wire::Behalf;

/// Where a request comes from; travels in its extensions and never on the wire.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Equal for the same server, user, client and grant.
    pub caller: Digest,
    /// The era of the request.
    pub era: Era,
    /// The bytes that were decided.
    pub body: Bytes,
    /// What ends the call from outside.
    pub revocation: Revocation,
}

/// A dialer for clients of both eras in front of one for an upstream of either.
#[derive(Clone)]
pub struct Bridge(Arc<Inner>);

struct Inner {
    dialer: Arc<dyn Dialer>,
    eras: Eras,
    sessions: Sessions,
    parked: Parked,
    visits: Visits,
    /// Where the upstream is, for what it says about its own paths; none where it is reached otherwise than by URL.
    base: Option<url::Url>,
}

impl Bridge {
    /// In front of the dialer of an upstream, which is at the URL `base` if at any.
    #[must_use]
    pub fn new(
        dialer: Arc<dyn Dialer>,
        protocol: Protocol,
        base: Option<url::Url>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        let (sessions, parked, visits) = (Sessions::default(), Parked::new(rng.clone()), Visits::new(rng));
        Self(Arc::new(Inner { dialer, eras: Eras::new(protocol), sessions, parked, visits, base }))
    }
}

impl Bridge {
    /// Ends the sessions with the upstream that are not in use: it is not published any more.
    pub fn end(&self) {
        self.0.sessions.end_idle();
    }
}

#[async_trait]
impl Dialer for Bridge {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, DialError> {
        let Some(origin) = request.extensions().get::<Origin>() else {
            return self.0.dialer.send(request).await;
        };
        match (origin.era, self.0.eras.known()) {
            (Era::Modern, known) if known.modern == Some(true) => {
                let answer = self.0.dialer.send(request).await?;
                if matches!(
                    answer.status(),
                    StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
                ) {
                    self.0.eras.doubt();
                }
                Ok(answer)
            }
            (Era::Modern, _) => self.0.clone().modern(request).await,
            (Era::Legacy, known)
                if known.legacy == Some(Legacy::Streamable) && !legacy::is_visit(request.headers()) =>
            {
                self.0.dialer.send(request).await
            }
            (Era::Legacy, _) => self.0.clone().legacy(request).await,
        }
    }
}

impl Inner {
    /// A modern client's request to an upstream that is not known to be modern.
    async fn modern(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, DialError> {
        let Some(origin) = request.extensions().get::<Origin>().cloned() else {
            return self.dialer.send(request).await;
        };
        let behalf = Behalf::of(request.headers().clone(), request.extensions());
        match self.is_modern(&behalf).await {
            Ok(true) => return self.dialer.send(request).await,
            Ok(false) => {}
            Err(Failure::Dial(error)) => return Err(error),
            Err(Failure::Answer(answer)) => return Ok(*answer),
            Err(Failure::Foreign(status)) => return Err(strange(status)),
        }
        match message::read(request.headers(), &origin.body, &Bounds::of_bytes(usize::MAX)) {
            Err(reject) => Ok(wire::json(reject.status, reject.to_body())),
            // A modern client cancels by closing its stream; other notifications are for nobody.
            Ok(Message::Notification(_) | Message::Answer(_)) => Ok(wire::empty(StatusCode::ACCEPTED)),
            Ok(Message::Call(call)) => match self.modern_call(&origin, &behalf, &call).await {
                Ok(answer) => Ok(answer),
                Err(Failure::Dial(error)) => Err(error),
                Err(Failure::Answer(answer)) => Ok(*answer),
                Err(Failure::Foreign(status)) => Err(strange(status)),
            },
        }
    }

    /// Finds out whether the upstream speaks the modern era, once for all that want to know.
    async fn is_modern(&self, behalf: &Behalf) -> Result<bool, Failure> {
        if let Some(modern) = self.eras.known().modern {
            return Ok(modern);
        }
        let _finding = self.eras.finding.lock().await;
        if let Some(modern) = self.eras.known().modern {
            return Ok(modern);
        }
        let body = to_modern::Client::own().discover("\"portunus-era\"");
        let mirrors = to_modern::mirrors(&Method::Discover, None);
        let probe = wire::request(http::Method::POST, behalf, mirrors, body);
        let asked = async {
            let answer = self.dialer.send(probe).await?;
            if wire::is_foreign(answer.status()) {
                return Err(Failure::Answer(Box::new(answer)));
            }
            Ok(wire::response(answer).await?)
        };
        // A server that stays silent has not said that it is modern.
        let response = timeout(limits::ERA_PROBE_TIMEOUT, asked).await.unwrap_or(Ok(None))?;
        let modern = response.as_ref().is_some_and(to_modern::speaks_modern);
        self.eras.found(Some(modern), None);
        Ok(modern)
    }

    /// A modern client's call to a legacy upstream.
    async fn modern_call(
        self: &Arc<Self>,
        origin: &Origin,
        behalf: &Behalf,
        call: &Call,
    ) -> Result<Response<Body>, Failure> {
        if call.request_state.is_some() {
            return self.go_on(origin, behalf, call).await;
        }
        if matches!(call.method, Method::TasksGet | Method::TasksUpdate | Method::TasksCancel) {
            let reject = Reject::method_not_found(&call.method, call.version).with_id(call.id.clone());
            return Ok(wire::json(reject.status, reject.to_body()));
        }
        // The second time with a new session, when the upstream has forgotten the first.
        for attempt in 0..2 {
            let (session, fresh) = self.session(origin, behalf, call).await?;
            if call.method == Method::Discover {
                return Ok(wire::json(StatusCode::OK, to_legacy::discovered(&call.id, &session.handshake)));
            }
            if call.method == Method::Listen {
                return Ok(listen::listen(&session, behalf, call).await?);
            }
            if session.asks_anything() && may_be_interrupted(&call.method) {
                session.listen_up(behalf).await;
            }
            let last = fresh || attempt > 0;
            let open = Open::send(session.clone(), last, behalf.clone(), call).await?;
            match open.answer(self.clone()).await? {
                Answered::So(answer) => return Ok(answer),
                Answered::Gone => session.end(),
            }
        }
        Err(strange(StatusCode::NOT_FOUND).into())
    }

    /// The request that brings the answer to a server's question.
    async fn go_on(
        self: &Arc<Self>,
        origin: &Origin,
        behalf: &Behalf,
        call: &Call,
    ) -> Result<Response<Body>, Failure> {
        let Some(mut waiting) = self.parked.take(origin.caller, call) else {
            let text =
                "params.requestState is not known here: it has expired, was used, or belongs to another call";
            let reject = Reject::invalid_params(text).with_id(call.id.clone());
            return Ok(wire::json(reject.status, reject.to_body()));
        };
        waiting.open.session().touch(behalf, origin.revocation.clone());
        let Some(answer) = to_legacy::answer(call, &waiting.question) else {
            // 2026-07-28, Multi Round-Trip Requests, Error Handling: ask again.
            return Ok(wire::json(StatusCode::OK, waiting.open.ask_again(self, call, waiting.question)));
        };
        waiting.open.resume(behalf.clone(), call, answer).await?;
        match waiting.open.answer(self.clone()).await? {
            Answered::So(answer) => Ok(answer),
            Answered::Gone => Err(strange(StatusCode::NOT_FOUND).into()),
        }
    }

    /// The caller's session, and whether it was made just now.
    async fn session(
        self: &Arc<Self>,
        origin: &Origin,
        behalf: &Behalf,
        call: &Call,
    ) -> Result<(Arc<Session>, bool), Failure> {
        sessions::session(self, origin, behalf, call).await
    }
}

/// The calls during which a server may have a question (2026-07-28, Multi Round-Trip Requests, Supported Requests).
const fn may_be_interrupted(method: &Method) -> bool {
    matches!(method, Method::ToolsCall | Method::PromptsGet | Method::ResourcesRead)
}

/// An upstream that speaks nothing known.
fn strange(status: StatusCode) -> DialError {
    DialError::Unreachable(format!("the server speaks no protocol era that is known here (status {status})"))
}
