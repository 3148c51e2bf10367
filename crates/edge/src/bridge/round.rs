//! One call of a legacy client on its way to a modern upstream: what the upstream asks for becomes requests on the stream of
//! the answer, and the client's answers become a new request, until there is a result.

use super::call::{self, Headed, Next};
use super::visit::{Answer, OpenCall, Visit};
use super::wire::{self, Behalf, Events, PAUSE, Piece};
use super::{Inner, Origin};
use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use portunus_core::dialer::{self, Body, BodyError, DialError};
use portunus_core::limits;
use portunus_mcp::answer;
use portunus_mcp::bridge::to_modern::{self, Answered, Asks, Round};
use portunus_mcp::bridge::{self, Incoming};
use portunus_mcp::message::{Call, code};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// An open call. Dropping it cancels it upstream, where closing the stream does that.
pub(super) struct Run {
    bridge: Arc<Inner>,
    origin: Origin,
    visit: Arc<Visit>,
    behalf: Behalf,
    call: Call,
    source: Source,
    rounds: usize,
    cancelled: oneshot::Receiver<()>,
    _open: OpenCall,
}

type Head = Pin<Box<dyn Future<Output = Result<Headed, DialError>> + Send>>;

/// Where the call stands.
enum Source {
    Head(Head),
    Events(Box<Events>),
    Asking(Asking),
    Over,
}

/// Questions to the client, and the answers so far.
struct Asking {
    state: Option<Bytes>,
    unsaid: VecDeque<Bytes>,
    waiting: VecDeque<Question>,
    answers: Vec<(String, String)>,
    until: Instant,
}

/// One question that the client has not answered.
struct Question {
    key: String,
    method: String,
    answer: oneshot::Receiver<Answer>,
}

/// What the client gets next.
enum Step {
    Alive,
    Event(Bytes),
    Done(Bytes),
    Answer(Box<Response<Body>>),
    Cancelled,
}

impl Run {
    /// Sends the call; gives it back when its id is that of another open call.
    pub(super) fn start(
        bridge: Arc<Inner>,
        origin: Origin,
        visit: Arc<Visit>,
        behalf: Behalf,
        call: Call,
    ) -> Result<Self, Box<Call>> {
        let Some((cancelled, open)) = visit.open(&call.id) else { return Err(Box::new(call)) };
        let mut run = Self {
            bridge,
            origin,
            visit,
            behalf,
            call,
            source: Source::Over,
            rounds: 0,
            cancelled,
            _open: open,
        };
        run.send(None);
        Ok(run)
    }

    /// The client's answer.
    pub(super) async fn answer(mut self) -> Result<Response<Body>, DialError> {
        let first = loop {
            match self.step().await? {
                Step::Alive if matches!(self.source, Source::Head(_)) => {}
                step => break step,
            }
        };
        Ok(match first {
            Step::Done(body) => wire::json(StatusCode::OK, body),
            Step::Answer(answer) => *answer,
            // Nobody waits for it: the client said so.
            Step::Cancelled => wire::events(dialer::empty()),
            Step::Event(body) => self.events(wire::frame(body)),
            Step::Alive => self.events(Bytes::from_static(PAUSE)),
        })
    }

    /// The answer as an event stream that begins with these bytes.
    fn events(self, first: Bytes) -> Response<Body> {
        let frames = stream::try_unfold((Some(first), Some(self)), |(first, run)| async move {
            if let Some(first) = first {
                return Ok(Some((Frame::data(first), (None, run))));
            }
            let Some(mut run) = run else { return Ok::<_, BodyError>(None) };
            let (bytes, run) = match run.step().await? {
                Step::Alive => (Bytes::from_static(PAUSE), Some(run)),
                Step::Event(body) => (wire::frame(body), Some(run)),
                Step::Done(body) => (wire::frame(body), None),
                Step::Cancelled => return Ok(None),
                Step::Answer(answer) => {
                    return Err(format!("the server answered with status {}", answer.status()).into());
                }
            };
            Ok(Some((Frame::data(bytes), (None, run))))
        });
        wire::events(Body::new(StreamBody::new(Box::pin(frames))))
    }

    /// Sends the call, or sends it again with what the upstream asked for.
    fn send(&mut self, round: Option<Round>) {
        // A request that is sent again is a new one (2026-07-28, Multi Round-Trip Requests, Client Requirements).
        let id = match self.rounds {
            0 => String::from_utf8_lossy(&self.call.id).into_owned(),
            rounds => format!("\"portunus-round-{rounds}\""),
        };
        let body = self.visit.client().call(&self.call, &id, round.as_ref());
        let (bridge, origin, behalf) = (self.bridge.clone(), self.origin.clone(), self.behalf.clone());
        let (method, target) = (self.call.method.clone(), self.call.target.clone());
        let idle = round.is_some_and(|round| round.answers.is_empty());
        self.source = Source::Head(Box::pin(async move {
            if idle {
                sleep(limits::ROUND_PAUSE).await;
            }
            let answer = bridge.ask(&origin, &behalf, &method, target.as_deref(), body).await?;
            call::read_head(answer, true).await
        }));
    }

    async fn step(&mut self) -> Result<Step, DialError> {
        let Self { cancelled, source, .. } = self;
        let message = match source {
            Source::Over => return Ok(Step::Cancelled),
            Source::Asking(_) => return self.step_asking().await,
            Source::Head(head) => {
                let headed = tokio::select! {
                    _ = cancelled => return Ok(Step::Cancelled),
                    headed = head => headed?,
                };
                match headed {
                    Headed::Events(events) => {
                        self.source = Source::Events(events);
                        return Ok(Step::Alive);
                    }
                    Headed::Next(Next::Message(message)) => message,
                    Headed::Next(Next::Answer(answer)) => return Ok(Step::Answer(answer)),
                    Headed::Elsewhere | Headed::Next(_) => {
                        return Err(DialError::Broken(String::from("the server gave no answer")));
                    }
                }
            }
            Source::Events(events) => {
                let piece = tokio::select! {
                    _ = cancelled => return Ok(Step::Cancelled),
                    piece = events.next() => piece?,
                };
                match piece {
                    Some(Piece::Message(message)) => message,
                    Some(_) => return Ok(Step::Alive),
                    None => {
                        let text = "the server ended the stream before its answer";
                        return Err(DialError::Broken(String::from(text)));
                    }
                }
            }
        };
        Ok(match message {
            Incoming::Notification(note) => {
                to_modern::relevant(&self.visit.client(), &note).map_or(Step::Alive, Step::Event)
            }
            // A modern server has no requests of its own.
            Incoming::Question(_) => Step::Alive,
            Incoming::Response(response) => {
                self.source = Source::Over;
                match to_modern::response(&self.call.id, &response) {
                    Answered::Done(body) => Step::Done(body),
                    Answered::Asks(asks) => self.ask(asks),
                }
            }
        })
    }

    /// Puts the upstream's questions to the client.
    fn ask(&mut self, asks: Asks) -> Step {
        self.rounds += 1;
        if self.rounds > limits::INPUT_ROUNDS {
            return self.fail("The server asked for more and more and never answered");
        }
        if asks.questions.is_empty() {
            self.send(Some(Round { answers: Vec::new(), state: asks.state }));
            return Step::Alive;
        }
        let mut asking = Asking {
            state: asks.state,
            unsaid: VecDeque::new(),
            waiting: VecDeque::new(),
            answers: Vec::new(),
            until: Instant::now() + limits::PARKED_TTL,
        };
        let capabilities = self.visit.client().capabilities;
        for (key, method, params) in asks.questions {
            if !bridge::may_be_asked(capabilities.as_bytes(), &method) {
                return self.fail("The server asked for what this client cannot do");
            }
            let Some((id, answer)) = self.visit.ask() else {
                return self
                    .fail("The server asked a question, but too many are waiting for answers already");
            };
            asking.unsaid.push_back(to_modern::question(&id, &method, params.as_deref()));
            asking.waiting.push_back(Question { key, method, answer });
        }
        self.source = Source::Asking(asking);
        Step::Alive
    }

    async fn step_asking(&mut self) -> Result<Step, DialError> {
        let Self { cancelled, source, .. } = self;
        let Source::Asking(asking) = source else { return Ok(Step::Cancelled) };
        if let Some(unsaid) = asking.unsaid.pop_front() {
            return Ok(Step::Event(unsaid));
        }
        if let Some(question) = asking.waiting.front_mut() {
            let answer = tokio::select! {
                _ = cancelled => return Ok(Step::Cancelled),
                answer = timeout(limits::KEEP_ALIVE, &mut question.answer) => answer,
            };
            let (behalf, body) = match answer {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => return Ok(Step::Cancelled),
                Err(_) if Instant::now() < asking.until => return Ok(Step::Alive),
                Err(_) => return Ok(self.fail("The server's question was not answered in time")),
            };
            let result = match to_modern::answer(&body) {
                Some(Ok(result)) => Some(result),
                Some(Err(_)) => to_modern::declined(&question.method).map(str::to_owned),
                None => None,
            };
            let key = std::mem::take(&mut question.key);
            asking.waiting.pop_front();
            match result {
                Some(result) => asking.answers.push((key, result)),
                None => return Ok(self.fail("The client did not answer the server's question")),
            }
            // What follows goes upstream under the identity and credential of the answer: the latest that was decided.
            self.behalf = behalf;
            return Ok(Step::Alive);
        }
        let round = Round { answers: std::mem::take(&mut asking.answers), state: asking.state.take() };
        self.send(Some(round));
        Ok(Step::Alive)
    }

    fn fail(&mut self, text: &str) -> Step {
        self.source = Source::Over;
        Step::Done(answer::error(Some(&self.call.id), code::INTERNAL_ERROR, text, None))
    }
}
