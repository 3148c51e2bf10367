//! Revocation and introspection.

use super::*;
use crate::client;
use crate::form::Form;
use crate::testing::{REDIRECT, World, encode};

async fn ask_to_revoke(world: &World, client: &str, token: &str) -> Result<(), ErrorCode> {
    let form = encode(&[("client_id", client.to_owned()), ("token", token.to_owned())]);
    let form = Form::parse(form.as_bytes()).unwrap();
    revoke(&world.ports(), &world.request_of(&form, None)).await.map_err(|error| error.code)
}

#[tokio::test]
async fn a_refresh_token_takes_its_whole_grant_with_it_and_an_access_token_only_itself() {
    let world = World::new().await;
    let id = world.client.client_id.as_str();
    let (first, second) = (world.tokens().await, world.tokens().await);
    let is_good = async |token: &str| {
        resolve(&world.store, world.now(), token).await.map(|resolved| resolved.expires_at)
    };
    ask_to_revoke(&world, id, first.access_token.expose()).await.unwrap();
    assert_eq!(is_good(first.access_token.expose()).await, Err(ResolveError::Unknown));
    assert!(is_good(second.access_token.expose()).await.is_ok());
    ask_to_revoke(&world, id, first.refresh_token.unwrap().expose()).await.unwrap();
    assert_eq!(is_good(second.access_token.expose()).await, Err(ResolveError::Revoked));
    let refused = world.token(&world.refreshing(second.refresh_token.unwrap().expose())).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::InvalidGrant);
    assert_eq!((world.ledger.count("token.revoked"), world.ledger.count("grant.revoked")), (1, 1));
}

#[tokio::test]
async fn unknown_tokens_count_as_revoked_and_foreign_ones_stay() {
    let world = World::new().await;
    let issued = world.tokens().await;
    for unknown in ["x", "ptn_at_x", issued.access_token.expose().replace("ptn_at", "ptn_rt").as_str()] {
        assert_eq!(ask_to_revoke(&world, world.client.client_id.as_str(), unknown).await, Ok(()));
    }
    let body = serde_json::json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none" });
    let other = client::register(&world.ports(), world.issuer.registration(), body.to_string().as_bytes())
        .await
        .unwrap()
        .client;
    for foreign in [issued.access_token.expose(), issued.refresh_token.as_ref().unwrap().expose()] {
        let refused = ask_to_revoke(&world, other.client_id.as_str(), foreign).await;
        assert_eq!(refused, Err(ErrorCode::UnauthorizedClient));
    }
    assert!(resolve(&world.store, world.now(), issued.access_token.expose()).await.is_ok());
    assert_eq!(
        ask_to_revoke(&world, "unknown", issued.access_token.expose()).await,
        Err(ErrorCode::InvalidClient)
    );
}

#[tokio::test]
async fn introspection_tells_a_client_with_a_secret_about_its_own_tokens_only() {
    let mut world = World::new().await;
    let foreign = world.tokens().await;
    let body = serde_json::json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_post" });
    let registered =
        client::register(&world.ports(), world.issuer.registration(), body.to_string().as_bytes())
            .await
            .unwrap();
    let answer: serde_json::Value = serde_json::from_str(registered.body().expose()).unwrap();
    let secret = answer["client_secret"].as_str().unwrap().to_owned();
    let public = std::mem::replace(&mut world.client, registered.client);
    let mut redemption = world.redemption(&world.code().await);
    redemption.push(("client_secret", secret.clone()));
    let own = world.token(&redemption).await.unwrap();

    let ask = async |client: &str, secret: &str, token: &str| {
        let fields = [("client_id", client), ("client_secret", secret), ("token", token)];
        let form = encode(&fields.map(|(name, value)| (name, value.to_owned())));
        let form = Form::parse(form.as_bytes()).unwrap();
        introspect(&world.ports(), &world.request_of(&form, None))
            .await
            .map(|said| serde_json::to_value(said).unwrap())
            .map_err(|error| error.code)
    };
    let id = world.client.client_id.as_str();
    let said = ask(id, &secret, own.access_token.expose()).await.unwrap();
    assert_eq!((&said["active"], &said["username"]), (&true.into(), &"ana".into()));
    assert_eq!(said["aud"], "https://tools.example.com/sales/mcp");
    let inactive = serde_json::json!({ "active": false });
    for token in [foreign.access_token.expose(), own.refresh_token.as_ref().unwrap().expose(), "x"] {
        assert_eq!(ask(id, &secret, token).await, Ok(inactive.clone()));
    }
    assert_eq!(ask(id, "wrong", own.access_token.expose()).await, Err(ErrorCode::InvalidClient));
    let by_public = ask(public.client_id.as_str(), "", foreign.access_token.expose()).await;
    assert_eq!(by_public, Err(ErrorCode::InvalidClient));
    grants::revoke(&world.ports(), &own.grant, "ana", "test").await.unwrap();
    assert_eq!(ask(id, &secret, own.access_token.expose()).await, Ok(inactive));
}
