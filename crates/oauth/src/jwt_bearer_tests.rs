//! Workloads at the token endpoint.

use super::*;
use crate::client::Fetched;
use crate::machines::Machines;
use crate::resolve::resolve;
use crate::signer::Signer;
use crate::testing::{World, with};
use crate::workload::{KeySource, Subject};
use portunus_core::id::WorkloadName;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use url::Url;

const ISSUER: &str = "https://ci.example";
const AUDIENCE: &str = "portunus";

fn workload(name: &str, subject: &str, servers: &[&str]) -> Workload {
    Workload {
        name: WorkloadName::parse(name).unwrap(),
        issuer: ISSUER.to_owned(),
        keys: KeySource::Discovery,
        audience: AUDIENCE.to_owned(),
        subject: Subject::parse(subject).unwrap(),
        claims: BTreeMap::from([("repository".to_owned(), json!("acme/app"))]),
        servers: servers.iter().map(|name| ServerName::parse(name).unwrap()).collect(),
        actor: Actor::Ci,
        ttl: Duration::from_secs(600),
        single_use: true,
    }
}

async fn world(workloads: Vec<Workload>) -> World {
    let mut world = World::new().await;
    world.issuer = world.issuer.clone().with_machines(Machines { workloads, ..Machines::default() });
    world
}

fn publish(world: &World, keys: &[Value]) {
    let document = |value: Value| Fetched { bytes: value.to_string().into_bytes(), max_age: None };
    let mut served = world.documents.served.lock().unwrap();
    let discovery = json!({ "issuer": ISSUER, "jwks_uri": "https://ci.example/keys" });
    served.insert("https://ci.example/.well-known/openid-configuration".to_owned(), document(discovery));
    served.insert("https://ci.example/keys".to_owned(), document(json!({ "keys": keys })));
}

fn token(world: &World, signer: &Signer, changes: &[(&str, Value)]) -> String {
    let now = world.now().as_secs();
    let mut claims = json!({ "iss": ISSUER, "sub": "repo:acme/app:main", "aud": AUDIENCE, "iat": now,
        "exp": now + 300, "repository": "acme/app", "jti": format!("{now}-{}", changes.len()) });
    for (name, value) in changes {
        claims[*name] = value.clone();
    }
    let members = claims.as_object_mut().unwrap();
    members.retain(|name, value| name != "jti" || !value.is_null());
    signer.sign(&json!({ "alg": "EdDSA", "kid": "one" }), &claims)
}

fn asking(assertion: &str) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", GRANT_TYPE.to_owned()),
        ("assertion", assertion.to_owned()),
        ("resource", "https://tools.example.com/sales/mcp".to_owned()),
    ]
}

#[tokio::test]
async fn a_platforms_token_becomes_one_for_one_server_and_nothing_more() {
    let world = world(vec![workload("ci-build", "repo:acme/app:*", &["sales"])]).await;
    let signer = Signer::ed25519();
    publish(&world, &[signer.jwk("one")]);
    let assertion = token(&world, &signer, &[]);
    let issued = world.token(&asking(&assertion)).await.unwrap();
    assert!(issued.refresh_token.is_none());
    assert_eq!((issued.expires_in, issued.scopes), (Duration::from_secs(600), vec!["mcp".to_owned()]));
    let caller = resolve(&world.store, world.now(), issued.access_token.expose()).await.unwrap().caller;
    assert_eq!((caller.user.as_str(), caller.user.workload()), ("workload:ci-build", Some("ci-build")));
    assert_eq!((caller.actor, caller.server.as_str()), (Actor::Ci, "sales"));
    assert_eq!(caller.sign_in.issuer.as_deref(), Some(ISSUER));
    // One token of the platform is one token of ours.
    let again = world.token(&asking(&assertion)).await.unwrap_err();
    assert_eq!(again.code, ErrorCode::InvalidGrant);
    assert_eq!(world.ledger.count("grant.created"), 1);
    // And ends with its grant like any other.
    grants::revoke(&world.ports(), &issued.grant, "admin", "test").await.unwrap();
    assert!(resolve(&world.store, world.now(), issued.access_token.expose()).await.is_err());
}

#[tokio::test]
async fn a_token_that_cannot_be_remembered_is_taken_only_where_it_may_be_used_again() {
    let once = workload("ci-build", "repo:acme/app:*", &["sales"]);
    let reusable = Workload { single_use: false, ..once.clone() };
    let signer = Signer::ed25519();
    for (workload, taken) in [(once, false), (reusable, true)] {
        let world = world(vec![workload]).await;
        publish(&world, &[signer.jwk("one")]);
        let nameless = token(&world, &signer, &[("jti", Value::Null)]);
        for _ in 0..2 {
            let got = world.token(&asking(&nameless)).await;
            assert_eq!(got.is_ok(), taken, "{:?}", got.err());
        }
        assert_eq!(world.ledger.count("grant.created"), if taken { 2 } else { 0 });
    }
}

#[tokio::test]
async fn a_token_of_another_subject_audience_claim_or_server_gives_nothing() {
    let world = world(vec![
        workload("ci-build", "repo:acme/app:*", &["sales"]),
        Workload { audience: "other".to_owned(), ..workload("ci-hr", "repo:acme/hr:*", &["hr"]) },
    ])
    .await;
    let signer = Signer::ed25519();
    publish(&world, &[signer.jwk("one")]);
    for (name, value) in [
        ("sub", json!("repo:acme/app-evil:main")),
        ("sub", json!("repo:acme/app")),
        ("sub", json!("repo:evil/repo:acme/app:main")),
        // The other workload's subject with this one's audience, and the reverse.
        ("sub", json!("repo:acme/hr:main")),
        ("aud", json!("other")),
        ("aud", json!("https://tools.example.com")),
        ("aud", json!([AUDIENCE, "other"])),
        ("repository", json!("acme/app2")),
        ("repository", json!(null)),
        ("iss", json!("https://evil.test")),
        ("exp", json!(1)),
    ] {
        let assertion = token(&world, &signer, &[(name, value.clone())]);
        let error = world.token(&asking(&assertion)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidGrant, "{name} {value}: {error}");
    }
    let good = token(&world, &signer, &[]);
    for (name, value, code) in [
        ("resource", Some("https://tools.example.com/hr/mcp"), ErrorCode::InvalidGrant),
        ("resource", Some("https://elsewhere.test/mcp"), ErrorCode::InvalidTarget),
        ("resource", None, ErrorCode::InvalidTarget),
        ("assertion", None, ErrorCode::InvalidRequest),
        ("scope", Some("everything"), ErrorCode::InvalidScope),
    ] {
        let error = world.token(&with(&asking(&good), name, value)).await.unwrap_err();
        assert_eq!(error.code, code, "{name} {value:?}: {error}");
    }
    assert_eq!(world.ledger.count("grant.created"), 0);
    assert!(world.token(&asking(&good)).await.is_ok());
}

#[tokio::test]
async fn keys_are_fetched_once_rolled_over_and_never_asked_for_again_and_again() {
    let mut reusable = workload("ci-build", "repo:acme/app:*", &["sales"]);
    reusable.single_use = false;
    let world = world(vec![reusable]).await;
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    publish(&world, &[old.jwk("one")]);
    let asked = || *world.documents.asked.lock().unwrap();
    let assertion = token(&world, &old, &[]);
    for _ in 0..3 {
        assert!(world.token(&asking(&assertion)).await.is_ok(), "it may be used again");
    }
    assert_eq!(asked(), 2, "discovery and keys, once");
    // The issuer signs with a new key at once: it is looked for, but not more than once a minute.
    publish(&world, &[new.jwk("one")]);
    for _ in 0..5 {
        assert!(world.token(&asking(&token(&world, &new, &[]))).await.is_err());
    }
    assert_eq!(asked(), 2);
    world.clock.advance(limits::KEY_SET_RETRY);
    assert!(world.token(&asking(&token(&world, &new, &[]))).await.is_ok());
    assert!(world.token(&asking(&token(&world, &old, &[]))).await.is_err(), "the old key is gone");
    assert_eq!(asked(), 4);
    // An issuer that cannot be reached changes nothing while its keys are fresh.
    world.documents.served.lock().unwrap().clear();
    world.clock.advance(Duration::from_secs(30));
    assert!(world.token(&asking(&token(&world, &new, &[]))).await.is_ok());
    world.clock.advance(Duration::from_secs(3600));
    let down = world.token(&asking(&token(&world, &new, &[]))).await.unwrap_err();
    assert_eq!(down.code, ErrorCode::TemporarilyUnavailable);
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_not_believed() {
    let world = world(vec![workload("ci-build", "repo:acme/app:*", &["sales"])]).await;
    let signer = Signer::ed25519();
    publish(&world, &[signer.jwk("one")]);
    for document in [
        json!({ "issuer": "https://evil.test", "jwks_uri": "https://ci.example/keys" }),
        json!({ "issuer": format!("{ISSUER}/"), "jwks_uri": "https://ci.example/keys" }),
        json!({ "issuer": ISSUER }),
        json!({ "issuer": ISSUER, "jwks_uri": 7 }),
        json!([]),
    ] {
        let fetched = Fetched { bytes: document.to_string().into_bytes(), max_age: None };
        let url = "https://ci.example/.well-known/openid-configuration".to_owned();
        world.documents.served.lock().unwrap().insert(url, fetched);
        let error = world.token(&asking(&token(&world, &signer, &[]))).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::TemporarilyUnavailable, "{document}");
    }
}

#[tokio::test]
async fn keys_can_be_given_or_named_instead() {
    let signer = Signer::ed25519();
    let keys =
        crate::keys::KeySet::parse(json!({ "keys": [signer.jwk("one")] }).to_string().as_bytes()).unwrap();
    let at = KeySource::At(Url::parse("https://ci.example/keys").unwrap());
    for source in [KeySource::Given(keys), at] {
        let mut one = workload("ci-build", "repo:acme/app:*", &["sales"]);
        one.keys = source.clone();
        let world = world(vec![one]).await;
        if matches!(source, KeySource::At(_)) {
            publish(&world, &[signer.jwk("one")]);
        }
        assert!(world.token(&asking(&token(&world, &signer, &[]))).await.is_ok(), "{source:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_blocked_in_this_very_moment_gets_nothing_for_a_providers_word() {
    let world = World::new().await;
    let fields = [("client_id", world.client.client_id.to_string())];
    let form = crate::form::Form::parse(crate::testing::encode(&fields).as_bytes()).unwrap();
    let client = client_auth::authenticate(&world.ports(), &world.request_of(&form, None)).await.unwrap();
    let order = || Order {
        user: world.ana.name.clone(),
        client_id: world.client.client_id.clone(),
        client_name: world.client.name.clone(),
        server: ServerName::parse("sales").unwrap(),
        scopes: vec!["mcp".to_owned()],
        sign_in: world.sign_in(),
        actor: None,
        ttl: limits::ACCESS_TTL,
        used: None,
        subject: "U-1".to_owned(),
    };
    let ask = async || issue(&world.ports(), order(), client.holding(), client.still(Batch::new())).await;
    assert!(ask().await.is_ok());
    let blocked = portunus_core::document::Standing::Blocked;
    crate::client_admin::decide(&world.ports(), &world.client.client_id, blocked, "admin").await.unwrap();
    assert!(ask().await.is_err());
    let left = grants::all(&world.store).await.unwrap();
    assert!(left.iter().all(|grant| grant.revoked_at.is_some()), "{left:?}");
}
