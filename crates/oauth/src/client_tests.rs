//! Registration and metadata documents, as their attackers send them.

use super::*;
use crate::client_metadata::UNNAMED;
use crate::testing::{Documents, World};
use portunus_core::store::Store;
use proptest::prelude::*;

const DOCUMENT_URL: &str = "https://client.example/oauth/client.json";

fn document(redirect: &str) -> serde_json::Value {
    serde_json::json!({ "client_id": DOCUMENT_URL, "client_name": "Example", "redirect_uris": [redirect] })
}

fn serve(documents: &Documents, body: &serde_json::Value, max_age: Option<Duration>) {
    let fetched = Fetched { bytes: body.to_string().into_bytes(), max_age };
    documents.served.lock().unwrap().insert(DOCUMENT_URL.to_owned(), fetched);
}

async fn register_json(world: &World, body: &serde_json::Value) -> Result<Registered, OAuthError> {
    register(&world.ports(), world.issuer.registration(), body.to_string().as_bytes()).await
}

#[tokio::test]
async fn a_public_client_gets_an_id_and_no_secret() {
    let world = World::new().await;
    let body = serde_json::json!({
        "client_name": "Chat\u{202e}GPT", "redirect_uris": ["https://chatgpt.com/connector_platform_oauth_redirect"],
        "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"], "logo_uri": "javascript:alert(1)", "software_statement": 7, "x": {"y": []},
    });
    let registered = register_json(&world, &body).await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(registered.body().expose()).unwrap();
    assert_eq!(answer["client_name"], "ChatGPT");
    assert_eq!(answer["client_id"], registered.client.client_id.as_str());
    assert_eq!(answer["token_endpoint_auth_method"], "none");
    assert!(answer.get("client_secret").is_none());
    assert_eq!(
        known(&world.ports(), answer["client_id"].as_str().unwrap()).await.unwrap().value,
        registered.client
    );
    assert_eq!(world.ledger.count("client.registered"), 2); // the world's own client and this one
}

#[tokio::test]
async fn a_client_that_says_nothing_gets_a_secret_that_is_stored_as_a_digest_only() {
    let world = World::new().await;
    let body = serde_json::json!({ "redirect_uris": ["https://app.example/cb"] });
    let registered = register_json(&world, &body).await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(registered.body().expose()).unwrap();
    let secret = answer["client_secret"].as_str().unwrap();
    assert!(secret.starts_with("ptn_cs_"));
    assert_eq!(answer["client_secret_expires_at"], 0);
    assert_eq!(answer["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(registered.client.name, UNNAMED);
    let stored = world.store.get(Client::KIND, registered.client.client_id.as_str()).await.unwrap().unwrap();
    assert!(!String::from_utf8(stored.value).unwrap().contains(secret));
    assert!(!format!("{registered:?}").contains(secret));
}

#[tokio::test]
async fn registrations_that_are_not_sound_are_refused_with_a_reason() {
    let world = World::new().await;
    let redirects = |uris: &[&str]| serde_json::json!({ "redirect_uris": uris }).to_string();
    let many = vec!["https://app.example/cb"; limits::REDIRECT_URIS + 1];
    let with = |member: &str| format!(r#"{{"redirect_uris":["https://app.example/cb"],{member}}}"#);
    for (body, code) in [
        (String::new(), ErrorCode::InvalidClientMetadata),
        ("[]".to_owned(), ErrorCode::InvalidClientMetadata),
        ("{}".to_owned(), ErrorCode::InvalidRedirectUri),
        (redirects(&[]), ErrorCode::InvalidRedirectUri),
        (redirects(&many), ErrorCode::InvalidRedirectUri),
        (redirects(&["https://app.example/cb", "javascript:alert(1)"]), ErrorCode::InvalidRedirectUri),
        (redirects(&["http://app.example/cb"]), ErrorCode::InvalidRedirectUri),
        (redirects(&["https://app.example/cb"]) + "{}", ErrorCode::InvalidClientMetadata),
        (with(r#""redirect_uris":["https://evil.test/"]"#), ErrorCode::InvalidClientMetadata),
        (with(r#""redirect_uris":"https://evil.test/""#), ErrorCode::InvalidClientMetadata),
        (with(r#""client_name":7"#), ErrorCode::InvalidClientMetadata),
        (with(r#""token_endpoint_auth_method":"private_key_jwt""#), ErrorCode::InvalidClientMetadata),
        (with(r#""grant_types":["implicit"]"#), ErrorCode::InvalidClientMetadata),
        (with(r#""response_types":["token"]"#), ErrorCode::InvalidClientMetadata),
        (
            with(&format!(r#""x":"{}""#, "x".repeat(limits::CLIENT_DOCUMENT_BYTES))),
            ErrorCode::InvalidClientMetadata,
        ),
    ] {
        let refused =
            register(&world.ports(), world.issuer.registration(), body.as_bytes()).await.unwrap_err();
        assert_eq!(refused.code, code, "{body}: {refused}");
    }
    assert_eq!(world.store.count(Client::KIND).await.unwrap(), 1);
}

#[tokio::test]
async fn a_client_that_cannot_be_recorded_is_not_registered() {
    let world = World::new().await;
    world.ledger.set_failing(true);
    let body = serde_json::json!({ "redirect_uris": ["https://app.example/cb"] });
    assert_eq!(register_json(&world, &body).await.unwrap_err().code, ErrorCode::ServerError);
    assert_eq!(world.store.count(Client::KIND).await.unwrap(), 1);
}

#[test]
fn only_a_plain_https_url_with_a_path_can_be_the_id_of_a_document() {
    let url = |text: &str| ClientId::parse(text).ok().and_then(|id| document_url(&id));
    for good in [DOCUMENT_URL, "https://client.example:8443/c", "https://client.example/c?v=1"] {
        assert!(url(good).is_some(), "{good}");
    }
    for bad in [
        "cli_01234567890123456789012345",
        "http://client.example/c",
        "https://client.example",
        "https://client.example/",
        "https://client.example/c#f",
        "https://user@client.example/c",
        "https://client.example/a/../c",
        "https://client.example/a/%2e%2e/c",
        "https://CLIENT.example/c",
        "https://client.example:443/c",
        "https://127.1/c",
        "HTTPS://client.example/c",
        "ftp://client.example/c",
        "https:///c",
    ] {
        assert!(url(bad).is_none(), "{bad}");
    }
}

#[tokio::test]
async fn a_document_is_fetched_once_while_it_is_fresh() {
    let world = World::new().await;
    let id = ClientId::parse(DOCUMENT_URL).unwrap();
    serve(&world.documents, &document("https://client.example/cb"), Some(Duration::from_secs(600)));
    let find = async || find(&world.ports(), world.issuer.registration(), &world.documents, &id).await;
    assert_eq!(find().await.unwrap().source, ClientSource::Document);
    assert_eq!(find().await.unwrap().auth_method, "none");
    assert_eq!(*world.documents.asked.lock().unwrap(), 1);

    // When it is stale it is asked for again, and what it says then counts.
    world.clock.advance(Duration::from_secs(600));
    serve(&world.documents, &document("https://client.example/new"), Some(Duration::from_secs(u64::MAX)));
    assert_eq!(find().await.unwrap().redirect_uris, ["https://client.example/new"]);
    assert_eq!(world.ledger.count("client.changed"), 1);

    // No server can make us keep a document for ever, and a stale one is not trusted when it cannot be fetched.
    world.documents.served.lock().unwrap().clear();
    world.clock.advance(limits::CLIENT_DOCUMENT_FRESH.1 - Duration::from_millis(1));
    assert!(find().await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(find().await.unwrap_err().code, ErrorCode::InvalidClient);
}

#[tokio::test]
async fn a_document_that_is_not_about_its_own_url_is_no_client() {
    let world = World::new().await;
    let id = ClientId::parse(DOCUMENT_URL).unwrap();
    let good = document("https://client.example/cb");
    for (member, value) in [
        ("client_id", serde_json::json!("https://client.example/oauth/other.json")),
        ("client_id", serde_json::json!("https://client.example/oauth/client.json/")),
        ("client_id", serde_json::Value::Null),
        ("client_secret", serde_json::json!("s")),
        ("token_endpoint_auth_method", serde_json::json!("client_secret_post")),
        ("token_endpoint_auth_method", serde_json::json!("tls_client_auth")),
        ("token_endpoint_auth_method", serde_json::json!("private_key_jwt")), // without keys
        ("redirect_uris", serde_json::json!(["http://client.example/cb"])),
        ("redirect_uris", serde_json::json!([])),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        serve(&world.documents, &bad, None);
        let refused =
            find(&world.ports(), world.issuer.registration(), &world.documents, &id).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidClient, "{bad}");
    }
    assert_eq!(world.store.count(Client::KIND).await.unwrap(), 1);
    // ChatGPT's says `private_key_jwt` and is held to it.
    let mut chatgpt = good;
    chatgpt["token_endpoint_auth_method"] = "private_key_jwt".into();
    chatgpt["token_endpoint_auth_signing_alg"] = "RS256".into();
    chatgpt["jwks_uri"] = "https://chatgpt.com/oauth/jwks.json".into();
    serve(&world.documents, &chatgpt, None);
    let found = find(&world.ports(), world.issuer.registration(), &world.documents, &id).await.unwrap();
    assert_eq!((found.auth_method.as_str(), found.other_auth_methods.len()), ("private_key_jwt", 0));
    assert_eq!(found.signing_alg.as_deref(), Some("RS256"));
}

#[tokio::test]
async fn a_flood_of_registrations_stays_bounded_and_spares_clients_in_use() {
    let world = World::new().await;
    let memory = &world.store.0;
    let ports = Ports { store: memory, ..world.ports() };
    // The world's client is the oldest, and ana agreed to it.
    mark_agreed(&ports, &world.client.client_id).await.unwrap();
    let mut batch = Batch::new();
    for n in 1..limits::REGISTERED_CLIENTS {
        let client_id = ClientId::parse(&format!("flood-{n}")).unwrap();
        batch = batch.insert(&Client { client_id, ..world.client.clone() });
    }
    memory.commit(batch).await.unwrap();
    let body = serde_json::json!({ "redirect_uris": ["https://app.example/cb"] }).to_string();
    // One short of the bound without a grant: there is room for one more.
    register(&ports, world.issuer.registration(), body.as_bytes()).await.unwrap();
    let fill = (1..LOOK_EVERY).fold(Batch::new(), |batch, n| {
        let client_id = ClientId::parse(&format!("more-{n}")).unwrap();
        batch.insert(&Client { client_id, ..world.client.clone() })
    });
    memory.commit(fill).await.unwrap();
    let refused = register(&ports, world.issuer.registration(), body.as_bytes()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::TemporarilyUnavailable, "all are too young to be forgotten");
    world.clock.advance(EVICTABLE_AFTER);
    let ports = Ports { now: world.now(), ..ports };
    let newest = register(&ports, world.issuer.registration(), body.as_bytes()).await.unwrap().client;
    assert!(memory.count(Client::KIND).await.unwrap() <= limits::REGISTERED_CLIENTS as u64 + 1);
    for kept in [&world.client, &newest] {
        assert!(known(&ports, kept.client_id.as_str()).await.is_ok());
    }
}

proptest! {
    #[test]
    fn no_metadata_makes_the_reader_panic(body in ".{0,200}", redirect in ".{0,40}", name in ".{0,200}") {
        let url = Url::parse(DOCUMENT_URL).unwrap();
        let _ = from_document(&url, body.as_bytes(), Timestamp::default());
        let json = serde_json::json!({ "client_id": DOCUMENT_URL, "redirect_uris": [redirect], "client_name": name });
        if let Ok(client) = from_document(&url, json.to_string().as_bytes(), Timestamp::default()) {
            prop_assert!(client.name.chars().count() <= limits::CLIENT_NAME_CHARS);
            prop_assert!(!client.name.chars().any(char::is_control));
        }
    }
}
