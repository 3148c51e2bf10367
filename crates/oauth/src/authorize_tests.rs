//! The authorization endpoint: what is shown, what is redirected, what is granted.

use super::*;
use crate::testing::{REDIRECT, World, encode, parameter, with};
use portunus_core::store::{Store, list_all};
use proptest::prelude::*;

fn page(rejected: Result<Request, Rejected>) -> OAuthError {
    match rejected {
        Err(Rejected::Page(error)) => error,
        other => panic!("must be shown, never sent: {other:?}"),
    }
}

fn sent(rejected: Result<Request, Rejected>) -> (String, OAuthError) {
    match rejected {
        Err(Rejected::Redirect { location, error }) => (location, error),
        other => panic!("must be sent back: {other:?}"),
    }
}

#[tokio::test]
async fn a_sound_request_is_read_whole() {
    let world = World::new().await;
    let request = world.read(&world.request()).await.unwrap();
    assert_eq!(request.client, world.client);
    assert_eq!((request.redirect_uri.as_str(), request.server.name.as_str()), (REDIRECT, "sales"));
    assert_eq!(request.scopes, ["mcp"]);
    let asked = with(&world.request(), "scope", Some("openid mcp offline_access"));
    assert_eq!(world.read(&asked).await.unwrap().scopes, ["mcp", "offline_access"]);
    // A native client listens on whatever port is free (RFC 8252 section 7.3).
    let other_port = with(&world.request(), "redirect_uri", Some("http://127.0.0.1:61234/callback"));
    assert_eq!(world.read(&other_port).await.unwrap().redirect_uri, "http://127.0.0.1:61234/callback");
    assert_eq!(request.destination(), "127.0.0.1");
}

#[tokio::test]
async fn nothing_is_sent_to_a_redirect_that_is_not_the_clients() {
    let world = World::new().await;
    let good = world.request();
    for (name, value) in [
        ("client_id", None),
        ("client_id", Some("cli_00000000000000000000000000")),
        ("client_id", Some("https://evil.test/client.json")),
        ("client_id", Some("a b")),
        ("redirect_uri", None),
        ("redirect_uri", Some("https://evil.test/cb")),
        ("redirect_uri", Some("http://127.0.0.1:5000/callback/")),
        ("redirect_uri", Some("http://127.0.0.1:5000@evil.test/callback")),
        ("redirect_uri", Some("http://localhost:5000/callback")),
        ("redirect_uri", Some("//evil.test/callback")),
        ("state", Some("a\u{0}b")),
    ] {
        page(world.read(&with(&good, name, value)).await);
    }
    for doubled in ["redirect_uri", "client_id", "state", "resource", "code_challenge"] {
        let mut twice = good.clone();
        twice.push((doubled, "https://evil.test/cb".to_owned()));
        page(world.read(&twice).await);
    }
}

#[tokio::test]
async fn other_errors_are_sent_back_with_state_and_issuer() {
    let world = World::new().await;
    let good = world.request();
    let long_challenge = "A".repeat(44);
    for (name, value, code) in [
        ("response_type", None, "invalid_request"),
        ("response_type", Some("token"), "unsupported_response_type"),
        ("response_type", Some("code id_token"), "unsupported_response_type"),
        ("response_mode", Some("fragment"), "invalid_request"),
        ("prompt", Some("none"), "consent_required"),
        ("request", Some("eyJhbGciOiJub25lIn0.e30."), "request_not_supported"),
        ("request_uri", Some("https://evil.test/r"), "request_uri_not_supported"),
        ("code_challenge", None, "invalid_request"),
        ("code_challenge", Some("short"), "invalid_request"),
        ("code_challenge", Some(long_challenge.as_str()), "invalid_request"),
        ("code_challenge", Some("!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("code_challenge_method", Some("s256"), "invalid_request"),
        ("resource", None, "invalid_target"),
        ("resource", Some("https://tools.example.com"), "invalid_target"),
        ("resource", Some("https://tools.example.com/unknown/mcp"), "invalid_target"),
        ("resource", Some("https://evil.test/sales/mcp"), "invalid_target"),
        ("scope", Some("admin"), "invalid_scope"),
    ] {
        let (location, error) = sent(world.read(&with(&good, name, value)).await);
        assert!(location.starts_with("http://127.0.0.1:5000/callback?error="), "{location}");
        assert_eq!(parameter(&location, "error").as_deref(), Some(code), "{name}={value:?}");
        assert_eq!(error.code.as_str(), code);
        assert_eq!(parameter(&location, "state").as_deref(), Some("xyz"));
        assert_eq!(parameter(&location, "iss").as_deref(), Some("https://tools.example.com"));
        assert_eq!(parameter(&location, "code"), None);
    }
    let long = "s".repeat(limits::STATE_BYTES + 1);
    let (location, _) = sent(world.read(&with(&good, "state", Some(&long))).await);
    assert_eq!(parameter(&location, "state"), None);
}

#[tokio::test]
async fn a_yes_gives_a_code_and_a_no_does_not() {
    let world = World::new().await;
    let request = world.read(&world.request()).await.unwrap();
    let denied = deny(&world.ports(), &world.issuer, &request, &world.ana).await.unwrap();
    assert_eq!(parameter(&denied, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&denied, "code"), None);
    assert!(list_all::<Grant>(&world.store, None).await.unwrap().is_empty());

    let approve = async || {
        approve(&world.ports(), &world.issuer, &request, &world.ana, &world.sign_in()).await.unwrap()
    };
    let location = approve().await;
    assert!(parameter(&location, "code").unwrap().starts_with("ptn_ac_"));
    assert_eq!(parameter(&location, "state").as_deref(), Some("xyz"));
    assert_eq!(parameter(&location, "iss").as_deref(), Some("https://tools.example.com"));
    approve().await;
    let grants = list_all::<Grant>(&world.store, Some("ana")).await.unwrap();
    assert_eq!(grants.len(), 1, "an equal grant that is in force serves again");

    crate::grants::revoke(&world.ports(), &grants[0].value.id, "ana", "test").await.unwrap();
    approve().await;
    let live =
        grants::live(&world.store, &world.ana.name, &world.client.client_id, &request.server.name).await;
    assert_eq!(live.unwrap().len(), 1, "a revoked grant does not come back: there is a new one");
    for (action, times) in [("consent.denied", 1), ("grant.created", 2), ("grant.confirmed", 1)] {
        assert_eq!(world.ledger.count(action), times, "{action}");
    }
}

#[tokio::test]
async fn only_scopes_that_the_server_declares_are_granted() {
    let world = World::new().await;
    let scopes = async |asked: &str| {
        world.read(&with(&world.request(), "scope", Some(asked))).await.map(|request| request.scopes)
    };
    assert_eq!(scopes("mcp rows:write").await.unwrap(), ["mcp", "rows:write"]);
    assert_eq!(
        scopes("rows:write offline_access rows:write").await.unwrap(),
        ["mcp", "rows:write", "offline_access"]
    );
    for smuggled in
        ["mcp rows:delete", "mcp ROWS:WRITE", "mcp rows:write\u{a0}", "mcp rows:*", "mcp  rows", "mcp *"]
    {
        assert_eq!(scopes(smuggled).await.unwrap(), ["mcp"], "{smuggled:?}");
    }
    assert!(scopes("rows:delete").await.is_err());
}

#[tokio::test]
async fn a_fresher_sign_in_makes_a_grant_of_its_own() {
    let world = World::new().await;
    let old = world.sign_in();
    let agree = async |query: &[(&'static str, String)], sign_in: &SignIn| {
        let request = world.read(query).await.unwrap();
        approve(&world.ports(), &world.issuer, &request, &world.ana, sign_in).await.unwrap();
        world.ledger.count("grant.created")
    };
    assert_eq!(agree(&world.request(), &old).await, 1);
    world.clock.advance(std::time::Duration::from_secs(3600));
    let new = SignIn { at: world.now(), ..old };
    assert_eq!(agree(&world.request(), &new).await, 1, "nobody asked for it to be fresh");
    let fresh = with(&world.request(), "max_age", Some("300"));
    assert_eq!(agree(&fresh, &new).await, 2, "older tokens must not become stronger");
    assert_eq!(agree(&fresh, &new).await, 2);
}

#[tokio::test]
async fn nothing_is_granted_that_is_not_recorded_or_stored() {
    let world = World::new().await;
    let request = world.read(&world.request()).await.unwrap();
    world.ledger.set_failing(true);
    let approve =
        async || approve(&world.ports(), &world.issuer, &request, &world.ana, &world.sign_in()).await;
    assert_eq!(approve().await.unwrap_err().code, ErrorCode::ServerError);
    assert_eq!(world.store.count(portunus_core::store::Kind::Grant).await.unwrap(), 0);
    world.ledger.set_failing(false);
    world.store.0.set_failing(true);
    assert_eq!(approve().await.unwrap_err().code, ErrorCode::ServerError);
    world.store.0.set_failing(false);
    assert_eq!(world.store.count(portunus_core::store::Kind::Code).await.unwrap(), 0);
}

#[tokio::test]
async fn the_digest_of_a_request_changes_with_everything_that_is_agreed_to() {
    let world = World::new().await;
    let good = world.request();
    let digest = async |parameters: &[(&str, String)]| world.read(parameters).await.unwrap().digest();
    let original = digest(&good).await;
    assert_eq!(digest(&good).await, original);
    for (name, value) in [
        ("redirect_uri", "http://127.0.0.1:5001/callback"),
        ("resource", "https://tools.example.com/hr/mcp"),
        ("scope", "mcp offline_access"),
        ("state", "other"),
        ("code_challenge", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ] {
        assert_ne!(digest(&with(&good, name, Some(value))).await, original, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is in the query, a browser is only ever sent to the client's own redirect.
    #[test]
    fn no_query_sends_a_browser_elsewhere(name in "[a-z_]{1,14}", value in ".{0,40}", redirect in "(http://127\\.0\\.0\\.1)?[:@/a-z0-9.]{0,20}(/callback)?") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            for parameters in [with(&world.request(), "redirect_uri", Some(&redirect)), {
                let mut parameters = world.request();
                parameters.push(("scope", value.clone()));
                parameters
            }] {
                let query = format!("{}&{name}={value}", encode(&parameters));
                let read = read(&world.ports(), &world.issuer, &world.documents, &query).await;
                if let Err(Rejected::Redirect { location, .. }) = read {
                    let url = url::Url::parse(&location).unwrap();
                    assert_eq!((url.scheme(), url.host_str(), url.path()), ("http", Some("127.0.0.1"), "/callback"));
                }
            }
        });
    }
}
