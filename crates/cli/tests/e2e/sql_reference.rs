//! SQL servers that no one here wrote and that check next to nothing, behind the edge: what comes through their tools
//! changes nothing, and analysis works. The statements are those of `tests/sql`.

mod corpus;
mod postgres;
mod sqlite;

use crate::app::App;
use crate::http::Reply;
use crate::upstreams::Caller;
use corpus::Statement;
use serde_json::{Value, json};

/// The refusal of a policy.
const REFUSED: i64 = -32010;

/// The server `guarded` may be read only, whatever its tools allow; `open` is the same program without a guard, to show
/// what that would mean.
const POLICY: &str = r#"
permit (principal, action, resource == Server::"guarded");
@id("reading-only")
@reason("Only queries that read are allowed.")
forbid (principal, action in Action::"call", resource == Server::"guarded")
when { context has sql && !context.sql.read_only };
permit (principal, action, resource == Server::"open");
"#;

/// An edge with both servers, and a session at each.
struct Stage {
    app: App,
    guarded: Caller,
    open: Caller,
}

impl Stage {
    /// `command` is the program of both servers, `tools` says what its tools do.
    async fn set(command: &[String], tools: &str) -> Self {
        let server = |name| {
            format!(
                "  - name: {name}\n    owner: ana@example.com\n    purpose: Tests\n    environment: test\n    actors: [autonomous]\n    \
                 upstream: {{ command: {command:?} }}\n    credential: none\n    tools: {tools}\n"
            )
        };
        let app = App::serve(&(server("guarded") + &server("open")), POLICY).await;
        let (guarded, open) = (caller(&app, "guarded").await, caller(&app, "open").await);
        Self { app, guarded, open }
    }
}

async fn caller(app: &App, server: &str) -> Caller {
    let (http, url) = (app.http(), app.mcp_url(server));
    let mut caller = Caller { http, url, port: app.port, token: app.token(server), session: String::new() };
    caller.begin(&json!({})).await;
    let listed = caller.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" })).await;
    assert!(listed.json()["result"]["tools"].is_array(), "{server}: {}", listed.text());
    caller
}

/// What came of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// The edge refused it.
    Refused,
    /// It reached the server, which answered so.
    Answered { failed: bool, text: String },
}

async fn ask(caller: &Caller, tool: &str, argument: &str, sql: &str) -> Outcome {
    outcome(sql, &caller.call(tool, &json!({ argument: sql })).await)
}

fn outcome(what: &str, reply: &Reply) -> Outcome {
    let answer: Value = reply.json();
    if answer["error"]["code"] == REFUSED {
        return Outcome::Refused;
    }
    // Some servers tell of an error in the text of a result, some by an error of the protocol.
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
    let failed = answer["error"].is_object()
        || answer["result"]["isError"] == true
        || text.starts_with("Database error:")
        || text.starts_with("Error:");
    let protocol = answer["error"]["code"].as_i64().is_none_or(|code| code == -32603 || code == -32602);
    assert!(reply.status == 200 && protocol, "{what}: {} {}", reply.status, reply.text());
    let text = if text.is_empty() { answer["error"]["message"].to_string() } else { text };
    Outcome::Answered { failed, text }
}

/// What was counted, and the names of what was not as it should be.
#[derive(Debug, Default)]
struct Tally {
    asked: usize,
    refused: Vec<String>,
    passed: Vec<String>,
    failed: Vec<String>,
}

impl Tally {
    fn count(&mut self, statement: &Statement, outcome: Outcome) {
        self.asked += 1;
        let name = statement.name.clone();
        match outcome {
            Outcome::Refused => self.refused.push(name),
            Outcome::Answered { failed: true, text } => self.failed.push(format!("{name}: {text}")),
            Outcome::Answered { failed: false, .. } => self.passed.push(name),
        }
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: {} asked, {} refused, {} answered, {} failed at the server",
            self.asked,
            self.refused.len(),
            self.passed.len(),
            self.failed.len()
        );
    }
}
