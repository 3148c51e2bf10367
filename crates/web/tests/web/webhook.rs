//! Another system hears of waiting calls, and decides about them.

use crate::app::{App, Reply};
use crate::approvals::{APPROVAL, add, approval, ask, ask_for_approval};
use axum::body::Body;
use data_encoding::BASE64;
use http::{HeaderMap, Request, StatusCode};
use portunus_core::document::{ApprovalState, Through};
use portunus_core::limits;
use portunus_core::time::Clock;
use portunus_web::approvals::webhook::{self, Webhook};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;
use url::Url;

const PATH: &str = "/approvals/apr_00000000000000000000000000/decision";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn hook() -> Webhook {
    Webhook::new(Url::parse("https://chat.example.com/hook?team=1").unwrap(), SECRET).unwrap()
}

async fn with_webhook() -> App {
    let app = App::new().await;
    app.state.replace_webhook(Some(hook()));
    add(&app, "olga@example.com", &[]).await;
    app
}

#[derive(Clone)]
struct Message {
    path: String,
    id: String,
    seconds: u64,
    body: String,
    signature: String,
}

impl Message {
    /// A sound one.
    fn of(app: &App, body: &Value) -> Self {
        let (seconds, body) = (app.clock.now().as_secs(), body.to_string());
        let signature = hook().sign(APPROVAL, seconds, body.as_bytes());
        Self { path: PATH.into(), id: APPROVAL.into(), seconds, body, signature }
    }
    fn signed(self) -> Self {
        Self { signature: hook().sign(&self.id, self.seconds, self.body.as_bytes()), ..self }
    }
    async fn send(&self, app: &App) -> Reply {
        let request = Request::post(&self.path)
            .header("content-type", "application/json")
            .header("webhook-id", &self.id)
            .header("webhook-timestamp", self.seconds.to_string())
            .header("webhook-signature", &self.signature);
        app.send(request.body(Body::from(self.body.clone())).unwrap()).await
    }
}

fn allow(by: &str) -> Value {
    json!({ "decision": "allow", "by": by, "reason": "fine" })
}

#[test]
fn a_message_is_signed_as_standard_webhooks_say() {
    // The example of the Standard Webhooks libraries.
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    let signature = hook().sign(id, 1_614_265_330, br#"{"test": 2432232314}"#);
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    let url = || Url::parse("https://x.test").unwrap();
    for (secret, good) in [
        (SECRET.to_owned(), true),
        (format!("{SECRET}\n"), true),
        ("x".repeat(24), true),
        ("x".repeat(23), false),
        ("x".repeat(129), false),
        (format!("{}\nsecond line", "x".repeat(24)), false),
        ("whsec_not base64 at all, although it is long".into(), false),
        (format!("whsec_{}", BASE64.encode(&[1; 23])), false),
    ] {
        assert_eq!(Webhook::new(url(), &secret).is_ok(), good, "{secret}");
    }
}

#[tokio::test]
async fn a_signed_decision_of_an_entitled_person_counts_once() {
    let app = with_webhook().await;
    ask_for_approval(&app).await;
    let message = Message::of(&app, &allow("olga@example.com"));
    let reply = message.send(&app).await;
    assert_eq!((reply.status, &reply.json()["state"]), (StatusCode::OK, &json!("allowed")), "{}", reply.body);
    let decided = approval(&app).await;
    assert_eq!(decided.decided_by.as_deref(), Some("olga@example.com"));
    assert_eq!(
        (decided.rulings[0].through, decided.rulings[0].reason.as_deref()),
        (Through::Webhook, Some("fine"))
    );
    let replayed = message.send(&app).await;
    assert_eq!(replayed.status, StatusCode::CONFLICT, "{}", replayed.body);
    assert_eq!(app.ledger.count("approval.allowed"), 1);
    let event = app.ledger.events().into_iter().find(|event| event.action == "approval.allowed").unwrap();
    assert_eq!(event.detail["through"], "webhook");
}

#[tokio::test]
async fn whatever_is_not_signed_for_this_approval_and_this_time_is_refused() {
    let app = with_webhook().await;
    ask_for_approval(&app).await;
    let good = Message::of(&app, &allow("olga@example.com"));
    let late = limits::WEBHOOK_TOLERANCE.as_secs() + 1;
    let other = Webhook::new(Url::parse("https://x.test").unwrap(), &"y".repeat(32)).unwrap();
    let another = "apr_11111111111111111111111111";
    for (why, message) in [
        ("no signature", Message { signature: String::new(), ..good.clone() }),
        ("another version", Message { signature: good.signature.replace("v1,", "v2,"), ..good.clone() }),
        ("cut", Message { signature: good.signature[..20].into(), ..good.clone() }),
        ("another body", Message { body: allow("olga").to_string(), ..good.clone() }),
        ("another time", Message { seconds: good.seconds + 1, ..good.clone() }),
        ("too old", Message { seconds: good.seconds - late, ..good.clone() }.signed()),
        ("of the future", Message { seconds: good.seconds + late, ..good.clone() }.signed()),
        ("another id", Message { id: "msg_1".into(), ..good.clone() }.signed()),
        ("of another approval", Message { id: another.into(), ..good.clone() }.signed()),
        ("for another approval", Message { path: PATH.replace(APPROVAL, another), ..good.clone() }),
        (
            "another secret",
            Message { signature: other.sign(APPROVAL, good.seconds, good.body.as_bytes()), ..good.clone() },
        ),
    ] {
        let reply = message.send(&app).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{why}: {}", reply.body);
    }
    for body in [
        json!({}),
        json!({ "decision": "maybe", "by": "olga" }),
        json!({ "decision": "allow" }),
        json!({ "decision": "allow", "by": "olga", "through": "socket" }),
    ] {
        assert_eq!(Message::of(&app, &body).send(&app).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(approval(&app).await.rulings, []);
    // One good signature among several is enough: secrets are changed that way.
    let several = Message { signature: format!("v1,AAAA v1a,x {}", good.signature), ..good };
    assert_eq!(several.send(&app).await.status, StatusCode::OK);
}

#[tokio::test]
async fn who_may_not_decide_on_the_page_may_not_by_webhook_either() {
    let app = with_webhook().await;
    add(&app, "bo", &[]).await;
    add(&app, "cy", &["dba"]).await;
    app.set_user("cy", |user| user.disabled_at = Some(user.created_at)).await;
    ask(&app, "group dba and owner", "ana").await;
    for by in ["ana", "bo", "cy", "nobody", "admin", "workload:ci", "", "o l g a"] {
        let reply = Message::of(&app, &allow(by)).send(&app).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{by}: {}", reply.body);
    }
    assert_eq!(approval(&app).await.rulings, []);
    app.clock.advance(limits::APPROVAL_TTL);
    assert_eq!(Message::of(&app, &allow("olga")).send(&app).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn without_a_webhook_nothing_is_heard() {
    let app = with_webhook().await;
    ask_for_approval(&app).await;
    app.state.replace_webhook(None);
    let reply = Message::of(&app, &allow("olga@example.com")).send(&app).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(approval(&app).await.state, ApprovalState::Pending);
}

/// Waits for what happens elsewhere.
async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("it did not happen in time");
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_is_announced_and_tried_again_a_bounded_number_of_times() {
    let app = with_webhook().await;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(webhook::announce(app.state.clone(), stopped));
    tokio::task::yield_now().await;
    *app.courier.failures.lock().unwrap() = 2;
    ask_for_approval(&app).await;
    until(|| app.ledger.count("approval.announced") == 1).await;
    let taken = std::mem::take(&mut *app.courier.taken.lock().unwrap());
    assert_eq!(taken.len(), 3, "two failures, then it was taken");
    let id = |headers: &HeaderMap| headers["webhook-id"].to_str().unwrap().to_owned();
    let (url, headers, body) = taken.last().unwrap();
    assert_eq!(url.as_str(), "https://chat.example.com/hook?team=1");
    assert!(taken.iter().all(|(_, other, _)| id(other) == id(headers)), "each try is the same message");
    let seconds: u64 = headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
    assert_eq!(headers["webhook-signature"], hook().sign(&id(headers), seconds, body));
    let said: Value = serde_json::from_slice(body).unwrap();
    assert_eq!((&said["type"], &said["data"]["id"]), (&json!("approval.asked"), &json!(APPROVAL)));
    assert_eq!(said["data"]["decision_url"], format!("https://tools.example.com{PATH}"));
    assert_eq!(said["data"]["estimate"], json!({ "rows_changed": 12 }));
    // Sent back as it is, it decides nothing.
    let turned = Message {
        path: PATH.into(),
        id: id(headers),
        seconds,
        body: String::from_utf8(body.to_vec()).unwrap(),
        signature: headers["webhook-signature"].to_str().unwrap().to_owned(),
    };
    assert_eq!(turned.send(&app).await.status, StatusCode::UNAUTHORIZED);

    // Nobody answers, and that is told too.
    app.courier.taken.lock().unwrap().clear();
    app.clock.advance(limits::APPROVAL_TTL + limits::APPROVAL_SETTLES + Duration::from_secs(1));
    assert_eq!(portunus_web::approvals::expire(&app.state).await.unwrap(), 1);
    until(|| app.ledger.count("approval.announced") == 2).await;
    let taken = std::mem::take(&mut *app.courier.taken.lock().unwrap());
    let said: Value = serde_json::from_slice(&taken[0].2).unwrap();
    assert_eq!((&said["type"], &said["data"]["id"]), (&json!("approval.expired"), &json!(APPROVAL)));
    assert_eq!((taken.len(), &said["data"]["decision_url"]), (1, &Value::Null));

    *app.courier.failures.lock().unwrap() = usize::MAX;
    ask_for_approval(&app).await;
    until(|| app.ledger.count("approval.unannounced") == 1).await;
    assert_eq!(app.courier.taken.lock().unwrap().len(), 1 + limits::WEBHOOK_RETRIES.len());
    stop.send_replace(true);
    running.await.unwrap();
}
