//! `kill -9` in the middle of 1,000 calls: nothing that was admitted lacks its record.

use crate::app::{App, server_at, until};
use crate::bad_input::PERMIT_ALL;
use crate::http::call;
use crate::oauth::{Client, Tokens};
use crate::upstream::Upstream;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CALLS: u64 = 1000;
const WORKERS: usize = 16;

#[derive(Default)]
struct Progress {
    next: AtomicU64,
    answered: Mutex<BTreeSet<u64>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_1000_calls_loses_no_record_no_token_and_no_grant() {
    let upstream = Upstream::start().await;
    let mut app = App::serve(&server_at("recorder", &upstream.url), PERMIT_ALL).await;
    let client = Client::discover(&app, "recorder").await;
    let mut person = app.person.clone();
    let tokens = client.tokens(&mut person).await;

    let progress = Arc::new(Progress::default());
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(work(
            app.http(),
            app.mcp_url("recorder"),
            tokens.access.clone(),
            Arc::clone(&progress),
        ));
    }
    let half = || async { (progress.answered.lock().unwrap().len() as u64 > CALLS / 2).then_some(()) };
    until("half of the calls are answered", Duration::from_secs(60), half).await;
    app.kill();
    workers.join_all().await;
    let answered = progress.answered.lock().unwrap().clone();
    assert!((answered.len() as u64) < CALLS, "the kill came in the middle");

    app.restart().await;
    app.verify();
    let recorded = intents(&app.records());
    let sent: BTreeSet<u64> =
        upstream.calls().iter().filter_map(|seen| number(&seen.json()["params"]["arguments"])).collect();
    assert!(sent.is_superset(&answered));
    let missing: Vec<_> = sent.difference(&recorded).collect();
    assert!(missing.is_empty(), "sent upstream but not recorded: {missing:?}");

    let again = app
        .http()
        .send(call(&app.mcp_url("recorder"), &tokens.access, "echo", &json!({ "n": CALLS })))
        .await
        .unwrap();
    assert_eq!(again.status, 200, "the token still works: {}", again.text());
    let fresh = Tokens::of(&client.refresh(&tokens.refresh).await);
    let refreshed = app
        .http()
        .send(call(&app.mcp_url("recorder"), &fresh.access, "echo", &json!({ "n": CALLS + 1 })))
        .await;
    assert_eq!(refreshed.unwrap().status, 200, "the grant still works");
    app.verify();
}

async fn work(http: crate::http::Http, url: String, token: String, progress: Arc<Progress>) {
    let Ok(mut connection) = http.connect(&url.parse().unwrap()).await else { return };
    loop {
        let n = progress.next.fetch_add(1, Ordering::Relaxed);
        if n >= CALLS {
            return;
        }
        match connection.send(call(&url, &token, "echo", &json!({ "n": n }))).await {
            Ok(reply) => {
                assert_eq!(reply.status, 200, "{}", reply.text());
                progress.answered.lock().unwrap().insert(n);
            }
            // The process is gone.
            Err(_) => return,
        }
    }
}

/// The numbers of the calls that the ledger knows of.
fn intents(records: &[Value]) -> BTreeSet<u64> {
    let permitted = records.iter().filter(|record| record["kind"] == "intent");
    permitted
        .filter_map(|record| number(&serde_json::from_str(record["arguments"].as_str()?).ok()?))
        .collect()
}

fn number(arguments: &Value) -> Option<u64> {
    arguments["n"].as_u64()
}
