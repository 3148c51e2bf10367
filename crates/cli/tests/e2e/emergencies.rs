//! Access in an emergency: asked for by one, allowed by two others, over by hand or by the clock, and the secret is changed after.

use crate::app::{App, BINARY, server_with, until};
use crate::browser::{Browser, Page};
use crate::http::call;
use crate::upstream::Upstream;
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const FIRST: &str = "first-key-of-the-service-2f07";
const ADMIN: &str = "key-of-the-administrator-11c9";
const SOON: Duration = Duration::from_secs(30);
/// Nothing is permitted but in an emergency.
const GLASS: &str = r#"@id("glass") permit (principal, action, resource) when { context has emergency };"#;

struct Stage {
    app: App,
    upstream: Upstream,
}

impl Stage {
    /// Two servers at one upstream: the secret of `wiki` has a rotator, that of `files` has none.
    async fn set() -> Self {
        let upstream = Upstream::start().await;
        let place = format!("url: {:?}", upstream.url);
        let servers =
            server_with("wiki", &place, "wiki-token") + &server_with("files", &place, "files-token");
        let edit = |directory: &Path, configuration: String| {
            let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/rotators/api-keys.py");
            let plugin = directory.join("api-keys.py");
            std::fs::copy(shipped, &plugin).unwrap();
            std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
            let digest = portunus_core::digest::sha256(&[FIRST.as_bytes()]).hex();
            std::fs::write(directory.join("keys.json"), json!({ "by hand": digest }).to_string()).unwrap();
            let rotators = format!("rotators:\n  keys: {{ exec: [{}], secret: theirs }}\n", plugin.display());
            format!("{configuration}governance: {{ emergency_approvers: responders }}\n{rotators}")
        };
        let app = App::serve_as(&servers, GLASS, edit, &[]).await;
        let stage = Self { app, upstream };
        let (host, keys) = (stage.upstream.host(), stage.app.dir().join("keys.json"));
        stage.add(&["wiki-admin", "--server", "wiki", "--host", "keys.exec", "--rotator", "root"], ADMIN);
        let file = format!("file={}", keys.display());
        let plan = ["--rotate", "exec", "--set", "plugin=keys", "--set", "admin=wiki-admin", "--set", &file];
        stage.add(&[&["wiki-token", "--server", "wiki", "--host", &host][..], &plan].concat(), FIRST);
        stage.add(&["files-token", "--server", "files", "--host", &host], "files-secret-1");
        stage
    }

    fn add(&self, words: &[&str], secret: &str) {
        let mut command = Command::new(BINARY);
        command.args(["cred", "add"]).args(words).args(["--owner", "ana", "--purpose", "tests"]);
        command.args(["--expires", "90d"]).env("PORTUNUS_STATE", self.app.state());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(secret.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{words:?}");
    }

    async fn person(&self, name: &str, more: &[&str]) -> Browser {
        let added = self.app.admin(&[&["user", "add", name, "--json"][..], more].concat());
        Browser::of(&self.app, name, added["password"].as_str().unwrap()).await
    }

    /// The code of the refusal; 0 for an answer.
    async fn call(&self, token: &str, server: &str) -> i64 {
        let request = call(&self.app.mcp_url(server), token, "echo", &json!({ "text": "hello" }));
        let reply = self.app.http().send(request).await.unwrap();
        if reply.status == 401 { 401 } else { reply.error_code().unwrap_or(0) }
    }

    async fn page(&self, browser: &mut Browser) -> Page {
        browser.get(&format!("{}/emergencies", self.app.url)).await
    }

    async fn act(&self, browser: &mut Browser, fields: &[(&str, &str)]) -> String {
        let page = self.page(browser).await;
        browser.submit(&page, "/emergencies", fields).await.text()
    }

    /// Asks for access to a server; the emergency's id.
    async fn ask(&self, browser: &mut Browser, server: &str) -> String {
        let fields = [("act", "ask"), ("server", server), ("why", "the shop is down"), ("minutes", "60")];
        let told = self.act(browser, &fields).await;
        assert!(told.contains("Two of responders must say yes"), "{told}");
        let all = self.app.admin(&["cred", "emergency", "list", "--json"]);
        all["emergencies"][0]["id"].as_str().unwrap().to_owned()
    }

    fn findings(&self, rule: &str) -> Vec<Value> {
        let report = self.app.admin(&["cred", "report", "--json"]);
        let all = report["findings"].as_array().unwrap().iter();
        all.filter(|finding| finding["rule"] == rule).map(|finding| finding["identity"].clone()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_others_allow_it_and_its_end_cuts_what_runs_and_changes_the_secret() {
    let stage = Stage::set().await;
    let mut ana = Browser::of(&stage.app, "ana", &stage.app.person.password).await;
    let mut bo = stage.person("bo", &["--group", "responders"]).await;
    let mut cy = stage.person("cy", &["--group", "responders"]).await;
    let mut root = stage.person("root", &["--administrator"]).await;
    let token = stage.app.token("wiki");
    assert_eq!(stage.call(&token, "wiki").await, -32010, "nothing is permitted without");

    let id = stage.ask(&mut ana, "wiki").await;
    assert_eq!(stage.call(&token, "wiki").await, -32010, "a question is no yes");
    for browser in [&mut ana, &mut root] {
        // Neither who asked nor an administrator can allow it, though they send what the form would.
        let page = stage.page(browser).await;
        let told = browser.submit(&page, "/emergencies", &[("act", "allow")]).await;
        assert_eq!(told.reply.status, 409, "{}", told.text());
    }
    assert!(
        stage.act(&mut bo, &[("act", "allow"), ("why", "it is down")]).await.contains("Your yes is noted")
    );
    assert_eq!(stage.call(&token, "wiki").await, -32010, "one yes is none");
    assert!(stage.act(&mut cy, &[("act", "allow")]).await.contains("has access to"));
    assert_eq!(stage.call(&token, "wiki").await, 0);
    assert_eq!(stage.call(&stage.app.token("files"), "files").await, -32010, "for that server only");

    let report = stage.app.admin(&["cred", "report", "--json"]);
    assert_eq!(report["emergencies"][0]["standing"], "active", "{report}");
    stage.app.admin(&["cred", "review", "open", "q1", "--reviewer", "bo", "--json"]);
    let reviews = bo.get(&format!("{}/reviews", stage.app.url)).await.text();
    assert!(reviews.contains("Used in emergencies") && reviews.contains("the shop is down"), "{reviews}");
    let records = stage.app.records();
    let made = records.iter().filter(|record| record["circumstances"]["emergency"] == id.as_str());
    assert_eq!(made.filter(|record| record["verdict"] == "permit").count(), 1, "{records:?}");

    // A call that is under way is cut, and the next one refused.
    let waiting = call(&stage.app.mcp_url("wiki"), &token, "wait", &json!({}));
    let (http, seen) = (stage.app.http(), stage.upstream.calls().len());
    let waiting =
        tokio::spawn(async move { http.send(waiting).await.map(|reply| (reply.status, reply.text())) });
    let under_way = || async { (stage.upstream.calls().len() > seen).then_some(()) };
    until("the call is under way", SOON, under_way).await;
    let told = stage.act(&mut bo, &[("act", "end")]).await;
    assert!(told.contains("Ended."), "{told}");
    assert_ne!(stage.call(&token, "wiki").await, 0, "at once");
    let closed = || async { (stage.call(&token, "wiki").await == 401).then_some(()) };
    until("what was open is closed", SOON, closed).await;
    stage.upstream.release();
    let cut = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap();
    let came = cut.as_ref().is_ok_and(|(_, text)| text.contains("\"content\""));
    assert!(!came, "an answer came through after the end: {cut:?}");
    assert_eq!(stage.call(&stage.app.token("wiki"), "wiki").await, -32010, "nor with a new token");

    let rotated = || async {
        let shown = stage.app.admin(&["cred", "rotation", "show", "wiki-token", "--json"]);
        (shown["rotation"]["step"] == "done" && shown["version"] == 2).then_some(())
    };
    until("the secret is rotated by itself", SOON, rotated).await;
    assert!(stage.findings("opened_in_emergency").is_empty());
    let actions: Vec<_> = stage.app.records().iter().map(|record| record["action"].clone()).collect();
    for action in [
        "emergency.asked",
        "emergency.allowing",
        "emergency.agreed",
        "emergency.allowed",
        "emergency.ended",
        "credential.exposed",
    ] {
        assert!(actions.contains(&json!(action)), "{action} in {actions:?}");
    }
    stage.app.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rotator_it_is_a_finding_until_the_secret_is_replaced() {
    let stage = Stage::set().await;
    let mut ana = Browser::of(&stage.app, "ana", &stage.app.person.password).await;
    let mut bo = stage.person("bo", &["--group", "responders"]).await;
    let mut cy = stage.person("cy", &["--group", "responders"]).await;
    let id = stage.ask(&mut ana, "files").await;
    for browser in [&mut bo, &mut cy] {
        stage.act(browser, &[("act", "allow")]).await;
    }
    assert_eq!(stage.call(&stage.app.token("files"), "files").await, 0);
    stage.app.admin(&["cred", "emergency", "end", &id, "--why", "it works again", "--json"]);
    let found =
        || async { (stage.findings("opened_in_emergency") == ["credential:files-token"]).then_some(()) };
    until("it is a finding", SOON, found).await;
    stage
        .add(&["files-token", "--server", "files", "--host", &stage.upstream.host(), "--replace"], "files-2");
    assert!(stage.findings("opened_in_emergency").is_empty(), "the secret is another one now");

    // Denied once is over, and where nobody is named nothing can be asked for.
    let id = stage.ask(&mut ana, "files").await;
    assert!(stage.act(&mut bo, &[("act", "deny"), ("why", "no")]).await.contains("Denied."));
    let page = stage.page(&mut cy).await;
    assert!(!page.text().contains(&id), "there is nothing to decide: {}", page.text());
    let config = std::fs::read_to_string(stage.app.config_file()).unwrap();
    let without = config.replace("governance: { emergency_approvers: responders }\n", "");
    std::fs::write(stage.app.config_file(), without).unwrap();
    let begun = std::time::Instant::now();
    while !stage.page(&mut ana).await.text().contains("nobody is named who could allow it") {
        assert!(begun.elapsed() < SOON, "the page still lets one ask");
        crate::app::pause().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reviews_and_asks_in_a_browser_with_the_keyboard_alone() {
    if crate::clients::skipped() {
        return;
    }
    let stage = Stage::set().await;
    for name in ["wiki-token", "files-token", "wiki-admin"] {
        stage.app.admin(&["cred", "bind", name, "--owner", "olga", "--json"]);
    }
    stage.app.admin(&["cred", "review", "open", "q1", "--reviewer", "ana", "--json"]);
    crate::clients::browse(&stage.app, "governance.mjs").await;
}
