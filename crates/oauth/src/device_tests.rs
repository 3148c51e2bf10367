//! Tests of the device grant, where nothing is told but what must not happen.

use super::*;
use crate::form::Form;
use crate::resolve::resolve;
use crate::testing::{World, encode, with};

struct Device {
    code: String,
    shown: String,
}

async fn start(world: &World, changes: &[(&'static str, &str)]) -> Result<Device, ErrorCode> {
    let mut fields = vec![
        ("client_id", world.client.client_id.to_string()),
        ("resource", "https://tools.example.com/sales/mcp".to_owned()),
    ];
    for (name, value) in changes {
        fields = with(&fields, name, (!value.is_empty()).then_some(*value));
    }
    let form = Form::parse(encode(&fields).as_bytes()).unwrap();
    let begun = begin(&world.ports(), &world.request_of(&form, None)).await.map_err(|e| e.code)?;
    let body: serde_json::Value = serde_json::from_str(begun.body().expose()).unwrap();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    assert_eq!(text("verification_uri"), "https://tools.example.com/device");
    assert!(text("verification_uri_complete").ends_with(&text("user_code")));
    Ok(Device { code: text("device_code"), shown: text("user_code") })
}

async fn ask(world: &World, device: &Device, client: &ClientId) -> Result<Issued, ErrorCode> {
    let fields = [
        ("grant_type", GRANT_TYPE.to_owned()),
        ("device_code", device.code.clone()),
        ("client_id", client.to_string()),
    ];
    world.token(&fields).await.map_err(|error| error.code)
}

async fn answer(world: &World, device: &Device, allow: bool) {
    let asked = look_up(&world.ports(), &world.issuer, &device.shown).await.unwrap().unwrap();
    assert_eq!((asked.client.name.as_str(), asked.server.name.as_str()), ("Inspector", "sales"));
    decide(&world.ports(), asked, &world.ana, &world.sign_in(), allow).await.unwrap();
}

fn tick(world: &World) {
    world.clock.advance(limits::DEVICE_INTERVAL);
}

#[tokio::test]
async fn a_device_waits_for_a_yes_and_gets_its_tokens_once() {
    let world = World::new().await;
    let id = world.client.client_id.clone();
    let device = start(&world, &[]).await.unwrap();
    assert_eq!(ask(&world, &device, &id).await.unwrap_err(), ErrorCode::AuthorizationPending);
    tick(&world);
    answer(&world, &device, true).await;
    let issued = ask(&world, &device, &id).await.unwrap();
    assert!(issued.refresh_token.is_some());
    let resolved = resolve(&world.store, world.now(), issued.access_token.expose()).await.unwrap();
    assert_eq!((resolved.caller.user.as_str(), resolved.caller.server.as_str()), ("ana", "sales"));
    // The same code once more: it has two holders, so nothing of it is good any longer.
    assert_eq!(ask(&world, &device, &id).await.unwrap_err(), ErrorCode::InvalidGrant);
    assert!(resolve(&world.store, world.now(), issued.access_token.expose()).await.is_err());
    assert_eq!(world.ledger.count("device_code.reused"), 1);
}

#[tokio::test]
async fn a_device_that_asks_too_often_must_wait_longer() {
    let world = World::new().await;
    let id = world.client.client_id.clone();
    let device = start(&world, &[]).await.unwrap();
    assert_eq!(ask(&world, &device, &id).await.unwrap_err(), ErrorCode::AuthorizationPending);
    assert_eq!(ask(&world, &device, &id).await.unwrap_err(), ErrorCode::SlowDown);
    // The first interval is no longer enough.
    tick(&world);
    assert_eq!(ask(&world, &device, &id).await.unwrap_err(), ErrorCode::SlowDown);
    world.clock.advance(limits::DEVICE_INTERVAL * 3);
    assert_eq!(ask(&world, &device, &id).await.unwrap_err(), ErrorCode::AuthorizationPending);
}

#[tokio::test]
async fn a_no_an_end_and_another_client_give_nothing() {
    let world = World::new().await;
    let id = world.client.client_id.clone();
    let denied = start(&world, &[]).await.unwrap();
    answer(&world, &denied, false).await;
    assert_eq!(ask(&world, &denied, &id).await.unwrap_err(), ErrorCode::AccessDenied);

    let body = serde_json::json!({ "redirect_uris": [crate::testing::REDIRECT], "token_endpoint_auth_method": "none" });
    let other = client::register(&world.ports(), world.issuer.registration(), body.to_string().as_bytes())
        .await
        .unwrap()
        .client
        .client_id;
    let device = start(&world, &[]).await.unwrap();
    answer(&world, &device, true).await;
    assert_eq!(ask(&world, &device, &other).await.unwrap_err(), ErrorCode::InvalidGrant);
    let forged = Device { code: format!("{}x", &device.code[..device.code.len() - 1]), shown: String::new() };
    assert_eq!(ask(&world, &forged, &id).await.unwrap_err(), ErrorCode::InvalidGrant);

    let late = start(&world, &[]).await.unwrap();
    world.clock.advance(limits::DEVICE_TTL);
    assert_eq!(ask(&world, &late, &id).await.unwrap_err(), ErrorCode::ExpiredToken);
    assert_eq!(
        ask(&world, &device, &id).await.unwrap_err(),
        ErrorCode::ExpiredToken,
        "allowed, but too late"
    );
    assert!(look_up(&world.ports(), &world.issuer, &late.shown).await.unwrap().is_none());
}

#[tokio::test]
async fn a_decision_is_made_once_and_a_grant_revoked_meanwhile_gives_nothing() {
    let world = World::new().await;
    let device = start(&world, &[]).await.unwrap();
    let twice = look_up(&world.ports(), &world.issuer, &device.shown).await.unwrap().unwrap();
    answer(&world, &device, true).await;
    assert!(look_up(&world.ports(), &world.issuer, &device.shown).await.unwrap().is_none());
    let again = decide(&world.ports(), twice, &world.ana, &world.sign_in(), false).await;
    assert!(again.is_err(), "somebody else decided first");
    grants::revoke_all(&world.ports(), &grants::Selection::All, "admin", "test").await.unwrap();
    let id = world.client.client_id.clone();
    assert_eq!(ask(&world, &device, &id).await.unwrap_err(), ErrorCode::InvalidGrant);
}

#[tokio::test]
async fn a_request_names_a_published_server_and_a_known_client() {
    let world = World::new().await;
    for (change, code) in [
        (("resource", ""), ErrorCode::InvalidTarget),
        (("resource", "https://elsewhere.test/mcp"), ErrorCode::InvalidTarget),
        (("client_id", "nobody"), ErrorCode::InvalidClient),
        (("client_id", ""), ErrorCode::InvalidRequest),
        (("scope", "everything"), ErrorCode::InvalidScope),
    ] {
        assert_eq!(start(&world, &[change]).await.map(|_| ()).unwrap_err(), code, "{change:?}");
    }
}

#[tokio::test]
async fn a_code_is_shown_only_for_a_client_that_said_it_uses_this_grant() {
    let mut world = World::new().await;
    let document = "https://client.example/oauth/client.json";
    let publish = |world: &World, grant_types: serde_json::Value| {
        let body = serde_json::json!({ "client_id": document, "client_name": "Inspector",
            "redirect_uris": [crate::testing::REDIRECT], "grant_types": grant_types });
        let fetched = client::Fetched { bytes: body.to_string().into_bytes(), max_age: None };
        world.documents.served.lock().unwrap().insert(document.to_owned(), fetched);
    };
    // Known by its address, and by its redirect URI alone: whoever names it is not it.
    publish(&world, serde_json::json!(["authorization_code", "refresh_token"]));
    world.client.client_id = ClientId::parse(document).unwrap();
    assert_eq!(start(&world, &[]).await.err(), Some(ErrorCode::UnauthorizedClient));
    // One that registered without a word of it.
    let body = serde_json::json!({ "redirect_uris": [crate::testing::REDIRECT], "token_endpoint_auth_method": "none" });
    let silent = client::register(&world.ports(), world.issuer.registration(), body.to_string().as_bytes())
        .await
        .unwrap();
    let silent = silent.client.client_id.to_string();
    assert_eq!(start(&world, &[("client_id", &silent)]).await.err(), Some(ErrorCode::UnauthorizedClient));
    assert_eq!(world.store.count(DeviceRequest::KIND).await.unwrap(), 0);
    // Its own document says otherwise later, and that is recorded.
    publish(&world, serde_json::json!(["authorization_code", GRANT_TYPE]));
    world.clock.advance(limits::CLIENT_DOCUMENT_FRESH.1);
    assert!(start(&world, &[]).await.is_ok());
    assert_eq!(world.ledger.count("client.changed"), 1);
}

#[tokio::test]
async fn a_typed_code_is_read_as_people_type_it_and_nothing_else_is_one() {
    let world = World::new().await;
    let device = start(&world, &[]).await.unwrap();
    let bare = device.shown.replace('-', "").to_ascii_lowercase();
    for typed in [device.shown.clone(), bare.clone(), format!(" {} - {} ", &bare[..3], &bare[3..])] {
        let found = look_up(&world.ports(), &world.issuer, &typed).await.unwrap();
        assert_eq!(found.unwrap().code, device.shown, "{typed}");
    }
    for typed in ["", "BCDFG", "BCDFG-HJKLO", "BCDFG-HJKLMN", "ÄÄÄÄÄÄÄÄÄÄ", "%", "BCDFG-HJKL1"] {
        assert_eq!(read_code(typed), None, "{typed}");
    }
    let mut seen = std::collections::HashSet::new();
    for _ in 0..2000 {
        let code = mint_code(&world.rng);
        assert_eq!(read_code(&code).as_deref(), Some(code.as_str()));
        assert!(seen.insert(code));
    }
}

#[tokio::test]
async fn guessing_is_bounded_for_each_user_each_address_and_all_together() {
    let world = World::new().await;
    let mut guesses = Guesses::default();
    let address = |n: u32| IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + n));
    let user = |n: u32| User {
        name: portunus_core::id::UserName::parse(&format!("u{n}")).unwrap(),
        ..world.ana.clone()
    };
    for n in 0..limits::LOGIN_FAILURES {
        assert!(guesses.attempt(&world.ana, address(n), world.now()).is_ok());
    }
    assert!(guesses.attempt(&world.ana, address(99), world.now()).is_err(), "one user, many addresses");
    let mut guesses = Guesses::default();
    for n in 0..limits::LOGIN_FAILURES {
        assert!(guesses.attempt(&user(n), address(0), world.now()).is_ok());
    }
    assert!(guesses.attempt(&user(99), address(0), world.now()).is_err(), "one address, many users");
    let mut guesses = Guesses::default();
    let admitted = (0..limits::DEVICE_GUESSES * 2)
        .filter(|n| guesses.attempt(&user(*n), address(*n), world.now()).is_ok());
    assert_eq!(admitted.count(), limits::DEVICE_GUESSES as usize, "many users, many addresses");
    // A right one is not held against anyone.
    let mut guesses = Guesses::default();
    for _ in 0..100 {
        assert!(guesses.attempt(&world.ana, address(0), world.now()).is_ok());
        guesses.give_back(&world.ana, address(0));
    }
}
