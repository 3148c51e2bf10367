//! A process of its own that shares the store of an edge: this test binary, run again.

use super::shared::SharedStore;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use futures_util::future::join_all;
use portunus_connections::{Answered, Carrier, Connections, NoAnswer, Outgoing, Parts, Settings, Whose};
use portunus_core::id::{ServerName, UserName};
use portunus_core::testing::MemoryLedger;
use portunus_core::time::{Clock, Rng, Timestamp};
use portunus_oauth::config::Issuer;
use portunus_vault::SealingKey;
use portunus_web::connections::{ConnectionCarrier, TokioRuntime};
use portunus_web::fetch::PublicFetcher;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use url::Url;

const KNOWN: &str = "PORTUNUS_E2E_CONNECTION";
/// Calls of one process.
pub(super) const CALLS: usize = 100;

/// One such process; killed when dropped.
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts one beside the state of an edge; with `holds` it never looks at the answer to a renewal.
    pub(super) fn start(state: &Path, edge: &str, upstream: &str, holds: bool) -> Self {
        let known = json!({ "state": state, "edge": edge, "upstream": upstream, "holds": holds });
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "connections::process::another_process", "--ignored", "--nocapture"])
            .env(KNOWN, known.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut process = Self { child, input, output };
        process.hear("ready");
        process
    }

    pub(super) fn go(&mut self) {
        self.input.write_all(b"go\n").unwrap();
    }

    /// What it says behind this word.
    pub(super) fn hear(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "it ended without `{word}`");
            if let Some((_, rest)) = line.split_once(&format!("{word}:")) {
                return rest.trim().to_owned();
            }
        }
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that the tests of connections start"]
async fn another_process() {
    let Ok(known) = std::env::var(KNOWN) else { return };
    let known: Value = serde_json::from_str(&known).unwrap();
    let text = |name: &str| known[name].as_str().unwrap().to_owned();
    let connections =
        connections(Path::new(&text("state")), &text("edge"), &text("upstream"), known["holds"] == true);
    println!("\nready:");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let (server, user) = (ServerName::parse("notes").unwrap(), UserName::parse("ana").unwrap());
    let calls = (0..CALLS).map(|_| connections.bound(&server, &user));
    let generations = join_all(calls).await.into_iter().map(|bound| match bound {
        Ok(Some(bound)) => bound.used().generation.to_string(),
        other => format!("{other:?}"),
    });
    println!("\ngenerations: {}", generations.collect::<Vec<_>>().join(" "));
}

fn connections(state: &Path, edge: &str, upstream: &str, holds: bool) -> Connections {
    let edge_url = Url::parse(edge).unwrap();
    let issuer = Arc::new(ArcSwap::from_pointee(Issuer::new(&edge_url, Vec::new()).unwrap()));
    let clock: Arc<dyn Clock> = Arc::new(System);
    let roots = rustls::RootCertStore::empty();
    let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let fetcher = || Arc::new(PublicFetcher::of_named_hosts(&tls, clock.clone(), issuer.clone()));
    let carrier: Arc<dyn Carrier> = Arc::new(ConnectionCarrier::new(fetcher(), fetcher()));
    let carrier = if holds { Arc::new(Holds(carrier)) } else { carrier };
    let connections = Connections::new(Parts {
        store: Arc::new(SharedStore::open(&state.join("portunus.db"))),
        ledger: Arc::new(MemoryLedger::default()),
        clock: clock.clone(),
        rng: Arc::new(System),
        key: SealingKey::load_or_create(&state.join("sealing.key"), &System).unwrap(),
        runtime: Arc::new(TokioRuntime),
        carrier: carrier.clone(),
        sign: Arc::new(|_claims| String::new()),
        public_url: edge.to_owned(),
    });
    connections.replace(vec![Settings {
        server: ServerName::parse("notes").unwrap(),
        title: "Notes".to_owned(),
        upstream: Url::parse(upstream).unwrap(),
        resource: None,
        whose: Whose::User,
        issuer: None,
        scopes: Vec::new(),
        more_scopes: Vec::new(),
        client: None,
        signs: false,
        carrier,
    }]);
    connections
}

/// Brings the answer of the token endpoint as far as this process, and no further.
struct Holds(Arc<dyn Carrier>);

#[async_trait]
impl Carrier for Holds {
    async fn send(&self, request: Outgoing) -> Result<Answered, NoAnswer> {
        let answered = self.0.send(request).await;
        println!("\nanswered: {}", answered.map_or(0, |answered| answered.status));
        std::future::pending().await
    }
}

struct System;

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "a process of its own needs the real time")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(since.as_millis().try_into().unwrap())
    }
}

impl Rng for System {
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).unwrap();
    }
}
