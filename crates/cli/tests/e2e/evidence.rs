//! Evidence for auditors: composed by a running edge, checked by the binary alone and by validators that no one here wrote.

use crate::app::{App, BINARY, server_with, until};
use crate::bad_input::PERMIT_ALL;
use crate::browser::Browser;
use crate::clients;
use crate::http::call;
use crate::upstream::Upstream;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const CANARY: &str = "canary-5e27-evidence-secret";

/// An edge with a credential, a call, a refused one, a sign-in and a review with a verdict.
async fn audited() -> (App, Upstream) {
    let upstream = Upstream::start().await;
    let server = server_with("wiki", &format!("url: {:?}", upstream.url), "wiki-token");
    let app = App::serve(&server, PERMIT_ALL).await;
    let host = upstream.host();
    let words = ["cred", "add", "wiki-token", "--server", "wiki", "--host", &host, "--owner", "bo"];
    let mut add = Command::new(BINARY);
    add.args(words).args(["--purpose", "=1+1, \"reads\"", "--expires", "30d", "--vendor", "acme"]);
    let mut child = add.env("PORTUNUS_STATE", app.state()).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(CANARY.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let token = app.token("wiki");
    for text in ["hello", "again"] {
        let request = call(&app.mcp_url("wiki"), &token, "echo", &json!({ "text": text }));
        assert_eq!(app.http().send(request).await.unwrap().error_code(), None);
    }
    let sent = call(&app.mcp_url("wiki"), &token, "echo", &json!({ "text": "hello", "password": CANARY }));
    app.http().send(sent).await.unwrap();
    app.admin(&["cred", "review", "open", "q1", "--reviewer", "ana", "--json"]);
    let mut browser = Browser::of(&app, "ana", &app.person.password).await;
    let page = browser.get(&format!("{}/reviews", app.url)).await;
    let page = browser.submit(&page, "/reviews", &[("verdict", "keep"), ("why", "wanted")]).await;
    assert!(page.text().contains("stays"), "{}", page.text());
    (app, upstream)
}

fn export(app: &App, name: &str) -> PathBuf {
    let dir = app.dir().join(name);
    app.admin(&["audit", "export", dir.to_str().unwrap(), "--since", "1d", "--json"]);
    dir
}

/// Checks a pack where no edge is, and no state.
fn verify(dir: &Path, more: &[&str]) -> Output {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.args(["audit", "verify"]).arg(dir).args(more).current_dir(elsewhere.path());
    command.env_clear().stdin(Stdio::null()).output().unwrap()
}

fn verified(dir: &Path, more: &[&str]) -> Value {
    let output = verify(dir, &[more, &["--json"]].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str::<Value>(&text).unwrap()["report"].clone()
}

/// What is said of a pack that must not pass.
fn faults(dir: &Path, more: &[&str]) -> String {
    let output = verify(dir, more);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    text
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_is_checked_offline_and_anything_done_to_it_is_named() {
    let (mut app, _upstream) = audited().await;
    let pack = export(&app, "pack");
    let vkey = std::fs::read_to_string(app.state().join("ledger/ledger.vkey")).unwrap();
    let again = app.command(&["audit", "export", pack.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2), "nothing is written over");
    let later = export(&app, "later");
    app.kill();

    let report = verified(&pack, &["--vkey", vkey.trim()]);
    assert_eq!(
        (report["own_key"].as_bool(), report["verdicts"].as_u64()),
        (Some(false), Some(1)),
        "{report}"
    );
    assert!(report["records"].as_u64().unwrap() > 8, "{report}");
    assert_eq!(verified(&pack, &[])["own_key"], true);
    let names: Vec<_> = std::fs::read_dir(&pack).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 13, "{names:?}");

    // Every file: a byte changed, a byte more, gone.
    for name in names {
        let name = name.to_str().unwrap();
        let damaged = copy(&pack);
        let file = damaged.path().join(name);
        let whole = std::fs::read(&file).unwrap();
        for at in [0, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&file, bytes).unwrap();
            let told = faults(damaged.path(), &[]);
            assert!(told.contains(name) || told.contains("proof.json"), "{name} at {at}: {told}");
        }
        std::fs::write(&file, [&whole[..], b"\n"].concat()).unwrap();
        assert!(faults(damaged.path(), &[]).contains(name), "{name} is longer");
        std::fs::remove_file(&file).unwrap();
        assert!(faults(damaged.path(), &[]).contains(name), "{name} is gone");
    }

    let damaged = copy(&pack);
    std::fs::write(damaged.path().join("notes.txt"), "x").unwrap();
    assert!(faults(damaged.path(), &[]).contains("notes.txt: it was put in"));
    // A manifest of another pack, or its proof, does not fit.
    for name in ["manifest.json", "proof.json"] {
        let mixed = copy(&pack);
        std::fs::copy(later.join(name), mixed.path().join(name)).unwrap();
        faults(mixed.path(), &[]);
    }
    let other = portunus_core::secret::Secret::new([9; 32]);
    let other = portunus_ledger::checkpoint::SigningKey::new("localhost", &other).unwrap();
    let told = faults(&pack, &["--vkey", &other.verifier().to_string()]);
    assert!(told.contains("key"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_pack_are_named_when_something_is_done_to_them() {
    let (app, _upstream) = audited().await;
    let pack = export(&app, "pack");
    let first: Value =
        serde_json::from_str(&std::fs::read_to_string(pack.join("manifest.json")).unwrap()).unwrap();
    let first = first["records"][0].as_u64().unwrap();
    let text = std::fs::read_to_string(pack.join("records.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let written = |lines: &[&str]| {
        let damaged = copy(&pack);
        std::fs::write(damaged.path().join("records.jsonl"), lines.join("\n") + "\n").unwrap();
        faults(damaged.path(), &[])
    };
    let changed = lines[3].replace("\"by\":\"", "\"by\":\"x").replace("\"user\":\"", "\"user\":\"x");
    let told = written(&[&lines[..3], &[changed.as_str()], &lines[4..]].concat());
    assert!(told.contains(&format!("records.jsonl:4: record {} was changed", first + 3)), "{told}");
    let told = written(&[&lines[..3], &lines[5..]].concat());
    assert!(told.contains(&format!("records {} to {} are missing", first + 3, first + 4)), "{told}");
    let told = written(&[&lines[..], &[r#"{"seq":999999,"record":{"kind":"event"}}"#]].concat());
    assert!(told.contains("this is no record of this ledger"), "{told}");
    let told = written(&[&lines[..], &[lines[2]]].concat());
    assert!(told.contains(&format!("record {} stands here again", first + 2)), "{told}");
    let told = written(&lines[..lines.len() - 2]);
    assert!(told.contains("are missing"), "{told}");

    // Whoever makes everything else fit to a record that was changed still has no root for it.
    let forged = copy(&pack);
    let lines = [&lines[..3], &[changed.as_str()], &lines[4..]].concat();
    forge(forged.path(), &lines);
    let told = faults(forged.path(), &[]);
    assert!(told.contains("records.sha256: these are not the records"), "{told}");
    assert!(told.contains("manifest.json: it was changed: record"), "{told}");
}

/// Writes these records with hashes and digests that fit them.
fn forge(pack: &Path, lines: &[&str]) {
    use portunus_core::digest::sha256;
    use portunus_ledger::merkle::leaf_hash;
    let hashes: Vec<String> = lines.iter().map(|line| leaf_hash(line.as_bytes()).hex()).collect();
    let mut manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(pack.join("manifest.json")).unwrap()).unwrap();
    for (name, lines) in [("records.jsonl", lines.join("\n")), ("records.sha256", hashes.join("\n"))] {
        let text = lines + "\n";
        std::fs::write(pack.join(name), &text).unwrap();
        manifest["files"][name] = json!({ "sha256": sha256(&[text.as_bytes()]), "bytes": text.len() });
    }
    std::fs::write(pack.join("manifest.json"), serde_json::to_string_pretty(&manifest).unwrap() + "\n")
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_auditors_get_is_valid_by_the_published_schemas_and_holds_no_secret() {
    let (app, _upstream) = audited().await;
    app.admin(&["kill", "--vendor", "acme", "--json"]);
    app.admin(&["user", "disable", "ana", "--json"]);
    let killed =
        || async { app.records().iter().any(|record| record["action"] == "credential.ended").then_some(()) };
    until("the credential is ended", Duration::from_secs(10), killed).await;
    let pack = export(&app, "pack");
    for entry in std::fs::read_dir(&pack).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(CANARY), "{}", path.display());
        assert!(!text.contains(&app.person.password), "{}", path.display());
    }
    let csv = std::fs::read_to_string(pack.join("identities.csv")).unwrap();
    assert!(csv.contains("'=1+1"), "a formula: {csv}");
    let events = std::fs::read_to_string(pack.join("records.ocsf.jsonl")).unwrap();
    for class in [3001, 3002, 3004, 6003] {
        assert!(events.contains(&format!("\"class_uid\":{class}")), "{class} in {events}");
    }
    for (kind, name) in [
        ("cyclonedx", "identities.cdx.json"),
        ("ocsf", "identities.ocsf.json"),
        ("ocsf", "records.ocsf.jsonl"),
    ] {
        clients::evidence(&[kind, pack.join(name).to_str().unwrap()]);
    }
}
