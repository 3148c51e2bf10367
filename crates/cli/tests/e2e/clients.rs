//! Clients that no one here wrote, from the URL alone. `tests/clients/setup.sh` (part of `make test`) installs them; without
//! them these tests fail, unless PORTUNUS_SKIP_CLIENTS says that this is meant.

use crate::app::{App, BINARY};
use std::path::{Path, PathBuf};
use std::process::Command;

#[tokio::test]
async fn the_inspector_uses_a_server_in_both_eras() {
    with_demo("node", "inspector.mjs", &[]).await;
}

#[tokio::test]
async fn the_typescript_sdks_use_a_server() {
    with_demo("node", "sdk.mjs", &[]).await;
}

#[tokio::test]
async fn the_python_sdk_uses_a_server_in_both_eras() {
    with_demo("python", "sdk.py", &[]).await;
}

#[tokio::test]
async fn a_person_signs_in_and_agrees_in_a_browser() {
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    with_demo("node", "browser.mjs", &[("PORTUNUS_SCREENSHOTS", pictures.to_str().unwrap())]).await;
}

/// Runs a browser script of `tests/clients` against an edge; prints what it says, fails when it does.
pub(crate) async fn browse(app: &App, name: &str) {
    let person = app.dir().join("person.json");
    let known = serde_json::json!({ "user": app.person.user, "password": app.person.password, "next": "An own pass phrase, 42" });
    std::fs::write(&person, known.to_string()).unwrap();
    let mut command = Command::new(node());
    command
        .arg(directory().join(name))
        .env("PORTUNUS_URL", &app.url)
        .env("PORTUNUS_PERSON", &person)
        .env("PORTUNUS_SCREENSHOTS", Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots"))
        .env("NODE_EXTRA_CA_CERTS", app.ca_file());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a script of `tests/clients` against a fresh demo; prints what it says, fails when it does.
pub(crate) async fn with_demo(interpreter: &str, name: &str, more: &[(&str, &str)]) {
    if skipped() {
        return;
    }
    let app = App::demo().await;
    let person = app.dir().join("person.json");
    let known = serde_json::json!({ "user": app.person.user, "password": app.person.password, "next": "An own pass phrase, 42" });
    std::fs::write(&person, known.to_string()).unwrap();
    let mut command = Command::new(directory().join(".venv/bin").join(interpreter));
    command
        .arg(directory().join(name))
        .env("PORTUNUS_URL", app.mcp_url("sales"))
        .env("PORTUNUS_PERSON", &person)
        .env("PORTUNUS_NODE", node())
        .env("NODE_EXTRA_CA_CERTS", app.ca_file())
        .env("SSL_CERT_FILE", app.ca_file())
        .envs(more.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.unwrap_or_else(|error| {
        panic!("{interpreter} of tests/clients: {error}; run tests/clients/setup.sh")
    });
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The Python SDK drives `portunus sqlite --stdio`.
pub(crate) fn python(name: &str, arguments: &[&str]) {
    if skipped() {
        return;
    }
    let mut command = Command::new(directory().join(".venv/bin/python"));
    command.arg(directory().join(name)).args(arguments).env("PORTUNUS", BINARY);
    let output = command.output().unwrap_or_else(|error| panic!("{error}; run tests/clients/setup.sh"));
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Checks a document for auditors against its published schema.
pub(crate) fn evidence(arguments: &[&str]) {
    if skipped() {
        return;
    }
    let mut command = Command::new(directory().join(".venv-evidence/bin/python"));
    let output = command.arg(directory().join("evidence.py")).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{error}; run tests/clients/setup.sh"));
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The Node.js that the clients bring, else the machine's.
pub(crate) fn node() -> PathBuf {
    let own = directory().join(".venv/bin/node");
    if own.exists() { own } else { PathBuf::from("node") }
}

pub(crate) fn skipped() -> bool {
    let skip = std::env::var_os("PORTUNUS_SKIP_CLIENTS").is_some();
    if skip {
        println!("SKIPPED: PORTUNUS_SKIP_CLIENTS is set; no foreign client was run");
    }
    skip
}

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients")
}
