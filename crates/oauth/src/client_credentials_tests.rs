//! Machines that ask in their own name, and everyone who must not.

use super::*;
use crate::client_admin::{self, NewClient, Proof};
use crate::config::Issuer;
use crate::error::ErrorCode;
use crate::form::Form;
use crate::resolve::{ResolveError, resolve};
use crate::testing::{World, encode, server, with};
use crate::{client_auth, revocation, token};
use portunus_core::caller::ClientProof;
use portunus_core::document::Standing;
use portunus_core::id::ClientId;
use portunus_core::server::Server;
use url::Url;

/// A world with a machine that was entered for `sales` and `hr`, of which only `sales` admits workloads; its request.
async fn machine() -> (World, Vec<(&'static str, String)>) {
    let mut world = World::new().await;
    let sales = Server { actors: vec![Actor::Workload], ..server("sales") };
    let url = Url::parse("https://tools.example.com").unwrap();
    world.issuer = Issuer::new(
        &url,
        vec![sales.clone(), server("hr"), Server { name: ServerName::parse("wiki").unwrap(), ..sales }],
    )
    .unwrap();
    let name = |text| ServerName::parse(text).unwrap();
    let new = NewClient {
        client_id: ClientId::parse("nightly").unwrap(),
        name: "Nightly report".to_owned(),
        redirect_uris: vec![],
        servers: vec![name("sales"), name("hr")],
        device_grant: false,
        proof: Proof::None,
    };
    let (_client, secret) = client_admin::add(&world.ports(), new, true, "admin").await.unwrap();
    let request = vec![
        ("grant_type", GRANT_TYPE.to_owned()),
        ("client_id", "nightly".to_owned()),
        ("client_secret", secret.unwrap().expose().clone()),
        ("resource", "https://tools.example.com/sales/mcp".to_owned()),
    ];
    (world, request)
}

#[tokio::test]
async fn a_machine_gets_a_token_for_one_server_in_its_own_name() {
    let (world, request) = machine().await;
    let issued = world.token(&request).await.unwrap();
    assert!(issued.refresh_token.is_none());
    let caller = resolve(&world.store, world.now(), issued.access_token.expose()).await.unwrap().caller;
    assert_eq!((caller.user.as_str(), caller.actor), ("workload:nightly", Actor::Workload));
    assert_eq!((caller.server.as_str(), caller.client.as_str()), ("sales", "nightly"));
    assert_eq!(caller.holding.proof, ClientProof::Secret);
    // The second token belongs to the same grant; whoever revokes that ends both, and the machine can ask anew.
    let again = world.token(&request).await.unwrap();
    assert_eq!(again.grant, issued.grant);
    grants::revoke(&world.ports(), &issued.grant, "admin", "test").await.unwrap();
    for token in [&issued, &again] {
        let gone = resolve(&world.store, world.now(), token.access_token.expose()).await;
        assert_eq!(gone.map(drop), Err(ResolveError::Revoked));
    }
    let fresh = world.token(&request).await.unwrap();
    // Blocking the machine ends that.
    let id = ClientId::parse("nightly").unwrap();
    client_admin::decide(&world.ports(), &id, Standing::Blocked, "admin").await.unwrap();
    let gone = resolve(&world.store, world.now(), fresh.access_token.expose()).await;
    assert_eq!(gone.map(drop), Err(ResolveError::Revoked));
    assert_eq!(world.token(&request).await.unwrap_err().code, ErrorCode::InvalidClient);
}

#[tokio::test]
async fn nobody_else_gets_one_and_nowhere_else() {
    let (world, request) = machine().await;
    for (name, value, code) in [
        ("resource", None, ErrorCode::InvalidTarget),
        ("resource", Some("https://tools.example.com/hr/mcp"), ErrorCode::UnauthorizedClient),
        ("resource", Some("https://tools.example.com/wiki/mcp"), ErrorCode::UnauthorizedClient),
        ("resource", Some("https://evil.test/sales/mcp"), ErrorCode::InvalidTarget),
        ("scope", Some("mcp offline_access"), ErrorCode::InvalidScope),
        ("scope", Some("admin"), ErrorCode::InvalidScope),
        ("client_secret", Some("guess"), ErrorCode::InvalidClient),
        ("client_secret", None, ErrorCode::InvalidClient),
        ("client_id", Some("nightly2"), ErrorCode::InvalidClient),
    ] {
        let refused = world.token(&with(&request, name, value)).await.unwrap_err();
        assert_eq!(refused.code, code, "{name}={value:?}: {refused}");
    }
    // A client that people use, public or with a secret, is no machine.
    let public =
        with(&with(&request, "client_secret", None), "client_id", Some(world.client.client_id.as_str()));
    assert_eq!(world.token(&public).await.unwrap_err().code, ErrorCode::UnauthorizedClient);
    let body = serde_json::json!({ "redirect_uris": [crate::testing::REDIRECT], "token_endpoint_auth_method": "client_secret_post" });
    let rules = world.issuer.registration();
    let registered =
        crate::client::register(&world.ports(), rules, body.to_string().as_bytes()).await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(registered.body().expose()).unwrap();
    let own = with(&request, "client_id", answer["client_id"].as_str());
    let own = with(&own, "client_secret", answer["client_secret"].as_str());
    assert_eq!(world.token(&own).await.unwrap_err().code, ErrorCode::UnauthorizedClient);
    world.ledger.set_failing(true);
    assert_eq!(world.token(&request).await.unwrap_err().code, ErrorCode::ServerError);
    world.ledger.set_failing(false);
    assert_eq!(world.ledger.count("token.issued"), 0);
}

#[tokio::test]
async fn a_machine_can_ask_about_its_token_and_give_it_up() {
    let (world, request) = machine().await;
    let issued = world.token(&request).await.unwrap();
    let fields = [request[1].clone(), request[2].clone(), ("token", issued.access_token.expose().clone())];
    let form = Form::parse(encode(&fields).as_bytes()).unwrap();
    let asked = world.request_of(&form, None);
    let said = serde_json::to_value(revocation::introspect(&world.ports(), &asked).await.unwrap()).unwrap();
    assert_eq!((&said["active"], &said["sub"]), (&true.into(), &"workload:nightly".into()));
    revocation::revoke(&world.ports(), &asked).await.unwrap();
    assert!(resolve(&world.store, world.now(), issued.access_token.expose()).await.is_err());
    let refresh =
        with(&with(&request, "grant_type", Some("refresh_token")), "refresh_token", Some("ptn_rt_x"));
    let form = Form::parse(encode(&refresh).as_bytes()).unwrap();
    assert!(token::respond(&world.ports(), &world.request_of(&form, None)).await.is_err());
}

#[tokio::test]
async fn a_machine_that_is_blocked_or_removed_in_this_very_moment_gets_nothing() {
    for remove in [false, true] {
        let (world, request) = machine().await;
        let form = Form::parse(encode(&request).as_bytes()).unwrap();
        let request = world.request_of(&form, None);
        let client = client_auth::authenticate(&world.ports(), &request).await.unwrap();
        let id = ClientId::parse("nightly").unwrap();
        if remove {
            client_admin::remove(&world.ports(), &id, "admin").await.unwrap();
        } else {
            client_admin::decide(&world.ports(), &id, Standing::Blocked, "admin").await.unwrap();
        }
        assert!(issue(&world.ports(), &request, &client).await.is_err());
        assert!(grants::all(&world.store).await.unwrap().is_empty(), "no grant was left behind");
    }
}
