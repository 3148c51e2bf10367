//! Tampering with a ledger: whatever is changed, dropped, moved, repeated, put in or cut off is found and named.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

mod support;

use portunus_core::record::Verdict;
use portunus_core::secret::Secret;
use portunus_ledger::checkpoint::SigningKey;
use portunus_ledger::layout::segments;
use portunus_ledger::merkle::{Frontier, leaf_hash};
use portunus_ledger::verify::Place;
use portunus_ledger::{Finding, Report, verify};
use proptest::prelude::*;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use support::*;
use tempfile::TempDir;

const RECORDS: u64 = 200;

fn check(dir: &Path) -> Result<Report, Vec<Finding>> {
    verify(dir, Some(key().verifier()), &[])
}

/// All segments' lines, each with its newline.
fn lines(dir: &Path) -> Vec<(PathBuf, Vec<Vec<u8>>)> {
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
    };
    segments(dir).unwrap().into_iter().map(|segment| read(segment.path)).collect()
}

/// Where a record stands.
fn place(dir: &Path, seq: u64) -> Place {
    let mut before = 0;
    for (file, lines) in lines(dir) {
        if seq < before + lines.len() as u64 {
            return Place { file, line: seq - before + 1 };
        }
        before += lines.len() as u64;
    }
    panic!("no record {seq}");
}

/// Writes the lines of the whole ledger anew, spread over its segments as before as far as that goes.
fn rewrite(dir: &Path, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let old = lines(dir);
    let mut all: Vec<Vec<u8>> = old.iter().flat_map(|(_, lines)| lines.clone()).collect();
    change(&mut all);
    let mut rest = all.into_iter();
    let count = old.len();
    for (index, (path, lines)) in old.into_iter().enumerate() {
        let take = if index + 1 == count { usize::MAX } else { lines.len() };
        std::fs::write(path, rest.by_ref().take(take).collect::<Vec<_>>().concat()).unwrap();
    }
}

#[test]
fn a_sound_ledger_passes_and_is_summed_up() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), RECORDS, 64);
    let report = check(dir.path()).unwrap();
    let mut tree = Frontier::default();
    for line in lines(dir.path()).into_iter().flat_map(|(_, lines)| lines) {
        tree.push(leaf_hash(line.strip_suffix(b"\n").unwrap()), |_| ());
    }
    assert_eq!((report.records, report.unsigned, report.root), (RECORDS, 0, Some(tree.root())));
    assert_eq!(report.first_at.map(|at| at.as_millis()), Some(1000));
    assert_eq!(report.last_at.map(|at| at.as_millis()), Some(1000 + RECORDS - 1));
    let own = verify(dir.path(), None, &[]).unwrap();
    assert_eq!(own, Report { own_key: true, ..report });
}

#[test]
fn a_single_changed_byte_is_found_and_pinned_to_its_record() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), RECORDS, 64);
    let mut seq = 0;
    for (path, lines) in lines(dir.path()) {
        // One byte in place: writing the file anew each time would wait for the disk.
        let mut file = std::fs::File::options().write(true).open(&path).unwrap();
        let mut put = |position: usize, byte: u8| {
            file.seek(SeekFrom::Start(position as u64)).unwrap();
            file.write_all(&[byte]).unwrap();
        };
        let mut start = 0;
        for (number, line) in (1..).zip(&lines) {
            // Every byte of the first and last records of each file, every fifth of the others.
            let edge = number < 3 || number as usize == lines.len();
            for offset in (0..line.len())
                .filter(|offset| edge || (offset + line.len() + number as usize).is_multiple_of(5))
            {
                let (position, bit) = (start + offset, (offset + line.len()) % 8);
                put(position, line[offset] ^ 1 << bit);
                let findings = check(dir.path()).expect_err("a changed byte");
                let expected = Finding::Changed { seq, place: Place { file: path.clone(), line: number } };
                assert_eq!(findings[0], expected, "byte {position} bit {bit}: {findings:?}");
                assert!(findings.len() <= 2, "{findings:?}");
                put(position, line[offset]);
            }
            start += line.len();
            seq += 1;
        }
    }
    assert_eq!(seq, RECORDS);
    assert!(check(dir.path()).is_ok());
}

#[test]
fn each_dropped_record_is_named() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 40, 1000);
    for seq in 0..40 {
        let copy = copy(dir.path());
        rewrite(copy.path(), |lines| drop(lines.remove(seq as usize)));
        let expected = match seq {
            39 => Finding::Truncated { records: 39, signed: 40 },
            _ => Finding::Missing { first: seq, last: seq },
        };
        assert_eq!(check(copy.path()), Err(vec![expected]));
    }
}

#[test]
fn a_run_of_dropped_records_and_a_removed_segment_are_named() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), RECORDS, 64);
    let copy = copy(dir.path());
    rewrite(copy.path(), |lines| drop(lines.drain(50..150)));
    assert_eq!(check(copy.path()), Err(vec![Finding::Missing { first: 50, last: 149 }]));

    let segments = segments(dir.path()).unwrap();
    std::fs::remove_file(&segments[1].path).unwrap();
    let (first, last) = (segments[1].first, segments[2].first - 1);
    assert_eq!(check(dir.path()), Err(vec![Finding::Missing { first, last }]));
}

#[test]
fn a_cut_tail_is_named_however_much_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 40, 10);
    for records in (0..40).rev() {
        rewrite(dir.path(), |lines| lines.truncate(records));
        let expected = Finding::Truncated { records: records as u64, signed: 40 };
        assert_eq!(check(dir.path()), Err(vec![expected]));
    }
}

#[test]
fn a_tail_cut_within_a_record_or_overwritten_with_zeros_is_named() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 20, 1000);
    let path = last_segment(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    assert_eq!(check(dir.path()), Err(vec![Finding::Changed { seq: 19, place: place(dir.path(), 19) }]));
    let keep = lines(dir.path())[0].1[..15].concat().len();
    let mut zeroed = bytes;
    zeroed[keep..].fill(0);
    std::fs::write(&path, zeroed).unwrap();
    assert_eq!(check(dir.path()), Err(vec![Finding::Truncated { records: 15, signed: 20 }]));
}

#[test]
fn swapped_repeated_and_inserted_records_are_named() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 60, 16);
    let swapped = copy(dir.path());
    rewrite(swapped.path(), |lines| lines.swap(20, 25));
    let named: Vec<String> = check(swapped.path()).unwrap_err().iter().map(ToString::to_string).collect();
    assert!(named.iter().any(|finding| finding.contains("record 20 was moved here")), "{named:?}");

    let repeated = copy(dir.path());
    rewrite(repeated.path(), |lines| lines.insert(31, lines[7].clone()));
    let findings = check(repeated.path()).unwrap_err();
    assert_eq!(findings, [Finding::Repeated { seq: 7, place: place(repeated.path(), 31) }]);

    let inserted = copy(dir.path());
    rewrite(inserted.path(), |lines| {
        lines.insert(12, b"{\"seq\":12,\"record\":{\"kind\":\"event\"}}\n".to_vec())
    });
    let findings = check(inserted.path()).unwrap_err();
    assert_eq!(findings, [Finding::Foreign { place: place(inserted.path(), 12) }]);
}

#[test]
fn a_record_changed_together_with_its_hash_is_found_by_the_signed_root() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 100, 10);
    let mut hashes = Vec::new();
    rewrite(dir.path(), |lines| {
        lines[42] = String::from_utf8(lines[42].clone()).unwrap().replace("ana", "eve").into_bytes();
        let mut tree = Frontier::default();
        for line in lines {
            tree.push(leaf_hash(line.strip_suffix(b"\n").unwrap()), |node| hashes.extend_from_slice(&node.0));
        }
    });
    std::fs::write(dir.path().join("hashes"), hashes).unwrap();
    // Ten records to a checkpoint: the change is pinned to those between two of them.
    let findings = check(dir.path()).unwrap_err();
    assert!(
        matches!(findings[..], [Finding::Root { first, last }] if (first..=last).contains(&42) && last - first < 10),
        "{findings:?}"
    );
}

#[test]
fn a_forged_ledger_under_another_key_is_refused_but_agrees_with_itself() {
    let dir = tempfile::tempdir().unwrap();
    let forger = SigningKey::new("test.example/ledger", &Secret::new([8; 32])).unwrap();
    std::fs::write(dir.path().join("ledger.vkey"), forger.verifier().to_string()).unwrap();
    let ledger =
        portunus_ledger::FileLedger::open(portunus_ledger::Options::new(dir.path(), forger)).unwrap();
    append(&ledger, event(0)).unwrap();
    drop(ledger);
    assert!(verify(dir.path(), None, &[]).unwrap().own_key);
    let findings = check(dir.path()).unwrap_err();
    assert!(matches!(&findings[0], Finding::Checkpoint { why, .. } if why.contains("not signed by the key")));
}

#[test]
fn a_changed_checkpoint_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 30, 10);
    let path = dir.path().join("checkpoints");
    let history = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, history.replacen("\n20\n", "\n19\n", 1)).unwrap();
    let findings = check(dir.path()).unwrap_err();
    let expected = Place { file: path, line: 11 };
    assert!(
        matches!(&findings[..], [Finding::Checkpoint { place, .. }] if *place == expected),
        "{findings:?}"
    );
}

#[test]
fn a_ledger_cut_back_to_an_earlier_checkpoint_is_found_by_one_kept_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 20, 10);
    let earlier = copy(dir.path());
    let ledger = open(dir.path());
    for number in 20..30 {
        append(&ledger, event(number)).unwrap();
    }
    drop(ledger);
    let kept = std::fs::read_to_string(dir.path().join("checkpoint")).unwrap();
    assert!(check(earlier.path()).is_ok(), "nothing within the directory can show it");
    let findings = verify(earlier.path(), Some(key().verifier()), std::slice::from_ref(&kept)).unwrap_err();
    assert_eq!(findings, [Finding::Truncated { records: 20, signed: 30 }]);
    assert!(verify(dir.path(), Some(key().verifier()), &[kept]).is_ok());
}

#[test]
fn two_histories_signed_by_one_key_are_found() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(one.path(), 20, 10);
    let ledger = open(other.path());
    append(&ledger, event(7)).unwrap();
    drop(ledger);
    let kept = std::fs::read_to_string(other.path().join("checkpoint")).unwrap();
    let findings = verify(one.path(), Some(key().verifier()), &[kept]).unwrap_err();
    assert!(matches!(&findings[..], [Finding::Fork { size: 1, .. }]), "{findings:?}");
}

#[test]
fn damaged_hashes_are_told_apart_from_changed_records() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 100, 10);
    let path = dir.path().join("hashes");
    let hashes = std::fs::read(&path).unwrap();
    for position in (0..hashes.len()).step_by(97) {
        let mut changed = hashes.clone();
        changed[position] ^= 4;
        std::fs::write(&path, changed).unwrap();
        let findings = check(dir.path()).unwrap_err();
        assert!(matches!(&findings[..], [Finding::Evidence { .. }]), "byte {position}: {findings:?}");
    }
}

#[test]
fn records_without_any_checkpoint_are_not_called_sound() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 10, 1000);
    for name in ["checkpoint", "checkpoints"] {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    assert_eq!(check(dir.path()), Err(vec![Finding::Unsigned(dir.path().to_owned())]));
}

#[test]
fn the_unsigned_tail_must_be_in_order_too() {
    let dir = tempfile::tempdir().unwrap();
    let disk = std::sync::Arc::new(FaultyDisk::default());
    let ledger = portunus_ledger::FileLedger::open(portunus_ledger::Options {
        disk: std::sync::Arc::new(Handle(std::sync::Arc::clone(&disk))),
        ..options(dir.path())
    })
    .unwrap();
    for number in 0..20 {
        append(&ledger, event(number)).unwrap();
    }
    let crashed = || {
        let copy = disk.crash(dir.path());
        let path = last_segment(copy.path());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.retain(|byte| *byte != 0);
        std::fs::write(&path, bytes).unwrap();
        copy
    };
    assert_eq!(check(crashed().path()).unwrap().unsigned, 20);
    let dropped = crashed();
    rewrite(dropped.path(), |lines| drop(lines.drain(5..8)));
    assert_eq!(check(dropped.path()), Err(vec![Finding::Missing { first: 5, last: 7 }]));
    let renumbered = crashed();
    rewrite(renumbered.path(), |lines| {
        lines[5] =
            String::from_utf8(lines[5].clone()).unwrap().replace("\"seq\":5", "\"seq\":7").into_bytes();
    });
    let findings = check(renumbered.path()).unwrap_err();
    assert_eq!(findings, [Finding::Changed { seq: 5, place: place(renumbered.path(), 5) }]);
}

#[test]
fn signed_records_dropped_before_an_unsigned_tail_are_named() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 20, 1000);
    let mut tail = Vec::new();
    for seq in 20..24 {
        portunus_ledger::entry::write_line(
            &mut tail,
            seq,
            &portunus_ledger::entry::encode(&event(seq)).unwrap(),
        );
        tail.push(b'\n');
    }
    rewrite(dir.path(), |lines| {
        lines.truncate(15);
        lines.extend(tail.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
    });
    assert_eq!(check(dir.path()), Err(vec![Finding::Missing { first: 15, last: 19 }]));
}

#[test]
fn an_endless_list_of_findings_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 10, 1000);
    std::fs::write(last_segment(dir.path()), "x\n".repeat(20_000)).unwrap();
    let findings = check(dir.path()).unwrap_err();
    assert!(findings.len() <= 1001 && matches!(findings.last(), Some(Finding::More(_))));
    assert!(matches!(findings[9], Finding::Changed { seq: 9, .. }), "{:?}", &findings[..12]);
}

#[test]
fn admitted_calls_without_outcome_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    for (number, verdict) in [(1, Verdict::Permit), (2, Verdict::Refuse), (3, Verdict::Permit)] {
        append(&ledger, intent(number, "ana", "sales", verdict)).unwrap();
    }
    append(&ledger, outcome(1)).unwrap();
    drop(ledger);
    let report = check(dir.path()).unwrap();
    assert_eq!((report.intents_without_outcome, report.unknown), (1, 0));
    assert_eq!(report.open_decisions, [decision(3).to_string()]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_rearrangement_of_the_lines_is_found(
        moves in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..4), 1..6),
    ) {
        static SOUND: LazyLock<TempDir> = LazyLock::new(|| {
            let dir = tempfile::tempdir().unwrap();
            filled(dir.path(), 30, 8);
            dir
        });
        let dir = copy(SOUND.path());
        let mut same = false;
        rewrite(dir.path(), |lines| {
            let before = lines.concat();
            for (from, to, kind) in moves {
                if lines.is_empty() {
                    break;
                }
                let (from, to) = (from.index(lines.len()), to.index(lines.len()));
                match kind {
                    0 => lines.swap(from, to),
                    1 => drop(lines.remove(from)),
                    2 => lines.insert(to, lines[from].clone()),
                    _ => lines[from].truncate(to),
                }
            }
            same = lines.concat() == before;
        });
        prop_assert_eq!(check(dir.path()).is_ok(), same);
    }
}
