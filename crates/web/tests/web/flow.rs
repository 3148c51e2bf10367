//! The whole way of a client, and its ends.

use crate::app::{App, Browser, ISSUER, PASSWORD, REDIRECT, RESOURCE};
use http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn a_client_gets_from_one_url_to_tokens_and_the_user_can_end_it() {
    let app = App::new().await;
    app.set_user("ana", |user| user.one_time_password = true).await;
    // Discovery.
    let resource = app.get("/.well-known/oauth-protected-resource/sales/mcp").await.json();
    assert_eq!(resource["resource"], RESOURCE);
    let issuer = app.get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(issuer["issuer"], resource["authorization_servers"][0]);
    // The browser arrives, signs in, chooses a password, agrees.
    let mut browser = Browser::of(&app);
    let start = format!("/oauth/authorize?{}", app.query(&[]));
    let signed_in = browser.try_sign_in(&start, "ana", PASSWORD).await;
    assert_eq!(signed_in.location(), start);
    let page = browser.get(&start).await;
    assert!(page.body.contains("Choose a password"), "{}", page.body);
    let (csrf, next) = (page.field("csrf"), page.field("next"));
    let own = "four unrelated words";
    let fields = [
        ("csrf", csrf.as_str()),
        ("next", &next),
        ("current_password", PASSWORD),
        ("new_password", own),
        ("repeat_password", own),
    ];
    let changed = browser.post("/account/password", &fields).await;
    assert_eq!(changed.location(), start);
    let consent = browser.get(&start).await;
    for word in ["Inspector", "Sales database", "127.0.0.1", "ana", "olga@example.com"] {
        assert!(consent.body.contains(word), "{word}: {}", consent.body);
    }
    let back = browser.decide(&consent, "allow").await;
    assert_eq!(back.status, StatusCode::SEE_OTHER);
    assert!(back.location().starts_with(&format!("{REDIRECT}?code=ptn_ac_")), "{}", back.location());
    assert_eq!(back.parameter("state").as_deref(), Some("xyz"));
    assert_eq!(back.parameter("iss").as_deref(), Some(ISSUER));
    // The client redeems, refreshes.
    let reply = app.exchange(&back.parameter("code").unwrap(), &[("resource", RESOURCE)]).await;
    assert_eq!((reply.status, reply.header("cache-control")), (StatusCode::OK, Some("no-store")));
    let first = reply.json();
    assert!(app.is_good(first["access_token"].as_str().unwrap()).await);
    let second = app.refresh(first["refresh_token"].as_str().unwrap()).await.json();
    let access = second["access_token"].as_str().unwrap();
    assert!(app.is_good(access).await);
    // The user ends it on the console.
    let console = browser.get("/console/").await;
    let (csrf, grant) = (console.field("csrf"), console.field("grant"));
    let revoked = browser.post("/console/grants", &[("csrf", &csrf), ("grant", &grant)]).await;
    assert!(revoked.body.contains("Revoked."), "{}", revoked.body);
    assert!(!app.is_good(access).await);
    assert_eq!(app.refresh(second["refresh_token"].as_str().unwrap()).await.json()["error"], "invalid_grant");
    let actions: Vec<String> = app.ledger.events().into_iter().map(|event| event.action).collect();
    let expected = [
        "client.registered",
        "user.signed_in",
        "user.password_changed",
        "grant.created",
        "token.issued",
        "token.refreshing",
        "token.refreshed",
        "grant.revoked",
    ];
    assert_eq!(actions, expected);
}

#[tokio::test]
async fn a_reused_refresh_token_ends_the_family_over_http() {
    let app = App::new().await;
    let (access, refresh) = app.tokens("ana").await;
    let second = app.refresh(&refresh).await.json();
    let replay = app.refresh(&refresh).await;
    assert_eq!((replay.status, &replay.json()["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
    assert!(!app.is_good(&access).await && !app.is_good(second["access_token"].as_str().unwrap()).await);
    assert_eq!(app.ledger.count("refresh.reused"), 1);
}

#[tokio::test]
async fn codes_are_good_once_and_for_their_own_proofs() {
    let app = App::new().await;
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    let code = browser.agree().await;
    for (name, value, error) in [
        ("code_verifier", "wrong-wrong-wrong-wrong-wrong-wrong-wrong-wrong", "invalid_grant"),
        ("code_verifier", crate::app::CHALLENGE, "invalid_grant"),
        ("resource", "https://tools.example.com/hr/mcp", "invalid_target"),
        ("redirect_uri", "http://127.0.0.1:5001/callback", "invalid_grant"),
        ("grant_type", "implicit", "unsupported_grant_type"),
    ] {
        let refused = app.exchange(&code, &[(name, value)]).await;
        assert_eq!(
            (refused.status, &refused.json()["error"]),
            (StatusCode::BAD_REQUEST, &json!(error)),
            "{name}"
        );
    }
    let access = app.exchange(&code, &[]).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(app.exchange(&code, &[]).await.json()["error"], "invalid_grant");
    assert!(!app.is_good(&access).await, "the replay ended what the first use gave");
}

#[tokio::test]
async fn the_token_endpoint_reads_one_way_only() {
    let app = App::new().await;
    let doubled = app.post("/oauth/token", &[("grant_type", "a"), ("grant_type", "b")]).await;
    assert_eq!(doubled.json()["error"], "invalid_request");
    let json = http::Request::post("/oauth/token").header("content-type", "application/json");
    let reply = app.send(json.body("{}".into()).unwrap()).await;
    assert_eq!((reply.status, &reply.json()["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_request")));
    let long = "x".repeat(portunus_core::limits::FORM_BYTES + 1);
    assert_eq!(app.post("/oauth/token", &[("code", &long)]).await.status, StatusCode::BAD_REQUEST);
    let mut twice = crate::app::form("/oauth/token", &[("grant_type", "refresh_token")]);
    twice.headers_mut().append("authorization", "Basic eDp5".parse().unwrap());
    twice.headers_mut().append("authorization", "Basic eDp6".parse().unwrap());
    assert_eq!(app.send(twice).await.json()["error"], "invalid_request");
    let mut unknown = crate::app::form("/oauth/token", &[("grant_type", "refresh_token")]);
    unknown.headers_mut().append("authorization", "Basic eDp5".parse().unwrap());
    let reply = app.send(unknown).await;
    assert_eq!((reply.status, reply.header("www-authenticate").is_some()), (StatusCode::UNAUTHORIZED, true));
}

#[tokio::test]
async fn a_client_can_revoke_and_introspect_over_http() {
    let app = App::new().await;
    let (access, refresh) = app.tokens("ana").await;
    let by_public = [("token", access.as_str()), ("client_id", &app.client)];
    assert_eq!(app.post("/oauth/introspect", &by_public).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(app.post("/oauth/revoke", &[("token", &refresh)]).await.status, StatusCode::BAD_REQUEST);
    assert!(app.is_good(&access).await);
    let revoked = app.post("/oauth/revoke", &[("token", &refresh), ("client_id", &app.client)]).await;
    assert_eq!((revoked.status, revoked.body.as_str()), (StatusCode::OK, ""));
    assert!(!app.is_good(&access).await);
    let registered = app.register(json!({ "token_endpoint_auth_method": "client_secret_post" })).await.json();
    let fields = [
        ("token", access.as_str()),
        ("client_id", registered["client_id"].as_str().unwrap()),
        ("client_secret", registered["client_secret"].as_str().unwrap()),
    ];
    assert_eq!(app.post("/oauth/introspect", &fields).await.json(), json!({ "active": false }));
}

#[tokio::test]
async fn registrations_are_refused_when_one_address_makes_too_many() {
    let app = App::new().await;
    for _ in 1..portunus_core::limits::REGISTRATIONS {
        assert_eq!(app.register(json!({})).await.status, StatusCode::CREATED);
    }
    let refused = app.register(json!({})).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.header("retry-after").is_some());
    app.clock.advance(portunus_core::limits::LOGIN_WINDOW);
    assert_eq!(app.register(json!({})).await.status, StatusCode::CREATED);
}
