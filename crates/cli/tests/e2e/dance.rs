//! Real clients through the whole dance, from the URL alone, in each era that they have: discover, register, sign in, agree,
//! call; refresh when the token has ended; be asked again after the grant was revoked. What they did is what
//! `docs/compatibility.md` says.

use crate::app::{App, BINARY, Connector, free_port, server_at, server_behind_tunnel, until};
use crate::clients::{directory, node, skipped};
use crate::compatibility::{self, Row};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const POLICY: &str = r#"permit (principal, action, resource);"#;
/// Life of an access token, and the time after which it has surely ended.
const LIFE: (&str, u64) = ("8s", 8_500);
const START: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_typescript_sdk_of_the_older_era_dances_through_the_tunnel() {
    dance("dance.mjs", "sdk-v1", "TypeScript SDK v1", "tunnel").await;
}

#[tokio::test]
async fn the_typescript_sdk_dances_through_the_tunnel_in_both_eras() {
    dance("dance.mjs", "sdk-v2", "TypeScript SDK v2", "tunnel").await;
}

#[tokio::test]
async fn the_typescript_sdk_dances_before_an_http_upstream_in_both_eras() {
    dance("dance.mjs", "sdk-v2", "TypeScript SDK v2", "HTTP").await;
}

#[tokio::test]
async fn the_inspector_dances_in_both_eras() {
    dance("dance.mjs", "inspector", "MCP Inspector", "HTTP").await;
}

#[tokio::test]
async fn mcp_remote_dances() {
    dance("dance.mjs", "mcp-remote", "mcp-remote", "tunnel").await;
}

#[tokio::test]
async fn the_python_sdk_dances_through_the_tunnel_in_both_eras() {
    dance("dance.py", "sdk", "Python SDK", "tunnel").await;
}

#[tokio::test]
async fn fastmcp_dances() {
    dance("dance.py", "fastmcp", "fastmcp", "HTTP").await;
}

#[tokio::test]
async fn the_typescript_sdks_step_up_when_a_tool_needs_another_scope() {
    if skipped() {
        return;
    }
    let sql = Sql::start().await;
    let server = format!("{}    scopes: {{ 'tables:list': List the tables }}\n", server_at("shop", &sql.url));
    let policy = format!(
        r#"{POLICY}
        @id("listing") @reason("Listing tables needs the scope tables:list.") @step_up("scope tables:list")
        forbid (principal, action == Action::"shop/list_tables", resource)
        unless {{ context.scopes.contains("tables:list") }};"#
    );
    let app = App::serve(&server, &policy).await;
    for client in ["step-up-v1", "step-up-v2"] {
        run(&app, "dance.mjs", client, "shop").await;
    }
    let records = app.records();
    let refused = records.iter().filter(|record| record.to_string().contains("\"listing\"")).count();
    assert_eq!(refused, 2, "each step-up was one refusal");
}

#[test]
fn every_row_of_the_matrix_belongs_to_a_client_that_still_dances() {
    let dancing =
        ["TypeScript SDK v1", "TypeScript SDK v2", "MCP Inspector", "mcp-remote", "Python SDK", "fastmcp"];
    compatibility::check_clients(&dancing);
}

/// Dances, and holds the matrix against what was danced.
async fn dance(script: &str, client: &str, name: &str, upstream: &str) {
    if skipped() {
        return;
    }
    let sql = Sql::start().await;
    let tunnelled = upstream == "tunnel";
    let server = if tunnelled { server_behind_tunnel("shop") } else { server_at("shop", &sql.url) };
    let short_lived =
        |_: &Path, configuration: String| format!("tokens: {{ access: {} }}\n{configuration}", LIFE.0);
    let app = App::serve_as(&server, POLICY, short_lived, &[]).await;
    let _connector = tunnelled.then(|| Connector::to(&app, "shop", &sql.url, "shop"));
    if tunnelled {
        let token = app.token("shop");
        let call = || async {
            let call = crate::http::call(&app.mcp_url("shop"), &token, "list_tables", &serde_json::json!({}));
            let reply = app.http().send(call).await.ok()?;
            (reply.json()["result"].is_object()).then_some(())
        };
        until("the connector serves", START, call).await;
    }
    let said = run(&app, script, client, "shop").await;
    let rows: Vec<Row> = said
        .lines()
        .filter_map(|line| line.strip_prefix("ROW "))
        .map(|row| Row::of(&serde_json::from_str(row).unwrap(), upstream))
        .collect();
    assert!(!rows.is_empty(), "{said}");
    compatibility::check(name, upstream, &rows);
}

/// Runs a script of `tests/clients` to its good end; what it printed.
async fn run(app: &App, script: &str, client: &str, server: &str) -> String {
    let person = app.dir().join("person.json");
    if !person.exists() {
        let known = serde_json::json!({ "user": app.person.user, "password": app.person.password, "next": "An own pass phrase, 42" });
        std::fs::write(&person, known.to_string()).unwrap();
    }
    let revoke = [BINARY, "kill", "--all", "--state", app.state().to_str().unwrap()].map(str::to_owned);
    let interpreter = if script.ends_with(".py") { directory().join(".venv/bin/python") } else { node() };
    let mut command = Command::new(interpreter);
    command
        .arg(directory().join(script))
        .arg(client)
        .env("PORTUNUS_URL", app.mcp_url(server))
        .env("PORTUNUS_PERSON", &person)
        .env("PORTUNUS_NODE", node())
        .env("PORTUNUS_TOOL", "list_tables")
        .env("PORTUNUS_WAIT_MS", LIFE.1.to_string())
        .env("PORTUNUS_REVOKE", serde_json::json!(revoke).to_string())
        .env("NODE_EXTRA_CA_CERTS", app.ca_file())
        .env("SSL_CERT_FILE", app.ca_file());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    assert!(output.status.success(), "{script} {client}: {}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The built-in SQL server on a port of its own, over an empty database; killed when dropped.
struct Sql {
    child: Child,
    url: String,
    _directory: tempfile::TempDir,
}

impl Sql {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("shop.db");
        std::fs::write(&file, b"").unwrap();
        let port = free_port();
        let child = Command::new(BINARY)
            .args(["sqlite", file.to_str().unwrap(), "--listen", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let sql = Self { child, url: format!("http://127.0.0.1:{port}/mcp"), _directory: directory };
        let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok();
        until("the SQL server listens", START, listens).await;
        sql
    }
}

impl Drop for Sql {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
