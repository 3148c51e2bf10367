//! `portunus cred discover`: all of the planted corpus is found and none of it printed; an import goes through a running
//! edge and can be undone byte for byte; hostile files and names do no harm.

mod elsewhere;
mod hostile;

use crate::app::{App, BINARY, server_with};
use crate::bad_input::PERMIT_ALL;
use crate::http::call;
use crate::upstream::Upstream;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const OWNED: [&str; 4] = ["--owner", "ana@example.com", "--expires", "90d"];

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../discover/tests/corpus").canonicalize().unwrap()
}

/// `cred discover` in this home, with no edge.
pub(crate) fn discover(home: &Path, words: &[&str]) -> Output {
    Command::new(BINARY)
        .args(["cred", "discover", "--home"])
        .arg(home)
        .args(words)
        .env("PORTUNUS_STATE", home.join("no-edge"))
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub(crate) fn found(home: &Path, words: &[&str]) -> Value {
    let output = discover(home, &[words, &["--json"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A home with this file in it.
pub(crate) fn home(path: &str, text: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), path, text);
    home
}

pub(crate) fn write(home: &Path, path: &str, text: &str) {
    let file = home.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

/// What must not be printed of a planted value: all of it, and what is in it when it is base64.
fn forbidden(value: &str) -> Vec<String> {
    let mut all = vec![value.to_owned()];
    let decoded =
        data_encoding::BASE64.decode(value.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    all.extend(decoded.and_then(|text| text.split_once(':').map(|(_, password)| password.to_owned())));
    // The longest word of a secret with blanks or slashes in it.
    all.extend(
        value.split(|c: char| c == '/' || c.is_whitespace()).max_by_key(|word| word.len()).map(str::to_owned),
    );
    all
}

#[test]
fn all_of_the_planted_corpus_is_found_and_none_of_it_is_printed() {
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(corpus().join("manifest.json")).unwrap()).unwrap();
    let planted = manifest.as_array().unwrap();
    let every: Vec<String> = planted
        .iter()
        .flat_map(|file| file["secrets"].as_array().unwrap())
        .flat_map(|secret| forbidden(secret["value"].as_str().unwrap()))
        .collect();
    let mut files = 0;
    for file in planted {
        let home = corpus().join(file["home"].as_str().unwrap());
        let project = home.join("project");
        let os = match file["os"].as_str().unwrap() {
            "mac" => "macos",
            other => other,
        };
        let mut words = vec!["--os", os];
        if project.is_dir() {
            words.extend(["--project", project.to_str().unwrap()]);
        }
        let inventory = found(&home, &words);
        let secrets = inventory["secrets"].as_array().unwrap();
        let mut wanted: Vec<&str> =
            file["secrets"].as_array().unwrap().iter().map(|s| s["at"].as_str().unwrap()).collect();
        let mut got: Vec<&str> = secrets.iter().map(|s| s["at"].as_str().unwrap()).collect();
        wanted.sort_unstable();
        got.sort_unstable();
        assert_eq!(got, wanted, "{}: {inventory:#}", home.display());
        assert_eq!(inventory["servers"].as_array().unwrap().len(), file["servers"].as_array().unwrap().len());
        let lines = secrets
            .iter()
            .all(|s| s["line"].as_u64().unwrap() > 0 && s["fingerprint"].as_str().unwrap().len() == 32);
        assert!(lines, "{inventory:#}");
        let printed = inventory.to_string() + &said(&discover(&home, &words));
        for value in &every {
            assert!(!printed.contains(value.as_str()), "{value} is printed: {printed}");
        }
        files += usize::from(!wanted.is_empty());
    }
    assert!(files >= 40, "{files}");
}

#[test]
fn one_secret_in_two_places_has_one_fingerprint_and_another_in_the_next_run() {
    let text = |token: &str| {
        json!({ "mcpServers": { "a": { "command": "a-mcp", "env": { "A_TOKEN": token } } } }).to_string()
    };
    let home = home(".cursor/mcp.json", &text("same-secret-1"));
    write(home.path(), ".claude.json", &text("same-secret-1"));
    write(home.path(), ".codeium/mcp_config.json", &text("other-secret-2"));
    let prints = || -> Vec<String> {
        let all = found(home.path(), &[]);
        assert_eq!(all["fingerprints"], "run");
        let one = |client: &str| {
            let id = format!("{client}/a/env.A_TOKEN");
            let row = all["secrets"].as_array().unwrap().iter().find(|secret| secret["id"] == id.as_str());
            row.unwrap_or_else(|| panic!("no {id} in {all:#}"))["fingerprint"].as_str().unwrap().to_owned()
        };
        vec![one("cursor"), one("claude-code"), one("windsurf")]
    };
    let (first, second) = (prints(), prints());
    assert_eq!(first[0], first[1]);
    assert_ne!(first[0], first[2]);
    assert_ne!(first[0], second[0], "a fingerprint without an edge cannot be tried against guesses later");
}

/// A home whose Cursor goes to an upstream with a token, past the edge; and an edge that publishes that upstream.
struct Stage {
    app: App,
    upstream: Upstream,
    home: tempfile::TempDir,
    before: String,
}

const SECRET: &str = "Wk7-plain-in-a-file-22";

impl Stage {
    async fn set() -> Self {
        let upstream = Upstream::start().await;
        let server = server_with("wiki", &format!("url: {:?}", upstream.url), "wiki-token");
        let app = App::serve(&server, PERMIT_ALL).await;
        let before = format!(
            "{{\r\n  // mine\r\n  \"mcpServers\": {{\r\n    \"other\": {{ \"command\": \"x\", /* stays */ }},\r\n    \"wiki\": {{\r\n      \"url\": \"{}\",\r\n      \"headers\": {{ \"Authorization\": \"Bearer {SECRET}\" }}, // plain\r\n      \"disabled\": false,\r\n    }},\r\n  }},\r\n}}",
            upstream.url
        );
        let home = home(".cursor/mcp.json", &before);
        std::fs::set_permissions(
            home.path().join(".cursor/mcp.json"),
            std::fs::Permissions::from_mode(0o640),
        )
        .unwrap();
        Self { app, upstream, home, before }
    }

    fn discover(&self, words: &[&str]) -> Output {
        let home = self.home.path().to_str().unwrap();
        self.app.command(&[&["cred", "discover", "--home", home][..], words].concat())
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.home.path().join(".cursor/mcp.json")).unwrap()
    }

    /// Calls the tool at the URL that Cursor is configured with now.
    async fn call(&self) -> Value {
        let reading = portunus_discover::read(
            portunus_discover::Client::Cursor,
            portunus_discover::Format::Json,
            &self.text(),
        );
        assert!(reading.servers.iter().any(|server| server.name == "wiki"));
        let url = self.app.mcp_url("wiki");
        assert!(self.text().contains(&format!("\"url\": \"{url}\"")), "{}", self.text());
        let request = call(&url, &self.app.token("wiki"), "echo", &json!({ "text": "hello" }));
        self.app.http().send(request).await.unwrap().json()
    }
}

#[tokio::test]
async fn an_import_goes_through_the_edge_and_is_undone_byte_for_byte() {
    let stage = Stage::set().await;
    let import = [&["--import", "cursor/wiki", "--json"][..], &OWNED].concat();
    let output = stage.discover(&import);
    assert!(output.status.success(), "{}", said(&output));
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&done["server"], &done["credential"]), (&json!("wiki"), &json!("wiki-token")));
    let mut printed = said(&output);

    // What was not imported is the same, byte for byte, and so are mode and members that are no connection.
    let (after, url) = (stage.text(), stage.app.mcp_url("wiki"));
    let start = stage.before.find("\"url\"").unwrap();
    let end = stage.before.find(", // plain").unwrap();
    assert_eq!(after, format!("{}\"url\": \"{url}\"{}", &stage.before[..start], &stage.before[end..]));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&stage.home.path().join(".cursor/mcp.json")), 0o640);

    // The tool answers through the edge, which sends the secret.
    let answer = stage.call().await;
    assert!(answer.get("error").is_none(), "{answer}");
    assert_eq!(stage.upstream.calls()[0].headers["authorization"], format!("Bearer {SECRET}"));

    // The edge knows the secret when it meets it again.
    write(stage.home.path(), "project/.env", &format!("WIKI_TOKEN={SECRET}\n"));
    let project = stage.home.path().join("project");
    let output = stage.discover(&["--project", project.to_str().unwrap(), "--json"]);
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(again["fingerprints"], "edge");
    assert_eq!(again["secrets"].as_array().unwrap().len(), 1, "{again:#}");
    assert_eq!(again["secrets"][0]["credentials"], json!(["wiki-token"]));
    printed += &said(&output);

    // The backup is for its owner alone; the undo gives back every byte; then the backup can go.
    let backup = done["backup"].as_str().unwrap();
    let kept = stage.home.path().join(".local/state/portunus/discover").join(backup);
    assert_eq!((mode(&kept), mode(&kept.join("before"))), (0o700, 0o600));
    let output = stage.discover(&["--undo", backup]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(stage.text(), stage.before);
    assert_eq!(mode(&stage.home.path().join(".cursor/mcp.json")), 0o640);
    printed += &said(&output);
    let output = stage.discover(&["--forget", backup]);
    assert!(output.status.success() && !kept.exists(), "{}", said(&output));
    printed += &said(&output);
    assert!(!printed.contains(SECRET), "{printed}");
    assert!(!stage.app.log().contains(SECRET));

    // Again: the credential is there already, and holds this very secret.
    let output = stage.discover(&import);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(stage.text(), after);
    stage.app.verify();
}

#[tokio::test]
async fn an_undo_keeps_what_the_client_changed_elsewhere_since() {
    let stage = Stage::set().await;
    let output = stage.discover(&[&["--import", "wiki", "--json"][..], &OWNED].concat());
    assert!(output.status.success(), "{}", said(&output));
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    let file = stage.home.path().join(".cursor/mcp.json");
    let changed = stage.text().replace("// mine", "// ours now");
    std::fs::write(&file, &changed).unwrap();
    let backup = done["backup"].as_str().unwrap();
    let output = stage.discover(&["--undo", backup]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(stage.text(), stage.before.replace("// mine", "// ours now"));
    // When the entry itself was changed, it is not overwritten.
    let edited = changed.replace("/wiki/mcp", "/wiki/mcp?x=1");
    std::fs::write(&file, &edited).unwrap();
    let output = stage.discover(&["--undo", backup]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(stage.text(), edited);
}

#[tokio::test]
async fn an_import_that_would_break_the_client_or_send_a_secret_elsewhere_changes_nothing() {
    let stage = Stage::set().await;
    let entry = |url: &str, more: &Value| json!({ "url": url, "headers": { "Authorization": "Bearer abc-123-def" }, "note": more });
    let program = json!({ "command": "x-mcp", "args": ["--api-key", "abc-123-def"] });
    let two = json!({ "url": stage.upstream.url, "headers": { "X-Api-Key": "abc-123-def", "X-Auth-Token": "ghi-456-jkl" } });
    let text = json!({ "mcpServers": {
        "unknown": entry(&stage.upstream.url, &json!(null)),
        "wiki": entry("https://wiki.evil.example/mcp", &json!(null)),
        "flags": program,
        "two": two,
    } });
    let file = stage.home.path().join(".cursor/mcp.json");
    std::fs::write(&file, text.to_string()).unwrap();
    for (words, why) in [
        (&["--import", "unknown"][..], "publishes no server `unknown`"),
        (&["--import", "wiki"], "the secret is for wiki.evil.example"),
        (&["--import", "flags", "--server", "wiki"], "cannot give the secret at args.1 --api-key"),
        (&["--import", "two", "--server", "wiki"], "2 different secrets"),
        (
            &["--import", "unknown", "--server", "wiki", "--credential", "other"],
            "is bound to the credential wiki-token",
        ),
        (&["--import", "nothing"], "nothing of the name"),
    ] {
        let output = stage.discover(&[words, &OWNED].concat());
        assert!(!output.status.success() && said(&output).contains(why), "{words:?}: {}", said(&output));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text.to_string());
        assert!(!said(&output).contains("abc-123-def"));
    }
    let credentials = stage.app.admin(&["cred", "list", "--kind", "credential", "--json"]);
    assert!(!credentials.to_string().contains("wiki-token"), "{credentials}");
    let backups = stage.home.path().join(".local/state/portunus/discover");
    assert!(!backups.exists(), "no backup of what was not changed");
}

#[tokio::test]
async fn a_value_of_an_environment_file_is_taken_out_and_put_back() {
    let stage = Stage::set().await;
    let before = format!("# shop\nPORT=8080\nexport WIKI_TOKEN=\"{SECRET}\"   # plain\nDEBUG=1\n");
    write(stage.home.path(), "project/.env", &before);
    let project = stage.home.path().join("project");
    let project = project.to_str().unwrap();
    let host = stage.upstream.host();
    let words = [
        "--project",
        project,
        "--import",
        "env/WIKI_TOKEN",
        "--server",
        "wiki",
        "--as",
        "bearer",
        "--host",
        &host,
        "--json",
    ];
    let output = stage.discover(&[&words[..], &OWNED].concat());
    assert!(output.status.success(), "{}", said(&output));
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = || std::fs::read_to_string(stage.home.path().join("project/.env")).unwrap();
    assert_eq!(text(), "# shop\nPORT=8080\nexport WIKI_TOKEN=   # plain\nDEBUG=1\n");
    let request =
        call(&stage.app.mcp_url("wiki"), &stage.app.token("wiki"), "echo", &json!({ "text": "hello" }));
    let reply = stage.app.http().send(request).await.unwrap();
    assert_eq!(reply.error_code(), None, "{}", reply.text());
    assert_eq!(stage.upstream.calls()[0].headers["authorization"], format!("Bearer {SECRET}"));
    let output = stage.discover(&["--undo", done["backup"].as_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(text(), before);
}

#[test]
fn ids_are_unique_whatever_is_there_twice() {
    let text =
        json!({ "mcpServers": { "a": { "command": "a-mcp", "env": { "A_TOKEN": "x1x1x1" } } } }).to_string();
    let home = home(".mcp.json", &text);
    write(home.path(), "mcp.json", &text);
    let all = found(home.path(), &[]);
    for list in ["servers", "secrets"] {
        let ids: Vec<&str> =
            all[list].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (2, 2), "{ids:?}");
    }
}
