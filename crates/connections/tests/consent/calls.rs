//! The way of a call: for whom a token is opened, and where it may go.

use crate::world::{World, ana, notes, permit};
use http::HeaderMap;
use portunus_connections::{ConnectionError, Settings};
use portunus_core::limits;
use std::time::Duration;
use url::Url;

#[tokio::test]
async fn a_token_goes_to_the_servers_own_host_with_a_permit_for_it_and_nowhere_else() {
    let world = World::new();
    world.connect().await;
    let bound = world.connections.bound(&notes(), &ana()).await.unwrap().unwrap();
    let foreign = world.connections.open(&permit("wiki"), &bound).await;
    assert!(matches!(foreign, Err(ConnectionError::Foreign(_))));
    for host in ["evil.example", "notes.example:8443", "notes.example.evil.example", "login.example", ""] {
        let mut headers = HeaderMap::new();
        let opened = world.connections.open(&permit("notes"), &bound).await.unwrap();
        assert!(opened.inject(&mut headers, host).is_err(), "{host}");
        assert!(headers.is_empty());
    }
    let mut headers = HeaderMap::new();
    headers.insert("authorization", "Bearer the client's own".parse().unwrap());
    world
        .connections
        .open(&permit("notes"), &bound)
        .await
        .unwrap()
        .inject(&mut headers, "notes.example")
        .unwrap();
    assert_eq!(headers["authorization"], "Bearer access-1");
    assert!(headers["authorization"].is_sensitive());
}

#[tokio::test]
async fn tokens_for_one_server_never_go_to_another_that_took_its_name() {
    let world = World::new();
    world.connect().await;
    let moved = |change: &dyn Fn(&mut Settings)| {
        let mut settings = (*world.connections.of(&notes()).unwrap()).clone();
        change(&mut settings);
        world.connections.replace(vec![settings]);
    };
    moved(&|settings| settings.upstream = Url::parse("https://evil.example/mcp").unwrap());
    assert!(matches!(world.connections.bound(&notes(), &ana()).await, Err(ConnectionError::Needed(_))));
    moved(&|settings| settings.upstream = Url::parse(crate::world::UPSTREAM).unwrap());
    assert!(world.connections.bound(&notes(), &ana()).await.is_ok());
    moved(&|settings| settings.issuer = Some("https://other.example".to_owned()));
    assert!(matches!(world.connections.bound(&notes(), &ana()).await, Err(ConnectionError::Needed(_))));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let world = World::new();
    world.connect().await;
    world.clock.advance(limits::REFRESH_PAUSE);
    let bound = world.connections.bound(&notes(), &ana()).await.unwrap().unwrap();
    let renewed = world.connections.after_refusal(&bound).await.unwrap().unwrap();
    assert_eq!(renewed.used().generation, 2);
    // Whoever still has the first one gets the second, without a further renewal.
    assert_eq!(world.connections.after_refusal(&bound).await.unwrap().unwrap().used().generation, 2);
    assert!(world.connections.after_refusal(&renewed).await.unwrap().is_none(), "it was renewed just now");
    assert_eq!(world.server.refreshes(), 1);
}

#[tokio::test]
async fn a_server_that_wants_more_gets_what_the_configuration_allows_and_its_user_agrees_to() {
    let world = World::new();
    world.connect().await;
    let bound = world.connections.bound(&notes(), &ana()).await.unwrap().unwrap();
    let more = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect::<Vec<_>>();
    let creep = world.connections.want(&bound, &more(&["read", "write", "admin"])).await;
    assert!(matches!(creep, Err(ConnectionError::ScopeNotAllowed { scope, .. }) if scope == "admin"));
    assert!(world.stored().await.wanted.is_empty());
    let Err(ConnectionError::Needed(need)) = world.connections.want(&bound, &more(&["read", "write"])).await
    else {
        panic!("not asked for")
    };
    assert_eq!(need.scopes, ["write"]);
    // Everything else goes on meanwhile, and the next consent asks for both.
    assert!(world.connections.bound(&notes(), &ana()).await.is_ok());
    let (user, session) = (ana(), crate::world::session());
    let url = world.connections.begin(&notes(), &crate::world::visitor(&user, &session)).await.unwrap();
    assert_eq!(crate::world::parameter(&url, "scope").unwrap(), "read write");
}

#[tokio::test]
async fn another_process_sees_a_new_generation_in_time() {
    let world = World::new();
    world.connect().await;
    let second = world.second();
    assert_eq!(second.bound(&notes(), &ana()).await.unwrap().unwrap().used().generation, 1);
    world.clock.advance(Duration::from_secs(60));
    let bound = world.connections.bound(&notes(), &ana()).await.unwrap().unwrap();
    world.connections.after_refusal(&bound).await.unwrap();
    assert_eq!(second.bound(&notes(), &ana()).await.unwrap().unwrap().used().generation, 2);
}

#[tokio::test]
async fn no_token_is_printed_or_recorded() {
    let world = World::new();
    let connection = world.connect().await;
    world.expire();
    let bound = world.connections.bound(&notes(), &ana()).await.unwrap().unwrap();
    let opened = world.connections.open(&permit("notes"), &bound).await.unwrap();
    let stored = world.stored().await;
    let printed = format!(
        "{connection:?} {stored:?} {bound:?} {opened:?} {:?} {:?}",
        world.connections,
        world.ledger.records()
    );
    for secret in ["access-", "refresh-", "code_verifier"] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}
