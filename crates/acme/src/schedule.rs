//! When to replace a certificate, and how long to pause after a failure. Pure.

use portunus_core::limits;
use portunus_core::time::Timestamp;
use std::time::Duration;

/// The validity of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Its start.
    pub not_before: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
}

/// When an authority suggests to replace a certificate (RFC 9773 section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Not before.
    pub start: Timestamp,
    /// Not after.
    pub end: Timestamp,
}

impl Life {
    /// From start to end.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.not_after.since(self.not_before)
    }
    /// The moment when one part in `parts` of it is left.
    #[must_use]
    pub fn with_left(&self, parts: u32) -> Timestamp {
        let length = self.length();
        self.not_before.plus(length.saturating_sub(length / parts.max(1)))
    }
    /// Whether to replace a certificate that nobody suggests a moment for: a third of its life is left, or the clock was
    /// set back and it is not valid yet.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.with_left(3).is_past(now) || self.not_before > now
    }
    /// Whether so little of it is left (a sixth) that somebody has to look.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.with_left(6).is_past(now)
    }
}

/// The moment to replace a certificate: the `chance`-th part (of 2^64) of the suggested window, but never with less than a
/// sixth of its life left, whatever is suggested; without a suggestion, before a third of its life is left, by up to a
/// 24th of it, so that edges that started together do not come together.
#[must_use]
pub fn renewal_at(life: Life, window: Option<Window>, chance: u64) -> Timestamp {
    match window {
        Some(Window { start, end }) => start.plus(part(end.since(start), chance)).min(life.with_left(6)),
        None => {
            let early = part(life.length() / 24, chance);
            Timestamp::from_millis(life.with_left(3).as_millis().saturating_sub(millis(early)))
        }
    }
}

/// The pause after so many failures in a row, and after a success before the next order: growing fourfold from 5 s to an
/// hour, but at most a 24th of the certificate's life; up to a quarter is taken off by `chance`.
#[must_use]
pub fn pause(failures: u32, life: Option<Life>, chance: u64) -> Duration {
    let (first, longest) = limits::ACME_PAUSE;
    let grown = first.saturating_mul(4_u32.saturating_pow(failures.saturating_sub(1)));
    let longest = life.map_or(longest, |life| longest.min(life.length() / 24)).max(Duration::from_secs(1));
    let pause = grown.min(longest);
    pause.saturating_sub(part(pause / 4, chance))
}

/// `chance` / 2^64 of a span.
fn part(span: Duration, chance: u64) -> Duration {
    let part = (u128::from(millis(span)) * u128::from(chance)) >> 64;
    Duration::from_millis(u64::try_from(part).unwrap_or(u64::MAX))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn life(days: u64) -> Life {
        Life { not_before: Timestamp::from_secs(0), not_after: Timestamp::from_secs(days * DAY) }
    }

    #[test]
    fn without_a_suggestion_at_least_a_third_of_any_life_is_left_and_not_much_more() {
        for days in [6, 45, 90, 398] {
            for chance in [0, 1, u64::MAX / 2, u64::MAX] {
                let left = life(days).not_after.since(renewal_at(life(days), None, chance));
                let whole = life(days).length();
                assert!(left >= whole / 3 && left <= whole / 3 + whole / 24, "{days} days: {left:?}");
            }
        }
    }

    #[test]
    fn a_suggested_window_is_kept_but_never_past_the_last_sixth() {
        let at = |day: u64| Timestamp::from_secs(day * DAY);
        let pick = |start, end, chance| renewal_at(life(90), Some(Window { start, end }), chance);
        assert_eq!(pick(at(10), at(12), 0), at(10));
        assert_eq!(pick(at(10), at(12), 1 << 63), at(11));
        assert_eq!(pick(at(80), at(82), 0), at(75), "an authority that suggests too late is not followed");
        assert_eq!(pick(at(500), at(1), u64::MAX), at(75), "nor one that suggests nonsense");
        assert_eq!(pick(at(0), at(0), 7), at(0), "a revoked one is replaced at once");
    }

    #[test]
    fn pauses_grow_to_an_hour_and_stay_short_for_short_lives() {
        let pauses: Vec<_> = (1..9).map(|n| pause(n, Some(life(90)), 0).as_secs()).collect();
        assert_eq!(pauses, [5, 20, 80, 320, 1280, 3600, 3600, 3600]);
        assert_eq!(pause(u32::MAX, None, 0).as_secs(), 3600);
        let minute = Life { not_before: Timestamp::from_secs(0), not_after: Timestamp::from_secs(60) };
        assert_eq!(pause(9, Some(minute), 0), Duration::from_millis(2500));
        assert!(pause(6, None, u64::MAX) >= Duration::from_secs(2700), "at most a quarter less");
    }

    #[test]
    fn a_clock_that_was_set_back_makes_a_certificate_due() {
        let life = Life { not_before: Timestamp::from_secs(100), not_after: Timestamp::from_secs(400) };
        assert!(life.is_due(Timestamp::from_secs(99)));
        assert!(!life.is_due(Timestamp::from_secs(200)));
        assert!(life.is_due(Timestamp::from_secs(300)) && !life.is_overdue(Timestamp::from_secs(300)));
        assert!(life.is_overdue(Timestamp::from_secs(350)));
    }
}
