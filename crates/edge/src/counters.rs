//! What was counted: calls, rows, bytes and refusals of users, clients and tools within the last minute, hour and day. Exact
//! on one node: a decision that looks at counts is made and counted under one lock, so that never more is permitted than a
//! quota says. Windows slide, and are never shorter than they say: by a second, a minute, a quarter of an hour.

use portunus_core::document::Tally;
use portunus_core::id::{ClientId, ServerName, UserName};
use portunus_core::limits;
use portunus_core::store::{self, Batch, Store, StoreError};
use portunus_core::time::Timestamp;
use portunus_policy::{Counts, Past};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Seconds of a piece of each span, and how many pieces it has, the present one included.
const SPANS: [(u64, u64); 3] = [(1, 61), (60, 61), (900, 97)];

/// Everything that is counted.
#[derive(Default)]
pub struct Counters(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    tallies: HashMap<String, Tally>,
    /// Changed since they were last written.
    unwritten: HashSet<String>,
}

/// Whose a request is, and for what.
#[derive(Debug, Clone)]
pub struct Whose {
    keys: Vec<String>,
}

/// What to count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    /// Calls that were permitted.
    pub calls: u64,
    /// Rows of their results.
    pub rows: u64,
    /// Bytes of their answers.
    pub bytes: u64,
    /// Requests that were refused.
    pub refusals: u64,
}

impl Count {
    const fn values(self) -> [u64; 4] {
        [self.calls, self.rows, self.bytes, self.refusals]
    }
}

impl Whose {
    /// Of a user and a client; a tool only when it is one that the server is known to have.
    #[must_use]
    pub fn new(user: &UserName, client: &ClientId, tool: Option<(&ServerName, &str)>) -> Self {
        let mut keys = vec![format!("user\0{user}"), format!("client\0{client}")];
        if let Some((server, tool)) = tool {
            keys.extend([format!("tool\0{server}\0{tool}"), format!("user_tool\0{user}\0{server}\0{tool}")]);
        }
        Self { keys }
    }
}

impl Counters {
    /// As they were when they were last written.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load(store: &dyn Store, now: Timestamp) -> Result<Self, StoreError> {
        let all = store::list_all::<Tally>(store, None).await?;
        let live = all.into_iter().map(|entry| entry.value).filter(|tally| !tally.ends_at.is_past(now));
        let tallies = live.map(|tally| (tally.key.clone(), tally)).collect();
        Ok(Self(Mutex::new(Inner { tallies, unwritten: HashSet::new() })))
    }

    /// Makes a decision about a request with the counts before it; when it says so, the call is counted in the same moment.
    pub fn decide<T>(&self, whose: &Whose, now: Timestamp, decide: impl FnOnce(Past) -> (T, Count)) -> T {
        let mut inner = self.lock();
        let (decision, count) = decide(inner.past(whose, now));
        inner.add(whose, now, count);
        decision
    }

    /// The counts as they are now.
    #[must_use]
    pub fn past(&self, whose: &Whose, now: Timestamp) -> Past {
        self.lock().past(whose, now)
    }

    /// Counts something.
    pub fn count(&self, whose: &Whose, now: Timestamp, count: Count) {
        self.lock().add(whose, now, count);
    }

    /// Takes back what was counted at `then` for a call that did not come about.
    pub fn take_back(&self, whose: &Whose, then: Timestamp, count: Count) {
        let mut inner = self.lock();
        for key in &whose.keys {
            let Some(tally) = inner.tallies.get_mut(key) else { continue };
            for (span, (seconds, _)) in tally.spans.iter_mut().zip(SPANS) {
                let piece = span.iter_mut().find(|(number, _)| *number == then.as_secs() / seconds);
                for (sum, value) in piece.into_iter().flat_map(|(_, sums)| sums).zip(count.values()) {
                    *sum = sum.saturating_sub(value);
                }
            }
            inner.unwritten.insert(key.clone());
        }
    }

    /// Writes what has changed; what could not be written is tried again the next time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        loop {
            let some: Vec<Tally> = {
                let mut inner = self.lock();
                let keys: Vec<String> = inner.unwritten.iter().take(500).cloned().collect();
                for key in &keys {
                    inner.unwritten.remove(key);
                }
                keys.iter().filter_map(|key| inner.tallies.get(key).cloned()).collect()
            };
            if some.is_empty() {
                return Ok(());
            }
            let batch = some.iter().fold(Batch::new(), Batch::upsert);
            if let Err(error) = store.commit(batch).await {
                self.lock().unwritten.extend(some.into_iter().map(|tally| tally.key));
                return Err(error);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn past(&self, whose: &Whose, now: Timestamp) -> Past {
        let of = |at: usize| {
            let tally = whose.keys.get(at).and_then(|key| self.tallies.get(key));
            tally.map_or(Counts::NONE, |tally| counts(tally, now))
        };
        Past {
            labels: BTreeSet::new(),
            user: of(0),
            client: of(1),
            tool: of(2),
            user_tool: of(3),
            emergency: None,
        }
    }

    fn add(&mut self, whose: &Whose, now: Timestamp, count: Count) {
        let values = count.values();
        if values == [0; 4] {
            return;
        }
        if self.tallies.len().saturating_add(whose.keys.len()) > limits::COUNTED {
            self.make_room(now);
        }
        for key in &whose.keys {
            let tally = self
                .tallies
                .entry(key.clone())
                .or_insert_with(|| Tally { key: key.clone(), ..Tally::default() });
            for (span, (seconds, pieces)) in tally.spans.iter_mut().zip(SPANS) {
                let piece = now.as_secs() / seconds;
                span.retain(|(number, _)| number.saturating_add(pieces) > piece);
                match span.iter_mut().find(|(number, _)| *number == piece) {
                    Some((_, sums)) => {
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = sum.saturating_add(value);
                        }
                    }
                    None => span.push((piece, values)),
                }
            }
            tally.ends_at = now.plus(std::time::Duration::from_secs(25 * 3600));
            self.unwritten.insert(key.clone());
        }
    }

    /// Forgets what does not count any more, and if that is not enough the tenth that was idle longest.
    fn make_room(&mut self, now: Timestamp) {
        self.tallies.retain(|_, tally| !tally.ends_at.is_past(now));
        let too_many = self.tallies.len() > limits::COUNTED - limits::COUNTED / 10;
        if too_many {
            let mut ages: Vec<(Timestamp, String)> =
                self.tallies.values().map(|tally| (tally.ends_at, tally.key.clone())).collect();
            ages.sort_unstable();
            for (_, key) in ages.into_iter().take(limits::COUNTED / 10) {
                self.tallies.remove(&key);
            }
        }
    }
}

fn counts(tally: &Tally, now: Timestamp) -> Counts {
    let mut counts = Counts::NONE;
    for (at, (span, (seconds, pieces))) in tally.spans.iter().zip(SPANS).enumerate() {
        let piece = now.as_secs() / seconds;
        let mut sums = [0_u64; 4];
        for (_, values) in span.iter().filter(|(number, _)| number.saturating_add(pieces) > piece) {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = sum.saturating_add(*value);
            }
        }
        let slots = [&mut counts.calls, &mut counts.rows, &mut counts.bytes, &mut counts.refusals];
        for (slot, sum) in slots.into_iter().zip(sums) {
            if let Some(of_span) = slot.get_mut(at) {
                *of_span = sum;
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_secs(1_795_000_000 + seconds)
    }

    fn whose(user: &str) -> Whose {
        let server = ServerName::parse("sales").unwrap();
        Whose::new(&UserName::parse(user).unwrap(), &ClientId::parse("c").unwrap(), Some((&server, "t")))
    }

    fn past(counters: &Counters, whose: &Whose, now: Timestamp) -> Past {
        counters.decide(whose, now, |past| (past, Count::default()))
    }

    #[test]
    fn windows_slide_and_are_never_shorter_than_they_say() {
        let counters = Counters::default();
        let ana = whose("ana");
        counters.count(&ana, at(0), Count { calls: 1, rows: 5, bytes: 100, refusals: 0 });
        for (later, calls) in [
            (0, [1, 1, 1]),
            (60, [1, 1, 1]),
            (62, [0, 1, 1]),
            (3600, [0, 1, 1]),
            (3720, [0, 0, 1]),
            (86_400, [0, 0, 1]),
            (90_000, [0, 0, 0]),
        ] {
            assert_eq!(past(&counters, &ana, at(later)).user.calls, calls, "{later} s later");
        }
        let now = past(&counters, &ana, at(1));
        assert_eq!(
            (now.user.rows[0], now.user.bytes[0], now.tool.calls[0], now.user_tool.calls[0]),
            (5, 100, 1, 1)
        );
        let bo = past(&counters, &whose("bo"), at(1));
        assert_eq!(
            (bo.user.calls[0], bo.client.calls[0], bo.tool.calls[0], bo.user_tool.calls[0]),
            (0, 1, 1, 0)
        );
    }

    #[test]
    fn what_is_taken_back_was_never_counted() {
        let counters = Counters::default();
        let (ana, one) = (whose("ana"), Count { calls: 1, rows: 2, ..Count::default() });
        counters.count(&ana, at(0), one);
        counters.count(&ana, at(10), one);
        counters.take_back(&ana, at(0), one);
        let now = past(&counters, &ana, at(20));
        assert_eq!((now.user.calls, now.user_tool.calls, now.client.rows), ([1; 3], [1; 3], [2; 3]));
        counters.take_back(&ana, at(20), one);
        counters.take_back(&whose("bo"), at(20), one);
        // Of the minute nothing was counted at that moment; of the hour and the day something was.
        assert_eq!(past(&counters, &ana, at(20)).user.calls[0], 1);
        assert_eq!(past(&counters, &ana, at(65)).user.calls[0], 1, "what was counted at 10 stays");
        assert_eq!(past(&counters, &ana, at(72)).user.calls[0], 0, "and falls off in its own time");
    }

    #[test]
    fn of_calls_at_once_exactly_as_many_are_permitted_as_a_quota_says() {
        let counters = std::sync::Arc::new(Counters::default());
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let counters = counters.clone();
                std::thread::spawn(move || {
                    (0..100)
                        .filter(|_| {
                            counters.decide(&whose("ana"), at(0), |past| {
                                let permitted = past.user.calls[0] < 250;
                                (permitted, Count { calls: u64::from(permitted), ..Count::default() })
                            })
                        })
                        .count()
                })
            })
            .collect();
        assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 250);
    }

    #[test]
    fn what_is_counted_is_bounded_and_the_idle_are_forgotten_first() {
        let counters = Counters::default();
        let client = ClientId::parse("c").unwrap();
        for n in 0..limits::COUNTED + 10 {
            let whose = Whose::new(&UserName::parse(&format!("u{n}")).unwrap(), &client, None);
            counters.count(&whose, at(n as u64 / 1000), Count { calls: 1, ..Count::default() });
        }
        let inner = counters.lock();
        assert!(inner.tallies.len() <= limits::COUNTED);
        assert!(!inner.tallies.contains_key("user\0u0") && inner.tallies.contains_key("client\0c"));
    }

    #[tokio::test]
    async fn what_was_written_is_there_after_a_restart() {
        let store = portunus_core::testing::MemoryStore::default();
        let counters = Counters::default();
        counters.count(&whose("ana"), at(0), Count { calls: 3, ..Count::default() });
        counters.write(&store).await.unwrap();
        counters.count(&whose("ana"), at(1), Count { calls: 1, ..Count::default() });
        counters.write(&store).await.unwrap();
        let again = Counters::load(&store, at(2)).await.unwrap();
        assert_eq!(past(&again, &whose("ana"), at(2)).user.calls, [4, 4, 4]);
        let much_later = at(0).plus(Duration::from_secs(26 * 3600));
        assert_eq!(
            past(&Counters::load(&store, much_later).await.unwrap(), &whose("ana"), much_later).user.calls,
            [0; 3]
        );
    }
}
