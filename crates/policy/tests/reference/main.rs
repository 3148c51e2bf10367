//! Random policies and requests: what the engine decides from its slice of the policies, the prepared entities and the part
//! of the context that is looked at, is what the reference engine (`@cedar-policy/cedar-wasm` in Node.js) decides from all
//! policies, all entities and the whole context, by the rule that a policy that fails refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod generate;
mod world;

use generate::{Dice, policy};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use world::{Asked, World};

/// Cases in the normal run; `PORTUNUS_REFERENCE_CASES` asks for others.
const CASES: usize = 2_000;
/// Policies of a world, and requests to it.
const POLICIES: u64 = 14;
const REQUESTS: usize = 100;

#[derive(Debug, Deserialize)]
struct Answer {
    allow: bool,
    reasons: Vec<String>,
    failed: Vec<String>,
}

impl Answer {
    /// By Portunus' rule.
    fn permits(&self) -> bool {
        self.allow && self.failed.is_empty()
    }
}

#[test]
fn decisions_are_those_of_the_reference_engine() {
    if std::env::var_os("PORTUNUS_SKIP_CLIENTS").is_some() {
        eprintln!("skipped: PORTUNUS_SKIP_CLIENTS");
        return;
    }
    let cases = std::env::var("PORTUNUS_REFERENCE_CASES").ok().map_or(CASES, |text| text.parse().unwrap());
    let seed = std::env::var("PORTUNUS_REFERENCE_SEED").ok().map_or(20_261_123, |text| text.parse().unwrap());
    let mut dice = Dice::new(seed);
    let mut reference = Reference::start();
    let mut seen = Seen::default();
    while seen.cases < cases {
        let Some(world) = World::new(&mut dice, |dice| (0..POLICIES).map(|_| policy(dice)).collect()) else {
            seen.unloadable += 1;
            assert!(
                seen.unloadable < 200 + seen.cases,
                "most worlds do not load: {}",
                generate::last_problem()
            );
            continue;
        };
        let asked: Vec<Asked> = (0..REQUESTS).map(|_| Asked::new(&mut dice, &world)).collect();
        for (asked, answer) in asked.iter().zip(reference.ask(&world, &asked)) {
            let ours = world.permits(asked);
            assert_eq!(
                ours,
                answer.permits(),
                "seed {seed}, case {}: ours {ours}, the reference {answer:?}\n{asked:#?}\n{}",
                seen.cases,
                world.text()
            );
            seen.count(&answer);
        }
    }
    println!("{seen:?}");
    // A generator whose requests all come out alike would test nothing.
    for share in [seen.permitted, seen.forbidden, seen.nothing, seen.failed] {
        assert!(share * 200 > seen.cases, "too few of one kind: {seen:?}");
    }
}

/// What the cases were.
#[derive(Debug, Default)]
struct Seen {
    cases: usize,
    permitted: usize,
    /// Refused by a forbid.
    forbidden: usize,
    /// Refused because nothing permits it.
    nothing: usize,
    /// Refused because a policy fails.
    failed: usize,
    unloadable: usize,
}

impl Seen {
    fn count(&mut self, answer: &Answer) {
        self.cases += 1;
        if !answer.failed.is_empty() {
            self.failed += 1;
        } else if answer.allow {
            self.permitted += 1;
        } else if answer.reasons.is_empty() {
            self.nothing += 1;
        } else {
            self.forbidden += 1;
        }
    }
}

/// The reference engine, as a child process.
struct Reference {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Reference {
    fn start() -> Self {
        let clients: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients");
        let mut command = Command::new(clients.join(".venv/bin/node"));
        command.arg(clients.join("cedar-reference.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("node of tests/clients: {error}; run tests/clients/setup.sh, or set PORTUNUS_SKIP_CLIENTS")
        });
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn ask(&mut self, world: &World, asked: &[Asked]) -> Vec<Answer> {
        let requests: Vec<Value> = asked.iter().map(|asked| world.request(asked)).collect();
        let line = json!({ "policies": world.policies(), "requests": requests });
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
