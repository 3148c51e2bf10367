//! The page where a person lets a device in.

use crate::app::{App, Browser, Reply};
use http::StatusCode;
use portunus_core::limits;
use serde_json::Value;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn begin(app: &App) -> Value {
    let resource = "https://tools.example.com/sales/mcp";
    let reply =
        app.post("/oauth/device_authorization", &[("client_id", &app.client), ("resource", resource)]).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    reply.json()
}

async fn fetch(app: &App, device: &Value) -> Reply {
    let code = device["device_code"].as_str().unwrap();
    app.post("/oauth/token", &[("grant_type", GRANT_TYPE), ("device_code", code), ("client_id", &app.client)])
        .await
}

async fn type_in(browser: &mut Browser<'_>, code: &str) -> Reply {
    let csrf = browser.get("/device").await.field("csrf");
    browser.post("/device", &[("csrf", &csrf), ("user_code", code)]).await
}

async fn decide(browser: &mut Browser<'_>, page: &Reply, code: &str, decision: &str) -> Reply {
    let csrf = page.field("csrf");
    browser.post("/device", &[("csrf", &csrf), ("user_code", code), ("decision", decision)]).await
}

#[tokio::test]
async fn a_person_types_in_the_code_and_the_device_gets_its_tokens() {
    let app = App::new().await;
    let device = begin(&app).await;
    let code = device["user_code"].as_str().unwrap();
    assert_eq!(fetch(&app, &device).await.json()["error"], "authorization_pending");
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    // The complete address fills the code in and decides nothing.
    let complete = device["verification_uri_complete"].as_str().unwrap();
    let page = browser.get(complete.trim_start_matches("https://tools.example.com")).await;
    assert_eq!((page.status, page.field("user_code").as_str()), (StatusCode::OK, code));
    assert_eq!(fetch(&app, &device).await.json()["error"], "slow_down");

    let page = type_in(&mut browser, &code.to_ascii_lowercase().replace('-', "")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    for shown in ["Inspector", "Sales database", "Quarterly questions", "olga@example.com", code, "ana"] {
        assert!(page.body.contains(shown), "{shown} is not on the page: {}", page.body);
    }
    assert_eq!(decide(&mut browser, &page, code, "allow").await.status, StatusCode::OK);
    app.clock.advance(limits::DEVICE_INTERVAL * 3);
    let tokens = fetch(&app, &device).await.json();
    assert!(app.is_good(tokens["access_token"].as_str().unwrap()).await);
    assert_eq!(app.refresh(tokens["refresh_token"].as_str().unwrap()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_no_reaches_the_device() {
    let app = App::new().await;
    let device = begin(&app).await;
    let code = device["user_code"].as_str().unwrap();
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    let page = type_in(&mut browser, code).await;
    assert_eq!(decide(&mut browser, &page, code, "deny").await.status, StatusCode::OK);
    assert_eq!(fetch(&app, &device).await.json()["error"], "access_denied");
    assert_eq!(type_in(&mut browser, code).await.status, StatusCode::NOT_FOUND, "it was decided already");
}

#[tokio::test]
async fn a_consent_form_for_one_device_lets_no_other_one_in() {
    let app = App::new().await;
    let (mine, other) = (begin(&app).await, begin(&app).await);
    let (mine, other_code) = (mine["user_code"].as_str().unwrap(), other["user_code"].as_str().unwrap());
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    let page = type_in(&mut browser, mine).await;
    let swapped = decide(&mut browser, &page, other_code, "allow").await;
    assert_eq!(swapped.status, StatusCode::FORBIDDEN);
    let mut stranger = Browser::of(&app);
    stranger.sign_in("olga").await;
    assert_eq!(decide(&mut stranger, &page, mine, "allow").await.status, StatusCode::FORBIDDEN);
    let without = browser.post("/device", &[("user_code", mine)]).await;
    assert_eq!(without.status, StatusCode::FORBIDDEN);
    assert_eq!(fetch(&app, &other).await.json()["error"], "authorization_pending");
}

#[tokio::test]
async fn guessing_codes_ends_soon_and_signed_out_nobody_can_guess() {
    let app = App::new().await;
    let device = begin(&app).await;
    let mut nobody = Browser::of(&app);
    let page = nobody.post("/device", &[("user_code", device["user_code"].as_str().unwrap())]).await;
    assert!(page.body.contains("id=\"password\"") && !page.body.contains("Inspector"), "{}", page.body);
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    for _ in 0..limits::LOGIN_FAILURES {
        assert_eq!(type_in(&mut browser, "BCDFG-HJKLM").await.status, StatusCode::NOT_FOUND);
    }
    let held = type_in(&mut browser, device["user_code"].as_str().unwrap()).await;
    assert_eq!(held.status, StatusCode::TOO_MANY_REQUESTS, "even the right one");
    assert!(held.header("retry-after").is_some() && !held.body.contains("Inspector"));
    app.clock.advance(limits::LOGIN_WINDOW);
    let again = begin(&app).await;
    assert_eq!(type_in(&mut browser, again["user_code"].as_str().unwrap()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn one_address_begins_only_so_many_devices() {
    let app = App::new().await;
    let fields = [("client_id", app.client.as_str()), ("resource", "https://tools.example.com/sales/mcp")];
    let mut refused = 0;
    for _ in 0..=limits::REGISTRATIONS {
        let reply = app.post("/oauth/device_authorization", &fields).await;
        refused += u32::from(reply.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused > 0);
}
