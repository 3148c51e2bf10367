//! What must hold for any bytes: the body of the fuzz target `lockfile` (`fuzz/`) and of the property test. A broken promise
//! panics.

use crate::text::is_hidden;
use crate::{Definition, Kind, Lock, State};
use portunus_core::digest::sha256;
use portunus_core::id::ServerName;
use portunus_core::time::Timestamp;

/// `data` as a lockfile, and as the name and, behind the first line's end, the definition of something that is accepted into
/// one: digests are hardly ever hit upon.
///
/// # Panics
/// When a promise is broken.
pub fn lockfile(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Lock::parse(text) {
        Ok(lock) => assert_kept(&lock),
        Err(error) => assert!((1..=text.lines().count() + 1).contains(&error.line), "{error}"),
    }
    let (name, definition) = text.split_once('\n').unwrap_or(("x", text));
    let (Ok(read), Ok(server)) = (Definition::read(name, definition.as_bytes()), ServerName::parse("sales"))
    else {
        return;
    };
    for kind in Kind::ALL {
        let mut lock = Lock::default();
        let accepted = lock.accept(&server, kind, &read, "ana", Timestamp::from_secs(1_795_000_000));
        assert!(accepted.is_ok() && lock.state(&server, kind, &read) == State::Pinned);
        // Names that no list or answer leads to here are refused, and so are definitions of something else.
        if let Ok(again) = Lock::parse(&lock.print()) {
            assert!(again == lock, "a lockfile is read as something else: {}", lock.print());
            assert_kept(&lock);
        }
    }
}

/// What was read is written the same, and says no more than what it says.
fn assert_kept(lock: &Lock) {
    let printed = lock.print();
    assert!(
        !printed.chars().any(|letter| letter != '\n' && is_hidden(letter)),
        "hidden characters: {printed:?}"
    );
    let again = Lock::parse(&printed);
    assert!(again.as_ref() == Ok(lock), "{again:?} was read of {printed}");
    assert!(again.is_ok_and(|again| again.print() == printed));
    for server in lock.servers() {
        for (kind, entry) in lock.entries(server) {
            let definition = &entry.definition;
            assert!(definition.digest() == sha256(&[definition.canonical().as_bytes()]));
            assert!(lock.knows(server, kind) && kind.is_pinned(definition.name()));
        }
    }
    // Nothing was changed here: people's file stays as it is, and so does ours when nobody touched it.
    let nothing = Lock::default();
    assert!(nothing.merged(&nothing, lock) == *lock && lock.merged(lock, lock) == *lock);
    let taken = lock.merged(&nothing, &nothing);
    assert!(lock.servers().all(|server| taken.entries(server).eq(lock.entries(server))));
}
