//! Signing in: no enumeration, no guessing, no fixation, no open redirect.

use crate::app::{App, Browser, PASSWORD, Reply};
use http::StatusCode;
use portunus_core::document::Session;
use portunus_core::limits;
use portunus_core::store::{Batch, Store, list_all};
use std::time::Duration;

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let app = App::new().await;
    app.add_user("eve", false).await;
    app.set_user("eve", |user| user.disabled_at = Some(user.created_at)).await;
    let mut seen = Vec::new();
    for (user, password) in [("ana", "wrong"), ("nobody", "wrong"), ("eve", PASSWORD), ("eve", "wrong")] {
        let mut browser = Browser::of(&app);
        let reply = browser.try_sign_in("/login", user, password).await;
        assert!(reply.body.contains("The user name or password is not right."), "{}", reply.body);
        let csrf = reply.field("csrf");
        let body = reply.body.replace(&format!("value=\"{user}\""), "value=\"\"").replace(&csrf, "");
        // The challenge for a passkey is another one each time.
        let (before, challenge) = body.split_once("data-challenge=\"").unwrap();
        let body = format!("{before}{}", challenge.split_once('"').unwrap().1);
        let mut names: Vec<_> = reply.headers.keys().map(ToString::to_string).collect();
        names.sort();
        seen.push((reply.status, names, body));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:#?}");
    assert_eq!(seen[0].0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn guessing_is_throttled_by_user_and_by_address_whether_or_not_the_user_exists() {
    let app = App::new().await;
    for user in ["ana", "nobody"] {
        // Each guess from another address: the user's own bound counts.
        let addresses = ["198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"];
        for guess in 0..limits::LOGIN_FAILURES {
            let mut browser = Browser::of(&app);
            browser.address = addresses[guess as usize % 4];
            let reply = browser.try_sign_in("/login", user, "guess").await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{user} {guess}");
        }
        let mut browser = Browser::of(&app);
        let reply = browser.try_sign_in("/login", user, PASSWORD).await;
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(
            reply.header("retry-after").is_some() && reply.body.contains("too many attempts"),
            "{}",
            reply.body
        );
    }
    app.clock.advance(limits::LOGIN_WINDOW);
    Browser::of(&app).sign_in("ana").await;
    // Many users from one address: the address' bound counts.
    for guess in 0..limits::LOGIN_FAILURES {
        let mut browser = Browser::of(&app);
        browser.address = "203.0.113.5";
        browser.try_sign_in("/login", &format!("user{guess}"), "guess").await;
    }
    let mut browser = Browser::of(&app);
    browser.address = "203.0.113.5";
    let reply = browser.try_sign_in("/login", "olga", PASSWORD).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    Browser::of(&app).sign_in("olga").await;
}

#[tokio::test]
async fn signing_in_makes_a_new_session_and_ends_the_old_one() {
    let app = App::new().await;
    let mut browser = Browser::of(&app);
    // A planted cookie is not adopted.
    let planted = "ptn_ss_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAaaaaaa";
    browser.cookies.insert("__Host-portunus".to_owned(), planted.to_owned());
    browser.sign_in("ana").await;
    let first = browser.cookies["__Host-portunus"].clone();
    assert_ne!(first, planted);
    assert!(!browser.cookies.contains_key("__Host-portunus-form"), "the form's cookie has done its work");
    // Signing in again, as another person at the same browser.
    let mut other = Browser::of(&app);
    let page = other.get("/login").await;
    other.cookies.insert("__Host-portunus".to_owned(), first.clone());
    let (csrf, next) = (page.field("csrf"), page.field("next"));
    let fields = [("csrf", csrf.as_str()), ("next", &next), ("username", "olga"), ("password", PASSWORD)];
    other.post("/login", &fields).await;
    assert_ne!(other.cookies["__Host-portunus"], first);
    let console = browser.get("/console/").await;
    assert!(console.body.contains("name=\"password\""), "the first session is over: {}", console.body);
}

#[tokio::test]
async fn signing_out_ends_the_session_on_the_server_too() {
    let app = App::new().await;
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    let cookie = browser.cookies["__Host-portunus"].clone();
    let page = browser.get("/console/").await;
    let csrf =
        page.body.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(browser.post("/logout", &[("csrf", &csrf)]).await.location(), "/login");
    assert!(browser.cookies.is_empty());
    browser.cookies.insert("__Host-portunus".to_owned(), cookie);
    assert!(browser.get("/console/").await.body.contains("name=\"password\""));
    assert_eq!(app.ledger.count("user.signed_out"), 1);
}

#[tokio::test]
async fn a_session_ends_in_time_and_with_its_user() {
    let app = App::new().await;
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    app.clock.advance(limits::SESSION_TTL - Duration::from_secs(1));
    assert!(browser.get("/console/").await.body.contains("Your access"));
    app.clock.advance(Duration::from_secs(1));
    assert!(browser.get("/console/").await.body.contains("name=\"password\""));
    browser.sign_in("ana").await;
    app.set_user("ana", |user| user.disabled_at = Some(user.created_at)).await;
    assert!(browser.get("/console/").await.body.contains("name=\"password\""));
}

#[tokio::test]
async fn a_sign_in_never_leads_to_another_site() {
    let app = App::new().await;
    for next in
        ["//evil.test/", "https://evil.test/", "/\\evil.test", "/oauth/authorize@evil.test", "javascript:x"]
    {
        let mut browser = Browser::of(&app);
        let csrf = browser.get("/login").await.field("csrf");
        let fields = [("csrf", csrf.as_str()), ("next", next), ("username", "ana"), ("password", PASSWORD)];
        assert_eq!(browser.post("/login", &fields).await.location(), "/console/", "{next}");
    }
}

#[tokio::test]
async fn with_a_one_time_password_nothing_can_be_done_but_choosing_another() {
    let app = App::new().await;
    app.set_user("olga", |user| user.one_time_password = true).await;
    let mut browser = Browser::of(&app);
    browser.sign_in("olga").await;
    let authorize = format!("/oauth/authorize?{}", app.query(&[]));
    for path in ["/console/", "/account/password", "/login", authorize.as_str()] {
        assert!(browser.get(path).await.body.contains("Choose a password"), "{path}");
    }
    let posts = [
        ("/console/grants", "grant"),
        ("/approvals/apr_00000000000000000000000000", "reason"),
        ("/oauth/authorize", "request"),
    ];
    for (path, field) in posts {
        let query = app.query(&[]);
        let reply = browser.post(path, &[(field, &query), ("decision", "allow"), ("csrf", "x")]).await;
        assert!(reply.body.contains("Choose a password"), "{path}: {}", reply.body);
    }
    assert_eq!(app.ledger.count("grant.created"), 0);
}

#[tokio::test]
async fn a_new_password_must_be_good_and_the_old_one_known() {
    let app = App::new().await;
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    let elsewhere = {
        let mut elsewhere = Browser::of(&app);
        elsewhere.sign_in("ana").await;
        elsewhere.cookies
    };
    let good = "another harbour, another key";
    let csrf = browser.get("/account/password").await.field("csrf");
    for (current, new, repeat, words) in [
        ("wrong", good, good, "present password is not right"),
        (PASSWORD, good, "different", "are not the same"),
        (PASSWORD, "short", "short", "at least 12 characters"),
        (PASSWORD, PASSWORD, PASSWORD, "must differ from the old one"),
        (PASSWORD, "aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaa", "must not be the user name"),
        ("", "", "", "must differ"),
    ] {
        let fields = [
            ("csrf", csrf.as_str()),
            ("current_password", current),
            ("new_password", new),
            ("repeat_password", repeat),
        ];
        let reply = browser.post("/account/password", &fields).await;
        assert!(reply.status.is_client_error() && reply.body.contains(words), "{words}: {}", reply.body);
    }
    let fields = [
        ("csrf", csrf.as_str()),
        ("current_password", PASSWORD),
        ("new_password", good),
        ("repeat_password", good),
    ];
    assert_eq!(browser.post("/account/password", &fields).await.location(), "/console/");
    assert!(browser.get("/console/").await.body.contains("Your access"), "this browser stays signed in");
    let mut other = Browser::of(&app);
    other.cookies = elsewhere;
    assert!(other.get("/console/").await.body.contains("name=\"password\""), "every other one does not");
    let refused = Browser::of(&app).try_sign_in("/login", "ana", PASSWORD).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_session_of_a_provider_that_is_gone_is_none_any_more() {
    let app = App::new().await;
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    let is_in = |reply: &Reply| !reply.body.contains("name=\"username\"");
    assert!(is_in(&browser.get("/console/").await));
    let mut session = list_all::<Session>(&*app.store, None).await.unwrap().remove(0).value;
    session.sign_in.issuer = Some("https://removed.example".to_owned());
    app.store.commit(Batch::new().upsert(&session)).await.unwrap();
    assert!(!is_in(&browser.get("/console/").await));
}
