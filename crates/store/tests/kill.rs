//! What was acknowledged survives `kill -9`: this test runs itself as a child that commits until it is killed.

#![cfg(unix)]

use futures_util::future::join_all;
use portunus_core::store::{Batch, Change, Expect, Kind, Store, Write};
use portunus_store::SqliteStore;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

const STATE: &str = "PORTUNUS_STORE_KILL_TEST";
/// Commits in flight at once, so that groups are under way when the child dies.
const IN_FLIGHT: u64 = 32;

fn pair(number: u64) -> Batch {
    let half = |kind| Write {
        kind,
        id: number.to_string(),
        expect: Expect::Absent,
        change: Change::Put { parent: None, expires_at: None, value: b"1".to_vec() },
    };
    Batch { writes: vec![half(Kind::Grant), half(Kind::Refresh)] }
}

#[tokio::test]
#[ignore = "the child of every_acknowledged_commit_survives_kill_9"]
async fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(STATE) else { return };
    let store = SqliteStore::open(path).unwrap();
    let mut next = store.count(Kind::Grant).await.unwrap() * 1_000_000;
    loop {
        let numbers: Vec<u64> = (next..next + IN_FLIGHT).collect();
        next += IN_FLIGHT;
        join_all(numbers.into_iter().map(|number| {
            let store = &store;
            async move {
                store.commit(pair(number)).await.unwrap();
                let mut out = std::io::stdout();
                writeln!(out, "\nacknowledged {number}").unwrap();
                out.flush().unwrap();
            }
        }))
        .await;
    }
}

#[tokio::test]
async fn every_acknowledged_commit_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("portunus.db");
    let mut acknowledged: Vec<u64> = Vec::new();
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_commits_until_it_is_killed", "--ignored", "--nocapture"])
            .env(STATE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let wanted = acknowledged.len() + 20 + 37 * round;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some(number) = line.unwrap().strip_prefix("acknowledged ") {
                acknowledged.push(number.parse().unwrap());
            }
            if acknowledged.len() == wanted {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged.len() >= wanted, "the child ended by itself in round {round}");

        let store = SqliteStore::open(&path).unwrap();
        for number in &acknowledged {
            let id = number.to_string();
            assert!(store.get(Kind::Grant, &id).await.unwrap().is_some(), "{id} was acknowledged");
        }
        let halves = (store.count(Kind::Grant).await.unwrap(), store.count(Kind::Refresh).await.unwrap());
        assert_eq!(halves.0, halves.1, "a batch is whole or not there");
        assert!(store.generation().await.unwrap() >= acknowledged.len() as u64);
    }
}
