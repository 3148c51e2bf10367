//! What an operator relies on: health, metrics, help, completions, the manual, configuration errors with their place.

use crate::app::{App, BINARY, server_at};
use crate::bad_input::PERMIT_ALL;
use crate::http::{Http, call};
use crate::upstream::Upstream;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

fn run(words: &[&str]) -> Output {
    Command::new(BINARY).args(words).env("NO_COLOR", "1").output().unwrap()
}

fn text(words: &[&str]) -> String {
    let output = run(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn health_and_metrics_tell_of_calls_and_refusals() {
    let upstream = Upstream::start().await;
    let app = App::serve(&server_at("recorder", &upstream.url), PERMIT_ALL).await;
    let (http, url, token) = (app.http(), app.mcp_url("recorder"), app.token("recorder"));
    http.send(call(&url, &token, "echo", &json!({}))).await.unwrap();
    http.send(call(&url, "wrong", "echo", &json!({}))).await.unwrap();
    let admin = format!("http://127.0.0.1:{}", app.admin_port);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(Http::plain().get(&format!("{admin}{path}")).await.unwrap().status, 200);
    }
    let metrics = Http::plain().get(&format!("{admin}/metrics")).await.unwrap();
    let body = metrics.text();
    assert!(metrics.header("content-type").unwrap().contains("openmetrics-text"), "{:?}", metrics.headers);
    let served = body.lines().find(|line| {
        line.starts_with("portunus_")
            && line.contains("server=\"recorder\"")
            && line.contains("tool=\"echo\"")
    });
    assert!(served.is_some(), "{body}");
    for word in ["portunus_", "ledger", "link", "_bucket{", "# EOF"] {
        assert!(body.contains(word), "no {word} in\n{body}");
    }
    assert!(!body.contains(&token));
    let outside = http.get(&format!("{}/metrics", app.url)).await.unwrap();
    assert_eq!(outside.status, 404, "metrics are not served to clients");
}

#[tokio::test]
async fn an_administrator_s_every_step_is_recorded() {
    let app = App::serve(&server_at("recorder", "http://127.0.0.1:9/mcp"), PERMIT_ALL).await;
    app.admin(&["user", "add", "bo", "--group", "analysts", "--json"]);
    app.token("recorder");
    app.admin(&["user", "disable", "bo", "--json"]);
    let users = app.admin(&["user", "list", "--json"]).to_string();
    assert!(users.contains("bo") && users.contains("ana"), "{users}");
    assert!(!users.contains("argon2"), "no password digest is shown: {users}");
    let records = app.records();
    let actions: Vec<&str> = records.iter().filter_map(|entry| entry["action"].as_str()).collect();
    for action in ["user.added", "user.disabled"] {
        assert!(actions.contains(&action), "{action} in {actions:?}");
    }
    let twice = app.command(&["user", "add", "bo"]);
    assert_eq!(twice.status.code(), Some(1), "refused: {}", String::from_utf8_lossy(&twice.stderr));
    app.verify();
}

#[test]
fn every_command_has_help_with_an_example() {
    let top = text(&["--help"]);
    let commands =
        top.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> =
        commands.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(names.len() >= 12, "{top}");
    for name in names {
        let help = text(&[name, "--help"]);
        let nested = help.contains("Commands:");
        assert!(nested || help.contains("Example") || name == "man", "{name} has no example:\n{help}");
    }
}

#[test]
fn completions_and_the_manual_are_printed() {
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef portunus"), ("fish", "complete -c portunus")]
    {
        assert!(text(&["completions", shell]).contains(word), "{shell}");
    }
    let manual = text(&["man"]);
    assert!(manual.contains(".TH") && manual.contains("portunus"), "{manual}");
}

#[test]
fn configuration_errors_name_the_place_and_the_nearest_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("portunus.yaml");
    let good = "public_url: https://tools.example.com\nlisten: { https: 127.0.0.1:8443 }\ntls: { local_ca: true }\n\
                store: sqlite:state/p.db\nsealing_key: { file: state/key }\nlogin: { local: true }\npolicies: ./policies\n\
                servers:\n  - name: wiki\n    owner: ana@example.com\n    purpose: Notes\n    upstream: { url: http://127.0.0.1:1/mcp }\n    credential: none\n";
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let output = run(&["config", "check", "-c", file.to_str().unwrap()]);
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    assert_eq!(check(good).0, Some(0), "{}", check(good).1);
    for (bad, place, hint) in [
        (good.replace("    purpose:", "    purpse:"), "portunus.yaml:11", "purpose"),
        (good.replace("public_url: https", "public_url: http"), "portunus.yaml:1", "https://HOST"),
        (good.replace("127.0.0.1:8443", "here"), "portunus.yaml:2", "IP:PORT"),
        (format!("{good}    limits: {{ timeout: soon }}\n"), "portunus.yaml:", "60s"),
    ] {
        let (code, message) = check(&bad);
        assert_eq!(code, Some(2), "{message}");
        assert!(message.contains(place) && message.contains(hint), "{place} and {hint} in {message}");
    }
    let schema: Value = serde_json::from_str(&text(&["config", "schema"])).unwrap();
    assert!(schema["properties"]["servers"].is_object(), "{schema}");
}

#[test]
fn usage_errors_exit_with_2_and_refusals_with_1() {
    assert_eq!(run(&["serve", "--no-such-flag"]).status.code(), Some(2));
    assert_eq!(run(&["serve", "-c", "/no/such/file.yaml"]).status.code(), Some(2));
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(BINARY).args(["audit", "verify", "--state"]).arg(dir.path()).output().unwrap();
    assert_ne!(output.status.code(), Some(0), "an empty directory is no ledger");
    let output = Command::new(BINARY).args(["grant", "list", "--state"]).arg(dir.path()).output().unwrap();
    assert_ne!(output.status.code(), Some(0));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("admin.sock"), "it says what was looked for: {message}");
}

#[tokio::test]
async fn a_changed_record_is_found_and_named() {
    let mut app = App::serve(&server_at("recorder", "http://127.0.0.1:9/mcp"), PERMIT_ALL).await;
    for _ in 0..5 {
        app.token("recorder");
    }
    // The end of the process signs the last records.
    app.terminate();
    app.ended(Duration::from_secs(15)).await;
    let copy = tempfile::tempdir().unwrap();
    copy_all(&app.state().join("ledger"), copy.path());
    let verify = || {
        let output =
            Command::new(BINARY).args(["audit", "verify", "--ledger"]).arg(copy.path()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    assert_eq!(verify().0, Some(0), "a copy verifies offline: {}", verify().1);

    let segments = std::fs::read_dir(copy.path().join("records")).unwrap();
    let segment = segments.map(|entry| entry.unwrap().path()).next().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let third = find(&bytes, b"\"seq\":3,");
    let name = third + find(&bytes[third..], b"ana");
    bytes[name] = b'e';
    std::fs::write(&segment, bytes).unwrap();
    let (code, findings) = verify();
    assert_eq!(code, Some(1), "{findings}");
    assert!(findings.contains("record 3"), "{findings}");
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|part| part == what).unwrap()
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}
