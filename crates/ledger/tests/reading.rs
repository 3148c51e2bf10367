//! Reading a ledger: its tail, following it, searching it, and publishing it as tiles.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

mod support;

use data_encoding::HEXLOWER;
use portunus_core::digest::{Digest, sha256};
use portunus_core::id::{ServerName, UserName};
use portunus_core::record::{Ledger, Verdict};
use portunus_ledger::merkle::{Frontier, leaf_hash};
use portunus_ledger::read::{Filter, Follow, lines, search, span, tail};
use portunus_ledger::tiles::publish;
use portunus_ledger::{FileLedger, Options};
use std::path::Path;
use support::*;

#[test]
fn the_tail_spans_segments_and_comes_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 200, 64);
    for count in [0, 1, 7, 100, 200, 300] {
        let seqs: Vec<u64> =
            tail(dir.path(), count, &Filter::default()).unwrap().iter().map(|entry| entry.seq).collect();
        assert_eq!(seqs, (200_u64.saturating_sub(count as u64)..200).collect::<Vec<_>>());
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(tail(empty.path(), 5, &Filter::default()).unwrap().is_empty());
}

#[test]
fn records_are_found_by_who_where_and_what() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    for (number, user, server, verdict) in [
        (0, "ana", "sales", Verdict::Permit),
        (1, "bob", "sales", Verdict::Refuse),
        (2, "ana", "staff", Verdict::Refuse),
    ] {
        append(&ledger, intent(number, user, server, verdict)).unwrap();
    }
    append(&ledger, outcome(0)).unwrap();
    append(&ledger, event(9)).unwrap();
    let found = |filter: Filter| -> Vec<u64> {
        search(dir.path(), filter).unwrap().map(|entry| entry.unwrap().seq).collect()
    };
    let none = Filter::default;
    assert_eq!(found(none()), [0, 1, 2, 3, 4]);
    assert_eq!(found(Filter { user: UserName::parse("ana").ok(), ..none() }), [0, 2, 4]);
    assert_eq!(found(Filter { server: ServerName::parse("sales").ok(), ..none() }), [0, 1]);
    assert_eq!(found(Filter { decision: Some(decision(0)), ..none() }), [0, 3]);
    assert_eq!(found(Filter { verdict: Some(Verdict::Refuse), ..none() }), [1, 2]);
    let at = |millis| Some(portunus_core::time::Timestamp::from_millis(millis));
    assert_eq!(found(Filter { since: at(1001), before: at(2000), ..none() }), [1, 2, 4]);
    let last = tail(dir.path(), 1, &Filter { user: UserName::parse("bob").ok(), ..none() }).unwrap();
    assert_eq!(last[0].seq, 1);
}

#[test]
fn a_follower_sees_every_record_once_while_segments_change() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FileLedger::open(Options { rotate_bytes: 1000, ..options(dir.path()) }).unwrap();
    for number in 0..5 {
        append(&ledger, event(number)).unwrap();
    }
    let mut follow = Follow::new(dir.path(), 3);
    let mut seen: Vec<u64> = Vec::new();
    let mut poll = || seen.extend(follow.poll().unwrap().iter().map(|entry| entry.seq));
    poll();
    for number in 5..100 {
        append(&ledger, event(number)).unwrap();
        if number % 3 == 0 {
            poll();
        }
    }
    drop(ledger);
    let ledger = open(dir.path());
    append(&ledger, event(100)).unwrap();
    poll();
    poll();
    assert_eq!(seen, (3..=100).collect::<Vec<_>>());
}

#[test]
fn a_follower_may_start_before_there_is_anything() {
    let dir = tempfile::tempdir().unwrap();
    let mut follow = Follow::new(dir.path(), 0);
    assert!(follow.poll().unwrap().is_empty());
    let ledger = open(dir.path());
    for receipt in (0..1500).map(|number| ledger.append(event(number))).collect::<Vec<_>>() {
        futures_executor::block_on(receipt).unwrap();
    }
    assert_eq!(
        [follow.poll().unwrap().len(), follow.poll().unwrap().len(), follow.poll().unwrap().len()],
        [1000, 500, 0]
    );
}

/// Reads the published log as a stranger would, from the files alone: entries by bundle, hashes by tile.
fn check_published(to: &Path, size: u64) {
    let note = std::fs::read_to_string(to.join("checkpoint")).unwrap();
    let checkpoint = key().verifier().open(&note).unwrap();
    assert_eq!(checkpoint.size, size);
    let mut tree = Frontier::default();
    let mut hashes = Vec::new();
    for bundle in 0..size.div_ceil(256) {
        let width = (size - bundle * 256).min(256);
        let suffix = if width == 256 { String::new() } else { format!(".p/{width}") };
        let bytes = std::fs::read(to.join(format!("tile/entries/{bundle:03}{suffix}"))).unwrap();
        let tile = std::fs::read(to.join(format!("tile/0/{bundle:03}{suffix}"))).unwrap();
        let mut rest = &bytes[..];
        for hash in tile.chunks(32) {
            let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            let leaf = leaf_hash(&rest[2..2 + length]);
            assert_eq!(hash, leaf.0, "{}", HEXLOWER.encode(hash));
            rest = &rest[2 + length..];
            tree.push(leaf, |_| ());
        }
        assert!(rest.is_empty());
        if width == 256 {
            hashes.push(root_of(&tile));
        }
    }
    assert_eq!(tree.root(), checkpoint.root);
    for (tile, hashes) in hashes.chunks(256).enumerate() {
        let suffix = if hashes.len() == 256 { String::new() } else { format!(".p/{}", hashes.len()) };
        let level_one = std::fs::read(to.join(format!("tile/1/{tile:03}{suffix}"))).unwrap();
        assert_eq!(level_one, hashes.iter().flat_map(|hash| hash.0).collect::<Vec<_>>());
    }
}

fn root_of(tile: &[u8]) -> Digest {
    let mut row: Vec<Vec<u8>> = tile.chunks(32).map(<[u8]>::to_vec).collect();
    while row.len() > 1 {
        row = row.chunks(2).map(|pair| sha256(&[&[1], &pair[0], &pair[1]]).0.to_vec()).collect();
    }
    Digest(row[0].clone().try_into().unwrap())
}

#[test]
fn a_published_log_can_be_read_and_checked_from_its_tiles_alone() {
    let dir = tempfile::tempdir().unwrap();
    let to = tempfile::tempdir().unwrap();
    let mut size = 0;
    for more in [1, 99, 156, 3, 700] {
        let ledger = FileLedger::open(Options { rotate_bytes: 10_000, ..options(dir.path()) }).unwrap();
        for receipt in (size..size + more).map(|number| ledger.append(event(number))).collect::<Vec<_>>() {
            futures_executor::block_on(receipt).unwrap();
        }
        drop(ledger);
        size += more;
        assert_eq!(publish(dir.path(), key().verifier(), to.path()).unwrap(), size);
        check_published(to.path(), size);
    }
    assert_eq!(
        publish(dir.path(), key().verifier(), to.path()).unwrap(),
        size,
        "nothing new is nothing to do"
    );
}

#[test]
fn a_run_of_records_is_found_by_its_time_and_read_as_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 200, 64);
    let at = portunus_core::time::Timestamp::from_millis;
    for (since, before, wanted) in [(0, 9999, (0, 200)), (1050, 1060, (50, 60)), (1199, 5000, (199, 200))] {
        assert_eq!(span(dir.path(), at(since), at(before)).unwrap(), wanted);
    }
    assert_eq!(span(dir.path(), at(5000), at(6000)).unwrap(), (0, 0), "nothing was made then");
    let read: Vec<Vec<u8>> = lines(dir.path(), 50, 60).unwrap().map(Result::unwrap).collect();
    let seqs: Vec<u64> = read.iter().map(|line| portunus_ledger::entry::split(line).unwrap().0).collect();
    assert_eq!(seqs, (50..60).collect::<Vec<_>>());
    assert_eq!(lines(dir.path(), 198, 500).unwrap().count(), 2, "as many as there are");
}

#[test]
fn a_checkpoint_comes_when_somebody_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let hour = std::time::Duration::from_secs(3600);
    let ledger = FileLedger::open(Options { checkpoint_interval: hour, ..options(dir.path()) }).unwrap();
    append(&ledger, event(0)).unwrap();
    ledger.sign();
    wait_for("the checkpoint", || (ledger.stats().signed == 1).then_some(()));
}
