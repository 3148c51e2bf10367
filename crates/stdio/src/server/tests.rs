//! Children of one server: who may end them, and which credential each has.

use super::*;
use portunus_core::dialer::{Ending, Plain, Presentable};
use portunus_core::id::CredentialName;
use portunus_core::secret::Secret;
use portunus_core::testing::{CountingRng, ManualClock};
use portunus_core::time::Timestamp;
use serde_json::Value;
use std::ffi::OsString;
use std::path::PathBuf;
use tokio::sync::watch;

/// A shell script as a program, without a guard around it.
fn program(script: &str, per: Per) -> (Guard, Program) {
    let argument = OsString::from(r#"-Ssh -c 'shift; exec "$@"'"#);
    let guard = Guard { program: PathBuf::from("/usr/bin/env"), argument };
    let program = Program {
        command: ["sh", "-c", script].map(String::from).to_vec(),
        environment: [("PGUSER".to_owned(), Secret::new("configured".to_owned()))].into(),
        directory: std::env::temp_dir(),
        per,
    };
    (guard, program)
}

fn child(script: &str) -> Arc<Child> {
    let (guard, program) = program(script, Per::Server);
    Arc::new(
        Child::start(&guard, &ServerName::parse("files").unwrap(), &program, crate::child::Given::default())
            .unwrap(),
    )
}

fn request(method: &'static str) -> Call {
    let version = "2026-07-28";
    let mut headers = HeaderMap::new();
    let both = "application/json, text/event-stream";
    for (name, value) in [
        ("content-type", "application/json"),
        ("accept", both),
        ("mcp-protocol-version", version),
        ("mcp-method", method),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":"a","method":"{method}","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientInfo":{{"name":"c","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    );
    match message::read(&headers, &Bytes::from(body), &Bounds::default()) {
        Ok(Message::Call(call)) => *call,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_question_that_is_not_answered_ends_only_a_child_that_nobody_needs() {
    // The first request is answered, and no other.
    let proven =
        child(r#"read -r line; echo '{"jsonrpc":"2.0","id":1,"result":{}}'; while read -r line; do :; done"#);
    exchange::ask(&proven, &request("tools/list"), None, true).await.unwrap();
    let (busy, silent) = (child("while read -r line; do :; done"), child("while read -r line; do :; done"));
    let call = request("prompts/list");
    let waits = exchange::ask(&busy, &call, None, true);
    let discover_call = request("server/discover");
    let asked = futures_util::future::join3(
        discover(&proven, &discover_call, true),
        discover(&busy, &discover_call, true),
        discover(&silent, &discover_call, true),
    );
    let (of_proven, of_busy, of_silent) = tokio::select! {
        biased;
        _ = waits => panic!("the other caller's request was broken off"),
        answers = asked => answers,
    };
    assert!(matches!(of_proven, Err(DialError::Broken(_))));
    assert!(matches!(of_busy, Err(DialError::Broken(_))));
    assert_eq!(of_silent.unwrap().status(), StatusCode::BAD_REQUEST);
    timeout(Duration::from_secs(30), silent.gone()).await.unwrap();
    assert!(proven.end().is_none() && busy.end().is_none());
}

/// Answers each request with what it finds in its environment.
const TELLS: &str = r#"
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\),.*/\1/p')
  [ -n "$id" ] && printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"resources":{"subscribe":true}},"serverInfo":{"name":"s","version":"1"},"pid":%s,"user":"%s","password":"%s"}}\n' "$id" $$ "$PGUSER" "$PGPASSWORD"
done"#;

/// A PostgreSQL password of this version.
struct Password {
    used: CredentialUse,
    manner: Manner,
    ended: Option<watch::Receiver<bool>>,
}

#[async_trait::async_trait]
impl Presentable for Password {
    fn used(&self) -> &CredentialUse {
        &self.used
    }
    fn manner(&self) -> Manner {
        self.manner
    }
    async fn open(&self) -> Result<Plain, DialError> {
        let version = self.used.version;
        if version == 13 {
            return Err(DialError::Credential(String::from("it is revoked")));
        }
        let of = |text: &str| Secret::new(format!("{text}-{version}"));
        Ok(Plain::Environment(vec![
            ("PGUSER".to_owned(), of("role")),
            ("PGPASSWORD".to_owned(), of("password")),
        ]))
    }
    fn ended(&self) -> Ending {
        let Some(mut ended) = self.ended.clone() else { return Box::pin(std::future::pending()) };
        Box::pin(async move { drop(ended.wait_for(|ended| *ended).await) })
    }
}

fn password(version: u32) -> Presented {
    let used = CredentialUse { name: CredentialName::parse("db").unwrap(), version };
    Presented::new(Arc::new(Password { used, manner: Manner::Environment, ended: None }))
}

fn inner(per: Per) -> Inner {
    let (guard, program) = program(TELLS, per);
    let name = ServerName::parse("files").unwrap();
    let children = Children::new(name, program, guard, Arc::new(CountingRng::default()));
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1)));
    let verifier = Verifier::new(&[1; 32], "files", clock).unwrap();
    Inner { children, sessions: Sessions::default(), verifier }
}

async fn told(answer: Answer) -> Value {
    let body = answer.unwrap().into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice::<Value>(&body).unwrap()["result"].take()
}

/// Which process answered a call under this version, and what it found.
async fn found(inner: &Inner, version: Option<u32>) -> (u64, String, String) {
    let (headers, credential) = (HeaderMap::new(), version.map(password));
    let caller = sha256(&[b"ana"]);
    let sender = Sender { caller, headers: &headers, credential: credential.as_ref() };
    let result = told(inner.modern(&sender, &request("tools/list")).await).await;
    let text = |key: &str| result[key].as_str().unwrap_or_else(|| panic!("{result}")).to_owned();
    (result["pid"].as_u64().unwrap(), text("user"), text("password"))
}

#[tokio::test]
async fn a_process_has_the_credential_of_its_calls_and_serves_no_other_version() {
    let inner = inner(Per::Server);
    let (bare, user, password) = found(&inner, None).await;
    assert_eq!((&*user, &*password), ("configured", ""), "no credential, no variable of one");
    let (first, user, password) = found(&inner, Some(1)).await;
    assert_eq!((&*user, &*password), ("role-1", "password-1"), "it stands above what is configured");
    let (second, user, password) = found(&inner, Some(2)).await;
    assert_eq!((&*user, &*password), ("role-2", "password-2"));
    assert_eq!(found(&inner, Some(1)).await.0, first, "a call that carries the old one still finds it");
    assert_eq!(found(&inner, Some(2)).await.0, second);
    assert!(bare != first && first != second);

    let (headers, revoked) = (HeaderMap::new(), super::tests::password(13));
    let sender = Sender { caller: sha256(&[b"ana"]), headers: &headers, credential: Some(&revoked) };
    let revoked = inner.modern(&sender, &request("tools/list")).await;
    assert!(matches!(revoked, Err(DialError::Credential(_))), "no process is started without its secret");
    inner.children.stop().await;
}

#[tokio::test]
async fn a_replaced_versions_process_ends_after_its_last_call() {
    let inner = inner(Per::Server);
    let key = |version| Key {
        era: Era::Modern,
        caller: None,
        client: None,
        credential: Some(password(version).used().clone()),
    };
    found(&inner, Some(1)).await;
    let old = inner.children.running(&key(1)).unwrap();
    found(&inner, Some(2)).await;
    let new = inner.children.running(&key(2)).unwrap();
    let waits = old.ask(crate::table::Asking::unheard(), |_| Bytes::from_static(b"{}")).unwrap();
    inner.children.tidy(&|_| true);
    assert!(old.end().is_none(), "somebody waits for it");
    old.table().forget(waits);
    let ended = async {
        while old.end().is_none() {
            // What a session needs is needed of the new one.
            inner.children.tidy(&|_| true);
            // The new one is asked later than the old one was.
            found(&inner, Some(2)).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        old.gone().await;
    };
    timeout(limits::CHILD_SUPERSEDED + Duration::from_secs(30), ended).await.unwrap();
    assert!(new.end().is_none());
    inner.children.stop().await;
}

/// Does not read, and ignores what it can.
const STUBBORN: &str = "trap '' TERM HUP INT; while :; do sleep 0.05; done";

#[tokio::test]
async fn a_process_with_a_revoked_secret_ends_at_once_and_others_go_on() {
    let ended = watch::Sender::new(false);
    let (guard, program) = program(STUBBORN, Per::Server);
    let name = ServerName::parse("files").unwrap();
    let start = async |ended: &watch::Sender<bool>| {
        let used = CredentialUse { name: CredentialName::parse("db").unwrap(), version: 1 };
        let held = Password { used, manner: Manner::Environment, ended: Some(ended.subscribe()) };
        let credential = Some(Presented::new(Arc::new(held)));
        let (guard, program) = (guard.clone(), Arc::new(program.clone()));
        let with = (credential, &CountingRng::default() as &dyn Rng);
        crate::start::start(guard, name.clone(), program, Era::Modern, None, with).await.unwrap()
    };
    let neighbours = watch::Sender::new(false);
    let (doomed, neighbour) = (start(&ended).await, start(&neighbours).await);
    let waits = doomed.ask(crate::table::Asking::unheard(), |_| Bytes::from_static(b"{}"));
    assert!(waits.is_ok());
    ended.send_replace(true);
    timeout(Duration::from_secs(1), doomed.gone()).await.expect("within a second");
    assert!(doomed.why().contains("revoked"), "{}", doomed.why());
    assert!(neighbour.end().is_none());
    neighbours.send_replace(true);
    neighbour.gone().await;
}

#[tokio::test]
async fn no_call_fails_while_versions_change_and_processes_end() {
    let inner = Arc::new(inner(Per::Server));
    let calls = (0..8_u32).map(|task| {
        let inner = inner.clone();
        tokio::spawn(async move {
            for call in 0..25 {
                let version = 1 + (task + call) % 3;
                let (_, user, password) = found(&inner, Some(version)).await;
                assert_eq!((user, password), (format!("role-{version}"), format!("password-{version}")));
            }
        })
    });
    let calls = futures_util::future::join_all(calls.collect::<Vec<_>>());
    let ends = async {
        let mut ended = 0;
        while ended < 20 {
            ended += inner.children.end_what_rests();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    let done = tokio::select! {
        done = calls => done,
        () = ends => panic!("this has no end"),
    };
    done.into_iter().for_each(|done| done.unwrap());
    inner.children.stop().await;
}

#[tokio::test]
async fn a_session_follows_a_new_version_only_when_no_process_holds_its_state() {
    for (per, follows) in [(Per::Server, true), (Per::Caller, false)] {
        let inner = inner(per);
        let call = |method: &str, params: &str| {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
            let mut headers = HeaderMap::new();
            headers.insert("content-type", HeaderValue::from_static("application/json"));
            headers.insert("accept", HeaderValue::from_static("application/json, text/event-stream"));
            headers.insert("mcp-protocol-version", HeaderValue::from_static("2025-11-25"));
            match message::read(&headers, &Bytes::from(body), &Bounds::default()) {
                Ok(Message::Call(call)) => *call,
                other => panic!("{other:?}"),
            }
        };
        let send = async |session: Option<&HeaderValue>, version: u32, call: &Call| {
            let mut headers = HeaderMap::new();
            session.map(|session| headers.insert("mcp-session-id", session.clone()));
            let (caller, credential) = (sha256(&[b"ana"]), password(version));
            let sender = Sender { caller, headers: &headers, credential: Some(&credential) };
            legacy::call(&inner, &sender, call).await.unwrap()
        };
        let hello =
            r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}"#;
        let begun = send(None, 1, &call("initialize", hello)).await;
        let session = begun.headers()["mcp-session-id"].clone();
        let list = call("tools/list", "{}");
        let first = told(Ok(send(Some(&session), 1, &list).await)).await;
        assert_eq!(first["user"], "role-1");
        let second = send(Some(&session), 2, &list).await;
        if !follows {
            assert_eq!(second.status(), StatusCode::NOT_FOUND, "its state was in the old process");
            assert_eq!(send(Some(&session), 1, &list).await.status(), StatusCode::NOT_FOUND, "it is over");
            continue;
        }
        assert_eq!(told(Ok(second)).await["user"], "role-2");
        let watch = call("resources/subscribe", r#"{"uri":"file:///a"}"#);
        assert_eq!(send(Some(&session), 2, &watch).await.status(), StatusCode::OK);
        let third = send(Some(&session), 3, &list).await;
        assert_eq!(third.status(), StatusCode::NOT_FOUND, "a subscription is state of the old process");
        inner.children.stop().await;
    }
}
