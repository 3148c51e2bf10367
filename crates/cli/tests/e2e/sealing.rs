//! The sealing key: changed while the edge serves, kept by real key services; and secrets that are found nowhere.

mod canary;
mod rewrap;
mod services;

use crate::app::{App, BINARY};
use crate::http::{Reply, call};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

/// Adds a credential for the server `wiki`, or a new version of it.
fn add(app: &App, name: &str, host: &str, secret: &str, more: &[&str]) {
    add_for(app, "wiki", name, host, secret, more);
}

fn add_for(app: &App, server: &str, name: &str, host: &str, secret: &str, more: &[&str]) {
    let mut command = Command::new(BINARY);
    command.args(["cred", "add", name, "--server", server, "--host", host]);
    command.args(["--owner", "ana@example.com", "--purpose", "tests", "--expires", "90d"]).args(more);
    command.env("PORTUNUS_STATE", app.state()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn echo(app: &App, token: &str) -> Reply {
    app.http().send(call(&app.mcp_url("wiki"), token, "echo", &json!({ "text": "hello" }))).await.unwrap()
}

fn status(app: &App) -> Value {
    app.admin(&["cred", "rewrap", "--status", "--json"])
}
