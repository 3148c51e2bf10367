//! Opening after a crash: what was acknowledged is there, what was not is cut, damage is refused.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

mod support;

use portunus_core::record::Ledger;
use portunus_ledger::layout::segments;
use portunus_ledger::{FileLedger, OpenError, Options, entry, verify};
use proptest::prelude::*;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use support::*;

fn cannot_open(dir: &Path) -> String {
    match FileLedger::open(options(dir)) {
        Err(error @ OpenError::Damaged { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_crash_at_any_byte_loses_nothing_acknowledged(
        acknowledged in 0_u64..60, in_flight in 1_u64..8, cut in any::<prop::sample::Index>(),
        zeros in prop_oneof![Just(0_usize), 1..5000_usize], hole in any::<Option<prop::sample::Index>>(),
        checkpoint_records in 1_u64..40,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::default());
        let ledger = FileLedger::open(Options {
            rotate_bytes: 3000,
            checkpoint_records,
            disk: Arc::new(Handle(Arc::clone(&disk))),
            ..options(dir.path())
        }).unwrap();
        for number in 0..acknowledged {
            prop_assert_eq!(append(&ledger, event(number)), Ok(number));
        }
        let crashed = disk.crash(dir.path());
        // The batch that was being written, and how much of it reached the disk: pages may do so in any order.
        let mut tail = Vec::new();
        for number in acknowledged..acknowledged + in_flight {
            entry::write_line(&mut tail, number, &entry::encode(&event(number)).unwrap());
            tail.push(b'\n');
        }
        tail.truncate(cut.index(tail.len() + 1));
        if let Some(hole) = hole && !tail.is_empty() {
            let start = hole.index(tail.len());
            let end = (start + 100).min(tail.len());
            tail[start..end].fill(0);
        }
        let path = last_segment(crashed.path());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
        bytes.extend_from_slice(&tail);
        bytes.resize(bytes.len() + zeros, 0);
        std::fs::write(&path, bytes).unwrap();

        let before = verify(crashed.path(), Some(key().verifier()), &[]);
        prop_assert!(before.is_ok(), "a crash is not tampering: {:?}", before);
        let ledger = open(crashed.path());
        let size = ledger.stats().records;
        prop_assert!((acknowledged..=acknowledged + in_flight).contains(&size));
        prop_assert_eq!(append(&ledger, event(size)), Ok(size));
        drop(ledger);
        prop_assert_eq!(subjects(crashed.path()), (0..=size).collect::<Vec<_>>());
        let report = verify(crashed.path(), Some(key().verifier()), &[]).unwrap();
        prop_assert_eq!((report.records, report.torn_bytes), (size + 1, 0));
    }
}

#[test]
fn a_process_killed_at_any_moment_has_recorded_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut size = 0;
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "appends_until_killed", "--nocapture"])
            .env("PORTUNUS_TEST_LEDGER", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = size;
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some(seq) = line.unwrap().strip_prefix("acknowledged ") {
                acknowledged = seq.parse::<u64>().unwrap() + 1;
                seen += 1;
                if seen == 20 + 37 * round {
                    child.kill().unwrap();
                }
            }
        }
        assert!(!child.wait().unwrap().success() && seen >= 20, "it ran until it was killed");
        let ledger = open(dir.path());
        size = ledger.stats().records;
        assert!(size >= acknowledged, "{size} records, {acknowledged} acknowledged");
        drop(ledger);
        assert_eq!(subjects(dir.path()), (0..size).collect::<Vec<_>>());
        assert_eq!(verify(dir.path(), Some(key().verifier()), &[]).unwrap().unsigned, 0);
    }
}

#[test]
#[ignore = "the process that the test above kills"]
fn appends_until_killed() {
    let dir = std::env::var("PORTUNUS_TEST_LEDGER").unwrap();
    let ledger = FileLedger::open(Options {
        rotate_bytes: 8192,
        checkpoint_records: 17,
        checkpoint_interval: Duration::from_millis(3),
        ..options(Path::new(&dir))
    })
    .unwrap();
    let mut next = ledger.stats().records;
    loop {
        let receipts: Vec<_> =
            (next..next + 1 + next % 7).map(|number| ledger.append(event(number))).collect();
        next += receipts.len() as u64;
        for receipt in receipts {
            let seq = futures_executor::block_on(receipt).unwrap();
            writeln!(std::io::stdout(), "acknowledged {seq}").unwrap();
        }
    }
}

#[test]
fn records_that_a_checkpoint_covers_are_never_cut() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 100, 1000);
    let path = last_segment(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    for keep in [0, bytes.len() - 1, bytes.len() / 2] {
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let why = cannot_open(dir.path());
        assert!(why.contains("a signed checkpoint covers 100") || why.contains("checkpoint"), "{why}");
        let left = std::fs::read(&path).map(|bytes| bytes.len()).unwrap_or(0);
        assert_eq!(left, keep, "nothing was changed");
    }
}

#[test]
fn a_changed_record_since_the_last_segment_began_is_found_at_opening() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 100, 1000);
    let path = last_segment(dir.path());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("ana", "eve", 1)).unwrap();
    let why = cannot_open(dir.path());
    assert!(why.contains("are not those of the signed checkpoint") && why.contains("audit verify"), "{why}");
    assert!(!dir.path().join("hashes.new").exists(), "nothing is left behind");
}

#[test]
fn a_whole_line_that_is_not_the_next_record_is_damage_and_not_cut() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 10, 1000);
    let path = last_segment(dir.path());
    let mut file = std::fs::File::options().append(true).open(&path).unwrap();
    file.write_all(b"{\"seq\":11,\"record\":{}}\n").unwrap();
    let why = cannot_open(dir.path());
    assert!(why.contains(":11: this is not record 10"), "{why}");
}

#[test]
fn a_missing_segment_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 200, 1000);
    let segments = segments(dir.path()).unwrap();
    std::fs::remove_file(&segments[segments.len() - 1].path).unwrap();
    cannot_open(dir.path());
    for segment in &segments[..segments.len() - 1] {
        std::fs::remove_file(&segment.path).unwrap();
    }
    cannot_open(dir.path());
}

#[test]
fn a_changed_checkpoint_or_another_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 20, 10);
    for name in ["checkpoint", "checkpoints"] {
        let path = dir.path().join(name);
        let note = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, note.replace("\n20\n", "\n21\n")).unwrap();
        let why = cannot_open(dir.path());
        assert!(why.contains("does not fit"), "{why}");
        std::fs::write(&path, note).unwrap();
    }
    let history = std::fs::read_to_string(dir.path().join("checkpoints")).unwrap();
    let start = history.rfind("test.example/ledger\n20\n").unwrap();
    std::fs::write(dir.path().join("checkpoints"), &history[..start]).unwrap();
    assert!(cannot_open(dir.path()).contains("covers 20"));
}

#[test]
fn a_torn_checkpoint_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 20, 10);
    let path = dir.path().join("checkpoints");
    let whole = std::fs::read(&path).unwrap();
    for torn in [&b"test.example/ledger\n99\nab"[..], b"test.example/ledger\n99\n\0\0\0\0\n"] {
        std::fs::write(&path, [&whole, torn].concat()).unwrap();
        assert!(verify(dir.path(), Some(key().verifier()), &[]).is_ok(), "a crash is not tampering");
        drop(open(dir.path()));
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn lost_or_damaged_hashes_are_rebuilt_from_the_records() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 200, 50);
    let path = dir.path().join("hashes");
    let whole = std::fs::read(&path).unwrap();
    for damage in 0..4 {
        let mut bytes = whole.clone();
        match damage {
            0 => bytes.fill(0),
            1 => bytes.truncate(100),
            2 => bytes.clear(),
            _ => bytes[0..64].fill(9),
        }
        std::fs::write(&path, bytes).unwrap();
        let sound = verify(dir.path(), Some(key().verifier()), &[]).unwrap_err();
        assert!(sound[0].to_string().contains("the records themselves are as signed"), "{sound:?}");
        std::fs::remove_file(dir.path().join("lock")).unwrap();
        let ledger = open(dir.path());
        drop(ledger);
        if damage < 3 {
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
        std::fs::write(&path, &whole).unwrap();
    }
    std::fs::remove_file(&path).unwrap();
    drop(open(dir.path()));
    assert!(verify(dir.path(), Some(key().verifier()), &[]).is_ok());
}
