//! The writer: group commit, bounds, order, checkpoints, new segments, and what it does when the disk fails.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

mod support;

use futures_executor::block_on;
use portunus_core::limits::{LEDGER_QUEUE, RECORD_BYTES};
use portunus_core::record::{Event, Ledger, LedgerError, Record};
use portunus_core::time::Timestamp;
use portunus_ledger::checkpoint::ExtensionLine;
use portunus_ledger::layout::segments;
use portunus_ledger::{FileLedger, OpenError, Options, verify};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use support::*;

fn with_faults(dir: &std::path::Path) -> (FileLedger, Arc<FaultyDisk>) {
    let disk = Arc::new(FaultyDisk::default());
    let ledger = FileLedger::open(Options {
        retry_interval: Duration::from_millis(1),
        disk: Arc::new(Handle(Arc::clone(&disk))),
        ..options(dir)
    })
    .unwrap();
    (ledger, disk)
}

#[test]
fn a_thousand_callers_at_once_share_a_few_flushes() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, disk) = with_faults(dir.path());
    let before = disk.syncs.load(Ordering::SeqCst);
    disk.hold(true);
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..20)
            .map(|thread| {
                let ledger = &ledger;
                scope.spawn(move || -> Vec<_> {
                    (0..50).map(|number| ledger.append(event(thread * 50 + number))).collect()
                })
            })
            .collect();
        let receipts: Vec<_> = handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect();
        disk.hold(false);
        let mut seqs: Vec<u64> = receipts.into_iter().map(|receipt| block_on(receipt).unwrap()).collect();
        seqs.sort_unstable();
        assert_eq!(seqs, (0..1000).collect::<Vec<_>>());
    });
    assert!(disk.syncs.load(Ordering::SeqCst) - before <= 3);
    let stats = ledger.stats();
    assert!((1..=2).contains(&stats.commits), "{stats:?}");
    assert_eq!((stats.records, stats.queued, stats.lag), (1000, 0, Duration::ZERO));
}

#[test]
fn receipts_resolve_in_order_and_may_be_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    for number in 0..100 {
        let receipt = ledger.append(event(number));
        if number % 10 == 9 {
            assert_eq!(block_on(receipt), Ok(number));
        }
    }
    drop(ledger);
    assert_eq!(subjects(dir.path()), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_full_queue_refuses_and_accepts_again_once_it_drains() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, disk) = with_faults(dir.path());
    disk.hold(true);
    let receipts: Vec<_> = (0..LEDGER_QUEUE as u64).map(|number| ledger.append(event(number))).collect();
    assert_eq!(append(&ledger, event(0)), Err(LedgerError::Full));
    assert_eq!(ledger.stats().queued, LEDGER_QUEUE);
    assert!(ledger.stats().lag > Duration::ZERO);
    disk.hold(false);
    for (receipt, seq) in receipts.into_iter().zip(0..) {
        assert_eq!(block_on(receipt), Ok(seq));
    }
    assert_eq!(append(&ledger, event(0)), Ok(LEDGER_QUEUE as u64));
}

#[test]
fn the_queue_is_bounded_in_bytes_too() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, disk) = with_faults(dir.path());
    let Record::Event(small) = event(0) else { unreachable!() };
    let large = Record::Event(Event { subject: "x".repeat(RECORD_BYTES - 200), ..small });
    disk.hold(true);
    let mut receipts = Vec::new();
    let refused = loop {
        let mut receipt = ledger.append(large.clone());
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        if let std::task::Poll::Ready(result) = std::pin::Pin::new(&mut receipt).poll(&mut context) {
            break result;
        }
        receipts.push(receipt);
    };
    assert_eq!(refused, Err(LedgerError::Full));
    assert!(receipts.len() < 1100, "{} records of 32 KiB were queued", receipts.len());
    disk.hold(false);
    assert!(receipts.into_iter().all(|receipt| block_on(receipt).is_ok()));
}

#[test]
fn a_record_over_its_bound_is_refused_alone() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let large = Record::Event(Event {
        at: Timestamp::from_millis(0),
        by: "x".repeat(RECORD_BYTES),
        action: String::new(),
        subject: String::new(),
        detail: Default::default(),
    });
    assert_eq!(append(&ledger, large), Err(LedgerError::TooLong));
    assert_eq!(append(&ledger, event(0)), Ok(0));
}

#[test]
fn closing_makes_everything_durable_signs_it_and_refuses_more() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    ledger.set_extensions(vec![ExtensionLine::parse("store 42").unwrap()]);
    let receipts: Vec<_> = (0..500).map(|number| ledger.append(event(number))).collect();
    ledger.close();
    assert!(receipts.into_iter().zip(0..).all(|(receipt, seq)| block_on(receipt) == Ok(seq)));
    assert_eq!(append(&ledger, event(0)), Err(LedgerError::Stopped));
    let report = verify(dir.path(), Some(key().verifier()), &[]).unwrap();
    assert_eq!((report.records, report.unsigned, report.own_key), (500, 0, false));
    let note = std::fs::read_to_string(dir.path().join("checkpoint")).unwrap();
    assert_eq!(key().verifier().open(&note).unwrap().extensions, ["store 42"]);
    let bytes = std::fs::read(last_segment(dir.path())).unwrap();
    assert!(!bytes.contains(&0), "the zeros laid out ahead are gone");
}

#[test]
fn a_ledger_goes_on_where_it_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let ledger = open(dir.path());
        assert_eq!(ledger.stats().records, round * 10);
        for number in round * 10..round * 10 + 10 {
            assert_eq!(append(&ledger, event(number)), Ok(number));
        }
    }
    assert_eq!(subjects(dir.path()), (0..50).collect::<Vec<_>>());
    assert_eq!(
        verify(dir.path(), Some(key().verifier()), &[]).unwrap().checkpoints,
        6,
        "one when it was new"
    );
}

#[test]
fn new_segments_are_begun_and_checkpoints_signed_while_records_come() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 300, 32);
    let segments = segments(dir.path()).unwrap();
    assert!(segments.len() > 3, "{segments:?}");
    for segment in &segments[..segments.len() - 1] {
        let bytes = std::fs::read(&segment.path).unwrap();
        assert!(bytes.len() < 4096 + 200 && bytes.ends_with(b"}\n"));
    }
    let report = verify(dir.path(), Some(key().verifier()), &[]).unwrap();
    assert!(report.checkpoints >= 300 / 32, "{report:?}");
    assert_eq!(report.records, 300);
}

#[test]
fn a_checkpoint_is_signed_after_its_interval_without_further_records() {
    let dir = tempfile::tempdir().unwrap();
    let ledger =
        FileLedger::open(Options { checkpoint_interval: Duration::from_millis(5), ..options(dir.path()) })
            .unwrap();
    append(&ledger, event(0)).unwrap();
    wait_for("a checkpoint", || (ledger.stats().signed == 1).then_some(()));
    let report = verify(dir.path(), Some(key().verifier()), &[]).unwrap();
    assert_eq!((report.records, report.unsigned), (1, 0), "a ledger in use can be verified");
}

#[test]
fn a_second_process_cannot_open_the_same_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    assert!(matches!(FileLedger::open(options(dir.path())), Err(OpenError::Locked(_))));
    drop(first);
    assert!(FileLedger::open(options(dir.path())).is_ok());
}

#[test]
fn after_a_failed_flush_nothing_is_admitted_until_the_disk_works_again() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, disk) = with_faults(dir.path());
    assert_eq!(append(&ledger, event(0)), Ok(0));
    disk.broken.store(true, Ordering::SeqCst);
    let waiting: Vec<_> = (0..10).map(|_| ledger.append(event(99))).collect();
    for receipt in waiting {
        assert!(matches!(block_on(receipt), Err(LedgerError::Io(why)) if why.contains("input/output error")));
    }
    assert!(ledger.stats().failure.is_some());
    assert!(matches!(append(&ledger, event(99)), Err(LedgerError::Io(_))));
    disk.broken.store(false, Ordering::SeqCst);
    wait_for("recovery", || ledger.stats().failure.is_none().then_some(()));
    assert_eq!(append(&ledger, event(1)), Ok(1));
    drop(ledger);
    assert_eq!(subjects(dir.path()), [0, 1]);
    assert!(verify(dir.path(), Some(key().verifier()), &[]).is_ok());
}

#[test]
fn a_ledger_closed_while_the_disk_fails_keeps_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, disk) = with_faults(dir.path());
    assert_eq!(append(&ledger, event(0)), Ok(0));
    disk.full.store(true, Ordering::SeqCst);
    assert!(append(&ledger, event(99)).is_err());
    drop(ledger);
    let ledger = open(dir.path());
    assert_eq!(append(&ledger, event(1)), Ok(1));
    drop(ledger);
    assert_eq!(subjects(dir.path()), [0, 1]);
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Full,
    Broken,
    Stuck,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_fails_the_ledger_holds_exactly_what_was_acknowledged(
        phases in prop::collection::vec((
            prop_oneof![Just(Fault::None), Just(Fault::Full), Just(Fault::Broken), Just(Fault::Stuck)], 1_u64..30,
        ), 1..8),
        checkpoint_records in 1_u64..20,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::default());
        let ledger = FileLedger::open(Options {
            rotate_bytes: 2048,
            checkpoint_records,
            retry_interval: Duration::from_micros(100),
            disk: Arc::new(Handle(Arc::clone(&disk))),
            ..options(dir.path())
        }).unwrap();
        let mut acknowledged = Vec::new();
        let mut number = 0;
        for (fault, count) in phases {
            let set = |on: bool| match fault {
                Fault::None => {}
                Fault::Full => disk.full.store(on, Ordering::SeqCst),
                Fault::Broken => disk.broken.store(on, Ordering::SeqCst),
                Fault::Stuck => disk.stuck.store(on, Ordering::SeqCst),
            };
            set(true);
            for _ in 0..count {
                number += 1;
                let receipts = [ledger.append(event(number)), ledger.append(event(number + 1000))];
                for (receipt, number) in receipts.into_iter().zip([number, number + 1000]) {
                    if block_on(receipt).is_ok() {
                        acknowledged.push(number);
                    }
                }
            }
            set(false);
            let back = wait_for("recovery", || append(&ledger, event(0)).ok());
            acknowledged.push(0);
            prop_assert_eq!(back + 1, acknowledged.len() as u64);
        }
        drop(ledger);
        prop_assert_eq!(subjects(dir.path()), acknowledged);
        let report = verify(dir.path(), Some(key().verifier()), &[]);
        prop_assert!(report.is_ok(), "{:?}", report);
    }
}
