//! Discovery: each document is believed about what it was fetched for.

use crate::world::{ISSUER, UPSTREAM, World, ana, metadata, notes, session, visitor};
use portunus_connections::ConnectError;
use portunus_connections::discovery::DiscoveryError;
use serde_json::{Value, json};

const RESOURCE: &str = "https://notes.example/.well-known/oauth-protected-resource/mcp";

async fn error(world: &World) -> DiscoveryError {
    match world.connections.begin(&notes(), &visitor(&ana(), &session())).await {
        Err(ConnectError::Discovery(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn issuer_with(world: &World, changes: Value) {
    let mut document = metadata();
    document.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    world.server.publish(&format!("{ISSUER}/.well-known/oauth-authorization-server"), &document);
}

#[tokio::test]
async fn metadata_for_another_resource_is_refused() {
    for other in [
        "https://evil.example/mcp",
        "https://notes.example",
        "https://notes.example/mcp/x",
        "http://notes.example/mcp",
        "https://notes.example:8443/mcp",
        "https://u@notes.example/mcp",
        "https://notes.example/mcp?x",
        "notes",
        "https://notes.example/mcp\n",
        "",
    ] {
        let world = World::new();
        world.server.publish(RESOURCE, &json!({ "resource": other, "authorization_servers": [ISSUER] }));
        assert!(matches!(error(&world).await, DiscoveryError::OtherResource(_)), "{other}");
    }
    // To a last slash it is the same; and what the configuration says goes.
    let world = World::new();
    world
        .server
        .publish(RESOURCE, &json!({ "resource": format!("{UPSTREAM}/"), "authorization_servers": [ISSUER] }));
    world.begin().await;
    let world = World::with(|settings| settings.resource = Some("https://notes.example/".to_owned()));
    world.server.publish(
        RESOURCE,
        &json!({ "resource": "https://notes.example/", "authorization_servers": [ISSUER] }),
    );
    world.begin().await;
}

#[tokio::test]
async fn an_authorization_server_is_who_it_says_and_can_what_is_needed() {
    let world = World::new();
    issuer_with(&world, json!({ "issuer": "https://login.example/" }));
    assert!(matches!(error(&world).await, DiscoveryError::IssuerMismatch { .. }));
    for changes in [
        json!({ "code_challenge_methods_supported": ["plain"] }),
        json!({ "code_challenge_methods_supported": null }),
        json!({ "response_types_supported": ["token"] }),
    ] {
        let world = World::new();
        issuer_with(&world, changes);
        assert!(matches!(error(&world).await, DiscoveryError::Unsupported(_)));
    }
    for name in ["authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"] {
        for bad in [
            "http://login.example/x",
            "http://127.0.0.1/x",
            "javascript:alert(1)",
            "https://u@login.example/",
            "/x",
        ] {
            let world = World::new();
            issuer_with(&world, json!({ name: bad }));
            assert_eq!(
                error(&world).await,
                DiscoveryError::Endpoint(match name {
                    "authorization_endpoint" => "authorization_endpoint",
                    "token_endpoint" => "token_endpoint",
                    "registration_endpoint" => "registration_endpoint",
                    _ => "revocation_endpoint",
                }),
                "{bad}"
            );
        }
    }
}

#[tokio::test]
async fn a_configured_issuer_is_the_only_one() {
    let world = World::with(|settings| settings.issuer = Some("https://other.example".to_owned()));
    assert!(matches!(error(&world).await, DiscoveryError::OtherIssuer(_)));
    let world = World::with(|settings| settings.issuer = Some(ISSUER.to_owned()));
    world.begin().await;
}

/// A server that is taken over must not be able to make the edge ask inside the network it is in.
#[tokio::test]
async fn only_what_the_configuration_names_may_be_private() {
    let world = World::new();
    *world.server.challenge.lock().unwrap() =
        Some("Bearer resource_metadata=\"https://10.0.0.1/metadata\"".to_owned());
    world.connect().await;
    for seen in world.server.seen.lock().unwrap().iter() {
        assert!(!seen.url.contains("10.0.0.1"), "{seen:?}");
        assert_eq!(seen.named, seen.url.starts_with("https://notes.example/"), "{seen:?}");
    }
    for issuer in
        ["http://169.254.169.254", "http://127.0.0.1:8080", "https://u:p@login.example", "file:///etc/passwd"]
    {
        let world = World::new();
        world.server.publish(RESOURCE, &json!({ "resource": UPSTREAM, "authorization_servers": [issuer] }));
        assert!(matches!(error(&world).await, DiscoveryError::BadIssuer(_)), "{issuer}");
    }
}
