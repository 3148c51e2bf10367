//! The protocol's own conformance suite against a reference server: directly, and through edge and tunnel. Every check of
//! every scenario must end the same way, so that a client cannot tell that Portunus is there.

use crate::app::{App, Connector, free_port, server_behind_tunnel, until};
use crate::clients::{directory, node, skipped, with_demo};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
/// What the suite puts behind the name of a directory of results.
const TIME: &str = "-2026-01-01T00-00-00-000Z";
const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];

/// Everything that the scenarios do, what comes back from clients included.
const POLICY: &str = r#"@id("conformance") permit (principal, action, resource);"#;

/// The checks of each scenario, sorted by how they ended.
type Results = BTreeMap<String, Vec<Check>>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Check {
    status: String,
    id: String,
}

impl Check {
    fn read(check: &Value) -> Self {
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        if text("status") == "FAILURE" {
            println!("    {} failed: {}", text("id"), text("errorMessage"));
        }
        Self { status: text("status"), id: text("id") }
    }
}

/// The reference server; killed when dropped. PORTUNUS_CONFORMANCE_SERVER names another one that already runs.
struct Reference {
    child: Option<Child>,
    url: String,
}

impl Reference {
    async fn start() -> Self {
        if let Ok(url) = std::env::var("PORTUNUS_CONFORMANCE_SERVER") {
            return Self { child: None, url };
        }
        let port = free_port();
        let mut command = Command::new(directory().join(".venv/bin/python"));
        command.arg(directory().join("reference.py")).arg(port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{error}; run tests/clients/setup.sh"));
        let address = ("127.0.0.1", port);
        until("the reference server listens", SOON, || async move {
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        Self { child: Some(child), url: format!("http://127.0.0.1:{port}/mcp") }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[tokio::test]
async fn every_conformance_check_ends_the_same_directly_and_through_edge_and_tunnel() {
    if skipped() {
        return;
    }
    let reference = Reference::start().await;
    // The suite calls tools that the reference server does not list, which pins refuse.
    let server = format!("{}    pinned: false\n", server_behind_tunnel("harbour"));
    let app = App::serve(&server, POLICY).await;
    let _connector = Connector::to(&app, "harbour", &reference.url, "one");
    let (http, url, token) = (app.http(), app.mcp_url("harbour"), app.token("harbour"));
    until("the tunnel is up", SOON, || async {
        let reply =
            http.send(crate::http::call(&url, &token, "test_simple_text", &serde_json::json!({}))).await;
        reply.ok().filter(|reply| reply.error_code().is_none_or(|code| code != -32012))
    })
    .await;

    allow_origin(&app, &url).await;

    let mut differences = Vec::new();
    for revision in REVISIONS {
        let direct = run(app.dir(), &reference.url, revision, &[]).await;
        let environment = [
            ("AUTHORIZED_ORIGIN", app.url.clone()),
            ("AUTHORIZED_TOKEN", token.clone()),
            ("NODE_EXTRA_CA_CERTS", app.ca_file().to_str().unwrap().to_owned()),
        ];
        let through = run(app.dir(), &url, revision, &environment).await;
        compare(revision, &direct, &through, &mut differences);
    }
    assert!(differences.is_empty(), "through the edge it is not the same:\n{}", differences.join("\n"));
}

#[tokio::test]
async fn the_suite_finds_nothing_wrong_with_the_issuer() {
    with_demo("node", "issuer.mjs", &[]).await;
}

/// The suite takes the plain-text origin of a URL on localhost for a good one, as it is for the servers it knows; behind
/// the edge that is a foreign one, which the configuration must name.
async fn allow_origin(app: &App, url: &str) {
    let origin = format!("http://localhost:{}", app.port);
    let config = std::fs::read_to_string(app.config_file()).unwrap();
    std::fs::write(app.config_file(), format!("{config}allowed_origins: [{origin:?}]\n")).unwrap();
    let http = app.http();
    until("the configuration is reloaded", SOON, || async {
        let asked = http::Request::options(url)
            .header("origin", &origin)
            .header("access-control-request-method", "POST")
            .body(bytes::Bytes::new());
        let reply = http.send(asked.unwrap()).await.ok()?;
        (reply.headers.get("access-control-allow-origin")? == origin.as_str()).then_some(())
    })
    .await;
}

/// Prints both columns, and notes every scenario whose checks did not end the same way.
fn compare(revision: &str, direct: &Results, through: &Results, differences: &mut Vec<String>) {
    let count = |checks: &[Check], status: &str| checks.iter().filter(|check| check.status == status).count();
    let counts = |checks: &[Check]| format!("{}/{}", count(checks, "SUCCESS"), count(checks, "FAILURE"));
    let whole = |results: &Results| counts(&results.values().flatten().cloned().collect::<Vec<_>>());
    println!("{revision:<48} direct  through  (passed/failed)");
    for (scenario, checks) in direct {
        let other = through.get(scenario).map_or(&[][..], Vec::as_slice);
        println!("  {scenario:<46} {:>6}  {:>6}", counts(checks), counts(other));
        if checks != other {
            let only = |a: &[Check], b: &[Check]| {
                let lost = a.iter().filter(|check| !b.contains(check));
                lost.map(|check| format!("{} {}", check.status, check.id)).collect::<Vec<_>>().join(", ")
            };
            differences.push(format!(
                "{revision} {scenario}: directly [{}], through the edge [{}]",
                only(checks, other),
                only(other, checks)
            ));
        }
    }
    println!("  {:<46} {:>6}  {:>6}\n", "all", whole(direct), whole(through));
    // A suite that ran nothing would be the same everywhere.
    let passed = direct.values().flatten().filter(|check| check.status == "SUCCESS").count();
    assert!(passed >= 80, "the reference server passed {passed} checks of {revision} only");
    for scenario in through.keys().filter(|scenario| !direct.contains_key(*scenario)) {
        differences.push(format!("{revision} {scenario}: only through the edge"));
    }
}

/// Runs a revision's scenarios against a server; the suite's own exit code only tells that something failed.
async fn run(dir: &Path, url: &str, revision: &str, environment: &[(&str, String)]) -> Results {
    let out = dir.join(format!("conformance-{}", free_port()));
    let mut command = Command::new(node());
    if !environment.is_empty() {
        command.arg("--require").arg(directory().join("authorized.cjs"));
    }
    command.arg(directory().join("node_modules/@modelcontextprotocol/conformance/dist/index.js"));
    command.args(["server", "--url", url, "--requirements", revision, "--output-dir"]).arg(&out);
    command.envs(environment.iter().map(|(name, value)| (*name, value))).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    read(&out, &output)
}

/// The `checks.json` of each scenario, in directories `server-SCENARIO-TIME`.
fn read(out: &Path, output: &Output) -> Results {
    let said =
        || String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let directories = std::fs::read_dir(out).unwrap_or_else(|error| panic!("{error}: {}", said()));
    let mut results = Results::new();
    for directory in directories.map(Result::unwrap) {
        let name = directory.file_name().into_string().unwrap();
        let scenario = &name["server-".len()..name.len() - TIME.len()];
        let checks: Value =
            serde_json::from_slice(&std::fs::read(directory.path().join("checks.json")).unwrap()).unwrap();
        let mut checks: Vec<Check> = checks.as_array().unwrap().iter().map(Check::read).collect();
        checks.sort();
        results.insert(scenario.to_owned(), checks);
    }
    results
}
