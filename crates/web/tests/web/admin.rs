//! The administrators' API.

use crate::app::{App, Browser};
use crate::approvals::{APPROVAL, ask_for_approval};
use http::{Method, StatusCode};
use serde_json::{Value, json};

impl App {
    async fn ask(&self, path: &str) -> Value {
        let reply = self.admin(Method::GET, path, Value::Null).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        reply.json()
    }
    async fn tell(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let reply = self.admin(Method::POST, path, body).await;
        (reply.status, reply.json())
    }
}

#[tokio::test]
async fn an_account_is_added_with_a_password_that_works_once() {
    let app = App::new().await;
    let (status, added) = app.tell("/users", json!({ "name": "bo", "groups": ["analysts"] })).await;
    assert_eq!(
        (status, &added["display_name"], &added["groups"][0]),
        (StatusCode::OK, &json!("bo"), &json!("analysts"))
    );
    let mut browser = Browser::of(&app);
    let reply = browser.try_sign_in("/login", "bo", added["password"].as_str().unwrap()).await;
    assert_eq!(reply.location(), "/console/");
    assert!(browser.get("/console/").await.body.contains("Choose a password"));
    let listed = app.ask("/users").await;
    assert_eq!(listed["users"].as_array().unwrap().len(), 3);
    assert!(!listed.to_string().contains("argon2"), "no hashes leave: {listed}");
    let (status, twice) = app.tell("/users", json!({ "name": "bo" })).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(twice["message"].as_str().unwrap().contains("portunus user list"));
    let (_, disabled) = app.tell("/users/bo/disable", json!({})).await;
    assert_eq!(disabled["changed"], true);
    assert!(browser.get("/console/").await.body.contains("id=\"username\""));
    for body in [json!({}), json!({ "name": "a b" }), json!({ "name": "x", "admin": true }), json!([])] {
        assert_eq!(app.tell("/users", body).await.0, StatusCode::BAD_REQUEST);
    }
    assert_eq!(app.tell("/users/nobody/disable", json!({})).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn tokens_are_issued_and_grants_listed_and_revoked() {
    let app = App::new().await;
    let order = json!({ "server": "sales", "user": "ana", "client": "portunus-cli", "ttl_seconds": 600 });
    let (status, issued) = app.tell("/tokens", order).await;
    assert_eq!((status, &issued["expires_in"]), (StatusCode::OK, &json!(600)));
    let token = issued["access_token"].as_str().unwrap();
    assert!(app.is_good(token).await);
    let listed = app.ask("/grants?user=ana").await;
    assert_eq!(listed["grants"][0]["id"], issued["grant"]);
    assert_eq!(app.ask("/grants?user=olga").await["grants"], json!([]));
    assert_eq!(app.ask("/grants").await, listed);
    let path = format!("/grants/{}/revoke", issued["grant"].as_str().unwrap());
    assert_eq!(app.tell(&path, json!({})).await.1["revoked"], true);
    assert!(!app.is_good(token).await);
    assert_eq!(app.tell(&path, json!({})).await.0, StatusCode::NOT_FOUND);
    for (body, status) in [
        (json!({ "server": "other", "user": "ana", "ttl_seconds": 60 }), StatusCode::NOT_FOUND),
        (json!({ "server": "sales", "user": "nobody", "ttl_seconds": 60 }), StatusCode::NOT_FOUND),
        (json!({ "server": "sales", "user": "ana", "ttl_seconds": 0 }), StatusCode::BAD_REQUEST),
        (json!({ "server": "sales", "user": "ana", "ttl_seconds": 86_401 }), StatusCode::BAD_REQUEST),
        (json!({ "server": "sales", "user": "ana" }), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(app.tell("/tokens", body.clone()).await.0, status, "{body}");
    }
}

#[tokio::test]
async fn waiting_calls_are_listed_and_decided() {
    let app = App::new().await;
    ask_for_approval(&app).await;
    let listed = app.ask("/approvals").await;
    assert_eq!(listed["approvals"][0]["id"], APPROVAL);
    let (_, denied) = app.tell(&format!("/approvals/{APPROVAL}/deny"), json!({})).await;
    assert_eq!(denied["state"], "denied");
    let (status, _) = app.tell(&format!("/approvals/{APPROVAL}/allow"), json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(app.ask("/approvals").await["approvals"], json!([]));
    let (status, _) = app.tell("/approvals/apr_11111111111111111111111111/allow", json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(app.tell("/approvals/x/allow", json!({})).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(
        app.tell(&format!("/approvals/{APPROVAL}/allow"), json!({ "x": 1 })).await.0,
        StatusCode::BAD_REQUEST
    );
    let shown = app.ask(&format!("/approvals/{APPROVAL}")).await;
    assert_eq!((&shown["approval"]["approver"], &shown["missing"]), (&json!("owner"), &json!(["owner"])));
}

#[tokio::test]
async fn the_status_counts_what_there_is() {
    let app = App::new().await;
    app.tokens("ana").await;
    let status = app.ask("/status").await;
    assert_eq!(status["issuer"], crate::app::ISSUER);
    assert_eq!((&status["users"], &status["clients"], &status["grants"]), (&json!(2), &json!(1), &json!(1)));
    let (code, unknown) = app.tell("/no-such-command", json!({})).await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    assert!(unknown["message"].is_string());
}

#[tokio::test]
async fn the_administrators_api_is_not_on_the_public_side() {
    let app = App::new().await;
    for path in ["/users", "/grants", "/tokens", "/approvals/x/allow", "/status"] {
        assert_eq!(app.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(app.post(path, &[]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let app = App::new().await;
    app.ledger.set_failing(true);
    let (status, told) = app.tell("/users", json!({ "name": "bo" })).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        told["message"].as_str().unwrap().contains("told to fail"),
        "the administrator learns why: {told}"
    );
    ask_for_approval(&app).await;
    let (status, _) = app.tell(&format!("/approvals/{APPROVAL}/allow"), json!({})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    app.ledger.set_failing(false);
    assert_eq!(app.ask("/users").await["users"].as_array().unwrap().len(), 2);
    assert_eq!(app.ask("/approvals").await["approvals"].as_array().unwrap().len(), 1);
}
