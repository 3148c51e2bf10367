//! Clients that sign: through the whole of authentication, with replay, other clients' keys and roll-over.

use super::*;
use crate::client::{Fetched, find, register};
use crate::config::Issuer;
use crate::signer::Signer;
use crate::testing::{REDIRECT, World, encode};
use portunus_core::id::ClientId;
use portunus_core::limits;
use portunus_core::store::{Document, Store};
use serde_json::{Value, json};
use std::time::Duration;

const DOCUMENT: &str = "https://client.example/oauth/client.json";
const JWKS: &str = "https://keys.example/jwks.json";

struct Signing {
    id: String,
    signer: Signer,
    kid: &'static str,
    serial: std::cell::Cell<u32>,
}

impl Signing {
    /// A sound assertion that was never used.
    fn assertion(&self, world: &World) -> String {
        self.serial.set(self.serial.get() + 1);
        let now = world.now().as_secs();
        let claims = json!({ "iss": self.id, "sub": self.id, "aud": world.issuer.as_str(), "iat": now,
            "exp": now + 60, "jti": self.serial.get().to_string() });
        self.signer.sign(&json!({ "alg": "EdDSA", "kid": self.kid }), &claims)
    }
}

fn publish(world: &World, url: &str, body: &Value) {
    let fetched = Fetched { bytes: body.to_string().into_bytes(), max_age: Some(Duration::from_secs(3600)) };
    world.documents.served.lock().unwrap().insert(url.to_owned(), fetched);
}

fn document(more: &Value) -> Value {
    let mut document = json!({ "client_id": DOCUMENT, "redirect_uris": [REDIRECT] });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document
}

/// A client whose document names a key set at a URL.
async fn with_document(world: &World) -> Signing {
    let signer = Signer::ed25519();
    let more = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": JWKS,
        "token_endpoint_auth_signing_alg": "EdDSA" });
    publish(world, DOCUMENT, &document(&more));
    publish(world, JWKS, &json!({ "keys": [signer.jwk("first")] }));
    find(&world.ports(), world.issuer.registration(), &world.documents, &ClientId::parse(DOCUMENT).unwrap())
        .await
        .unwrap();
    Signing { id: DOCUMENT.to_owned(), signer, kid: "first", serial: 0.into() }
}

async fn try_fields(
    world: &World,
    issuer: &Issuer,
    fields: &[(&str, String)],
    authorization: Option<&str>,
) -> Result<Authenticated, OAuthError> {
    let form = Form::parse(encode(fields).as_bytes()).unwrap();
    let request = Request { issuer, ..world.request_of(&form, authorization) };
    authenticate(&world.ports(), &request).await
}

fn fields(assertion: &str) -> Vec<(&'static str, String)> {
    vec![("client_assertion_type", ASSERTION_TYPE.to_owned()), ("client_assertion", assertion.to_owned())]
}

async fn present(world: &World, assertion: &str) -> Result<Authenticated, OAuthError> {
    try_fields(world, &world.issuer, &fields(assertion), None).await
}

fn asked(world: &World) -> u32 {
    *world.documents.asked.lock().unwrap()
}

#[tokio::test]
async fn an_assertion_proves_its_client_once() {
    let world = World::new().await;
    let client = with_document(&world).await;
    let assertion = client.assertion(&world);
    let proven = present(&world, &assertion).await.unwrap();
    assert!(proven.is_confidential() && proven.proof() == ClientProof::Key);
    assert_eq!(proven.client().client_id.as_str(), DOCUMENT);
    let again = present(&world, &assertion).await.unwrap_err();
    assert_eq!(again.code, ErrorCode::InvalidClient);
    assert!(again.description.contains("used before"), "{again}");
    // It is remembered as long as it would be good, clock differences included, and not for ever.
    world.clock.advance(Duration::from_secs(60) + limits::SIGNED_ASSERTION_SKEW - Duration::from_millis(1));
    assert!(present(&world, &assertion).await.unwrap_err().description.contains("used before"));
    world.clock.advance(Duration::from_millis(1));
    assert!(present(&world, &assertion).await.unwrap_err().description.contains("expired"));
    assert_eq!(world.store.count(UsedAssertion::KIND).await.unwrap(), 1);
    world.store.purge(world.now(), 1000).await.unwrap();
    assert_eq!(world.store.count(UsedAssertion::KIND).await.unwrap(), 0);
    // A hundred at once with one assertion: one gets in.
    let assertion = client.assertion(&world);
    let tries = (0..100).map(|_| present(&world, &assertion));
    let outcomes = futures(tries.collect()).await;
    assert_eq!(outcomes.into_iter().filter(Result::is_ok).count(), 1);
}

/// Polls all of them in turns, so that they really interleave.
async fn futures<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, done) in &mut pending {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if pending.iter().all(|(_, done)| done.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    pending.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test]
async fn a_client_cannot_be_downgraded_and_nobody_signs_for_another() {
    let world = World::new().await;
    let client = with_document(&world).await;
    let id = ("client_id", DOCUMENT.to_owned());
    let bare = try_fields(&world, &world.issuer, &[id], None).await.unwrap_err();
    assert!(bare.description.contains("private_key_jwt"), "{bare}");

    let good = || fields(&client.assertion(&world));
    let other = Signing {
        id: world.client.client_id.to_string(),
        signer: Signer::ed25519(),
        kid: "first",
        serial: 0.into(),
    };
    let stranger =
        Signing { id: DOCUMENT.to_owned(), signer: Signer::ed25519(), kid: "first", serial: 0.into() };
    let with = |name: &'static str, value: &str| {
        let mut fields: Vec<_> = good().into_iter().filter(|(field, _)| *field != name).collect();
        fields.push((name, value.to_owned()));
        fields
    };
    for (fields, header, code) in [
        (with("client_id", world.client.client_id.as_str()), None, ErrorCode::InvalidClient),
        (with("client_assertion", &other.assertion(&world)), None, ErrorCode::InvalidClient),
        (with("client_assertion", &stranger.assertion(&world)), None, ErrorCode::InvalidClient),
        (with("client_assertion", "eyJ"), None, ErrorCode::InvalidClient),
        (with("client_assertion", "e30.e30.e30"), None, ErrorCode::InvalidClient),
        (with("client_assertion", ""), None, ErrorCode::InvalidRequest),
        (
            with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
            None,
            ErrorCode::InvalidClient,
        ),
        (with("client_assertion_type", ""), None, ErrorCode::InvalidRequest),
        (with("client_secret", "guess"), None, ErrorCode::InvalidRequest),
        (good(), Some("Basic eDp5"), ErrorCode::InvalidRequest),
    ] {
        let refused = try_fields(&world, &world.issuer, &fields, header).await.unwrap_err();
        assert_eq!(refused.code, code, "{fields:?}: {refused}");
    }
    assert!(try_fields(&world, &world.issuer, &with("client_id", DOCUMENT), None).await.is_ok());
    // An assertion for this server is of no use at another one.
    let elsewhere = Issuer::new(&url::Url::parse("https://other.example").unwrap(), vec![]).unwrap();
    assert!(try_fields(&world, &elsewhere, &good(), None).await.unwrap_err().description.contains("aud"));
}

#[tokio::test]
async fn a_document_that_lists_both_ways_may_use_both() {
    let world = World::new().await;
    let signer = Signer::ed25519();
    let more = json!({ "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "jwks": { "keys": [signer.jwk("first")] } });
    publish(&world, DOCUMENT, &document(&more));
    find(&world.ports(), world.issuer.registration(), &world.documents, &ClientId::parse(DOCUMENT).unwrap())
        .await
        .unwrap();
    let client = Signing { id: DOCUMENT.to_owned(), signer, kid: "first", serial: 0.into() };
    assert_eq!(present(&world, &client.assertion(&world)).await.unwrap().proof(), ClientProof::Key);
    let bare = try_fields(&world, &world.issuer, &[("client_id", DOCUMENT.to_owned())], None).await.unwrap();
    assert!(!bare.is_confidential());
}

#[tokio::test]
async fn keys_are_fetched_once_while_fresh_and_roll_over_at_most_once_a_minute() {
    let world = World::new().await;
    let mut client = with_document(&world).await;
    for _ in 0..3 {
        present(&world, &client.assertion(&world)).await.unwrap();
    }
    assert_eq!(asked(&world), 2, "the document and the key set, once each");

    // The client rolls over: the first assertion by the new key makes us look again.
    let old = std::mem::replace(&mut client.signer, Signer::ed25519());
    client.kid = "second";
    publish(&world, JWKS, &json!({ "keys": [client.signer.jwk("second")] }));
    assert!(present(&world, &client.assertion(&world)).await.is_err(), "too soon after the last look");
    world.clock.advance(limits::KEY_SET_RETRY);
    present(&world, &client.assertion(&world)).await.unwrap();
    assert_eq!(asked(&world), 3);
    // The old key is good for nothing any more, and a flood of unknown keys is one look a minute.
    client.kid = "first";
    let new = std::mem::replace(&mut client.signer, old);
    for _ in 0..50 {
        assert!(present(&world, &client.assertion(&world)).await.is_err());
    }
    assert_eq!(asked(&world), 3);
    (client.kid, client.signer) = ("second", new);
    // While the key set cannot be had, strangers with unknown keys do not lock the client out; when it is stale, it is.
    world.documents.served.lock().unwrap().remove(JWKS);
    world.clock.advance(limits::KEY_SET_RETRY);
    client.kid = "unknown";
    assert!(present(&world, &client.assertion(&world)).await.is_err());
    client.kid = "second";
    present(&world, &client.assertion(&world)).await.unwrap();
    world.clock.advance(Duration::from_secs(3600));
    let refused = present(&world, &client.assertion(&world)).await.unwrap_err();
    assert!(refused.description.contains("could not be reached"), "{refused}");
}

#[tokio::test]
async fn keys_inside_a_document_roll_over_with_it() {
    let world = World::new().await;
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let more = |signer: &Signer, kid: &str| json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [signer.jwk(kid)] } });
    publish(&world, DOCUMENT, &document(&more(&old, "old")));
    find(&world.ports(), world.issuer.registration(), &world.documents, &ClientId::parse(DOCUMENT).unwrap())
        .await
        .unwrap();
    publish(&world, DOCUMENT, &document(&more(&new, "new")));
    let client = Signing { id: DOCUMENT.to_owned(), signer: new, kid: "new", serial: 0.into() };
    assert!(present(&world, &client.assertion(&world)).await.is_err());
    world.clock.advance(limits::KEY_SET_RETRY);
    present(&world, &client.assertion(&world)).await.unwrap();
    assert_eq!(world.ledger.count("client.changed"), 1);
}

#[tokio::test]
async fn a_registered_client_can_sign_too_and_gets_no_secret() {
    let world = World::new().await;
    let signer = Signer::ed25519();
    let body = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "private_key_jwt",
        "jwks": { "keys": [signer.jwk("first")] } });
    let registered =
        register(&world.ports(), world.issuer.registration(), body.to_string().as_bytes()).await.unwrap();
    let answer: Value = serde_json::from_str(registered.body().expose()).unwrap();
    assert!(answer.get("client_secret").is_none());
    assert_eq!(answer["jwks"]["keys"][0]["kid"], "first");
    let id = answer["client_id"].as_str().unwrap().to_owned();
    let client = Signing { id, signer, kid: "first", serial: 0.into() };
    present(&world, &client.assertion(&world)).await.unwrap();
    let private = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA" });
    for (member, value) in [
        ("jwks", Value::Null),
        ("jwks", json!({ "keys": [] })),
        ("jwks", json!({ "keys": [private] })),
        ("jwks_uri", json!(JWKS)), // both
        ("token_endpoint_auth_signing_alg", json!("HS256")),
        ("token_endpoint_auth_signing_alg", json!("none")),
    ] {
        let mut bad = body.clone();
        bad[member] = value;
        let refused = register(&world.ports(), world.issuer.registration(), bad.to_string().as_bytes())
            .await
            .unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidClientMetadata, "{bad}");
    }
    for uri in
        ["http://keys.example/jwks.json", "file:///etc/passwd", "https://me@keys.example/", "not a url"]
    {
        let bad = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": uri });
        assert!(
            register(&world.ports(), world.issuer.registration(), bad.to_string().as_bytes()).await.is_err(),
            "{uri}"
        );
    }
}

#[tokio::test]
async fn an_assertion_that_cannot_be_remembered_proves_nothing() {
    let world = World::new().await;
    let client = with_document(&world).await;
    present(&world, &client.assertion(&world)).await.unwrap();
    world.store.0.set_failing(true);
    let refused = present(&world, &client.assertion(&world)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ServerError);
}
