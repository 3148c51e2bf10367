//! When a child may be started again: growing pauses with jitter after each end that was not meant.

use portunus_core::limits;
use portunus_core::time::Rng;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Why there is no child, and until when.
#[derive(Debug, Clone)]
pub(crate) struct Down {
    pub(crate) failures: u32,
    pub(crate) until: Instant,
    pub(crate) why: String,
}

impl Down {
    /// After an end at `at`; `before` is the number of ends in a row before this one.
    pub(crate) fn new(before: u32, at: Instant, why: String, rng: &dyn Rng) -> Self {
        let failures = before.saturating_add(1);
        Self { failures, until: at + pause(failures, rng), why }
    }
}

/// Doubled with each failure in a row, and between three quarters and five quarters of that.
fn pause(failures: u32, rng: &dyn Rng) -> Duration {
    let (first, longest) = limits::CHILD_PAUSE;
    let doublings = failures.saturating_sub(1).min(16);
    let even = first.saturating_mul(1 << doublings).min(longest);
    let mut random = [0_u8; 1];
    rng.fill(&mut random);
    even.mul_f64(0.75 + f64::from(u8::from_ne_bytes(random)) / 510.0)
}

/// Starts within the last minute.
#[derive(Debug, Default)]
pub(crate) struct Starts(VecDeque<Instant>);

impl Starts {
    /// Whether there may be one more now; counts it.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        while self.0.front().is_some_and(|at| now.saturating_duration_since(*at) >= Duration::from_secs(60)) {
            self.0.pop_front();
        }
        let admitted = self.0.len() < limits::CHILD_STARTS_PER_MINUTE;
        if admitted {
            self.0.push_back(now);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(u8);

    impl Rng for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let (first, longest) = limits::CHILD_PAUSE;
        assert_eq!(pause(1, &Always(0)), first.mul_f64(0.75));
        assert_eq!(pause(1, &Always(255)), first.mul_f64(1.25));
        assert_eq!(pause(3, &Always(0)), first.mul_f64(3.0));
        assert!(pause(u32::MAX, &Always(255)) <= longest.mul_f64(1.26));
    }

    #[test]
    fn starts_are_bounded_by_the_minute() {
        let (mut starts, now) = (Starts::default(), Instant::now());
        let admitted = (0..1000).filter(|_| starts.admit(now)).count();
        assert_eq!(admitted, limits::CHILD_STARTS_PER_MINUTE);
        assert!(!starts.admit(now + Duration::from_secs(59)));
        assert!(starts.admit(now + Duration::from_secs(60)));
    }
}
