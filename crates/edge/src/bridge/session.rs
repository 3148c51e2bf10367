//! A session with a legacy upstream, made for one caller on demand, kept while it is used, and ended when it is idle, when
//! the caller is revoked, or when the upstream no longer knows it.

use super::wire::{self, Behalf, Events, Piece};
use crate::revocation::Revocation;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use portunus_core::dialer::{Body, DialError, Dialer};
use portunus_core::digest::Digest;
use portunus_core::limits;
use portunus_mcp::bridge::to_legacy::{self, Filter, Handshake};
use portunus_mcp::bridge::{self, Incoming, Notification, Question};
use portunus_mcp::header::{LAST_EVENT_ID, MCP_PROTOCOL_VERSION, MCP_SESSION_ID};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Whose session it is. Clients of one caller that declare different capabilities do not share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) caller: Digest,
    pub(super) capabilities: Digest,
}

/// How messages get there and back.
pub(super) enum Transport {
    /// Streamable HTTP (2025-03-26 to 2025-11-25), with the session's id if there is one.
    Streamable(Option<HeaderValue>),
    /// HTTP+SSE (2024-11-05): where to post; answers come on the session's stream.
    Sse(Uri),
}

/// One session.
pub(super) struct Session {
    pub(super) key: Key,
    pub(super) handshake: Handshake,
    transport: Transport,
    /// What the client may be asked.
    capabilities: Bytes,
    dialer: Arc<dyn Dialer>,
    next: AtomicU64,
    latest: Mutex<Latest>,
    /// Open calls by our id, the newest last.
    calls: Mutex<BTreeMap<u64, mpsc::Sender<Incoming>>>,
    listeners: Mutex<Vec<Listener>>,
    /// How many listeners want to hear of a resource.
    subscribed: tokio::sync::Mutex<HashMap<String, usize>>,
    level: tokio::sync::Mutex<Option<String>>,
    /// The stream of what belongs to no call, once it was tried to open it.
    ear: tokio::sync::Mutex<Option<Option<AbortHandle>>>,
    over: watch::Sender<bool>,
    touched: Notify,
}

/// What the latest request through the session brought.
struct Latest {
    behalf: Behalf,
    revocation: Revocation,
    used: Instant,
}

/// Who hears of changes.
struct Listener {
    number: u64,
    filter: Filter,
    sender: mpsc::Sender<Notification>,
}

/// An answer to a handshake that is not for the bridge to judge, or none at all.
pub(super) enum Failure {
    /// As the upstream answered: its front door wants something else.
    Answer(Box<Response<Body>>),
    /// It does not speak this.
    Foreign(StatusCode),
    /// Nothing came of it.
    Dial(DialError),
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        Self::Dial(error)
    }
}

/// What a session is made from.
pub(super) struct Start<'a> {
    pub(super) dialer: &'a Arc<dyn Dialer>,
    pub(super) key: Key,
    /// The client's request.
    pub(super) behalf: &'a Behalf,
    pub(super) revocation: Revocation,
    /// The request that it is made for.
    pub(super) call: &'a portunus_mcp::message::Call,
}

impl Session {
    /// The handshake over streamable HTTP.
    pub(super) async fn streamable(start: Start<'_>) -> Result<Arc<Self>, Failure> {
        let body = to_legacy::initialize(0, start.call);
        let request = wire::request(Method::POST, start.behalf, HeaderMap::new(), body);
        let answer = start.dialer.send(request).await?;
        let status = answer.status();
        if wire::is_foreign(status) || status.is_server_error() {
            return Err(Failure::Answer(Box::new(answer)));
        }
        let id = answer.headers().get(MCP_SESSION_ID).cloned();
        let response = wire::response(answer).await?.and_then(|response| response.outcome.ok());
        let handshake = response.as_ref().and_then(Handshake::read).ok_or(Failure::Foreign(status))?;
        let session = Self::new(start, handshake, Transport::Streamable(id));
        session.post(&session.behalf(), to_legacy::initialized()).await?;
        Ok(session)
    }

    /// The handshake over HTTP+SSE: a stream whose first event says where to post.
    pub(super) async fn sse(start: Start<'_>, base: Option<&url::Url>) -> Result<Arc<Self>, Failure> {
        // Behind a connector or a child process there are no other paths than the server's own.
        let base = base.ok_or(Failure::Foreign(StatusCode::NOT_IMPLEMENTED))?;
        let request = wire::request(Method::GET, start.behalf, HeaderMap::new(), Bytes::new());
        let answer = start.dialer.send(request).await?;
        let status = answer.status();
        if wire::is_foreign(status) {
            return Err(Failure::Answer(Box::new(answer)));
        }
        if !status.is_success() || !crate::inspect::is_event_stream(answer.headers()) {
            return Err(Failure::Foreign(status));
        }
        let mut events = Events::new(answer.into_body());
        let endpoint = loop {
            match events.next().await? {
                Some(Piece::Named(name, uri)) if name == "endpoint" => {
                    break endpoint(base, &uri).ok_or(Failure::Foreign(status))?;
                }
                Some(Piece::Pause) => {}
                _ => return Err(Failure::Foreign(status)),
            }
        };
        let body = to_legacy::initialize(0, start.call);
        let mut request = wire::request(Method::POST, start.behalf, HeaderMap::new(), body);
        *request.uri_mut() = endpoint.clone();
        accepted(start.dialer.send(request).await?)?;
        let handshake = loop {
            match events.next().await? {
                Some(Piece::Message(Incoming::Response(response))) => {
                    let result = response.outcome.ok();
                    break result.as_ref().and_then(Handshake::read).ok_or(Failure::Foreign(status))?;
                }
                Some(_) => {}
                None => return Err(Failure::Foreign(status)),
            }
        };
        let session = Self::new(start, handshake, Transport::Sse(endpoint));
        accepted(session.post(&session.behalf(), to_legacy::initialized()).await?)?;
        let ear = tokio::spawn(hear_until_end(Arc::downgrade(&session), events)).abort_handle();
        *session.ear.lock().await = Some(Some(ear));
        Ok(session)
    }

    fn new(start: Start<'_>, handshake: Handshake, transport: Transport) -> Arc<Self> {
        Arc::new(Self {
            key: start.key,
            handshake,
            transport,
            capabilities: start.call.client_capabilities.clone().unwrap_or_else(|| Bytes::from_static(b"{}")),
            dialer: start.dialer.clone(),
            next: AtomicU64::new(1),
            latest: Mutex::new(Latest {
                behalf: start.behalf.clone(),
                revocation: start.revocation,
                used: Instant::now(),
            }),
            calls: Mutex::default(),
            listeners: Mutex::default(),
            subscribed: tokio::sync::Mutex::default(),
            level: tokio::sync::Mutex::default(),
            ear: tokio::sync::Mutex::default(),
            over: watch::Sender::new(false),
            touched: Notify::new(),
        })
    }

    /// An id that no other request of this session has.
    pub(super) fn id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
    pub(super) fn is_over(&self) -> bool {
        *self.over.borrow()
    }
    /// Whether the upstream may have forgotten it: only one that it gave an id.
    pub(super) fn has_id(&self) -> bool {
        matches!(&self.transport, Transport::Streamable(Some(_)))
    }
    /// Whether its client may be asked anything.
    pub(super) fn asks_anything(&self) -> bool {
        bridge::may_be_asked_anything(&self.capabilities)
    }
    /// Whether its client may be asked this.
    pub(super) fn may_ask(&self, question: &str) -> bool {
        bridge::may_be_asked(&self.capabilities, question)
    }
    /// Remembers a request that uses the session: identity and credential of what follows.
    pub(super) fn touch(&self, behalf: &Behalf, revocation: Revocation) {
        *lock(&self.latest) = Latest { behalf: behalf.clone(), revocation, used: Instant::now() };
        self.touched.notify_one();
    }
    fn behalf(&self) -> Behalf {
        lock(&self.latest).behalf.clone()
    }

    /// Sends one message.
    pub(super) async fn post(&self, client: &Behalf, body: Bytes) -> Result<Response<Body>, DialError> {
        let mut request = wire::request(Method::POST, client, self.protocol(), body);
        if let Transport::Sse(endpoint) = &self.transport {
            *request.uri_mut() = endpoint.clone();
        }
        self.dialer.send(request).await
    }

    /// A request of the bridge's own and its response.
    async fn ask(
        self: &Arc<Self>,
        client: &Behalf,
        id: u64,
        body: Bytes,
    ) -> Result<Option<bridge::Response>, DialError> {
        if matches!(self.transport, Transport::Streamable(_)) {
            return wire::response(self.post(client, body).await?).await;
        }
        let (mut inbox, _open) = self.open(id);
        self.post(client, body).await?;
        loop {
            match inbox.recv().await {
                Some(Incoming::Response(response)) => return Ok(Some(response)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Headers that every request of the session carries.
    fn protocol(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Transport::Streamable(id) = &self.transport {
            headers.insert(MCP_PROTOCOL_VERSION, HeaderValue::from_static(self.handshake.version.as_str()));
            headers.extend(id.clone().map(|id| (MCP_SESSION_ID, id)));
        }
        headers
    }

    /// A place for what the server says about a call elsewhere than in its answer.
    pub(super) fn open(self: &Arc<Self>, id: u64) -> (mpsc::Receiver<Incoming>, Registered) {
        let (sender, inbox) = mpsc::channel(limits::BRIDGED_MESSAGES);
        if !self.is_over() {
            lock(&self.calls).insert(id, sender);
        }
        (inbox, Registered { session: self.clone(), id })
    }

    /// Sets the level of log messages, where it differs from the one set last.
    pub(super) async fn set_level(
        self: &Arc<Self>,
        client: &Behalf,
        wanted: Option<&str>,
    ) -> Result<(), DialError> {
        let Some(wanted) = wanted.filter(|_| self.handshake.can(&["logging"])) else { return Ok(()) };
        let mut level = self.level.lock().await;
        if level.as_deref() != Some(wanted) {
            let id = self.id();
            self.ask(client, id, to_legacy::set_level(id, wanted)).await?;
            *level = Some(wanted.to_owned());
        }
        Ok(())
    }

    /// Opens the stream of what belongs to no call, if the server has one. Some servers ask their questions there.
    pub(super) async fn listen_up(self: &Arc<Self>, client: &Behalf) {
        let mut ear = self.ear.lock().await;
        let deaf = ear.as_ref().is_none_or(|ear| ear.as_ref().is_some_and(AbortHandle::is_finished));
        if !deaf || matches!(self.transport, Transport::Sse(_)) {
            return;
        }
        let opened = timeout(limits::ERA_PROBE_TIMEOUT, self.stream(client, None)).await;
        *ear = Some(match opened {
            Ok(Ok(Some(events))) => Some(tokio::spawn(hear(Arc::downgrade(self), events)).abort_handle()),
            _ => None,
        });
    }

    /// GET: the stream from server to client, or the rest of one; `None` when there is none to be had.
    pub(super) async fn stream(
        &self,
        client: &Behalf,
        after: Option<&str>,
    ) -> Result<Option<Events>, DialError> {
        let mut headers = self.protocol();
        let after = after.and_then(|id| HeaderValue::from_str(id).ok());
        headers.extend(after.map(|id| (LAST_EVENT_ID, id)));
        let answer = self.dialer.send(wire::request(Method::GET, client, headers, Bytes::new())).await?;
        let stream = answer.status().is_success() && crate::inspect::is_event_stream(answer.headers());
        Ok(stream.then(|| Events::new(answer.into_body())))
    }

    /// Hands on what came on the session's own stream.
    async fn take(self: &Arc<Self>, message: Incoming) {
        let about = match &message {
            Incoming::Response(response) => number(&response.id),
            Incoming::Notification(note) if note.method == "notifications/progress" => {
                note.param("progressToken").and_then(|token| number(token.as_bytes()))
            }
            Incoming::Notification(note) if note.method == "notifications/message" => self.newest(),
            Incoming::Question(question) if question.method != "ping" => self.newest(),
            Incoming::Notification(note) => return self.tell(note),
            Incoming::Question(_) => None,
        };
        let inbox = about.and_then(|id| lock(&self.calls).get(&id).cloned());
        match (inbox, message) {
            // A call that does not read must not hold up the others for long.
            (Some(inbox), message) => drop(timeout(limits::READER_TIMEOUT, inbox.send(message)).await),
            (None, Incoming::Question(question)) => self.reply(&self.behalf(), &question),
            (None, _) => {}
        }
    }

    /// The call begun last: a question that names no call is most likely its.
    fn newest(&self) -> Option<u64> {
        lock(&self.calls).last_key_value().map(|(id, _)| *id)
    }

    /// Answers a question that no client can be asked: a ping with a pong, anything else with a refusal.
    pub(super) fn reply(&self, client: &Behalf, question: &Question) {
        let body = if question.method == "ping" {
            bridge::result(&question.id, "{}")
        } else {
            let text = "This client cannot be asked that";
            portunus_mcp::answer::error(Some(&question.id), -32601, text, None)
        };
        self.send_later(client.clone(), body);
    }

    /// Sends a message whose answer nobody waits for.
    pub(super) fn send_later(&self, client: Behalf, body: Bytes) {
        let mut request = wire::request(Method::POST, &client, self.protocol(), body);
        if let Transport::Sse(endpoint) = &self.transport {
            *request.uri_mut() = endpoint.clone();
        }
        later(self.dialer.clone(), request);
    }

    /// Tells the listeners of a change.
    pub(super) fn tell(&self, note: &Notification) {
        // One that does not keep up is let go: it finds out that it missed something.
        lock(&self.listeners).retain(|listener| {
            !listener.filter.wants(note) || listener.sender.try_send(note.clone()).is_ok()
        });
    }

    /// Subscribes to what the filter wants; what the server refuses is taken out of it.
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        client: &Behalf,
        mut filter: Filter,
    ) -> Result<(Filter, mpsc::Receiver<Notification>, Listening), DialError> {
        let (sender, receiver) = mpsc::channel(limits::BRIDGED_MESSAGES);
        let number = self.id();
        let mut listening =
            Listening { session: self.clone(), number, uris: Vec::new(), behalf: client.clone() };
        self.listen_up(client).await;
        let mut subscribed = self.subscribed.lock().await;
        for uri in &filter.uris {
            let taken = match subscribed.get(uri) {
                Some(_) => true,
                None => {
                    let id = self.id();
                    let response = self.ask(client, id, to_legacy::subscription(id, uri, true)).await?;
                    response.is_some_and(|response| response.outcome.is_ok())
                }
            };
            if taken {
                *subscribed.entry(uri.clone()).or_default() += 1;
                listening.uris.push(uri.clone());
            }
        }
        drop(subscribed);
        filter.uris.clone_from(&listening.uris);
        if !self.is_over() {
            lock(&self.listeners).push(Listener { number, filter: filter.clone(), sender });
        }
        Ok((filter, receiver, listening))
    }

    async fn unsubscribe(self: Arc<Self>, behalf: Behalf, uris: Vec<String>) {
        let mut subscribed = self.subscribed.lock().await;
        for uri in uris {
            let Some(wanted) = subscribed.get_mut(&uri) else { continue };
            *wanted = wanted.saturating_sub(1);
            if *wanted == 0 {
                subscribed.remove(&uri);
                let id = self.id();
                self.send_later(behalf.clone(), to_legacy::subscription(id, &uri, false));
            }
        }
    }

    /// Ends the session; calls and listeners find that out.
    pub(super) fn end(&self) {
        if self.over.send_replace(true) {
            return;
        }
        lock(&self.calls).clear();
        lock(&self.listeners).clear();
        if let Ok(mut ear) = self.ear.try_lock()
            && let Some(Some(ear)) = ear.take()
        {
            ear.abort();
        }
        if self.has_id() {
            let request = wire::request(Method::DELETE, &self.behalf(), self.protocol(), Bytes::new());
            later(self.dialer.clone(), request);
        }
    }

    fn is_busy(&self) -> bool {
        !lock(&self.calls).is_empty() || !lock(&self.listeners).is_empty()
    }
    /// When it was used last; `None` while it is in use.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (!self.is_busy()).then(|| lock(&self.latest).used)
    }
}

/// Ends the session when it is idle, or its caller or credential was revoked.
pub(super) async fn keep(session: Arc<Session>) {
    let mut over = session.over.subscribe();
    let mut due = Instant::now() + limits::UPSTREAM_SESSION_IDLE;
    loop {
        let revocation = lock(&session.latest).revocation.clone();
        tokio::select! {
            _ = revocation.wait() => break,
            _ = over.wait_for(|over| *over) => break,
            () = session.touched.notified() => due = Instant::now() + limits::UPSTREAM_SESSION_IDLE,
            () = sleep_until(due) => {
                if session.idle_since().is_some() {
                    break;
                }
                due = Instant::now() + limits::UPSTREAM_SESSION_IDLE;
            }
        }
    }
    session.end();
}

/// Reads the stream from server to client, and opens it again when it ends while anyone listens.
async fn hear(session: Weak<Session>, mut events: Events) {
    loop {
        let read = hear_one(&session, &mut events).await;
        let pause = Duration::from_millis(events.retry.unwrap_or(1000).clamp(100, 30_000));
        sleep(pause).await;
        let Some(strong) = session.upgrade().filter(|session| !session.is_over()) else { return };
        let behalf = strong.behalf();
        let after = events.last_id.take().filter(|_| read.is_ok());
        match strong.stream(&behalf, after.as_deref()).await {
            Ok(Some(again)) => events = again,
            _ => return,
        }
    }
}

/// Reads the one stream of an HTTP+SSE session, which ends with it.
async fn hear_until_end(session: Weak<Session>, mut events: Events) {
    let _ = hear_one(&session, &mut events).await;
    if let Some(session) = session.upgrade() {
        session.end();
    }
}

async fn hear_one(session: &Weak<Session>, events: &mut Events) -> Result<(), DialError> {
    while let Some(piece) = events.next().await? {
        let Some(session) = session.upgrade() else { return Ok(()) };
        if let Piece::Message(message) = piece {
            session.take(message).await;
        }
    }
    Ok(())
}

/// The place of an open call; given up when dropped.
pub(super) struct Registered {
    session: Arc<Session>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&self.session.calls).remove(&self.id);
    }
}

/// The place of a listener; given up, with its subscriptions, when dropped.
pub(super) struct Listening {
    session: Arc<Session>,
    number: u64,
    uris: Vec<String>,
    behalf: Behalf,
}

impl Drop for Listening {
    fn drop(&mut self) {
        lock(&self.session.listeners).retain(|listener| listener.number != self.number);
        let (uris, behalf) = (std::mem::take(&mut self.uris), std::mem::take(&mut self.behalf));
        if let (false, Ok(runtime)) = (uris.is_empty(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(self.session.clone().unsubscribe(behalf, uris));
        }
    }
}

/// Sends a request in a task of its own; the answer is read so that the connection can serve the next one.
fn later(dialer: Arc<dyn Dialer>, request: http::Request<Body>) {
    // No runtime: the process is going down, and with it every connection.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        let exchange = async {
            if let Ok(answer) = dialer.send(request).await {
                drop(wire::whole(answer.into_body()).await);
            }
        };
        drop(timeout(limits::ERA_PROBE_TIMEOUT, exchange).await);
    });
}

/// Where an `endpoint` event says to post: at the upstream's own origin and nowhere else.
fn endpoint(base: &url::Url, uri: &Bytes) -> Option<Uri> {
    let target = base.join(std::str::from_utf8(uri).ok()?.trim()).ok()?;
    let own = target.origin() == base.origin() && target.username().is_empty() && target.password().is_none();
    let query = target.query().map(|query| format!("?{query}")).unwrap_or_default();
    own.then(|| format!("{}{query}", target.path()).parse().ok())?
}

/// A message that a server must only take.
fn accepted(answer: Response<Body>) -> Result<(), Failure> {
    if answer.status().is_success() { Ok(()) } else { Err(Failure::Foreign(answer.status())) }
}

fn number(id: &[u8]) -> Option<u64> {
    std::str::from_utf8(id).ok()?.parse().ok()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
