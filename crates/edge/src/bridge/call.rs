//! One call of a modern client on its way through a legacy session: its answer, or the question that must be answered
//! first. A call that asks is parked with its stream unread until the client's next request brings the answer.

use super::session::{Registered, Session};
use super::wire::{self, Behalf, Events, PAUSE, Piece};
use super::{Inner, parked};
use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use portunus_core::dialer::{Body, BodyError, DialError};
use portunus_core::digest::Digest;
use portunus_core::limits;
use portunus_mcp::bridge::to_legacy::{self, Asked};
use portunus_mcp::bridge::{Incoming, Question};
use portunus_mcp::message::{Call, code};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// An open call. Dropping it cancels it upstream.
pub(super) struct Open {
    asked: Asked,
    same: Digest,
    source: Source,
    inbox: mpsc::Receiver<Incoming>,
    /// Times that the answer's stream was resumed without anything new on it.
    resumed: u32,
    cancel: Cancel,
}

type Head = Pin<Box<dyn Future<Output = Result<Headed, DialError>> + Send>>;

/// What the head of an answer promises.
pub(super) enum Headed {
    Events(Box<Events>),
    Elsewhere,
    Next(Next),
}

/// Where the answer comes from.
enum Source {
    /// Its head is awaited.
    Head(Head),
    /// From its stream.
    Events(Box<Events>),
    /// From the session's own stream.
    Elsewhere,
}

/// What comes next.
pub(super) enum Next {
    Message(Incoming),
    Pause,
    /// An answer that is no message.
    Answer(Box<Response<Body>>),
    /// The upstream does not know the session: nothing was done.
    Gone,
}

/// What that means to the client.
enum Step {
    /// Nothing, but the upstream is alive.
    Alive,
    Event(Bytes),
    Done(StatusCode, Bytes),
    Asks(Question),
    Answer(Box<Response<Body>>),
    Gone,
}

/// How a call was answered.
pub(super) enum Answered {
    /// So.
    So(Response<Body>),
    /// The upstream does not know the session any more: nothing was done.
    Gone,
}

/// Cancels the call upstream unless it is done.
struct Cancel {
    session: Arc<Session>,
    id: u64,
    behalf: Behalf,
    done: bool,
    _place: Registered,
}

impl Drop for Cancel {
    fn drop(&mut self) {
        if !self.done && !self.session.is_over() {
            self.session.send_later(std::mem::take(&mut self.behalf), to_legacy::cancelled(self.id));
        }
    }
}

impl Open {
    /// Sends a call.
    pub(super) async fn send(
        session: Arc<Session>,
        fresh: bool,
        behalf: Behalf,
        call: &Call,
    ) -> Result<Self, DialError> {
        let asked = Asked::of(call);
        session.set_level(&behalf, asked.log_level.as_deref()).await?;
        let id = session.id();
        let (inbox, place) = session.open(id);
        let body = to_legacy::call(call, id);
        let source = Source::Head({
            let (session, behalf) = (session.clone(), behalf.clone());
            Box::pin(async move { read_head(session.post(&behalf, body).await?, fresh).await })
        });
        let same = parked::same(call);
        let cancel = Cancel { session, id, behalf, done: false, _place: place };
        Ok(Self { asked, same, source, inbox, resumed: 0, cancel })
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        &self.cancel.session
    }

    /// What a call must have in common with this one to go on with it.
    pub(super) const fn same(&self) -> Digest {
        self.same
    }

    /// Goes on with a parked call for the request that brings the answer to its question.
    pub(super) async fn resume(
        &mut self,
        behalf: Behalf,
        call: &Call,
        answer: Bytes,
    ) -> Result<(), DialError> {
        self.asked = Asked::of(call);
        self.cancel.behalf = behalf;
        let taken = self.cancel.session.post(&self.cancel.behalf, answer).await?;
        if taken.status().is_success() {
            return Ok(());
        }
        Err(DialError::Broken(format!("the server did not take an answer: status {}", taken.status())))
    }

    /// Puts the question once more: the request that should have brought the answer did not.
    pub(super) fn ask_again(mut self, bridge: &Inner, call: &Call, question: Question) -> Bytes {
        self.asked = Asked::of(call);
        self.park(bridge, question)
    }

    /// The client's answer.
    pub(super) async fn answer(mut self, bridge: Arc<Inner>) -> Result<Answered, DialError> {
        let first = timeout(limits::BRIDGE_COMMIT, async {
            loop {
                match self.step().await? {
                    // A stream that only stays alive is one already.
                    Step::Alive if matches!(self.source, Source::Head(_) | Source::Elsewhere) => {}
                    step => return Ok::<_, DialError>(step),
                }
            }
        });
        let first = match first.await {
            Ok(first) => first?,
            // A head that is awaited still may be an error with a status of its own: only the edge's own timeout ends that.
            Err(_) if matches!(self.source, Source::Head(_)) => loop {
                match self.step().await? {
                    Step::Alive if matches!(self.source, Source::Head(_)) => {}
                    step => break step,
                }
            },
            Err(_) => Step::Alive,
        };
        Ok(Answered::So(match first {
            Step::Gone => return Ok(Answered::Gone),
            Step::Done(status, body) => wire::json(status, body),
            Step::Answer(answer) => *answer,
            Step::Asks(question) => wire::json(StatusCode::OK, self.park(&bridge, question)),
            Step::Event(body) => events(bridge, self, wire::frame(body)),
            Step::Alive => events(bridge, self, Bytes::from_static(PAUSE)),
        }))
    }

    /// The result that puts the question to the client; the call waits for the next request.
    fn park(self, bridge: &Inner, question: Question) -> Bytes {
        let id = self.asked.id.clone();
        match bridge.parked.put(self, question.clone()) {
            Some(state) => to_legacy::input_required(&id, &question, &state),
            None => portunus_mcp::answer::error(Some(&id), code::INTERNAL_ERROR, TOO_MANY, None),
        }
    }

    async fn step(&mut self) -> Result<Step, DialError> {
        let message = match self.next().await? {
            Next::Message(message) => message,
            Next::Pause => return Ok(Step::Alive),
            Next::Gone => {
                self.cancel.done = true;
                return Ok(Step::Gone);
            }
            Next::Answer(answer) => {
                self.cancel.done = true;
                return Ok(Step::Answer(answer));
            }
        };
        Ok(match message {
            Incoming::Response(response) if self.is_ours(&response.id) => {
                self.cancel.done = true;
                // 2026-07-28, Transports: an unknown method is 404 there.
                let unknown = response.error_code() == Some(i64::from(code::METHOD_NOT_FOUND));
                let status = if unknown { StatusCode::NOT_FOUND } else { StatusCode::OK };
                Step::Done(status, to_legacy::response(&self.asked, &response))
            }
            Incoming::Response(_) => Step::Alive,
            Incoming::Notification(note) => {
                self.cancel.session.tell(&note);
                to_legacy::relevant(&self.asked, &note).map_or(Step::Alive, Step::Event)
            }
            Incoming::Question(question) if self.cancel.session.may_ask(&question.method) => {
                Step::Asks(question)
            }
            Incoming::Question(question) => {
                self.cancel.session.reply(&self.cancel.behalf, &question);
                Step::Alive
            }
        })
    }

    fn is_ours(&self, id: &[u8]) -> bool {
        id == self.cancel.id.to_string().as_bytes() || id == b"null"
    }

    /// The next message of the call, wherever it comes from. A call of this that is dropped loses nothing.
    async fn next(&mut self) -> Result<Next, DialError> {
        loop {
            let ended = || DialError::Broken(String::from("the session with the server ended"));
            let Self { source, inbox, .. } = self;
            match source {
                Source::Elsewhere => return inbox.recv().await.map(Next::Message).ok_or_else(ended),
                Source::Head(head) => {
                    let answer = tokio::select! {
                        message = inbox.recv() => return message.map(Next::Message).ok_or_else(ended),
                        answer = head => answer?,
                    };
                    self.source = Source::Elsewhere;
                    match answer {
                        Headed::Events(events) => self.source = Source::Events(events),
                        Headed::Elsewhere => {}
                        Headed::Next(next) => return Ok(next),
                    }
                }
                Source::Events(events) => {
                    let piece = tokio::select! {
                        message = inbox.recv() => return message.map(Next::Message).ok_or_else(ended),
                        piece = events.next() => piece?,
                    };
                    match piece {
                        Some(Piece::Message(message)) => {
                            self.resumed = 0;
                            return Ok(Next::Message(message));
                        }
                        Some(_) => return Ok(Next::Pause),
                        None => self.resume_stream()?,
                    }
                }
            }
        }
    }

    /// The server ended the stream before the answer. If it said where to resume, that is what it wants (2025-11-25,
    /// Transports, Resumability).
    fn resume_stream(&mut self) -> Result<(), DialError> {
        let Source::Events(events) = &mut self.source else { return Ok(()) };
        let broken = || DialError::Broken(String::from("the server ended the stream before its answer"));
        let after =
            events.last_id.take().filter(|_| self.resumed < limits::BRIDGE_RESUMPTIONS).ok_or_else(broken)?;
        self.resumed += 1;
        let pause = Duration::from_millis(events.retry.unwrap_or(1000)).min(limits::READER_TIMEOUT);
        let (session, behalf) = (self.cancel.session.clone(), self.cancel.behalf.clone());
        self.source = Source::Head(Box::pin(async move {
            sleep(pause).await;
            let stream = session.stream(&behalf, Some(&after)).await?;
            stream.map(|events| Headed::Events(Box::new(events))).ok_or_else(broken)
        }));
        Ok(())
    }
}

/// Reads the head of an answer, and a body that is no stream.
pub(super) async fn read_head(answer: Response<Body>, fresh: bool) -> Result<Headed, DialError> {
    let status = answer.status();
    if crate::inspect::is_event_stream(answer.headers()) && status.is_success() {
        return Ok(Headed::Events(Box::new(Events::new(answer.into_body()))));
    }
    if wire::is_foreign(status) {
        return Ok(Headed::Next(Next::Answer(Box::new(answer))));
    }
    if status == StatusCode::ACCEPTED {
        return Ok(Headed::Elsewhere);
    }
    // 404 says that the session is unknown (2025-11-25, Transports, Session Management). A session that was only just made
    // is not what is meant.
    if !fresh && status == StatusCode::NOT_FOUND {
        return Ok(Headed::Next(Next::Gone));
    }
    let (head, body) = answer.into_parts();
    let whole = wire::whole(body).await?;
    let message = portunus_mcp::bridge::read(&whole);
    // Some servers say 400 instead. One that answers this very call has seen it, and it is not sent again.
    let answered = matches!(&message, Ok(Incoming::Response(response)) if &*response.id != b"null");
    if !fresh && status == StatusCode::BAD_REQUEST && !answered {
        return Ok(Headed::Next(Next::Gone));
    }
    Ok(Headed::Next(match message {
        Ok(message) => Next::Message(message),
        Err(error) if status.is_success() => return Err(DialError::Broken(error.to_string())),
        Err(_) => Next::Answer(Box::new(Response::from_parts(head, portunus_core::dialer::full(whole)))),
    }))
}

const TOO_MANY: &str = "The server asked a question, but too many calls are waiting for answers already";

/// The answer as an event stream that begins with these bytes.
fn events(bridge: Arc<Inner>, open: Open, first: Bytes) -> Response<Body> {
    let frames = stream::try_unfold((Some(first), Some(open)), move |(first, open)| {
        let bridge = bridge.clone();
        async move {
            if let Some(first) = first {
                return Ok(Some((Frame::data(first), (None, open))));
            }
            let Some(mut open) = open else { return Ok::<_, BodyError>(None) };
            let (bytes, open) = match open.step().await? {
                Step::Alive => (Bytes::from_static(PAUSE), Some(open)),
                Step::Event(body) => (wire::frame(body), Some(open)),
                Step::Done(_, body) => (wire::frame(body), None),
                Step::Asks(question) => (wire::frame(open.park(&bridge, question)), None),
                Step::Gone => return Err("the session with the server ended".into()),
                Step::Answer(answer) => {
                    let text = format!("the server answered with status {}", answer.status());
                    return Err(text.into());
                }
            };
            Ok(Some((Frame::data(bytes), (None, open))))
        }
    });
    wire::events(Body::new(StreamBody::new(Box::pin(frames))))
}
