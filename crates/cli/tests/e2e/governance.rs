//! Identities that are no people: what there is, who used it, what is wrong with it, who says that it may stay.

use crate::app::{App, BINARY, server_with, until};
use crate::bad_input::PERMIT_ALL;
use crate::http::call;
use crate::upstream::Upstream;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const CANARY: &str = "canary-0c71-governed-secret";

async fn stage() -> (App, Upstream) {
    let upstream = Upstream::start().await;
    let server = server_with("wiki", &format!("url: {:?}", upstream.url), "wiki-token");
    let app = App::serve(&server, PERMIT_ALL).await;
    (app, upstream)
}

fn add(app: &App, words: &[&str]) -> Output {
    add_secret(app, words, CANARY)
}

fn add_secret(app: &App, words: &[&str], secret: &str) -> Output {
    let mut command = Command::new(BINARY);
    command.args(["cred", "add"]).args(words).env("PORTUNUS_STATE", app.state());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn add_good(app: &App, upstream: &Upstream, name: &str) {
    let host = upstream.host();
    let words = [
        name,
        "--server",
        "wiki",
        "--host",
        &host,
        "--owner",
        "ana",
        "--purpose",
        "reads the wiki",
        "--expires",
        "30d",
        "--environment",
        "test",
        "--vendor",
        "acme",
        "--scope",
        "read",
    ];
    let output = add(app, &words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn text(app: &App, words: &[&str]) -> String {
    let output = app.command(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_inventory_knows_every_identity_and_who_used_it() {
    let (app, upstream) = stage().await;
    add_good(&app, &upstream, "wiki-token");
    let token = app.token("wiki");
    let request = call(&app.mcp_url("wiki"), &token, "echo", &json!({ "text": "hello" }));
    assert_eq!(app.http().send(request).await.unwrap().error_code(), None);

    let used = || async {
        let shown = app.admin(&["cred", "show", "wiki-token", "--json"]);
        let used = shown["last_used"]["tool"] == "echo";
        used.then_some(shown)
    };
    let shown = until("the use is written down", Duration::from_secs(10), used).await;
    assert!(shown["uses"].as_u64() >= Some(1), "{shown}");
    assert_eq!(shown["last_used"]["version"], 1);
    assert_eq!(shown["breaks"]["servers"], json!(["wiki"]));
    assert_eq!(shown["breaks"]["tools"], json!(["wiki/echo"]));
    assert_eq!(shown["versions"][0]["fingerprint"].as_str().unwrap().len(), 32);

    let listed = app.admin(&["cred", "list", "--json"]);
    let ids: Vec<&str> =
        listed["identities"].as_array().unwrap().iter().filter_map(|row| row["id"].as_str()).collect();
    for wanted in [
        "credential:wiki-token",
        "key:sealing",
        "key:assertion-signing",
        "key:ledger-signing",
        "certificate:https",
    ] {
        assert!(ids.contains(&wanted), "{wanted} in {ids:?}");
    }

    let report = app.admin(&["cred", "report", "--json"]);
    assert_eq!(report["visibility"]["all"].as_u64(), Some(ids.len() as u64), "{report}");
    let rules: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["identity"] == "credential:wiki-token")
        .map(|finding| finding["rule"].as_str().unwrap())
        .collect();
    assert_eq!(rules, ["never_tested", "static_secret"]);
    let reached = app.admin(&["cred", "reach", "--credential", "wiki-token", "--json"]);
    assert_eq!(reached["used"], json!(["wiki/echo"]), "{reached}");
    let policy = text(&app, &["cred", "propose", "--days", "1"]);
    assert!(policy.contains("wiki/echo"), "{policy}");
    for words in [
        &["cred", "list"][..],
        &["cred", "show", "wiki-token"],
        &["cred", "report"],
        &["cred", "report", "--format", "csv"],
        &["cred", "report", "--format", "findings"],
        &["cred", "report", "--format", "ocsf"],
        &["cred", "report", "--format", "cyclonedx"],
    ] {
        let told = text(&app, words);
        assert!(told.contains("wiki-token") && !told.contains(CANARY), "{words:?}: {told}");
    }
}

#[tokio::test]
async fn a_binding_changes_and_the_secret_goes_to_the_new_place_only() {
    let (app, upstream) = stage().await;
    add_good(&app, &upstream, "wiki-token");
    let token = app.token("wiki");
    let call = || async {
        let request = call(&app.mcp_url("wiki"), &token, "echo", &json!({ "text": "hello" }));
        app.http().send(request).await.unwrap()
    };
    app.admin(&["cred", "bind", "wiki-token", "--host", "elsewhere.example.com", "--owner", "bo", "--json"]);
    assert_eq!(call().await.error_code(), Some(-32012), "it is for another host now");
    assert!(upstream.calls().is_empty());
    app.admin(&["cred", "bind", "wiki-token", "--host", &upstream.host(), "--json"]);
    assert_eq!(call().await.error_code(), None);
    assert_eq!(upstream.calls()[0].headers["authorization"], format!("Bearer {CANARY}"));
    let shown = app.admin(&["cred", "show", "wiki-token", "--json"]);
    assert_eq!((shown["owner"].as_str(), shown["version"].as_u64()), (Some("bo"), Some(1)));

    app.admin(&["cred", "disable", "wiki-token", "--why", "it leaked", "--json"]);
    let refused = call().await;
    assert_eq!(refused.error_code(), Some(-32012));
    app.admin(&["cred", "enable", "wiki-token", "--json"]);
    assert_eq!(call().await.error_code(), None);
}

// The upstream must answer while a command waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_secret_is_tried_and_what_was_seen_is_said() {
    let (app, upstream) = stage().await;
    add_good(&app, &upstream, "wiki-token");
    // This upstream lets everybody in, so nothing can be said about a secret.
    let open = app.admin(&["cred", "revoke", "wiki-token", "--json"]);
    assert_eq!(open["tested"]["outcome"], "unverifiable", "{open}");
    assert!(open["tested"]["detail"].as_str().unwrap().contains("without"), "{open}");

    add_good(&app, &upstream, "wiki-two");
    upstream.demand(&format!("Bearer {CANARY}"));
    let alive = app.command(&["cred", "revoke", "wiki-two", "--json"]);
    assert_eq!(alive.status.code(), Some(1), "a secret that still works is a failure");
    let told = String::from_utf8_lossy(&alive.stdout).into_owned();
    assert!(told.contains("\"alive\"") && !told.contains(CANARY), "{told}");

    // Its upstream ends it: revoking it again tries it again.
    upstream.demand("Bearer something-else");
    let dead = app.admin(&["kill", "--vendor", "acme", "--json"]);
    for credential in dead["credentials"].as_array().unwrap() {
        assert_eq!(credential["tested"]["outcome"], "dead", "{dead}");
    }
    let actions: Vec<_> =
        app.records().iter().filter_map(|record| record["action"].as_str().map(str::to_owned)).collect();
    assert!(actions.iter().any(|action| action == "credential.ended"), "{actions:?}");
    assert_eq!(app.command(&["kill", "--vendor", "nobody"]).status.code(), Some(1));
}

// The upstream must answer while a command waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_replaced_by_hand_is_told_of_until_it_is_dead() {
    let (app, upstream) = stage().await;
    add_good(&app, &upstream, "wiki-token");
    upstream.demand(&format!("Bearer {CANARY}"));
    let host = upstream.host();
    let words =
        ["wiki-token", "--server", "wiki", "--host", &host, "--owner", "ana", "--purpose", "reads the wiki"];
    let replace = [&words[..], &["--expires", "30d", "--replace"]].concat();
    let replaced = add_secret(&app, &replace, "another-secret");
    let told = String::from_utf8(replaced.stdout).unwrap();
    assert!(told.contains("version 2") && told.contains("is alive at its upstream"), "{told}");
    let undead = || {
        let report = app.admin(&["cred", "report", "--json"]);
        let rules = report["findings"].as_array().unwrap().clone();
        rules.into_iter().find(|finding| finding["rule"] == "not_dead")
    };
    let finding = undead().expect("a finding");
    assert_eq!(
        (&finding["identity"], &finding["severity"]),
        (&json!("credential:wiki-token"), &json!("critical"))
    );
    // A second replacement tries what is not proven dead as well; the first has died by now.
    upstream.demand("Bearer another-secret");
    let replaced = add_secret(&app, &[&replace[..], &["--json"]].concat(), "a-third-secret");
    let answer: Value = serde_json::from_slice(&replaced.stdout).unwrap();
    assert_eq!(
        (&answer["replaced"]["outcome"], &answer["replaced"]["version"]),
        (&json!("alive"), &json!(2))
    );
    let versions = answer["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 3);
    // Revoked while its upstream takes none of them.
    upstream.demand("Bearer nothing");
    let revoked = app.admin(&["cred", "revoke", "wiki-token", "--json"]);
    assert_eq!(revoked["tested"]["outcome"], "dead", "{revoked}");
    assert_eq!(undead(), None);
    let shown = app.admin(&["cred", "show", "wiki-token", "--json"]);
    for version in shown["versions"].as_array().unwrap() {
        assert_eq!(version["seen"]["outcome"], "dead", "{shown}");
    }
}

#[tokio::test]
async fn a_killed_tool_is_refused_at_once_and_others_go_on() {
    let (app, upstream) = stage().await;
    add_good(&app, &upstream, "wiki-token");
    let token = app.token("wiki");
    let call = || async {
        let request = call(&app.mcp_url("wiki"), &token, "echo", &json!({ "text": "hello" }));
        app.http().send(request).await.unwrap()
    };
    assert_eq!(call().await.error_code(), None);
    app.admin(&["kill", "--tool", "wiki/echo", "--json"]);
    assert_ne!(call().await.error_code(), None, "it is hidden and refused");
}

#[tokio::test]
async fn a_review_has_another_reviewer_than_the_owner() {
    let (app, upstream) = stage().await;
    add_good(&app, &upstream, "wiki-token");
    app.admin(&["user", "add", "bo", "--json"]);
    let own = app.command(&["cred", "review", "open", "q1", "--reviewer", "ana"]);
    assert_eq!(own.status.code(), Some(1), "the owner alone");
    let stranger = app.command(&["cred", "review", "open", "q1", "--reviewer", "nobody"]);
    assert_eq!(stranger.status.code(), Some(1));
    let opened =
        app.admin(&["cred", "review", "open", "q1", "--reviewer", "ana", "--reviewer", "bo", "--json"]);
    let reviews: Vec<&Value> = opened["reviews"].as_array().unwrap().iter().collect();
    assert_eq!(reviews.len(), 1, "{opened}");
    assert_eq!(reviews[0]["reviewer"], "bo");
    let again = app.command(&["cred", "review", "open", "q1", "--reviewer", "bo"]);
    assert_eq!(again.status.code(), Some(1), "the name is taken");
    assert!(text(&app, &["cred", "review", "list"]).contains("credential:wiki-token"));
}

/// A secret that somebody sends in a call is refused and a finding at once: as nobody's, and as that of the credential that
/// holds it once it is registered.
#[tokio::test]
async fn a_secret_in_traffic_is_refused_and_found_within_seconds() {
    const TOKEN: &str = "ghp_0123456789abcdefghij0123456789abcdef";
    let (app, upstream) = stage().await;
    add_good(&app, &upstream, "wiki-token");
    let token = app.token("wiki");
    let request = call(&app.mcp_url("wiki"), &token, "echo", &json!({ "text": format!("use {TOKEN}") }));
    let answer = app.http().send(request).await.unwrap();
    assert_eq!(answer.error_code(), Some(-32010));
    let unknown = call(&app.mcp_url("wiki"), &token, "backdoor", &json!({}));
    assert_eq!(app.http().send(unknown).await.unwrap().error_code(), Some(-32010));

    let rules = |report: &Value, wanted: &str| -> Vec<String> {
        let findings = report["findings"].as_array().unwrap().iter();
        let found = findings.filter(|finding| finding["rule"] == wanted);
        found.map(|finding| finding["identity"].as_str().unwrap().to_owned()).collect()
    };
    let found = || async {
        let report = app.admin(&["cred", "report", "--json"]);
        (rules(&report, "unregistered").len() == 2).then_some(report)
    };
    let report = until("both are findings", Duration::from_secs(5), found).await;
    let unregistered = rules(&report, "unregistered");
    assert!(unregistered.iter().any(|id| id.starts_with("observed:")), "{report}");
    assert!(unregistered.contains(&"tool:wiki/backdoor".to_owned()), "{report}");
    assert!(!report.to_string().contains("ghp_"), "{report}");

    let mut command = Command::new(BINARY);
    let host = upstream.host();
    let words =
        ["cred", "add", "github", "--server", "wiki", "--host", &host, "--owner", "ana", "--purpose", "code"];
    command.args(words).args(["--expires", "30d"]).env("PORTUNUS_STATE", app.state()).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(TOKEN.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = app.admin(&["cred", "report", "--json"]);
    assert_eq!(rules(&report, "exposed"), ["credential:github"], "{report}");
    assert!(!rules(&report, "unregistered").iter().any(|id| id.starts_with("observed:")), "{report}");
}

#[tokio::test]
async fn a_proposed_policy_was_replayed_before_it_is_shown_and_takes_away_what_nobody_used() {
    let (app, upstream) = stage().await;
    add_good(&app, &upstream, "wiki-token");
    let token = app.token("wiki");
    let call = |tool: &'static str| {
        let request = call(&app.mcp_url("wiki"), &token, tool, &json!({ "text": "hello" }));
        let http = app.http();
        async move { http.send(request).await.unwrap().error_code() }
    };
    assert_eq!(
        app.command(&["cred", "propose"]).status.code(),
        Some(1),
        "nothing is recorded: nothing is shown as passing"
    );
    assert_eq!(call("echo").await, None);
    let proposed = app.admin(&["cred", "propose", "--days", "1", "--json"]);
    assert_eq!(proposed["passes"], true, "{proposed}");
    assert!(proposed["replay"]["calls"].as_u64() >= Some(1), "{proposed}");
    let policy = text(&app, &["cred", "propose", "--days", "1"]);
    assert!(policy.starts_with("// Replayed ") && policy.contains(": 0 flips"), "{policy}");

    assert_eq!(call("secret").await, None, "it is permitted still");
    std::fs::write(app.policy_file().with_file_name("least.cedar"), policy).unwrap();
    let narrowed = || async { (call("secret").await == Some(-32010)).then_some(()) };
    until("the proposal is in force", Duration::from_secs(15), narrowed).await;
    assert_eq!(call("echo").await, None, "what was used is permitted");
}

#[tokio::test]
async fn a_proposal_that_would_decide_recorded_calls_otherwise_does_not_pass_and_says_which() {
    let upstream = Upstream::start().await;
    let server = server_with("wiki", &format!("url: {:?}", upstream.url), "none");
    let ask = r#"@id("test-permit") permit (principal, action, resource);
@id("ask") @reason("The owner must agree.") @approvable("owner")
forbid (principal, action == Action::"wiki/secret", resource) unless { context has approval };"#;
    let app = App::serve(&server, ask).await;
    let token = app.token("wiki");
    for (tool, code) in [("echo", None), ("secret", Some(-32011))] {
        let request = call(&app.mcp_url("wiki"), &token, tool, &json!({ "text": "hello" }));
        assert_eq!(app.http().send(request).await.unwrap().error_code(), code);
    }
    // Nobody has used it, but somebody has asked: what waits for a yes would be refused.
    let proposed = app.command(&["cred", "propose", "--days", "1"]);
    let told = String::from_utf8_lossy(&proposed.stdout).into_owned();
    assert_eq!(proposed.status.code(), Some(1), "{told}");
    assert!(told.contains("// DOES NOT PASS. Replayed") && told.contains("1 flips"), "{told}");
    assert!(
        told.contains("1 × ana") && told.contains("wiki secret: was Approval, would be Refuse"),
        "{told}"
    );
}
