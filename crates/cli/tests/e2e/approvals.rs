//! A person's yes from outside: on the page, from the command line and by a signed webhook; and clients that wait for it.

use crate::app::{App, server_at, until};
use crate::browser::{Browser, Page};
use crate::http::{Http, call, modern_call};
use crate::upstream::{Seen, Upstream};
use aws_lc_rs::hmac;
use bytes::Bytes;
use data_encoding::BASE64;
use http::Request;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SOON: Duration = Duration::from_secs(15);
const SECRET: &str = "a secret of more than twenty-four characters";
const ASK: &str = r#"
@id("test-permit")
permit (principal, action in Action::"call", resource);
@id("ask") @reason("Two of the dba must agree.") @approvable("two of group dba")
forbid (principal, action == Action::"recorder/echo", resource) unless { context has approval };
"#;

struct Stage {
    app: App,
    upstream: Upstream,
    hook: Upstream,
    http: Http,
    token: String,
}

impl Stage {
    async fn set() -> Self {
        let (upstream, hook) = (Upstream::start().await, Upstream::start().await);
        let url = hook.url.clone();
        let configure = |directory: &std::path::Path, configuration: String| {
            std::fs::write(directory.join("hook.secret"), SECRET).unwrap();
            let webhook = format!("{{ url: \"{url}\", secret_file: hook.secret }}");
            configuration
                .replace("servers:\n", &format!("approvals: {{ ttl: 10m, webhook: {webhook} }}\nservers:\n"))
        };
        // What is first seen of a tool ends the approvals that were asked for before.
        let server = format!("{}    pinned: false\n", server_at("recorder", &upstream.url));
        let app = App::serve_as(&server, ASK, configure, &[]).await;
        let (http, token) = (app.http(), app.token("recorder"));
        Self { app, upstream, hook, http, token }
    }

    async fn call(&self, text: &str) -> Value {
        let request = call(&self.app.mcp_url("recorder"), &self.token, "echo", &json!({ "text": text }));
        self.http.send(request).await.unwrap().json()
    }

    /// The webhook about this approval.
    async fn announced(&self, id: &str) -> Seen {
        let found = || async { self.hook.seen().into_iter().find(|seen| seen.json()["data"]["id"] == id) };
        until("the webhook arrives", SOON, found).await
    }

    async fn answer(&self, id: &str, body: &Value) -> crate::http::Reply {
        #[expect(clippy::disallowed_methods, reason = "the webhook's own clock")]
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let body = body.to_string();
        let request = Request::post(format!("{}/approvals/{id}/decision", self.app.url))
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", sign(id, &seconds.to_string(), body.as_bytes()));
        self.http.send(request.body(Bytes::from(body)).unwrap()).await.unwrap()
    }

    /// A signed-in member of the group.
    async fn dba(&self, name: &str) -> Browser {
        let added = self.app.admin(&["user", "add", name, "--group", "dba", "--json"]);
        Browser::of(&self.app, name, added["password"].as_str().unwrap()).await
    }
}

fn sign(id: &str, time: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let message = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
    format!("v1,{}", BASE64.encode(hmac::sign(&key, &message).as_ref()))
}

fn waits(answer: &Value) -> (String, String) {
    assert_eq!(answer["error"]["code"], -32011, "{answer}");
    let text = |key: &str| answer["error"]["data"][key].as_str().unwrap().to_owned();
    (text("approval"), text("url"))
}

async fn say(browser: &mut Browser, page: &Page, decision: &str) -> Page {
    let action = page.url.path().to_owned();
    browser.submit(page, &action, &[("decision", decision), ("reason", "")]).await
}

#[tokio::test]
async fn two_people_agree_on_the_page_and_the_call_goes_through_once() {
    let stage = Stage::set().await;
    let (id, url) = waits(&stage.call("hey").await);
    assert_eq!(url, format!("{}/approvals/{id}", stage.app.url));
    let mut bo = stage.dba("bo").await;
    let page = bo.get(&url).await;
    assert!(page.text().contains("Two of the dba must agree."), "{}", page.text());
    assert!(say(&mut bo, &page, "allow").await.text().contains("Your yes is noted."));
    assert_eq!(waits(&stage.call("hey").await).0, id, "one yes of two is none");

    let mut cy = stage.dba("cy").await;
    let list = cy.get(&format!("{}/approvals", stage.app.url)).await;
    assert!(list.text().contains(&id), "{}", list.text());
    let page = cy.get(&url).await;
    assert!(say(&mut cy, &page, "allow").await.text().contains("Allowed, once."));
    let (again, other) = (waits(&stage.call("hey!").await).0, stage.call("hey").await);
    assert_ne!(again, id, "other arguments are another call");
    assert!(other["result"].is_object(), "{other}");
    assert_eq!(stage.upstream.calls().len(), 1);
    assert_ne!(waits(&stage.call("hey").await).0, id, "it was good once");

    let records = stage.app.records();
    let said = |action: &str, by: &str| {
        let about = |record: &&Value| record["subject"] == id.as_str() && record["action"] == action;
        records.iter().filter(about).any(|record| record["by"] == by)
    };
    for (action, by) in [("approval.asked", "ana"), ("approval.agreed", "bo"), ("approval.allowed", "cy")] {
        assert!(said(action, by), "{action} by {by}: {records:?}");
    }
    stage.app.verify();
}

#[tokio::test]
async fn another_system_is_told_and_decides_by_signed_webhook() {
    let stage = Stage::set().await;
    for name in ["bo", "cy"] {
        stage.app.admin(&["user", "add", name, "--group", "dba", "--json"]);
    }
    let (id, _) = waits(&stage.call("hey").await);
    let told = stage.announced(&id).await;
    let header = |name: &str| told.headers[name].to_str().unwrap().to_owned();
    let signature = sign(&header("webhook-id"), &header("webhook-timestamp"), &told.body);
    assert_eq!(header("webhook-signature"), signature);
    let said = told.json();
    assert_eq!(
        (&said["data"]["user"], &said["data"]["arguments"]),
        (&json!("ana"), &json!(r#"{"text":"hey"}"#))
    );
    for (by, state) in [("bo", "pending"), ("cy", "allowed")] {
        let reply = stage.answer(&id, &json!({ "decision": "allow", "by": by })).await;
        assert_eq!((reply.status, &reply.json()["state"]), (200, &json!(state)), "{}", reply.text());
    }
    assert!(stage.call("hey").await["result"].is_object());

    let (id, _) = waits(&stage.call("no").await);
    let own = stage.answer(&id, &json!({ "decision": "allow", "by": "ana" })).await;
    assert_eq!(own.status, 403, "{}", own.text());
    let denied = json!({ "decision": "deny", "by": "bo", "reason": "not on Fridays" });
    assert_eq!(stage.answer(&id, &denied).await.status, 200);
    assert_eq!(stage.answer(&id, &denied).await.status, 409);
    let refused = stage.call("no").await;
    assert_eq!(refused["error"]["code"], -32010, "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("not on Fridays"), "{refused}");
}

#[tokio::test]
async fn a_modern_client_waits_in_the_protocols_own_way_for_the_command_line() {
    let stage = Stage::set().await;
    stage.app.admin(&["user", "add", "bo", "--group", "dba", "--json"]);
    let url = stage.app.mcp_url("recorder");
    let ask = |more: Value| {
        let request = modern_call(&url, &stage.token, "echo", &json!({ "text": "hey" }));
        let (head, body) = request.into_parts();
        let mut message: Value = serde_json::from_slice(&body).unwrap();
        message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
            json!({ "elicitation": { "url": {} } });
        message["params"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stage.http.send(Request::from_parts(head, Bytes::from(message.to_string())))
    };
    let asked = ask(json!({})).await.unwrap().json();
    let result = &asked["result"];
    assert_eq!(result["resultType"], "input_required", "{asked}");
    let page = result["inputRequests"]["portunus.approval"]["params"]["url"].as_str().unwrap();
    let id = page.rsplit('/').next().unwrap().to_owned();
    let shown = stage.app.command(&["approve", "show", &id]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for words in ["ana", "recorder", r#"{"text":"hey"}"#, "two of group dba"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let first = stage.app.admin(&["approve", "allow", &id, "--reason", "checked", "--json"]);
    assert_eq!((&first["state"], &first["missing"]), (&json!("pending"), &json!(["group dba"])));
    assert!(!stage.app.command(&["approve", "allow", &id]).status.success(), "one person is not two");

    // The client comes back, and waits here while bo decides.
    let went = json!({ "portunus.approval": { "action": "accept" } });
    let coming = ask(json!({ "requestState": result["requestState"], "inputResponses": went }));
    let (answer, decided) = tokio::join!(coming, async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stage.answer(&id, &json!({ "decision": "allow", "by": "bo" })).await
    });
    assert_eq!(decided.json()["state"], "allowed", "{}", decided.text());
    let answer = answer.unwrap().json();
    assert_eq!(answer["result"]["content"][0]["text"], r#"{"text":"hey"}"#, "{answer}");
    let sent = stage.upstream.calls();
    assert_eq!(sent.len(), 1);
    let params = sent[0].json()["params"].clone();
    assert!(params.get("requestState").is_none() && params.get("inputResponses").is_none(), "{params}");
}
