//! An identity provider's word at the token endpoint.

use super::*;
use crate::federation::provider::{Provider, Providers};
use crate::federation::testing::provider;
use crate::form::Form;
use crate::keys::KeySet;
use crate::machines::Machines;
use crate::resolve::resolve;
use crate::signer::Signer;
use crate::testing::{REDIRECT, World, encode};
use crate::token::{self, Issued};
use crate::{client, jwt_bearer};
use portunus_core::id::UserName;
use portunus_core::store::{Batch, Store};
use serde_json::json;

const PROVIDER: &str = "https://idp.example";

const BEA: &str = "bea@corp.example";

/// The provider as people sign in at it.
fn speaking(domains: &[&str]) -> Providers {
    let domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
    Providers::new(vec![Provider { domains, ..provider("idp", PROVIDER) }]).unwrap()
}

struct Stage {
    world: World,
    idp: Signer,
    client: String,
    secret: String,
}

async fn stage(public_clients: bool) -> Stage {
    let mut world = World::new().await;
    let idp = Signer::ed25519();
    let keys = KeySet::parse(json!({ "keys": [idp.jwk("k")] }).to_string().as_bytes()).unwrap();
    let provider = IdentityProvider {
        issuer: PROVIDER.to_owned(),
        keys: KeySource::Given(keys),
        servers: vec![ServerName::parse("sales").unwrap()],
        public_clients,
    };
    let machines = Machines { identity_providers: vec![provider], ..Machines::default() };
    world.issuer = world.issuer.clone().with_machines(machines);
    world.issuer = world.issuer.clone().with_providers(speaking(&[]));
    let bea = UserName::parse(BEA).unwrap();
    let identity = Identity {
        issuer: PROVIDER.to_owned(),
        subject: "U-1".to_owned(),
        user: bea.clone(),
        bound_at: world.now(),
    };
    let bea = User { name: bea, issuer: Some(PROVIDER.to_owned()), ..world.ana.clone() };
    world.store.commit(Batch::new().insert(&bea).insert(&identity)).await.unwrap();
    let body = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "client_secret_post" });
    let registered =
        client::register(&world.ports(), world.issuer.registration(), body.to_string().as_bytes())
            .await
            .unwrap();
    let answer: Value = serde_json::from_str(registered.body().expose()).unwrap();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    Stage { idp, client: text("client_id"), secret: text("client_secret"), world }
}

impl Stage {
    fn word(&self, changes: &[(&str, Value)]) -> String {
        let now = self.world.now().as_secs();
        let mut claims = json!({ "iss": PROVIDER, "sub": "U-1", "aud": "https://tools.example.com",
            "client_id": self.client, "resource": "https://tools.example.com/sales/mcp", "scope": "mcp",
            "jti": format!("{changes:?}"), "iat": now, "exp": now + 300 });
        for (name, value) in changes {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(*name);
            } else {
                claims[*name] = value.clone();
            }
        }
        self.idp.sign(&json!({ "alg": "EdDSA", "kid": "k", "typ": "oauth-id-jag+jwt" }), &claims)
    }

    async fn ask(&self, word: &str, more: &[(&str, &str)]) -> Result<Issued, ErrorCode> {
        let mut fields = vec![
            ("grant_type", jwt_bearer::GRANT_TYPE.to_owned()),
            ("assertion", word.to_owned()),
            ("client_id", self.client.clone()),
            ("client_secret", self.secret.clone()),
        ];
        for (name, value) in more {
            fields.retain(|(known, _)| known != name);
            if !value.is_empty() {
                fields.push((name, (*value).to_owned()));
            }
        }
        let form = Form::parse(encode(&fields).as_bytes()).unwrap();
        let request = self.world.request_of(&form, None);
        token::respond(&self.world.ports(), &request).await.map_err(|error| error.code)
    }
}

#[tokio::test]
async fn the_providers_word_gives_its_user_a_token_for_one_client_and_server() {
    let stage = stage(false).await;
    let word = stage.word(&[]);
    let issued = stage.ask(&word, &[]).await.unwrap();
    assert!(issued.refresh_token.is_none());
    let world = &stage.world;
    let caller = resolve(&world.store, world.now(), issued.access_token.expose()).await.unwrap().caller;
    assert_eq!((caller.user.as_str(), caller.client.as_str()), (BEA, stage.client.as_str()));
    assert_eq!((caller.server.as_str(), caller.sign_in.method.as_str()), ("sales", METHOD));
    assert_eq!(caller.sign_in.issuer.as_deref(), Some(PROVIDER));
    assert_eq!(stage.ask(&word, &[]).await.unwrap_err(), ErrorCode::InvalidGrant, "once");
    let created = world.ledger.events().into_iter().find(|event| event.action == "grant.created").unwrap();
    assert_eq!(created.detail.get("through").map(String::as_str), Some(METHOD));
}

#[tokio::test]
async fn a_provider_speaks_only_for_users_that_it_could_sign_in_now() {
    let mut stage = stage(false).await;
    for (providers, speaks) in [
        (speaking(&["corp.example"]), true),
        (speaking(&["other.example"]), false), // the domain went to another, or to nobody
        (Providers::default(), false),         // people do not sign in there any more
    ] {
        stage.world.issuer = stage.world.issuer.clone().with_providers(providers);
        let jti = [("jti", json!(format!("{speaks}{:?}", stage.world.issuer.providers().all().len())))];
        assert_eq!(stage.ask(&stage.word(&jti), &[]).await.is_ok(), speaks);
    }
    // The account went to somebody else, or to no provider at all.
    stage.world.issuer = stage.world.issuer.clone().with_providers(speaking(&[]));
    let name = UserName::parse(BEA).unwrap();
    for issuer in [None, Some("https://other.example".to_owned())] {
        crate::users::change(&stage.world.ports(), &name, |user| {
            user.issuer.clone_from(&issuer);
            true
        })
        .await
        .unwrap();
        assert_eq!(stage.ask(&stage.word(&[]), &[]).await.unwrap_err(), ErrorCode::InvalidGrant);
    }
}

#[tokio::test]
async fn the_sign_in_is_as_old_and_strong_as_the_word_says() {
    let stage = stage(false).await;
    let world = &stage.world;
    let now = world.now().as_secs();
    let sign_in = async |changes: &[(&str, Value)]| {
        let issued = stage.ask(&stage.word(changes), &[]).await?;
        Ok(resolve(&world.store, world.now(), issued.access_token.expose()).await.unwrap().caller.sign_in)
    };
    let silent = sign_in(&[]).await.unwrap();
    assert_eq!((silent.at, silent.acr), (Timestamp::from_secs(0), None), "nothing is taken for granted");
    let said = [("auth_time", json!(now - 9000)), ("amr", json!(["pwd", "otp"])), ("acr", json!("phr"))];
    let said = sign_in(&said).await.unwrap();
    assert_eq!((said.at, said.acr.as_deref()), (Timestamp::from_secs(now - 9000), Some("phr")));
    assert_eq!(said.amr, ["pwd", "otp"]);
    for bad in [json!(now + 3600), json!("now"), json!(-1)] {
        assert_eq!(sign_in(&[("auth_time", bad)]).await, Err(ErrorCode::InvalidGrant));
    }
}

#[tokio::test]
async fn a_word_for_another_client_audience_user_or_server_gives_nothing() {
    let stage = stage(false).await;
    for (name, value, code) in [
        ("client_id", json!("somebody-else"), ErrorCode::InvalidGrant),
        ("client_id", Value::Null, ErrorCode::InvalidGrant),
        ("aud", json!("https://other.example"), ErrorCode::InvalidGrant),
        ("aud", json!(["https://tools.example.com", "https://other.example"]), ErrorCode::InvalidGrant),
        ("iss", json!("https://evil.test"), ErrorCode::InvalidGrant),
        // Nobody is found by e-mail, name, or a subject of another provider.
        ("sub", json!("ana"), ErrorCode::InvalidGrant),
        ("sub", json!("u-1"), ErrorCode::InvalidGrant),
        ("jti", Value::Null, ErrorCode::InvalidGrant),
        ("exp", json!(1), ErrorCode::InvalidGrant),
        ("resource", json!("https://tools.example.com/hr/mcp"), ErrorCode::InvalidTarget),
        ("resource", json!("https://other.example/mcp"), ErrorCode::InvalidTarget),
        (
            "resource",
            json!(["https://tools.example.com/sales/mcp", "https://x.test"]),
            ErrorCode::InvalidTarget,
        ),
        ("resource", Value::Null, ErrorCode::InvalidTarget),
        ("scope", json!("offline_access"), ErrorCode::InvalidScope),
    ] {
        let refused = stage.ask(&stage.word(&[(name, value.clone())]), &[]).await.unwrap_err();
        assert_eq!(refused, code, "{name} {value}");
    }
    let asked_for_more =
        stage.ask(&stage.word(&[]), &[("resource", "https://tools.example.com/hr/mcp")]).await;
    assert_eq!(asked_for_more.unwrap_err(), ErrorCode::InvalidTarget);
    // A client that the word is not for cannot use it, nor can one that does not prove itself.
    let world = &stage.world;
    let other = [("client_id", world.client.client_id.as_str()), ("client_secret", "")];
    assert_eq!(stage.ask(&stage.word(&[]), &other).await.unwrap_err(), ErrorCode::UnauthorizedClient);
    let without = stage.ask(&stage.word(&[]), &[("client_secret", "")]).await.unwrap_err();
    assert_eq!(without, ErrorCode::InvalidClient);
    crate::users::disable(&world.ports(), &UserName::parse(BEA).unwrap(), "admin").await.unwrap();
    assert_eq!(stage.ask(&stage.word(&[]), &[]).await.unwrap_err(), ErrorCode::InvalidGrant);
    assert_eq!(world.ledger.count("grant.created"), 0);
}

#[tokio::test]
async fn an_id_token_or_a_workloads_token_is_no_word_for_a_user() {
    let stage = stage(false).await;
    let now = stage.world.now().as_secs();
    for typ in ["JWT", "at+jwt", "logout+jwt"] {
        let claims = json!({ "iss": PROVIDER, "sub": "U-1", "aud": "https://tools.example.com", "jti": "1",
            "client_id": stage.client, "iat": now, "exp": now + 300 });
        let token = stage.idp.sign(&json!({ "alg": "EdDSA", "kid": "k", "typ": typ }), &claims);
        assert!(
            stage.ask(&token, &[("resource", "https://tools.example.com/sales/mcp")]).await.is_err(),
            "{typ}"
        );
    }
}

#[tokio::test]
async fn public_clients_are_served_only_where_the_configuration_says_so() {
    let stage = stage(true).await;
    let public = stage.world.client.client_id.to_string();
    let word = stage.word(&[("client_id", json!(public))]);
    let fields = [("client_id", public.as_str()), ("client_secret", "")];
    assert!(stage.ask(&word, &fields).await.is_ok());
}
