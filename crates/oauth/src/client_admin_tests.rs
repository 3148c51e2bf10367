//! Administrators and clients: who is let in, who waits, and what ends when one is put out.

use super::*;
use crate::authorize::Rejected;
use crate::client::{Fetched, register};
use crate::error::ErrorCode;
use crate::registration::{Allowed, Documents, Dynamic, Registration};
use crate::resolve::{ResolveError, resolve};
use crate::testing::{REDIRECT, World};
use serde_json::json;

const DOCUMENT: &str = "https://client.example/oauth/client.json";

fn id(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

/// The world under these rules, with a document to be fetched that the world's requests name.
async fn world(registration: Registration) -> World {
    let mut world = World::new().await;
    world.issuer = world.issuer.with_registration(registration);
    let document = json!({ "client_id": DOCUMENT, "client_name": "Example", "redirect_uris": [REDIRECT] });
    let fetched = Fetched { bytes: document.to_string().into_bytes(), max_age: None };
    world.documents.served.lock().unwrap().insert(DOCUMENT.to_owned(), fetched);
    world.client.client_id = id(DOCUMENT);
    world
}

async fn outcome(world: &World) -> Result<(), &'static str> {
    match world.read(&world.request()).await {
        Ok(_sound) => Ok(()),
        Err(Rejected::Waiting(_)) => Err("waits"),
        Err(Rejected::Page(error)) if error.code == ErrorCode::UnauthorizedClient => Err("refused"),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_new_client_waits_for_an_approval_that_is_recorded() {
    let world = world(Registration { documents: Documents::Approval, ..Registration::default() }).await;
    assert_eq!(outcome(&world).await, Err("waits"));
    let waiting = list(&world.store).await.unwrap();
    let rules = world.issuer.registration();
    let waits = |client: &&Client| rules.admission(client) == crate::registration::Admission::Waits;
    assert_eq!(waiting.iter().filter(waits).map(|c| c.client_id.as_str()).collect::<Vec<_>>(), [DOCUMENT]);
    // While nothing can be recorded, nobody is let in.
    world.ledger.set_failing(true);
    assert!(decide(&world.ports(), &id(DOCUMENT), Standing::Approved, "olga").await.is_err());
    world.ledger.set_failing(false);
    assert_eq!(outcome(&world).await, Err("waits"));
    decide(&world.ports(), &id(DOCUMENT), Standing::Approved, "olga").await.unwrap();
    assert_eq!(outcome(&world).await, Ok(()));
    assert_eq!(world.ledger.events().last().unwrap().by, "olga");
    assert_eq!(world.ledger.count("client.approved"), 1);
    // The approval outlives the document's freshness.
    world.clock.advance(limits::CLIENT_DOCUMENT_FRESH.1);
    assert_eq!(outcome(&world).await, Ok(()));
    assert_eq!(*world.documents.asked.lock().unwrap(), 2);
}

#[tokio::test]
async fn what_is_not_listed_is_not_even_fetched() {
    let listed = |entries: &[&str]| Registration {
        documents: Documents::Listed,
        allow: entries.iter().map(|entry| Allowed::parse(entry).unwrap()).collect(),
        ..Registration::default()
    };
    let world_of = async |entries: &[&str]| world(listed(entries)).await;
    let shut = world_of(&["https://other.example"]).await;
    assert_eq!(outcome(&shut).await, Err("refused"));
    assert_eq!(*shut.documents.asked.lock().unwrap(), 0);
    // An administrator can approve it beforehand nevertheless.
    decide(&shut.ports(), &id(DOCUMENT), Standing::Approved, "olga").await.unwrap();
    assert_eq!(outcome(&shut).await, Ok(()));
    for entry in [DOCUMENT, "https://client.example", "client.example"] {
        assert_eq!(outcome(&world_of(&[entry]).await).await, Ok(()), "{entry}");
    }
    let approval = Registration { documents: Documents::Approval, ..listed(&["client.example"]) };
    assert_eq!(outcome(&world(approval).await).await, Ok(()), "the list needs no approval");
}

#[tokio::test]
async fn registration_can_be_switched_off_or_made_to_wait() {
    let mut world = world(Registration { dynamic: Dynamic::Off, ..Registration::default() }).await;
    let body = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" }).to_string();
    let refused = register(&world.ports(), world.issuer.registration(), body.as_bytes()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::AccessDenied);
    let metadata = serde_json::to_value(crate::metadata::authorization_server(&world.issuer)).unwrap();
    assert!(metadata.get("registration_endpoint").is_none());
    let rules = Registration { dynamic: Dynamic::Approval, ..Registration::default() };
    world.issuer = world.issuer.with_registration(rules);
    let registered = register(&world.ports(), world.issuer.registration(), body.as_bytes()).await.unwrap();
    world.client = registered.client;
    assert_eq!(outcome(&world).await, Err("waits"));
    let early = world.token(&world.redemption("ptn_ac_x")).await.unwrap_err();
    assert_eq!(early.code, ErrorCode::InvalidClient, "{early}");
    decide(&world.ports(), &world.client.client_id, Standing::Approved, "olga").await.unwrap();
    world.tokens().await;
}

#[tokio::test]
async fn blocking_a_client_ends_all_it_has_at_once() {
    let world = world(Registration::default()).await;
    let issued = world.tokens().await;
    let pending = world.code().await;
    let good = async || resolve(&world.store, world.now(), issued.access_token.expose()).await.map(drop);
    assert_eq!(good().await, Ok(()));
    // Even when it cannot be recorded.
    world.ledger.set_failing(true);
    assert!(decide(&world.ports(), &id(DOCUMENT), Standing::Blocked, "olga").await.is_err());
    assert_eq!(good().await, Err(ResolveError::Revoked));
    world.ledger.set_failing(false);
    decide(&world.ports(), &id(DOCUMENT), Standing::Blocked, "olga").await.unwrap();
    assert_eq!(world.ledger.count("client.blocked"), 1);
    assert_eq!(outcome(&world).await, Err("refused"));
    let refresh = world.refreshing(issued.refresh_token.as_ref().unwrap().expose());
    for late in [world.redemption(&pending), refresh] {
        assert_eq!(world.token(&late).await.unwrap_err().code, ErrorCode::InvalidClient);
    }
    // A document that is fetched again does not lift the block, and a blocked stranger is never fetched.
    world.clock.advance(limits::CLIENT_DOCUMENT_FRESH.1);
    assert_eq!(outcome(&world).await, Err("refused"));
    assert_eq!(*world.documents.asked.lock().unwrap(), 1);
    decide(&world.ports(), &id("https://evil.example/c"), Standing::Blocked, "olga").await.unwrap();
    assert!(decide(&world.ports(), &id("cli_unknown"), Standing::Blocked, "olga").await.is_err());
    remove(&world.ports(), &id(DOCUMENT), "olga").await.unwrap();
    assert_eq!(outcome(&world).await, Ok(()), "a client that was removed may come anew");
}

fn new(client_id: &str) -> NewClient {
    NewClient {
        client_id: id(client_id),
        name: "A console".to_owned(),
        redirect_uris: vec![REDIRECT.to_owned()],
        servers: vec![],
        device_grant: false,
        proof: Proof::None,
    }
}

#[tokio::test]
async fn clients_can_be_entered_and_only_as_they_can_be_used() {
    let world = World::new().await;
    let (client, secret) = add(&world.ports(), new("console"), true, "admin").await.unwrap();
    assert!(secret.unwrap().expose().starts_with("ptn_cs_"));
    assert_eq!(
        (client.source, client.auth_method.as_str()),
        (ClientSource::Administrator, "client_secret_basic")
    );
    let again = add(&world.ports(), new("console"), false, "admin").await;
    assert!(matches!(again, Err(ClientError::Exists(_))));
    let machine =
        |proof| NewClient { servers: vec![ServerName::parse("sales").unwrap()], proof, ..new("nightly") };
    let no_redirect = |new: NewClient| NewClient { redirect_uris: vec![], ..new };
    let bad_redirect = NewClient { redirect_uris: vec!["http://a.example/cb".to_owned()], ..new("b") };
    let nameless =
        NewClient { client_id: id("https://a.example/c"), ..machine(Proof::Secret(Digest([0; 32]))) };
    for bad in [no_redirect(new("a")), bad_redirect, machine(Proof::None), nameless] {
        let refused = add(&world.ports(), bad.clone(), false, "admin").await;
        assert!(matches!(refused, Err(ClientError::Invalid(_))), "{bad:?}");
    }
    add(&world.ports(), no_redirect(machine(Proof::None)), true, "admin").await.unwrap();
    assert_eq!(world.ledger.count("client.added"), 2);
    remove(&world.ports(), &id("console"), "admin").await.unwrap();
    assert!(matches!(remove(&world.ports(), &id("console"), "admin").await, Err(ClientError::Unknown(_))));
}

#[tokio::test]
async fn clients_of_the_configuration_come_change_and_go_with_it() {
    let mut world = World::new().await;
    let one = new("one");
    configure(&world.ports(), &[one.clone(), new("two")]).await.unwrap();
    configure(&world.ports(), &[one.clone(), new("two")]).await.unwrap();
    assert_eq!(world.ledger.count("client.configured"), 2, "nothing changed the second time");
    world.client.client_id = id("one");
    let issued = world.tokens().await;
    let renamed = NewClient { name: "Another".to_owned(), ..one };
    configure(&world.ports(), &[renamed]).await.unwrap();
    let left: Vec<_> = list(&world.store).await.unwrap().into_iter().map(|client| client.name).collect();
    assert!(left.contains(&"Another".to_owned()) && left.len() == 2, "{left:?}");
    assert!(matches!(remove(&world.ports(), &id("one"), "admin").await, Err(ClientError::Configured(_))));
    assert!(resolve(&world.store, world.now(), issued.access_token.expose()).await.is_ok());
    configure(&world.ports(), &[]).await.unwrap();
    let gone = resolve(&world.store, world.now(), issued.access_token.expose()).await;
    assert_eq!(gone.map(drop), Err(ResolveError::Revoked));
}
