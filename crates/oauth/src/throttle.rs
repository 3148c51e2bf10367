//! A bounded table of attempts: so many in a window, per key. Attempts are counted before they are tried, so that a
//! hundred at once count as a hundred; one that succeeded is given back.

use portunus_core::digest::sha256;
use portunus_core::limits;
use portunus_core::time::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Whose attempts are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 16]);

impl Key {
    /// A user name as it was typed, whether or not there is such a user.
    #[must_use]
    pub fn user(name: &str) -> Self {
        Self::of(b"user", name.to_ascii_lowercase().as_bytes())
    }
    /// A source address; for IPv6 its /64, which is what one subscriber has.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::of(b"ipv4", &v4.octets()),
            IpAddr::V6(v6) => Self::of(b"ipv6", &(u128::from(v6) >> 64).to_be_bytes()),
        }
    }
    /// All together.
    #[must_use]
    pub fn everyone() -> Self {
        Self::of(b"everyone", b"")
    }
    /// Sixteen bytes of a digest: the table's size does not depend on what strangers send.
    fn of(kind: &[u8], value: &[u8]) -> Self {
        let mut key = [0; 16];
        for (to, from) in key.iter_mut().zip(sha256(&[kind, b" ", value]).0) {
            *to = from;
        }
        Self(key)
    }
}

/// Too many attempts; the next one is admitted after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts; try again in {} minutes", .0.as_secs().div_ceil(60).max(1))]
pub struct TooMany(pub Duration);

/// See the module's description.
#[derive(Debug)]
pub struct Throttle {
    most: u32,
    window: Duration,
    capacity: usize,
    entries: HashMap<Key, Attempts>,
}

#[derive(Debug, Clone, Copy)]
struct Attempts {
    since: Timestamp,
    count: u32,
}

impl Throttle {
    /// At most `most` attempts in a `window`, for each of up to [`limits::THROTTLE_ENTRIES`] keys.
    #[must_use]
    pub fn new(most: u32, window: Duration) -> Self {
        Self { most, window, capacity: limits::THROTTLE_ENTRIES, entries: HashMap::new() }
    }

    /// The throttle of sign-ins.
    #[must_use]
    pub fn sign_ins() -> Self {
        Self::new(limits::LOGIN_FAILURES, limits::LOGIN_WINDOW)
    }

    /// The throttle of client registrations.
    #[must_use]
    pub fn registrations() -> Self {
        Self::new(limits::REGISTRATIONS, limits::LOGIN_WINDOW)
    }

    /// The throttle of signed assertions.
    #[must_use]
    pub fn assertions() -> Self {
        Self::new(limits::SIGNED_ASSERTIONS, limits::LOGIN_WINDOW)
    }

    /// Counts an attempt.
    ///
    /// # Errors
    /// When there were too many.
    pub fn attempt(&mut self, key: Key, now: Timestamp) -> Result<(), TooMany> {
        let (most, window) = (self.most, self.window);
        if !self.entries.contains_key(&key) && self.entries.len() >= self.capacity {
            self.make_room(now);
        }
        let entry = self.entries.entry(key).or_insert(Attempts { since: now, count: 0 });
        if now.since(entry.since) >= window {
            *entry = Attempts { since: now, count: 0 };
        }
        if entry.count >= most {
            return Err(TooMany(entry.since.plus(window).since(now)));
        }
        entry.count += 1;
        Ok(())
    }

    /// Gives back an attempt that succeeded.
    pub fn give_back(&mut self, key: Key) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.count = entry.count.saturating_sub(1);
        }
    }

    /// Drops what has ended; if that is not enough, the tenth of the table that has the fewest attempts, so that a flood
    /// of fresh keys does not push out those that are held back.
    fn make_room(&mut self, now: Timestamp) {
        let window = self.window;
        self.entries.retain(|_, entry| now.since(entry.since) < window && entry.count > 0);
        if self.entries.len() < self.capacity {
            return;
        }
        let mut keys: Vec<_> = self.entries.iter().map(|(key, e)| (e.count, e.since, *key)).collect();
        keys.sort_unstable_by_key(|(count, since, _)| (*count, *since));
        for (_, _, key) in keys.into_iter().take(self.capacity.div_ceil(10)) {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn attempts_are_refused_after_the_bound_until_the_window_ends() {
        let mut throttle = Throttle::new(3, MINUTE);
        let (ana, bob) = (Key::user("Ana"), Key::user("bob"));
        assert_eq!(ana, Key::user("ana"));
        for _ in 0..3 {
            assert_eq!(throttle.attempt(ana, START), Ok(()));
        }
        let later = START.plus(Duration::from_secs(20));
        assert_eq!(throttle.attempt(ana, later), Err(TooMany(Duration::from_secs(40))));
        assert_eq!(throttle.attempt(bob, later), Ok(()));
        assert_eq!(throttle.attempt(ana, START.plus(MINUTE)), Ok(()));
    }

    #[test]
    fn success_is_not_held_against_anyone() {
        let mut throttle = Throttle::new(1, MINUTE);
        let key = Key::address("192.0.2.1".parse().unwrap());
        for _ in 0..10 {
            assert_eq!(throttle.attempt(key, START), Ok(()));
            throttle.give_back(key);
        }
    }

    #[test]
    fn one_subscriber_is_one_key() {
        let key = |text: &str| Key::address(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.2"), key("192.0.2.1"));
    }

    #[test]
    fn a_flood_of_keys_neither_grows_the_table_nor_frees_who_is_held_back() {
        let mut throttle = Throttle { capacity: 100, ..Throttle::new(3, MINUTE) };
        let held = Key::user("held");
        for _ in 0..3 {
            assert_eq!(throttle.attempt(held, START), Ok(()));
        }
        for n in 0..10_000 {
            assert_eq!(throttle.attempt(Key::user(&n.to_string()), START), Ok(()));
            assert!(throttle.entries.len() <= 100);
        }
        assert!(throttle.attempt(held, START).is_err());
    }
}
