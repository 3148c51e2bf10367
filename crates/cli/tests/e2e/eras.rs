//! A client of one protocol era in front of a server of the other, through the edge; both made by others: the TypeScript SDK
//! v1 (legacy) and v2 (modern), the Python SDK, the Inspector. The scripts are in `tests/clients/eras`.

use crate::app::{App, server_at, until};
use crate::clients::{directory, node, skipped};
use crate::http::Http;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn policy(name: &str) -> String {
    format!(
        "permit (principal, action, resource);\n\
         forbid (principal, action == Action::\"{name}/forbidden\", resource);\n"
    )
}

/// A server of one era, made with the SDK of that era.
struct Foreign {
    child: Child,
    base: String,
}

impl Foreign {
    fn start(script: &str, words: &[&str]) -> Self {
        let mut command = Command::new(node());
        command.arg(directory().join("eras").join(script)).args(words).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().unwrap_or_else(|_| panic!("{script} printed {line:?}"));
        Self { child, base: format!("http://127.0.0.1:{port}") }
    }
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a client against the server `name`; what it prints must be what it did.
async fn run(app: &App, name: &str, foreign: &Foreign, mut command: Command) -> String {
    command
        .env("PORTUNUS_URL", app.mcp_url(name))
        .env("PORTUNUS_TOKEN", app.token(name))
        .env("PORTUNUS_JOURNAL", foreign.at("/journal"))
        .env("NODE_EXTRA_CA_CERTS", app.ca_file())
        .env("SSL_CERT_FILE", app.ca_file());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{printed}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    printed
}

/// The TypeScript SDK of this era does these things.
async fn typescript(app: &App, name: &str, foreign: &Foreign, era: &str, parts: &[&str]) {
    let mut command = Command::new(node());
    command.arg(directory().join("eras/client.mjs")).arg(era).args(parts);
    run(app, name, foreign, command).await;
}

/// The Python SDK, which speaks both eras.
async fn python(app: &App, name: &str, foreign: &Foreign, mode: &str) {
    let mut command = Command::new(directory().join(".venv/bin/python"));
    command.arg(directory().join("eras/client.py")).arg(mode);
    run(app, name, foreign, command).await;
}

/// The Inspector's command line calls `add`.
async fn inspector(app: &App, name: &str, foreign: &Foreign, era: &str) {
    let launcher = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js";
    let mut command = Command::new(node());
    command.arg(directory().join(launcher)).args(["--cli", &app.mcp_url(name), "--transport", "http"]);
    command.args(["--protocol-era", era, "--format", "json"]);
    command.args(["--header", &format!("Authorization: Bearer {}", app.token(name))]);
    command.args(["--method", "tools/call", "--tool-name", "add", "--tool-args-json", r#"{"a":40,"b":2}"#]);
    command.env("HOME", app.dir()).env("MCP_STORAGE_DIR", app.dir().join("inspector")).env("NO_COLOR", "1");
    let printed = run(app, name, foreign, command).await;
    assert!(printed.contains("\"42\""), "{printed}");
}

#[tokio::test]
async fn modern_clients_use_a_legacy_server() {
    if skipped() {
        return;
    }
    let old = Foreign::start("legacy-server.mjs", &["streamable"]);
    let app = App::serve(&server_at("old", &old.at("/mcp")), &policy("old")).await;
    let parts = [
        "basics",
        "progress",
        "cancellation",
        "elicitation",
        "elicitation_aside",
        "declined",
        "subscription",
        "unsubscribed",
        "forgotten",
    ];
    typescript(&app, "old", &old, "modern", &parts).await;
    python(&app, "old", &old, "auto").await;
    inspector(&app, "old", &old, "modern").await;
    // The same server at the same time, without any translation.
    typescript(&app, "old", &old, "legacy", &["basics", "progress", "elicitation", "ended"]).await;
}

#[tokio::test]
async fn legacy_clients_use_a_modern_server() {
    if skipped() {
        return;
    }
    let new = Foreign::start("modern-server.mjs", &[]);
    let app = App::serve(&server_at("new", &new.at("/mcp")), &policy("new")).await;
    let parts = ["basics", "progress", "cancellation", "elicitation", "declined", "subscription", "ended"];
    typescript(&app, "new", &new, "legacy", &parts).await;
    python(&app, "new", &new, "legacy").await;
    inspector(&app, "new", &new, "legacy").await;
    typescript(&app, "new", &new, "modern", &["basics", "progress", "elicitation"]).await;
}

#[tokio::test]
async fn clients_of_both_eras_use_a_server_of_the_old_http_sse_transport() {
    if skipped() {
        return;
    }
    let old = Foreign::start("legacy-server.mjs", &["sse"]);
    let app = App::serve(&server_at("old", &old.at("/sse")), &policy("old")).await;
    let parts = [
        "basics",
        "progress",
        "cancellation",
        "elicitation",
        "elicitation_aside",
        "subscription",
        "unsubscribed",
    ];
    typescript(&app, "old", &old, "modern", &parts).await;
    typescript(&app, "old", &old, "legacy", &[&parts[..], &["ended"]].concat()).await;
    python(&app, "old", &old, "legacy").await;
}

#[tokio::test]
async fn a_revoked_grant_ends_its_session_with_a_legacy_server() {
    if skipped() {
        return;
    }
    let old = Foreign::start("legacy-server.mjs", &["streamable"]);
    let app = App::serve(&server_at("old", &old.at("/mcp")), &policy("old")).await;
    typescript(&app, "old", &old, "modern", &["basics"]).await;
    let grants = app.admin(&["grant", "list", "--json"]);
    for grant in grants["grants"].as_array().unwrap() {
        app.admin(&["grant", "revoke", grant["id"].as_str().unwrap(), "--json"]);
    }
    until("the session is ended upstream", Duration::from_secs(20), || async {
        let journal = Http::plain().get(&old.at("/journal")).await.ok()?;
        journal.text().contains("session ended").then_some(())
    })
    .await;
}
