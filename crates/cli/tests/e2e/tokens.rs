//! Tokens, codes and redirects used in ways they were not given for.

use crate::app::{App, server_at, until};
use crate::bad_input::PERMIT_ALL;
use crate::http::{Http, call};
use crate::oauth::{Client, REDIRECT, Tokens, visit};
use crate::upstream::Upstream;
use serde_json::json;
use std::time::Duration;

/// Two servers of one edge, and a third word for an unknown one.
async fn stage() -> (App, Upstream) {
    let upstream = Upstream::start().await;
    let servers = server_at("first", &upstream.url) + &server_at("second", &upstream.url);
    (App::serve(&servers, PERMIT_ALL).await, upstream)
}

async fn status(http: &Http, url: &str, token: &str) -> u16 {
    let reply = http.send(call(url, token, "echo", &json!({}))).await.unwrap();
    if reply.status == 401 {
        let challenge = reply.header("www-authenticate").expect("401 says where to sign in");
        assert!(
            challenge.starts_with("Bearer ") && challenge.contains("resource_metadata=\"https://"),
            "{challenge}"
        );
    }
    reply.status
}

#[tokio::test]
async fn a_token_is_good_for_its_own_server_only() {
    let (app, upstream) = stage().await;
    let http = app.http();
    let token = app.token("first");
    assert_eq!(status(&http, &app.mcp_url("first"), &token).await, 200);
    assert_eq!(status(&http, &app.mcp_url("second"), &token).await, 401, "another audience");
    assert_eq!(upstream.calls().len(), 1);
    for foreign in
        ["ptn_at_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "eyJhbGciOiJub25lIn0.e30.", "x"]
    {
        assert_eq!(status(&http, &app.mcp_url("first"), foreign).await, 401, "{foreign}");
    }
    let in_query = format!("{}?access_token={token}", app.mcp_url("first"));
    let mut request = call(&in_query, &token, "echo", &json!({}));
    request.headers_mut().remove("authorization");
    let reply = http.send(request).await.unwrap();
    assert!([400, 401].contains(&reply.status), "a token in the query: {}", reply.text());
    assert_eq!(upstream.calls().len(), 1, "nothing more was sent");
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let (app, _upstream) = stage().await;
    let http = app.http();
    let issued = app.admin(&["token", "issue", "--server", "first", "--as", "ana", "--ttl", "2s", "--json"]);
    let token = issued["access_token"].as_str().unwrap();
    assert_eq!(status(&http, &app.mcp_url("first"), token).await, 200);
    let url = app.mcp_url("first");
    let expired = || async { (status(&http, &url, token).await == 401).then_some(()) };
    until("the token is refused", Duration::from_secs(10), expired).await;
}

#[tokio::test]
async fn a_code_works_once_and_its_reuse_ends_the_grant() {
    let (app, _upstream) = stage().await;
    let client = Client::discover(&app, "first").await;
    let mut person = app.person.clone();
    let code = client.code(&mut person).await;
    let tokens = Tokens::of(&client.exchange(&code, &[]).await);
    assert_eq!(status(&client.http, &client.resource, &tokens.access).await, 200);
    let again = client.exchange(&code, &[]).await;
    assert_eq!((again.status, again.json()["error"].clone()), (400, json!("invalid_grant")));
    assert_eq!(
        status(&client.http, &client.resource, &tokens.access).await,
        401,
        "the first token died with it"
    );
    assert_eq!(client.refresh(&tokens.refresh).await.status, 400);
}

#[tokio::test]
async fn a_code_needs_its_own_verifier_client_redirect_and_resource() {
    let (app, _upstream) = stage().await;
    let client = Client::discover(&app, "first").await;
    let other = Client::discover(&app, "first").await;
    let mut person = app.person.clone();
    let second = app.mcp_url("second");
    for change in [
        ("code_verifier", "another-verifier-that-is-long-enough-for-the-rules-of-it"),
        ("client_id", other.id.as_str()),
        ("redirect_uri", "http://127.0.0.1:43119/elsewhere"),
        ("resource", second.as_str()),
    ] {
        let code = client.code(&mut person).await;
        let reply = client.exchange(&code, &[change]).await;
        assert!([400, 401].contains(&reply.status), "{change:?}: {}", reply.text());
        assert!(reply.json()["error"].is_string(), "{change:?}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_its_family() {
    let (app, _upstream) = stage().await;
    let client = Client::discover(&app, "first").await;
    let first = client.tokens(&mut app.person.clone()).await;
    let second = Tokens::of(&client.refresh(&first.refresh).await);
    assert_eq!(status(&client.http, &client.resource, &second.access).await, 200);
    let reused = client.refresh(&first.refresh).await;
    assert_eq!((reused.status, reused.json()["error"].clone()), (400, json!("invalid_grant")));
    for token in [&first.access, &second.access] {
        assert_eq!(status(&client.http, &client.resource, token).await, 401);
    }
    assert_eq!(client.refresh(&second.refresh).await.status, 400);
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once() {
    let (app, _upstream) = stage().await;
    let client = Client::discover(&app, "first").await;
    let tokens = client.tokens(&mut app.person.clone()).await;
    assert_eq!(status(&client.http, &client.resource, &tokens.access).await, 200);
    assert_eq!(client.revoke(&tokens.refresh).await.status, 200);
    assert_eq!(status(&client.http, &client.resource, &tokens.access).await, 401);
    assert_eq!(client.revoke("ptn_rt_unknown").await.status, 200, "RFC 7009 section 2.2");
}

#[tokio::test]
async fn kill_user_ends_every_token_of_that_user() {
    let (app, _upstream) = stage().await;
    let http = app.http();
    let tokens = [app.token("first"), app.token("second")];
    app.admin(&["kill", "--user", "ana", "--json"]);
    for (server, token) in ["first", "second"].iter().zip(&tokens) {
        assert_eq!(status(&http, &app.mcp_url(server), token).await, 401);
    }
    let actions: Vec<String> =
        app.records().iter().filter_map(|entry| entry["action"].as_str().map(str::to_owned)).collect();
    assert!(actions.iter().any(|action| action == "grant.revoked"), "{actions:?}");
}

#[tokio::test]
async fn an_unlisted_redirect_is_never_followed() {
    let (app, _upstream) = stage().await;
    let client = Client::discover(&app, "first").await;
    for redirect in [
        "https://evil.test/callback",
        "http://127.0.0.1:43119/callback/../elsewhere",
        "http://127.0.0.1:43119/Callback",
        "http://127.0.0.1:43119/callback?x=1",
        "http://127.0.0.1:43119/callback#f",
        "http://127.0.0.1.evil.test:43119/callback",
        "http://user@127.0.0.1:43119/callback",
        "http://localhost:43119/callback",
        "//evil.test",
        "javascript:alert(1)",
    ] {
        let reply = client.http.get(&client.authorization(&[("redirect_uri", redirect)])).await.unwrap();
        assert_eq!((reply.status, reply.header("location")), (400, None), "{redirect}: {}", reply.text());
    }
    let any_port = client
        .http
        .get(&client.authorization(&[("redirect_uri", "http://127.0.0.1:9/callback")]))
        .await
        .unwrap();
    assert!(any_port.status < 400, "the port of a loopback redirect is free (RFC 8252): {}", any_port.text());
    for redirect in ["http://evil.test/cb", "https://a.test/#f", "https://u:p@a.test/cb", "data:text/html,x"]
    {
        let reply = client.register(&[redirect]).await;
        assert_eq!(reply.status, 400, "{redirect} was registered: {}", reply.text());
    }
}

#[tokio::test]
async fn a_request_without_a_proper_challenge_or_audience_goes_back_as_an_error() {
    let (app, _upstream) = stage().await;
    let client = Client::discover(&app, "first").await;
    for (change, error) in [
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("response_type", "token"), "unsupported_response_type"),
        (("resource", "https://elsewhere.test/mcp"), "invalid_target"),
    ] {
        let reply = client.http.get(&client.authorization(&[change])).await.unwrap();
        let location = reply
            .header("location")
            .unwrap_or_else(|| panic!("{change:?}: {} {}", reply.status, reply.text()));
        assert!(
            location.starts_with(REDIRECT) && location.contains(&format!("error={error}")),
            "{change:?}: {location}"
        );
        assert!(location.contains("iss=") && location.contains("state=kept-by-the-client"), "{location}");
    }
}

#[tokio::test]
async fn a_person_who_denies_gives_nothing() {
    let (app, _upstream) = stage().await;
    let client = Client::discover(&app, "first").await;
    let back = visit(&client.http, &client.authorization(&[]), &mut app.person.clone(), false).await;
    let query: std::collections::BTreeMap<_, _> = back.query_pairs().collect();
    assert_eq!(query.get("error").map(|error| &**error), Some("access_denied"), "{back}");
    assert!(!query.contains_key("code"));
}
