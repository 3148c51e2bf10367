//! Who waits for what from one child: the numbers of requests, and to whom each of its messages goes.
//!
//! | the child says | it goes to |
//! |---|---|
//! | an answer | the request it answers, under the id that its client gave it, and nobody else |
//! | progress | the request that has this token |
//! | anything with a subscription's id | that subscription |
//! | that a list changed | the stream of every session |
//! | that a resource was updated | the sessions that subscribed to it |
//! | `ping` | nobody: it is answered here |
//! | any other notification or request | a child of one caller: the latest request of that caller, else one of their streams; a shared child: nobody |
//!
//! Over stdio a message does not say whose it is, so what a shared child says to "the client" cannot be told apart by
//! caller. Such notifications are dropped and such requests are refused. The child knows: its handshake offers it no
//! sampling, no elicitation and no roots.

use crate::budget::{Budget, Held};
use crate::message::{self, Answer, Notification, Said, splice};
use bytes::Bytes;
use portunus_core::digest::Digest;
use portunus_core::limits;
use portunus_core::server::Per;
use portunus_mcp::answer;
use portunus_mcp::message::code;
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// What waits for the reader of an exchange or a stream.
#[derive(Debug)]
pub(crate) enum Item {
    /// A notification or a request of the child.
    Message(Held),
    /// The answer, which is the last; with the code of an error.
    Answer(Held, Option<i64>),
}

/// Where messages of one exchange or stream go, within a bound of its own.
#[derive(Debug)]
pub(crate) struct Reader {
    sender: UnboundedSender<Item>,
    budget: Arc<Budget>,
}

impl Reader {
    pub(crate) fn new(sender: UnboundedSender<Item>) -> Self {
        Self { sender, budget: Budget::new(limits::CHILD_NOTIFICATION_BYTES) }
    }

    /// What its messages count in. It does not keep the stream open, as a clone of the reader would.
    pub(crate) fn budget(&self) -> Arc<Budget> {
        self.budget.clone()
    }
}

/// A session's id.
pub(crate) type SessionId = Arc<str>;

/// A request on its way to the child.
#[derive(Debug)]
pub(crate) struct Asking {
    /// Its id as its client wrote it.
    pub(crate) id: Bytes,
    /// Its progress token as its client wrote it.
    pub(crate) token: Option<Bytes>,
    pub(crate) session: Option<SessionId>,
    /// Whose it is, legacy only.
    pub(crate) caller: Option<Digest>,
    pub(crate) reader: Reader,
    /// Its client takes events before the answer.
    pub(crate) takes_events: bool,
}

impl Asking {
    /// A request of our own whose answer nobody reads.
    pub(crate) fn unheard() -> Self {
        let (sender, _) = unbounded_channel();
        let reader = Reader::new(sender);
        Self { id: Bytes::new(), token: None, session: None, caller: None, reader, takes_events: false }
    }
}

#[derive(Debug)]
struct Pending {
    asking: Asking,
    /// Since when nobody waits for it any more.
    abandoned: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Table {
    per: Per,
    next: u64,
    pending: HashMap<u64, Pending>,
    /// The stream of each session that has one open.
    streams: HashMap<SessionId, Reader>,
    /// The resources that each session subscribed to.
    subscribed: HashMap<String, HashSet<SessionId>>,
    /// Ids of the child's requests that a client may still answer, the oldest first.
    questions: VecDeque<String>,
    output: Arc<Budget>,
    /// The child has answered a request with a result.
    result_given: bool,
}

impl Table {
    pub(crate) fn new(per: Per) -> Self {
        Self {
            per,
            next: 1,
            pending: HashMap::new(),
            streams: HashMap::new(),
            subscribed: HashMap::new(),
            questions: VecDeque::new(),
            output: Budget::new(limits::CHILD_OUTPUT_BYTES),
            result_given: false,
        }
    }

    /// A number for a request; `None` when too many wait.
    pub(crate) fn ask(&mut self, asking: Asking) -> Option<u64> {
        if self.pending.len() >= limits::CHILD_REQUESTS {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.pending.insert(number, Pending { asking, abandoned: None });
        Some(number)
    }

    /// Nobody waits for the answer any more; whether it had not come yet.
    pub(crate) fn forget(&mut self, number: u64) -> bool {
        self.pending.remove(&number).is_some()
    }

    /// The same, but the child may go on with it: it still counts among those that wait. A caller who has left too many
    /// behind gives the oldest up, whose number is returned.
    pub(crate) fn abandon(&mut self, number: u64) -> Option<u64> {
        let pending = self.pending.get_mut(&number)?;
        pending.abandoned = Some(Instant::now());
        let caller = pending.asking.caller?;
        let left = self.pending.iter().filter(|(_, pending)| pending.asking.caller == Some(caller));
        let left = left.filter_map(|(number, pending)| Some((pending.abandoned?, *number)));
        let (count, oldest) = left.fold((0, None), |(count, oldest), one| {
            (count + 1, Some(oldest.map_or(one, |oldest| one.min(oldest))))
        });
        let (_, oldest) = oldest.filter(|_| count > limits::CHILD_ABANDONED_PER_CALLER)?;
        self.pending.remove(&oldest).map(|_| oldest)
    }

    /// Takes out those that were abandoned long ago.
    pub(crate) fn overdue(&mut self) -> Vec<u64> {
        let late = |pending: &Pending| {
            pending.abandoned.is_some_and(|since| since.elapsed() >= limits::CHILD_ABANDONED)
        };
        let numbers: Vec<u64> = self.pending.iter().filter(|(_, p)| late(p)).map(|(n, _)| *n).collect();
        numbers.iter().for_each(|number| drop(self.pending.remove(number)));
        numbers
    }

    /// The number of a session's request, by the id that its client gave it.
    pub(crate) fn number(&self, session: &SessionId, id: &[u8]) -> Option<u64> {
        let same = |asking: &Asking| asking.session.as_ref() == Some(session) && asking.id == id;
        self.pending.iter().find(|(_, pending)| same(&pending.asking)).map(|(number, _)| *number)
    }

    /// Opens a session's stream; the one before it ends.
    pub(crate) fn open_stream(&mut self, session: SessionId, reader: Reader) {
        self.streams.insert(session, reader);
    }

    /// Forgets a session's stream, if it is still the one with this budget.
    pub(crate) fn close_stream(&mut self, session: &SessionId, budget: &Arc<Budget>) {
        if self.streams.get(session).is_some_and(|open| Arc::ptr_eq(&open.budget, budget)) {
            self.streams.remove(session);
        }
    }

    /// A session ends: gives the resources that nobody is subscribed to any more.
    pub(crate) fn end_session(&mut self, session: &SessionId) -> Vec<String> {
        self.streams.remove(session);
        let mut free = Vec::new();
        self.subscribed.retain(|uri, sessions| {
            let was = sessions.remove(session);
            if was && sessions.is_empty() {
                free.push(uri.clone());
            }
            !sessions.is_empty()
        });
        free
    }

    /// Notes a subscription; false when the session has too many.
    pub(crate) fn subscribe(&mut self, session: &SessionId, uri: &str) -> bool {
        let has = self.subscribed.values().filter(|sessions| sessions.contains(session)).count();
        if has >= limits::CHILD_SUBSCRIPTIONS {
            return false;
        }
        self.subscribed.entry(uri.to_owned()).or_default().insert(session.clone());
        true
    }

    /// Takes a subscription back; whether others have it still.
    pub(crate) fn unsubscribe(&mut self, session: &SessionId, uri: &str) -> bool {
        let Some(sessions) = self.subscribed.get_mut(uri) else { return false };
        sessions.remove(session);
        let others = !sessions.is_empty();
        if !others {
            self.subscribed.remove(uri);
        }
        others
    }

    /// Whether anybody waits for anything.
    pub(crate) fn is_busy(&self) -> bool {
        !self.pending.is_empty() || !self.streams.is_empty()
    }

    /// Whether anybody waits for an answer.
    pub(crate) fn is_asked(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether the child has ever answered with a result, so that it speaks the era it is asked in.
    pub(crate) fn has_given_a_result(&self) -> bool {
        self.result_given
    }

    /// Whether the child has never given a result, and nobody waits for one.
    pub(crate) fn is_untried(&self) -> bool {
        !self.result_given && !self.is_busy()
    }

    /// Whether a client may answer this request of the child; once.
    pub(crate) fn take_question(&mut self, id: &[u8]) -> bool {
        let Some(at) = self.questions.iter().position(|question| question.as_bytes() == id) else {
            return false;
        };
        self.questions.remove(at).is_some()
    }

    /// The child has ended: every reader learns it.
    pub(crate) fn close(&mut self) {
        self.pending.clear();
        self.streams.clear();
        self.subscribed.clear();
        self.questions.clear();
    }

    /// Sends what the child said to whom it belongs; gives what the child is answered, if anything.
    ///
    /// # Errors
    /// When the line is no message.
    pub(crate) fn hear(&mut self, line: &Bytes) -> Result<Option<Bytes>, NoMessage> {
        match message::read(line).ok_or(NoMessage)? {
            Said::Answer(answer) => self.answer(line, answer),
            Said::Progress { number, at } => self.progress(line, number, at),
            Said::Cancelled { id, at } => self.cancelled(line, id, at),
            Said::Notification(notification) => self.notification(line, &notification),
            Said::Request { id, method } => return Ok(self.request(line, id, &method)),
        }
        Ok(None)
    }

    fn answer(&mut self, line: &Bytes, answer: Answer) {
        self.result_given |= answer.error.is_none();
        // An answer that nobody waits for any more.
        let Some(Pending { asking, abandoned: None }) = self.pending.remove(&answer.number) else { return };
        let places = answer.subscription.into_iter().chain([answer.at]).map(|at| (at, &asking.id[..]));
        // Without room the exchange just ends, which its client takes for a broken one.
        if let Some(held) = self.output.hold(splice(line, places.collect())) {
            let _ = asking.reader.sender.send(Item::Answer(held, answer.error));
        }
    }

    fn progress(&self, line: &Bytes, number: u64, at: Range<usize>) {
        let Some(pending) = self.pending.get(&number) else { return };
        let Some(token) = &pending.asking.token else { return };
        if pending.asking.takes_events {
            self.pass(&pending.asking.reader, splice(line, vec![(at, token)]));
        }
    }

    fn cancelled(&mut self, line: &Bytes, id: &str, at: Range<usize>) {
        let ours = id.parse().ok().and_then(|number: u64| self.pending.remove(&number));
        if let Some(Pending { asking, .. }) = ours {
            // The end of a subscription; the stream ends with it.
            self.pass(&asking.reader, splice(line, vec![(at, &asking.id)]));
        } else if self.take_question(id.as_bytes()) {
            self.to_the_caller(splice(line, Vec::new()));
        }
    }

    fn notification(&self, line: &Bytes, said: &Notification<'_>) {
        if let Some((number, at)) = &said.subscription {
            if let Some(Pending { asking, .. }) = self.pending.get(number) {
                self.pass(&asking.reader, splice(line, vec![(at.clone(), &asking.id)]));
            }
            return;
        }
        match &*said.method {
            "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed" => {
                for reader in self.streams.values() {
                    self.pass(reader, splice(line, Vec::new()));
                }
            }
            "notifications/resources/updated" => {
                let Some(uri) = &said.uri else { return };
                let concerns = |subscribed: &str| {
                    uri.strip_prefix(subscribed).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                let sessions: HashSet<_> =
                    self.subscribed.iter().filter(|(at, _)| concerns(at)).flat_map(|(_, who)| who).collect();
                for reader in sessions.into_iter().filter_map(|session| self.streams.get(session)) {
                    self.pass(reader, splice(line, Vec::new()));
                }
            }
            _ => {
                self.to_the_caller(splice(line, Vec::new()));
            }
        }
    }

    fn request(&mut self, line: &Bytes, id: &str, method: &str) -> Option<Bytes> {
        if method == "ping" {
            return Some(Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)));
        }
        let refuse = |code: i32, why: &str| Some(answer::error(Some(id.as_bytes()), code, why, None));
        if self.per == Per::Server {
            return refuse(
                code::METHOD_NOT_FOUND,
                "this process serves several callers, so a request to \"the client\" is for nobody; publish the server with `per: caller`",
            );
        }
        if id.len() > limits::ID_BYTES || self.questions.len() >= limits::CHILD_QUESTIONS {
            return refuse(code::INTERNAL_ERROR, "too many requests wait for the client");
        }
        if !self.to_the_caller(splice(line, Vec::new())) {
            return refuse(code::INTERNAL_ERROR, "the client has no stream open on which it could be asked");
        }
        self.questions.push_back(id.to_owned());
        None
    }

    /// What a child of one caller says to its client, on one stream only.
    fn to_the_caller(&self, message: Bytes) -> bool {
        if self.per == Per::Server {
            return false;
        }
        let asking =
            |(_, pending): &(&u64, &Pending)| pending.asking.takes_events && pending.abandoned.is_none();
        let latest = self.pending.iter().filter(asking).max_by_key(|(number, _)| **number);
        let latest = latest.map(|(_, pending)| &pending.asking.reader);
        latest.into_iter().chain(self.streams.values()).any(|reader| self.pass(reader, message.clone()))
    }

    fn pass(&self, reader: &Reader, message: Bytes) -> bool {
        let held = self.output.hold_within(&reader.budget, message);
        held.is_some_and(|held| reader.sender.send(Item::Message(held)).is_ok())
    }
}

/// A line that is no JSON-RPC message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoMessage;

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_core::digest::sha256;

    #[test]
    fn calls_that_one_caller_leaves_behind_do_not_fill_a_child() {
        let mut table = Table::new(Per::Server);
        let of = |caller: &str| Asking { caller: Some(sha256(&[caller.as_bytes()])), ..Asking::unheard() };
        let bobs = table.ask(of("bob")).unwrap();
        assert_eq!(table.abandon(bobs), None);
        let mut left = VecDeque::new();
        for _ in 0..limits::CHILD_REQUESTS * 2 {
            let number = table.ask(of("ana")).unwrap();
            left.push_back(number);
            let oldest = (left.len() > limits::CHILD_ABANDONED_PER_CALLER).then(|| left.pop_front().unwrap());
            assert_eq!(table.abandon(number), oldest);
        }
        assert!(table.forget(bobs));
        assert_eq!(table.pending.len(), limits::CHILD_ABANDONED_PER_CALLER);
    }
}
