//! What each message of a server must pass before the client sees it: it answers the call that was made, its lists show
//! what policies allow, and its handles are bound to the caller.

use crate::Edge;
use crate::asked::{self, What};
use crate::decide::{self, Case};
use crate::handle::{Origin, Own};
use crate::interview::Interview;
use crate::lists::{Key, Lists};
use crate::mirror::Mirrors;
use crate::pin::{PinState, Pins};
use crate::shown::Shown;
use bytes::Bytes;
use http::StatusCode;
use portunus_core::dialer::BodyError;
use portunus_core::id::ServerName;
use portunus_core::peer::ClientCertificate;
use portunus_core::time::{Clock, Timestamp};
use portunus_mcp::envelope::{Envelope, EnvelopeError};
use portunus_mcp::message::{Era, List, TargetKind};
use portunus_mcp::sse::Event;
use portunus_mcp::{list, security};
use portunus_oauth::config::SCOPE;
use portunus_pins::definition;
use portunus_policy::{Engine, Operation, Past, Principal, View, Viewer};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a message is withheld.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Barred {
    /// It cannot be told what it is.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// It answers another call, whose rules were not applied to it.
    #[error("the server answered a call that was not made here")]
    AnotherCall,
    /// The server asks the client for something that no policy allows, or that cannot be read for certain.
    #[error("{0}")]
    Question(&'static str),
    /// The server asks and asks.
    #[error("the server asked the client too many questions")]
    TooManyQuestions,
    /// Policies allow some rows only, and it cannot be told where the rows are.
    #[error("policies allow only some rows of this result, and it cannot be told what its rows are")]
    Rows,
    /// Its data cannot be screened.
    #[error("the data in the answer cannot be screened: {0}")]
    Data(String),
    /// A widget whose contents are new or have changed, or that is not the one of the tool's definition.
    #[error("a widget in the answer is new or has changed, or is another than its tool's: portunus pin list")]
    Widget,
    /// A list that cannot be filtered.
    #[error("a list could not be read: {0}")]
    List(String),
}

/// Screens the messages of one answer; owns all it needs, since an event stream outlives the request.
pub struct Screen {
    expected: Expected,
    /// The HTTP status says that it failed.
    failed: bool,
    own: Own,
    origin: Option<Origin>,
    clock: Arc<dyn Clock>,
    gives_tasks: Arc<AtomicBool>,
    filter: Filter,
    interview: Interview,
    shown: Shown,
    /// Set for a stream that may rest: under which policies it was opened.
    opened_under: Option<(Arc<Edge>, Arc<Engine>)>,
}

/// Which call's answer may come.
enum Expected {
    /// The one with this id.
    Call(Bytes),
    /// Of any call: a stream may be that of an earlier one, resumed.
    Any,
    /// None: nothing was asked.
    None,
}

impl Screen {
    /// For the answer, of this status, to a request.
    ///
    /// # Errors
    /// When it cannot be screened as policies say.
    pub fn new(edge: &Arc<Edge>, case: &Case<'_>, status: StatusCode) -> Result<Self, Barred> {
        let call = case.asked.call();
        let expected = match (&case.asked.what, call) {
            (_, Some(call)) => Expected::Call(call.id.clone()),
            (What::Stream, None) => Expected::Any,
            (What::End | What::Message(_), None) => Expected::None,
        };
        Ok(Self {
            expected,
            failed: !status.is_success(),
            own: edge.handles.of(&case.known.caller),
            origin: call.map(Origin::of),
            clock: edge.clock.clone(),
            gives_tasks: case.published.gives_tasks.clone(),
            filter: Filter::new(edge, case),
            interview: Interview::new(edge, case),
            shown: Shown::new(edge, case)?,
            opened_under: case.asked.may_rest().then(|| (edge.clone(), case.snapshot.engine.clone())),
        })
    }

    /// One message as the client gets it.
    ///
    /// # Errors
    /// When it must not be released.
    pub fn message(&self, body: &Bytes) -> Result<Bytes, Barred> {
        // Without a bracket it is no message to anyone.
        if !body.iter().any(|byte| matches!(byte, b'{' | b'[')) {
            return self.shown.text(body);
        }
        let envelope = Envelope::read(body)?;
        if !self.is_expected(&envelope) {
            return Err(Barred::AnotherCall);
        }
        self.interview.check(body)?;
        let filtered = self.shown.message(self.filter.message(body)?)?;
        let (bound, gives_task) = self.own.bind_message(&filtered, self.origin.as_ref(), self.clock.now());
        if gives_task {
            self.gives_tasks.store(true, Ordering::Release);
        }
        Ok(bound)
    }

    /// Whether it is a resting stream that was opened under other policies: it ends, and clients open it again.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        let changed = |(edge, engine): &(Arc<Edge>, Arc<Engine>)| {
            !edge.snapshot.load().engine.has_the_policies_of(engine)
        };
        self.opened_under.as_ref().is_some_and(changed)
    }

    /// Whether what cannot be read as messages must not be released at all.
    #[must_use]
    pub fn must_read(&self) -> bool {
        self.shown.must_read()
    }

    /// Must succeed before what was screened is released.
    ///
    /// # Errors
    /// When the store or the ledger fails.
    pub async fn settle(&self) -> Result<(), BodyError> {
        self.interview.settle().await?;
        Ok(self.shown.settle().await?)
    }

    /// One event as the client gets it: with its message screened and its id bound; comments as they are.
    ///
    /// # Errors
    /// When it must not be released.
    pub fn event(&self, event: Event) -> Result<Bytes, Barred> {
        let screened = match &event.data {
            Some(data) if !data.is_empty() => match self.message(data) {
                Ok(screened) => Some(screened).filter(|screened| screened != data),
                // A stream that waits for nothing in particular goes on without the question.
                Err(Barred::Question(_)) if matches!(self.expected, Expected::Any) => return Ok(Bytes::new()),
                Err(barred) => return Err(barred),
            },
            _ => None,
        };
        let event = screened.map_or(event.clone(), |data| event.with_data(data));
        Ok(match &event.id {
            // An empty id takes back what a client would resume from.
            Some(id) if !id.is_empty() => event.with_id(&self.own.bind_event(id)).raw,
            _ => event.raw,
        })
    }

    /// A result is for the call that was made. So is an error, unless it is about a message that could not be read, or
    /// the HTTP status already says that this call failed.
    fn is_expected(&self, envelope: &Envelope<'_>) -> bool {
        if envelope.is_asking {
            return !envelope.is_result && !envelope.is_error;
        }
        match &self.expected {
            _ if !envelope.is_result && !envelope.is_error => true,
            Expected::Any => true,
            _ if !envelope.is_result && (self.failed || envelope.names_no_call()) => true,
            Expected::Call(id) => envelope.answers(id),
            Expected::None => false,
        }
    }
}

/// What decides which entries of a list stay.
struct Filter {
    engine: Arc<Engine>,
    principal: Arc<Principal>,
    server: ServerName,
    environment: String,
    era: Era,
    mirrors: Arc<Mirrors>,
    source: IpAddr,
    certificate: Option<Arc<ClientCertificate>>,
    now: Timestamp,
    clock: Arc<dyn Clock>,
    past: Arc<Past>,
    /// `None` where nothing need be pinned.
    pins: Option<Arc<Pins>>,
    kept: Arc<Lists>,
    /// The widget that is read.
    widget: Option<String>,
    /// The tool that is called.
    tool: Option<String>,
    /// The lists that may come: the one that was asked for, or any on a stream that may be a resumed one.
    lists: Vec<List>,
}

impl Filter {
    fn new(edge: &Edge, case: &Case<'_>) -> Self {
        let lists = match (&case.asked.what, case.asked.call().and_then(|call| call.method.list())) {
            (_, Some(list)) => vec![list],
            (What::Stream, None) => {
                vec![List::Tools, List::Resources, List::ResourceTemplates, List::Prompts]
            }
            (What::End | What::Message(_), None) => Vec::new(),
        };
        let widget = match case.asked.operation() {
            Operation::ReadResource(uri) => Some(uri.to_owned()),
            _ => None,
        };
        Self {
            pins: case.published.pinned.then(|| edge.pins.clone()),
            kept: case.published.lists.clone(),
            widget,
            tool: case.asked.tool().map(str::to_owned),
            engine: case.snapshot.engine.clone(),
            principal: decide::principal(case),
            server: case.published.server.name.clone(),
            environment: case.published.server.environment.clone(),
            era: case.asked.era(),
            mirrors: case.published.mirrors.clone(),
            source: case.source,
            certificate: case.certificate.cloned(),
            now: case.now,
            clock: edge.clock.clone(),
            past: case.past.clone(),
            lists,
        }
    }

    /// One JSON-RPC message with the refused entries taken out; anything that is no list is passed as it is.
    fn message(&self, body: &Bytes) -> Result<Bytes, Barred> {
        if self.era == Era::Modern && self.lists.contains(&List::Tools) {
            self.mirrors.learn(body);
        }
        self.check_contents(body)?;
        let key = self.key();
        if let Some(known) = key.as_ref().and_then(|key| self.kept.known(key, body)) {
            return Ok(known);
        }
        let came = body;
        let mut lock = None;
        let mut body = body.clone();
        let unread = |error: list::ListError| Barred::List(error.to_string());
        let view = View { server: &self.server, operation: Operation::Session(""), context: self.context() };
        let mut viewer = self.engine.viewer(&self.principal, view);
        for list in &self.lists {
            let mut schemes = BTreeMap::new();
            // As the server sent it: what is hidden from this caller is seen too.
            let (asked, now) = (self.lists.len() == 1, self.clock.now());
            let sight = self.pins.as_ref().map(|pins| pins.see_list(&self.server, *list, came, asked, now));
            lock = self.pins.as_ref().map(|pins| pins.lock());
            let pinned = |target: &str| sight.as_ref().is_none_or(|sight| sight.shows(target));
            let mut keep =
                |target: &str| pinned(target) && self.shows(&mut viewer, *list, target, &mut schemes);
            body = list::rewrite(*list, self.era, &body, &mut keep).map_err(unread)?.body;
            if !schemes.is_empty() {
                body = security::with_schemes(&body, &schemes).map_err(unread)?;
            }
        }
        // Under the pins as they were when it was seen.
        let same = |key: &Key| lock.as_ref().is_some_and(|lock| Arc::ptr_eq(lock, &key.lock));
        if let Some(key) = self.key().filter(same) {
            self.kept.keep(key, came, &body);
        }
        Ok(body)
    }

    /// What the filtering of the one list that was asked for depends on, where that lasts.
    fn key(&self) -> Option<Key> {
        let [list] = self.lists.as_slice() else { return None };
        let pins = self.pins.as_ref().filter(|_| self.engine.view_is_lasting(&self.server))?;
        Some(Key { principal: self.principal.clone(), lock: pins.lock(), list: *list, era: self.era })
    }

    /// A widget's contents must be those that were accepted, wherever they come.
    fn check_contents(&self, body: &Bytes) -> Result<(), Barred> {
        let Some(pins) = &self.pins else { return Ok(()) };
        let state = match &self.widget {
            Some(uri) if definition::is_widget(uri) => pins.see_contents(&self.server, uri, body, self.now),
            // A list: its entries are judged one by one.
            None if self.lists.len() == 1 => PinState::Pinned,
            _ => pins.see_carried(&self.server, self.tool.as_deref(), body, self.now),
        };
        if state == PinState::Pinned { Ok(()) } else { Err(Barred::Widget) }
    }

    fn context(&self) -> portunus_policy::Context<'_> {
        portunus_policy::Context {
            now: self.now,
            source: self.source,
            environment: &self.environment,
            era: asked::era_word(self.era),
            certificate: self.certificate.as_deref(),
            past: &self.past,
            pin: "pinned",
            credential_age: None,
        }
    }

    /// Whether the caller may see an entry. A tool that needs more scopes than all callers have is noted down.
    fn shows(
        &self,
        viewer: &mut Viewer<'_>,
        list: List,
        target: &str,
        schemes: &mut BTreeMap<String, Vec<String>>,
    ) -> bool {
        let operation = match list.kind() {
            TargetKind::Tool => Operation::CallTool(target),
            TargetKind::Prompt => Operation::GetPrompt(target),
            TargetKind::Resource | TargetKind::ResourceTemplate | TargetKind::Task => {
                Operation::ReadResource(target)
            }
        };
        if !viewer.shows(operation) {
            return false;
        }
        if list == List::Tools && self.engine.has_step_ups(&self.server, target) {
            let view = View { server: &self.server, operation, context: self.context() };
            let more = self.engine.scopes_of_tool(&self.principal, &view);
            if !more.is_empty() {
                schemes.insert(target.to_owned(), std::iter::once(SCOPE.to_owned()).chain(more).collect());
            }
        }
        true
    }
}
