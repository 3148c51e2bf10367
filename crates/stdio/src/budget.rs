//! Bytes that wait in queues, counted together.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes may wait at once.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    most: usize,
}

/// Bytes that wait; they make room again when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: Bytes,
    budget: Arc<Budget>,
    /// A smaller one that they count in as well.
    own: Option<Arc<Budget>>,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), most })
    }

    #[cfg(test)]
    fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes these bytes in, unless they are too many.
    pub(crate) fn hold(self: &Arc<Self>, bytes: Bytes) -> Option<Held> {
        self.take(bytes.len())?;
        Some(Held { bytes, budget: self.clone(), own: None })
    }

    /// The same, for one of several queues that has a bound of its own.
    pub(crate) fn hold_within(self: &Arc<Self>, own: &Arc<Self>, bytes: Bytes) -> Option<Held> {
        let mut held = self.hold(bytes)?;
        own.take(held.bytes.len())?;
        held.own = Some(own.clone());
        Some(held)
    }

    fn take(&self, bytes: usize) -> Option<()> {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok().map(|_| ())
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Held {
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for budget in self.own.iter().chain([&self.budget]) {
            budget.give_back(self.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_makes_room() {
        let budget = Budget::new(10);
        let held = budget.hold(Bytes::from_static(b"1234567")).unwrap();
        assert!(budget.hold(Bytes::from_static(b"1234")).is_none());
        assert_eq!(budget.used(), 7);
        drop(held);
        assert!(budget.hold(Bytes::from_static(b"1234")).is_some());

        let own = Budget::new(3);
        assert!(budget.hold_within(&own, Bytes::from_static(b"1234")).is_none());
        assert_eq!((budget.used(), own.used()), (0, 0), "what does not fit takes nothing");
        let held = budget.hold_within(&own, Bytes::from_static(b"12"));
        assert_eq!((budget.used(), own.used()), (2, 2));
        drop(held);
        assert_eq!((budget.used(), own.used()), (0, 0));
    }
}
