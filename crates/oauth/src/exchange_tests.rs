//! Exchanges that must not widen anything.

use super::*;
use crate::client_admin;
use crate::form::Form;
use crate::grants::{Selection, revoke, revoke_all};
use crate::machines::{Exchange, Machines};
use crate::testing::{REDIRECT, World, encode, with};
use crate::{client, client_auth};
use portunus_core::document::Standing;
use portunus_core::id::ServerName;

async fn another_client(world: &World) -> ClientId {
    let body = serde_json::json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
    client::register(&world.ports(), world.issuer.registration(), body.to_string().as_bytes())
        .await
        .unwrap()
        .client
        .client_id
}

/// One that proves itself, and with what.
async fn confidential_client(world: &World) -> (ClientId, String) {
    let body = serde_json::json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_post" });
    let registered =
        client::register(&world.ports(), world.issuer.registration(), body.to_string().as_bytes())
            .await
            .unwrap();
    let answer: serde_json::Value = serde_json::from_str(registered.body().expose()).unwrap();
    (registered.client.client_id, answer["client_secret"].as_str().unwrap().to_owned())
}

/// `client` may exchange the tokens of the world's client, also for `hr`.
fn allow(world: &mut World, client: &ClientId) {
    let exchange = Exchange {
        client: client.clone(),
        from: vec![world.client.client_id.clone()],
        may_exchange_to: vec![ServerName::parse("hr").unwrap()],
    };
    let machines = Machines { exchanges: vec![exchange], ..Machines::default() };
    world.issuer = world.issuer.clone().with_machines(machines);
}

fn asking(client: &ClientId, token: &str) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", GRANT_TYPE.to_owned()),
        ("subject_token", token.to_owned()),
        ("subject_token_type", ACCESS_TOKEN.to_owned()),
        ("client_id", client.to_string()),
    ]
}

#[tokio::test]
async fn an_exchanged_token_is_never_more_than_the_one_it_came_from() {
    let world = World::new().await;
    let issued = world.tokens().await;
    let own = asking(&world.client.client_id, issued.access_token.expose());
    world.clock.advance(limits::ACCESS_TTL / 2);
    let lesser = world.token(&own).await.unwrap();
    assert!(lesser.refresh_token.is_none() && lesser.body().expose().contains(ACCESS_TOKEN));
    assert_eq!(lesser.expires_in, limits::ACCESS_TTL / 2, "it ends with the old one at the latest");
    let caller = resolve(&world.store, world.now(), lesser.access_token.expose()).await.unwrap().caller;
    assert_eq!((caller.server.as_str(), &caller.client), ("sales", &world.client.client_id));
    assert!(caller.holding.via.is_empty());
    for (name, value, code) in [
        ("scope", "mcp offline_access admin", ErrorCode::InvalidScope),
        ("scope", "offline_access", ErrorCode::InvalidScope),
        ("scope", "other", ErrorCode::InvalidScope),
        ("resource", "https://tools.example.com/hr/mcp", ErrorCode::InvalidTarget),
        ("audience", "https://tools.example.com/hr/mcp", ErrorCode::InvalidTarget),
        ("resource", "https://elsewhere.test/mcp", ErrorCode::InvalidTarget),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token", ErrorCode::InvalidRequest),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token", ErrorCode::InvalidRequest),
        ("actor_token", "x", ErrorCode::InvalidRequest),
        ("subject_token", "x", ErrorCode::InvalidRequest),
    ] {
        let refused = world.token(&with(&own, name, Some(value))).await.unwrap_err();
        assert_eq!(refused.code, code, "{name}={value}: {refused}");
    }
    let refresh = issued.refresh_token.as_ref().unwrap().expose().clone();
    let refused = world.token(&with(&own, "subject_token", Some(&refresh))).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::InvalidRequest, "a refresh token is no access token");
    // The old one ends, and what came of it with it.
    world.clock.advance(limits::ACCESS_TTL / 2);
    assert!(resolve(&world.store, world.now(), lesser.access_token.expose()).await.is_err());
    assert_eq!(world.token(&own).await.unwrap_err().code, ErrorCode::InvalidRequest);
}

#[tokio::test]
async fn revoking_the_grant_ends_what_came_of_its_tokens() {
    let world = World::new().await;
    let issued = world.tokens().await;
    let own = asking(&world.client.client_id, issued.access_token.expose());
    let first = world.token(&own).await.unwrap();
    let second = world.token(&asking(&world.client.client_id, first.access_token.expose())).await.unwrap();
    revoke(&world.ports(), &issued.grant, "ana", "test").await.unwrap();
    for token in [&issued, &first, &second] {
        assert!(resolve(&world.store, world.now(), token.access_token.expose()).await.is_err());
    }
    assert_eq!(world.token(&own).await.unwrap_err().code, ErrorCode::InvalidRequest);
}

#[tokio::test]
async fn another_clients_token_is_exchanged_only_as_configured_and_every_hand_is_kept() {
    let mut world = World::new().await;
    let issued = world.tokens().await;
    let ((agent, secret), stranger) = (confidential_client(&world).await, another_client(&world).await);
    let hr = ServerName::parse("hr").unwrap();
    let subject = issued.access_token.expose();
    let agents = with(&asking(&agent, subject), "client_secret", Some(&secret));
    let refused = world.token(&agents).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::UnauthorizedClient);

    allow(&mut world, &agent);
    let to_hr = with(&agents, "resource", Some("https://tools.example.com/hr/mcp"));
    let passed = world.token(&to_hr).await.unwrap();
    let caller = resolve(&world.store, world.now(), passed.access_token.expose()).await.unwrap().caller;
    assert_eq!((&caller.client, &caller.server, caller.user.as_str()), (&agent, &hr, "ana"));
    assert_eq!(caller.holding.via, [agent.clone(), world.client.client_id.clone()]);
    assert_eq!(caller.grant, issued.grant);
    // The next in line, and the one whose token it was, are no holders of it.
    for client in [&stranger, &world.client.client_id] {
        let refused = world.token(&asking(client, passed.access_token.expose())).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::UnauthorizedClient, "{client}");
    }
    assert_eq!(world.ledger.count("token.exchanged"), 1);
    revoke(&world.ports(), &issued.grant, "ana", "test").await.unwrap();
    assert!(resolve(&world.store, world.now(), passed.access_token.expose()).await.is_err());
}

#[tokio::test]
async fn what_is_allowed_to_a_client_is_not_for_whoever_names_its_id() {
    let mut world = World::new().await;
    let issued = world.tokens().await;
    let agent = another_client(&world).await;
    allow(&mut world, &agent);
    let others = asking(&agent, issued.access_token.expose());
    assert_eq!(world.token(&others).await.unwrap_err().code, ErrorCode::UnauthorizedClient);
    // Nor for another server with its own token.
    let client = world.client.client_id.clone();
    allow(&mut world, &client);
    let own = asking(&client, issued.access_token.expose());
    let to_hr = with(&own, "resource", Some("https://tools.example.com/hr/mcp"));
    assert_eq!(world.token(&to_hr).await.unwrap_err().code, ErrorCode::InvalidTarget);
    assert_eq!(world.ledger.count("token.exchanged"), 0);
    assert!(world.token(&own).await.is_ok(), "what every client may do");
}

/// A token of the world's client, an exchanged one of another client for `hr`, and how that client asks for it.
async fn passed_on() -> (World, ClientId, Issued, Issued, Vec<(&'static str, String)>) {
    let mut world = World::new().await;
    let issued = world.tokens().await;
    let (agent, secret) = confidential_client(&world).await;
    allow(&mut world, &agent);
    let request = with(&asking(&agent, issued.access_token.expose()), "client_secret", Some(&secret));
    let request = with(&request, "resource", Some("https://tools.example.com/hr/mcp"));
    let passed = world.token(&request).await.unwrap();
    (world, agent, issued, passed, request)
}

#[tokio::test]
async fn blocking_removing_or_killing_the_holder_or_server_ends_what_was_exchanged_and_nothing_else() {
    for way in ["block", "remove", "kill client", "kill server", "kill another"] {
        let (world, agent, issued, passed, _) = passed_on().await;
        let kill = async |selection| revoke_all(&world.ports(), &selection, "admin", "test").await.unwrap();
        match way {
            "block" => {
                client_admin::decide(&world.ports(), &agent, Standing::Blocked, "admin")
                    .await
                    .map(drop)
                    .unwrap();
            }
            "remove" => client_admin::remove(&world.ports(), &agent, "admin").await.unwrap(),
            "kill client" => assert_eq!(kill(Selection::Client(agent)).await, 1),
            "kill server" => assert_eq!(kill(Selection::Server(ServerName::parse("hr").unwrap())).await, 1),
            _ => assert_eq!(kill(Selection::Server(ServerName::parse("wiki").unwrap())).await, 0),
        }
        let good = async |token: &Issued| {
            resolve(&world.store, world.now(), token.access_token.expose()).await.is_ok()
        };
        let ended = way != "kill another";
        assert_eq!(good(&passed).await, !ended, "{way}");
        assert!(
            good(&issued).await,
            "{way}: the token that it came from is another client's, for another server"
        );
        assert_eq!(world.ledger.count("token.revoked"), usize::from(ended), "{way}");
    }
}

#[tokio::test]
async fn a_client_that_is_blocked_in_this_very_moment_exchanges_nothing() {
    let (world, agent, _, _, request) = passed_on().await;
    let form = Form::parse(encode(&request).as_bytes()).unwrap();
    let request = world.request_of(&form, None);
    let client = client_auth::authenticate(&world.ports(), &request).await.unwrap();
    client_admin::decide(&world.ports(), &agent, Standing::Blocked, "admin").await.unwrap();
    assert!(redeem(&world.ports(), &request, &client).await.is_err());
}
