//! Tokens that are bound to a key, and attempts to use them without it.

use super::*;
use crate::form::Form;
use crate::resolve::resolve;
use crate::signer::Signer;
use crate::testing::{World, encode};
use crate::token::{self, Issued};
use data_encoding::BASE64URL_NOPAD;
use portunus_core::document::Client;
use portunus_core::limits;
use portunus_core::peer::ClientCertificate;
use portunus_core::store::{Batch, Store, load};
use serde_json::json;

const TOKEN_ENDPOINT: &str = "https://tools.example.com/oauth/token";

fn proof(world: &World, signer: &Signer, jti: &str) -> String {
    let mut key = signer.jwk("x");
    key.as_object_mut().unwrap().remove("kid");
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": key });
    signer.sign(
        &header,
        &json!({ "jti": jti, "htm": "POST", "htu": TOKEN_ENDPOINT, "iat": world.now().as_secs() }),
    )
}

async fn ask(
    world: &World,
    fields: &[(&str, String)],
    dpop: Option<&str>,
    certificate: Option<&ClientCertificate>,
) -> Result<Issued, ErrorCode> {
    let form = Form::parse(encode(fields).as_bytes()).unwrap();
    let mut request = world.request_of(&form, None);
    request.keys.dpop = dpop;
    request.keys.certificate = certificate;
    token::respond(&world.ports(), &request).await.map_err(|error| error.code)
}

async fn bound(world: &World, issued: &Issued) -> Option<Confirmation> {
    resolve(&world.store, world.now(), issued.access_token.expose()).await.unwrap().caller.holding.bound
}

async fn change_client(world: &World, change: impl FnOnce(&mut Client)) {
    let mut client =
        load::<Client>(&world.store, world.client.client_id.as_str()).await.unwrap().unwrap().value;
    change(&mut client);
    world.store.commit(Batch::new().upsert(&client)).await.unwrap();
}

#[tokio::test]
async fn a_public_clients_tokens_are_bound_to_its_key_and_stay_so() {
    let world = World::new().await;
    let (mine, thief) = (Signer::ed25519(), Signer::ed25519());
    let code = world.redemption(&world.code().await);
    let issued = ask(&world, &code, Some(&proof(&world, &mine, "1")), None).await.unwrap();
    let key = bound(&world, &issued).await;
    assert!(matches!(key, Some(Confirmation::Dpop(_))));
    assert!(issued.body().expose().contains("\"token_type\":\"DPoP\""));
    let refreshing = world.refreshing(issued.refresh_token.as_ref().unwrap().expose());
    // Without a proof, and with another's.
    assert_eq!(ask(&world, &refreshing, None, None).await.unwrap_err(), ErrorCode::InvalidGrant);
    let other = proof(&world, &thief, "2");
    assert_eq!(ask(&world, &refreshing, Some(&other), None).await.unwrap_err(), ErrorCode::InvalidGrant);
    let next = ask(&world, &refreshing, Some(&proof(&world, &mine, "3")), None).await.unwrap();
    assert_eq!(bound(&world, &next).await, key);
    let again = world.refreshing(next.refresh_token.as_ref().unwrap().expose());
    assert_eq!(ask(&world, &again, None, None).await.unwrap_err(), ErrorCode::InvalidGrant);
}

#[tokio::test]
async fn a_proof_leads_to_tokens_once_and_is_about_this_endpoint() {
    let world = World::new().await;
    let mine = Signer::ed25519();
    let used = proof(&world, &mine, "1");
    let code = world.redemption(&world.code().await);
    assert!(ask(&world, &code, Some(&used), None).await.is_ok());
    let next = world.redemption(&world.code().await);
    assert_eq!(ask(&world, &next, Some(&used), None).await.unwrap_err(), ErrorCode::InvalidDpopProof);
    let mut key = mine.jwk("x");
    key.as_object_mut().unwrap().remove("kid");
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": key });
    for (htm, htu) in [("GET", TOKEN_ENDPOINT), ("POST", "https://tools.example.com/sales/mcp")] {
        let claims = json!({ "jti": htu, "htm": htm, "htu": htu, "iat": world.now().as_secs() });
        let elsewhere = mine.sign(&header, &claims);
        let refused = ask(&world, &next, Some(&elsewhere), None).await.unwrap_err();
        assert_eq!(refused, ErrorCode::InvalidDpopProof, "{htm} {htu}");
    }
    // The code was not spent by any of this.
    assert!(ask(&world, &next, Some(&proof(&world, &mine, "2")), None).await.is_ok());
}

#[tokio::test]
async fn where_there_is_no_room_for_a_proof_nothing_is_redeemed() {
    let world = World::new().await;
    let mine = Signer::ed25519();
    let code = world.redemption(&world.code().await);
    let issued = ask(&world, &code, Some(&proof(&world, &mine, "1")), None).await.unwrap();
    let Some(Confirmation::Dpop(key)) = bound(&world, &issued).await else { panic!("bound") };
    let refreshing = world.refreshing(issued.refresh_token.as_ref().unwrap().expose());
    let span = limits::DPOP_AGE + limits::SIGNED_ASSERTION_SKEW;
    world.clock.advance(span);
    world.guard.fill(key, world.now());
    let refused = ask(&world, &refreshing, Some(&proof(&world, &mine, "2")), None).await.unwrap_err();
    assert_eq!((refused, refused.status()), (ErrorCode::TemporarilyUnavailable, 503));
    // Others are not touched by it, and the refresh token is not spent.
    let other = world.redemption(&world.code().await);
    assert!(ask(&world, &other, Some(&proof(&world, &Signer::ed25519(), "3")), None).await.is_ok());
    world.clock.advance(span);
    assert!(ask(&world, &refreshing, Some(&proof(&world, &mine, "4")), None).await.is_ok());
    assert_eq!(world.ledger.count("refresh.reused"), 0);
}

#[tokio::test]
async fn one_proof_sent_many_times_at_once_leads_to_tokens_once() {
    let world = World::new().await;
    let used = proof(&world, &Signer::ed25519(), "1");
    let (one, two) = (world.redemption(&world.code().await), world.redemption(&world.code().await));
    let (first, second) =
        tokio::join!(ask(&world, &one, Some(&used), None), ask(&world, &two, Some(&used), None));
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err(), ErrorCode::InvalidDpopProof);
    // The code of the one that was refused is still good.
    assert!(ask(&world, &two, Some(&proof(&world, &Signer::ed25519(), "2")), None).await.is_ok());
}

#[tokio::test]
async fn a_client_that_registered_for_it_gets_nothing_without_its_key() {
    let world = World::new().await;
    change_client(&world, |client| client.dpop_bound = true).await;
    let code = world.redemption(&world.code().await);
    assert_eq!(ask(&world, &code, None, None).await.unwrap_err(), ErrorCode::InvalidDpopProof);
    change_client(&world, |client| (client.dpop_bound, client.certificate_bound) = (false, true)).await;
    assert_eq!(ask(&world, &code, None, None).await.unwrap_err(), ErrorCode::InvalidClient);
    let certificate = ClientCertificate::new(vec![1, 2, 3], None, Vec::new());
    let issued = ask(&world, &code, None, Some(&certificate)).await.unwrap();
    assert_eq!(bound(&world, &issued).await, Some(Confirmation::Certificate(certificate.thumbprint)));
    let refreshing = world.refreshing(issued.refresh_token.as_ref().unwrap().expose());
    let other = ClientCertificate::new(vec![4], None, Vec::new());
    assert_eq!(ask(&world, &refreshing, None, Some(&other)).await.unwrap_err(), ErrorCode::InvalidGrant);
    assert!(ask(&world, &refreshing, None, Some(&certificate)).await.is_ok());
}

#[tokio::test]
async fn a_certificate_that_nobody_asked_to_be_bound_to_binds_nothing() {
    let world = World::new().await;
    let certificate = ClientCertificate::new(vec![1, 2, 3], None, Vec::new());
    let code = world.redemption(&world.code().await);
    let issued = ask(&world, &code, None, Some(&certificate)).await.unwrap();
    assert_eq!(bound(&world, &issued).await, None);
}

#[tokio::test]
async fn a_bound_token_is_exchanged_only_with_its_key() {
    let world = World::new().await;
    let mine = Signer::ed25519();
    let code = world.redemption(&world.code().await);
    let issued = ask(&world, &code, Some(&proof(&world, &mine, "1")), None).await.unwrap();
    let asking = [
        ("grant_type", crate::exchange::GRANT_TYPE.to_owned()),
        ("subject_token", issued.access_token.expose().clone()),
        ("subject_token_type", crate::exchange::ACCESS_TOKEN.to_owned()),
        ("client_id", world.client.client_id.to_string()),
    ];
    assert_eq!(ask(&world, &asking, None, None).await.unwrap_err(), ErrorCode::InvalidRequest);
    let other = proof(&world, &Signer::ed25519(), "2");
    assert_eq!(ask(&world, &asking, Some(&other), None).await.unwrap_err(), ErrorCode::InvalidRequest);
    let lesser = ask(&world, &asking, Some(&proof(&world, &mine, "3")), None).await.unwrap();
    assert_eq!(bound(&world, &lesser).await, bound(&world, &issued).await);
}

#[tokio::test]
async fn introspection_says_what_a_token_is_bound_to() {
    let world = World::new().await;
    let mine = Signer::ed25519();
    let code = world.redemption(&world.code().await);
    let issued = ask(&world, &code, Some(&proof(&world, &mine, "1")), None).await.unwrap();
    let body = json!({ "redirect_uris": [crate::testing::REDIRECT], "token_endpoint_auth_method": "client_secret_post" });
    let registered =
        crate::client::register(&world.ports(), world.issuer.registration(), body.to_string().as_bytes())
            .await
            .unwrap();
    let answer: serde_json::Value = serde_json::from_str(registered.body().expose()).unwrap();
    let fields = [
        ("client_id", registered.client.client_id.to_string()),
        ("client_secret", answer["client_secret"].as_str().unwrap().to_owned()),
        ("token", issued.access_token.expose().clone()),
    ];
    let form = Form::parse(encode(&fields).as_bytes()).unwrap();
    let said = crate::revocation::introspect(&world.ports(), &world.request_of(&form, None)).await.unwrap();
    assert_eq!(serde_json::to_value(said).unwrap(), json!({ "active": false }), "it stands for no server");

    let standing = crate::machines::ResourceServer {
        client: registered.client.client_id.clone(),
        servers: vec![portunus_core::id::ServerName::parse("sales").unwrap()],
    };
    let machines = crate::machines::Machines { resource_servers: vec![standing], ..Default::default() };
    let issuer = world.issuer.clone().with_machines(machines);
    let mut request = world.request_of(&form, None);
    request.issuer = &issuer;
    let said = crate::revocation::introspect(&world.ports(), &request).await.unwrap();
    let said = serde_json::to_value(said).unwrap();
    let Some(Confirmation::Dpop(key)) = bound(&world, &issued).await else { panic!("bound") };
    assert_eq!(said["cnf"], json!({ "jkt": BASE64URL_NOPAD.encode(&key.0) }));
    assert_eq!((said["token_type"].as_str(), said["sub"].as_str()), (Some("DPoP"), Some("ana")));
    assert_eq!(said["aud"], "https://tools.example.com/sales/mcp");
    assert_eq!(said["client_id"], world.client.client_id.as_str());
}
