//! The token endpoint under attack: replay, injection, races, revocation.

use super::*;
use crate::resolve::{ResolveError, resolve};
use crate::testing::{REDIRECT, VERIFIER, World, encode, with};
use crate::{client, users};
use portunus_core::limits;
use portunus_core::store::list_all;

async fn is_good(world: &World, token: &Secret<String>) -> Result<(), ResolveError> {
    resolve(&world.store, world.now(), token.expose()).await.map(drop)
}

#[tokio::test]
async fn a_code_becomes_tokens_for_one_user_client_and_server() {
    let world = World::new().await;
    let issued = world.tokens().await;
    let resolved = resolve(&world.store, world.now(), issued.access_token.expose()).await.unwrap();
    let caller = &resolved.caller;
    assert_eq!((caller.user.as_str(), caller.server.as_str()), ("ana", "sales"));
    assert_eq!((&caller.client, &caller.grant), (&world.client.client_id, &issued.grant));
    assert_eq!(resolved.expires_at, world.now().plus(limits::ACCESS_TTL));
    let body: serde_json::Value = serde_json::from_str(issued.body().expose()).unwrap();
    assert_eq!((&body["token_type"], &body["scope"]), (&"Bearer".into(), &"mcp".into()));
    assert_eq!(body["expires_in"], limits::ACCESS_TTL.as_secs());
    assert_eq!(body["refresh_token"], issued.refresh_token.as_ref().unwrap().expose().as_str());
    world.clock.advance(limits::ACCESS_TTL);
    assert_eq!(is_good(&world, &issued.access_token).await, Err(ResolveError::Expired));
}

#[tokio::test]
async fn a_code_used_twice_ends_everything_that_came_of_it() {
    let world = World::new().await;
    let redemption = world.redemption(&world.code().await);
    let issued = world.token(&redemption).await.unwrap();
    assert_eq!(is_good(&world, &issued.access_token).await, Ok(()));
    assert_eq!(world.token(&redemption).await.unwrap_err().code, ErrorCode::InvalidGrant);
    assert_eq!(is_good(&world, &issued.access_token).await, Err(ResolveError::Revoked));
    let refresh = world.refreshing(issued.refresh_token.unwrap().expose());
    assert_eq!(world.token(&refresh).await.unwrap_err().code, ErrorCode::InvalidGrant);
    assert_eq!((world.ledger.count("code.reused"), world.ledger.count("grant.revoked")), (1, 1));
}

#[tokio::test]
async fn a_code_is_good_for_its_own_client_redirect_verifier_and_resource_only() {
    let world = World::new().await;
    let body = serde_json::json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
    let other = client::register(&world.ports(), world.issuer.registration(), body.to_string().as_bytes())
        .await
        .unwrap()
        .client;
    let code = world.code().await;
    let good = world.redemption(&code);
    let challenge = world.request().iter().find(|(name, _)| *name == "code_challenge").unwrap().1.clone();
    for (name, value, expected) in [
        ("client_id", Some(other.client_id.as_str()), ErrorCode::InvalidGrant),
        ("client_id", Some("cli_00000000000000000000000000"), ErrorCode::InvalidClient),
        ("client_id", None, ErrorCode::InvalidRequest),
        ("redirect_uri", Some("http://127.0.0.1:5001/callback"), ErrorCode::InvalidGrant),
        ("code_verifier", None, ErrorCode::InvalidRequest),
        ("code_verifier", Some("wrongwrongwrongwrongwrongwrongwrongwrongwrong"), ErrorCode::InvalidGrant),
        ("code_verifier", Some(challenge.as_str()), ErrorCode::InvalidGrant), // PKCE `plain`
        ("code_verifier", Some(&VERIFIER[1..]), ErrorCode::InvalidGrant),
        ("resource", Some("https://tools.example.com/hr/mcp"), ErrorCode::InvalidTarget),
        ("resource", Some("https://evil.test/sales/mcp"), ErrorCode::InvalidTarget),
        ("code", None, ErrorCode::InvalidRequest),
        ("code", Some("ptn_ac_x"), ErrorCode::InvalidGrant),
        ("grant_type", None, ErrorCode::InvalidRequest),
        ("grant_type", Some("password"), ErrorCode::UnsupportedGrantType),
        ("grant_type", Some("client_credentials"), ErrorCode::UnauthorizedClient),
        ("client_assertion", Some("eyJ"), ErrorCode::InvalidRequest), // without its type
        ("client_secret", Some("guess"), ErrorCode::InvalidClient),
    ] {
        let refused = world.token(&with(&good, name, value)).await.unwrap_err();
        assert_eq!(refused.code, expected, "{name}={value:?}: {refused}");
    }
    assert!(list_all::<AccessToken>(&world.store, None).await.unwrap().is_empty());
    assert!(world.token(&good).await.is_ok(), "a failed try does not use the code up");
    let late = world.redemption(&world.code().await);
    world.clock.advance(limits::CODE_TTL);
    assert_eq!(world.token(&late).await.unwrap_err().code, ErrorCode::InvalidGrant);
}

#[tokio::test]
async fn of_parallel_redemptions_of_one_code_at_most_one_gets_tokens_and_they_die() {
    let world = World::new().await;
    let redemption = world.redemption(&world.code().await);
    let (a, b, c) =
        tokio::join!(world.token(&redemption), world.token(&redemption), world.token(&redemption));
    let issued: Vec<_> = [a, b, c].into_iter().flatten().collect();
    assert_eq!(issued.len(), 1);
    assert_eq!(is_good(&world, &issued[0].access_token).await, Err(ResolveError::Revoked));
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_for_the_next_generation() {
    let world = World::new().await;
    let first = world.tokens().await;
    world.clock.advance(limits::ACCESS_TTL);
    let second = world.token(&world.refreshing(first.refresh_token.unwrap().expose())).await.unwrap();
    assert_eq!(is_good(&world, &second.access_token).await, Ok(()));
    assert_eq!(second.grant, first.grant);
    let generations: Vec<_> = list_all::<RefreshToken>(&world.store, Some(first.grant.as_str()))
        .await
        .unwrap()
        .into_iter()
        .map(|token| (token.value.generation, token.value.used_at.is_some()))
        .collect();
    assert!(generations.contains(&(1, true)) && generations.contains(&(2, false)), "{generations:?}");
    let third = world.refreshing(second.refresh_token.unwrap().expose());
    world.clock.advance(limits::REFRESH_TTL);
    assert_eq!(world.token(&third).await.unwrap_err().code, ErrorCode::InvalidGrant);
}

#[tokio::test]
async fn a_reused_refresh_token_ends_the_whole_family() {
    let world = World::new().await;
    let first = world.tokens().await;
    let stolen = world.refreshing(first.refresh_token.unwrap().expose());
    let second = world.token(&stolen).await.unwrap();
    assert_eq!(world.token(&stolen).await.unwrap_err().code, ErrorCode::InvalidGrant);
    for token in [&first.access_token, &second.access_token] {
        assert_eq!(is_good(&world, token).await, Err(ResolveError::Revoked));
    }
    let next = world.refreshing(second.refresh_token.unwrap().expose());
    assert_eq!(world.token(&next).await.unwrap_err().code, ErrorCode::InvalidGrant);
    let events = world.ledger.events();
    assert!(
        events.iter().any(|event| event.action == "refresh.reused" && event.subject == first.grant.as_str())
    );
    let grant = load::<Grant>(&world.store, first.grant.as_str()).await.unwrap().unwrap().value;
    assert_eq!(grant.revoked_why.as_deref(), Some("its refresh token was used twice"));
}

#[tokio::test]
async fn two_hundred_parallel_refreshes_issue_one_new_generation() {
    let world = std::sync::Arc::new(World::new().await);
    let first = world.tokens().await;
    let refresh = std::sync::Arc::new(world.refreshing(first.refresh_token.unwrap().expose()));
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let (world, refresh) = (world.clone(), refresh.clone());
            tokio::spawn(async move { world.token(&refresh).await })
        })
        .collect();
    let mut issued = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_tokens) => issued += 1,
            Err(error) => assert_eq!(error.code, ErrorCode::InvalidGrant),
        }
    }
    assert_eq!(issued, 1);
    let family = list_all::<RefreshToken>(&world.store, Some(first.grant.as_str())).await.unwrap();
    assert_eq!(family.len(), 2);
}

#[tokio::test]
async fn requests_that_overlap_do_not_end_the_grant_of_a_client_that_asks_twice() {
    let world = World::new().await;
    let first = world.tokens().await;
    let refresh = world.refreshing(first.refresh_token.unwrap().expose());
    let (a, b) = tokio::join!(world.token(&refresh), world.token(&refresh));
    let (winner, loser) = if a.is_ok() { (a, b) } else { (b, a) };
    assert_eq!(loser.unwrap_err().code, ErrorCode::InvalidGrant);
    let winner = winner.unwrap();
    assert_eq!(is_good(&world, &winner.access_token).await, Ok(()));
    assert_eq!(world.ledger.count("refresh.raced"), 1);
    assert!(world.token(&world.refreshing(winner.refresh_token.unwrap().expose())).await.is_ok());
}

#[tokio::test]
async fn a_refresh_never_widens_and_never_crosses_clients_or_servers() {
    let world = World::new().await;
    let first = world.tokens().await;
    let body = serde_json::json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
    let other = client::register(&world.ports(), world.issuer.registration(), body.to_string().as_bytes())
        .await
        .unwrap()
        .client;
    let good = world.refreshing(first.refresh_token.as_ref().unwrap().expose());
    for (name, value, expected) in [
        ("client_id", other.client_id.as_str(), ErrorCode::InvalidGrant),
        ("scope", "mcp admin", ErrorCode::InvalidScope),
        ("scope", "mcp offline_access", ErrorCode::InvalidScope),
        ("resource", "https://tools.example.com/hr/mcp", ErrorCode::InvalidTarget),
        ("refresh_token", first.access_token.expose(), ErrorCode::InvalidGrant),
    ] {
        let refused = world.token(&with(&good, name, Some(value))).await.unwrap_err();
        assert_eq!(refused.code, expected, "{name}: {refused}");
    }
    assert!(world.token(&with(&good, "scope", Some("mcp"))).await.is_ok());
}

#[tokio::test]
async fn nothing_is_issued_after_revocation_or_when_the_user_is_disabled() {
    let world = World::new().await;
    let first = world.tokens().await;
    let code = world.redemption(&world.code().await);
    grants::revoke(&world.ports(), &first.grant, "ana", "test").await.unwrap();
    assert_eq!(is_good(&world, &first.access_token).await, Err(ResolveError::Revoked));
    let refresh = world.refreshing(first.refresh_token.unwrap().expose());
    for request in [&refresh, &code] {
        assert_eq!(world.token(request).await.unwrap_err().code, ErrorCode::InvalidGrant);
    }
    let second = world.tokens().await;
    users::disable(&world.ports(), &world.ana.name, "admin").await.unwrap();
    assert_eq!(is_good(&world, &second.access_token).await, Err(ResolveError::Disabled));
    let refresh = world.refreshing(second.refresh_token.unwrap().expose());
    assert_eq!(world.token(&refresh).await.unwrap_err().code, ErrorCode::InvalidGrant);
}

#[tokio::test]
async fn a_revocation_in_the_same_moment_always_wins() {
    use portunus_core::store::{Kind, Store};
    use std::sync::{Arc, Mutex};
    for steps_later in 0..12 {
        let world = World::new().await;
        let first = world.tokens().await;
        let refresh = world.refreshing(first.refresh_token.unwrap().expose());
        let order: Arc<Mutex<Vec<Kind>>> = Arc::default();
        let seen = order.clone();
        world
            .store
            .observe(Box::new(move |changes| seen.lock().unwrap().extend(changes.iter().map(|c| c.kind))));
        let revoke = async {
            for _ in 0..steps_later {
                tokio::task::yield_now().await;
            }
            grants::revoke(&world.ports(), &first.grant, "ana", "test").await
        };
        let (revoked, refreshed) = tokio::join!(revoke, world.token(&refresh));
        assert!(revoked.unwrap());
        if let Ok(tokens) = refreshed {
            assert_eq!(is_good(&world, &tokens.access_token).await, Err(ResolveError::Revoked));
        }
        let order = order.lock().unwrap();
        let after: Vec<_> = order.iter().skip_while(|kind| **kind != Kind::Grant).collect();
        assert!(!after.contains(&&Kind::Access), "a token was made after the revocation: {order:?}");
    }
}

#[tokio::test]
async fn tokens_leave_only_when_they_are_recorded() {
    let world = World::new().await;
    let redemption = world.redemption(&world.code().await);
    world.ledger.set_failing(true);
    let refused = world.token(&redemption).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ServerError);
    assert!(!refused.body().contains("told to fail"), "nothing internal leaves");
    world.ledger.set_failing(false);
    world.store.0.set_failing(true);
    assert_eq!(world.token(&redemption).await.unwrap_err().code, ErrorCode::ServerError);
}

#[tokio::test]
async fn a_refresh_that_cannot_be_recorded_costs_nothing() {
    let world = World::new().await;
    let first = world.tokens().await;
    let refreshing = world.refreshing(first.refresh_token.unwrap().expose());
    world.ledger.set_failing(true);
    assert_eq!(world.token(&refreshing).await.unwrap_err().code, ErrorCode::ServerError);
    world.ledger.set_failing(false);
    assert!(world.token(&refreshing).await.is_ok());
}

#[tokio::test]
async fn a_family_ends_at_reuse_even_when_nothing_can_be_recorded() {
    let world = World::new().await;
    let first = world.tokens().await;
    let stolen = world.refreshing(first.refresh_token.unwrap().expose());
    let second = world.token(&stolen).await.unwrap();
    world.ledger.set_failing(true);
    assert!(world.token(&stolen).await.is_err());
    assert_eq!(is_good(&world, &second.access_token).await, Err(ResolveError::Revoked));
}

#[tokio::test]
async fn a_client_with_a_secret_must_show_it_the_way_it_registered() {
    let world = World::new().await;
    let register = async |method: &str| {
        let body = serde_json::json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": method });
        let registered =
            client::register(&world.ports(), world.issuer.registration(), body.to_string().as_bytes())
                .await
                .unwrap();
        let answer: serde_json::Value = serde_json::from_str(registered.body().expose()).unwrap();
        (registered.client.client_id.to_string(), answer["client_secret"].as_str().unwrap().to_owned())
    };
    let authenticate = async |fields: &[(&str, &str)], header: Option<String>| {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
        let form = Form::parse(encode(&fields).as_bytes()).unwrap();
        client_auth::authenticate(&world.ports(), &world.request_of(&form, header.as_deref()))
            .await
            .map(drop)
            .map_err(|e| e.code)
    };
    let basic = |id: &str, secret: &str| {
        Some(format!("Basic {}", data_encoding::BASE64.encode(format!("{id}:{secret}").as_bytes())))
    };
    let (id, secret) = register("client_secret_basic").await;
    assert_eq!(authenticate(&[], basic(&id, &secret)).await, Ok(()));
    assert_eq!(authenticate(&[("client_id", &id)], basic(&id, &secret)).await, Ok(()));
    for (fields, header, expected) in [
        (vec![("client_id", id.as_str())], None, ErrorCode::InvalidClient),
        (vec![("client_id", id.as_str()), ("client_secret", &secret)], None, ErrorCode::InvalidClient),
        (vec![("client_secret", secret.as_str())], basic(&id, &secret), ErrorCode::InvalidRequest),
        (vec![("client_id", "other")], basic(&id, &secret), ErrorCode::InvalidRequest),
        (vec![], basic(&id, ""), ErrorCode::InvalidClient),
        (vec![], basic(&id, &secret[1..]), ErrorCode::InvalidClient),
        (vec![], basic(&world.client.client_id.to_string(), &secret), ErrorCode::InvalidClient),
        (vec![], Some("Basic !!".to_owned()), ErrorCode::InvalidClient),
        (vec![], Some(format!("Bearer {secret}")), ErrorCode::InvalidClient),
    ] {
        assert_eq!(authenticate(&fields, header).await, Err(expected), "{fields:?}");
    }
    let (id, secret) = register("client_secret_post").await;
    assert_eq!(authenticate(&[("client_id", &id), ("client_secret", &secret)], None).await, Ok(()));
    assert_eq!(authenticate(&[], basic(&id, &secret)).await, Err(ErrorCode::InvalidClient));
}

#[tokio::test]
async fn selections_revoke_all_that_they_cover_and_nothing_else() {
    use crate::grants::Selection;
    let world = World::new().await;
    let sales = world.tokens().await;
    let hr = {
        let resource = "https://tools.example.com/hr/mcp";
        let request = world.read(&with(&world.request(), "resource", Some(resource))).await.unwrap();
        let (ports, sign_in) = (world.ports(), world.sign_in());
        let approved = crate::authorize::approve(&ports, &world.issuer, &request, &world.ana, &sign_in).await;
        let code = crate::testing::parameter(&approved.unwrap(), "code").unwrap();
        world.token(&with(&world.redemption(&code), "resource", Some(resource))).await.unwrap()
    };
    let kill = async |selection: Selection| {
        grants::revoke_all(&world.ports(), &selection, "admin", "kill").await.unwrap()
    };
    assert_eq!(kill(Selection::Server("other".parse().unwrap())).await, 0);
    assert_eq!(kill(Selection::User("bob".parse().unwrap())).await, 0);
    assert_eq!(kill(Selection::Server("sales".parse().unwrap())).await, 1);
    assert_eq!(is_good(&world, &sales.access_token).await, Err(ResolveError::Revoked));
    assert_eq!(is_good(&world, &hr.access_token).await, Ok(()));
    assert_eq!(kill(Selection::Client(world.client.client_id.clone())).await, 1);
    assert_eq!(is_good(&world, &hr.access_token).await, Err(ResolveError::Revoked));
    assert_eq!(kill(Selection::User(world.ana.name.clone())).await, 0);
    assert_eq!(kill(Selection::All).await, 0);
    assert_eq!(grants::of_user(&world.store, &world.ana.name).await.unwrap().len(), 2);
}
