use super::*;
use crate::federation::testing::{SIGNER, changed, provider};
use crate::jwt;
use crate::keys::KeySet;
use crate::session;
use crate::testing::World;
use portunus_core::caller::SignIn;
use portunus_core::document::User;
use portunus_core::store::{Kind, Store};
use serde_json::json;
use std::sync::{Arc, Mutex};

const ISSUER: &str = "https://login.example";
const NOW: u64 = 1_795_000_000;

fn good() -> Value {
    json!({
        "iss": ISSUER, "aud": "portunus", "sub": "s1", "sid": "browser-1", "jti": "j1", "iat": NOW, "exp": NOW + 120,
        "events": { EVENT: {} },
    })
}

fn check_with(header: Value, changes: Value) -> Result<LogoutToken, LogoutError> {
    let header = changed(&json!({ "alg": "EdDSA", "kid": "o", "typ": "logout+jwt" }), &header);
    let token = SIGNER.token(&header, &changed(&good(), &changes));
    let keys = KeySet::parse(SIGNER.jwks().to_string().as_bytes()).unwrap();
    let verified = jwt::read(&token).unwrap().verify(&keys).unwrap();
    check(&verified, &provider("one", ISSUER), Timestamp::from_secs(NOW))
}

#[test]
fn only_a_logout_token_for_us_of_this_moment_is_one() {
    assert!(check_with(json!({}), json!({})).is_ok());
    assert!(check_with(json!({ "typ": null }), json!({ "exp": null, "sid": null })).is_ok());
    for (changes, error) in [
        (json!({ "nonce": "n" }), LogoutError::Kind),
        (json!({ "events": null }), LogoutError::Kind),
        (json!({ "events": { EVENT: true } }), LogoutError::Kind),
        (json!({ "events": { "other": {} } }), LogoutError::Kind),
        (json!({ "events": [EVENT] }), LogoutError::Kind),
        (json!({ "iss": "https://evil.example" }), LogoutError::Issuer),
        (json!({ "aud": "other" }), LogoutError::Audience),
        (json!({ "exp": NOW - 61 }), LogoutError::Time),
        (json!({ "exp": "later" }), LogoutError::Time),
        (json!({ "iat": NOW + 61 }), LogoutError::Time),
        (json!({ "iat": NOW - 700, "exp": NOW + 100_000 }), LogoutError::Time),
        (json!({ "iat": null }), LogoutError::Time),
        (json!({ "jti": null }), LogoutError::Incomplete),
        (json!({ "sub": null, "sid": null }), LogoutError::Incomplete),
        (json!({ "sid": 7 }), LogoutError::Incomplete),
    ] {
        assert_eq!(check_with(json!({}), changes.clone()).unwrap_err(), error, "{changes}");
    }
    // An ID token is not one, and neither is any other kind.
    let id_token = json!({ "events": null, "nonce": "n" });
    assert_eq!(check_with(json!({ "typ": "JWT" }), id_token).unwrap_err(), LogoutError::Kind);
    assert_eq!(check_with(json!({ "typ": "at+jwt" }), json!({})).unwrap_err(), LogoutError::Kind);
}

struct Signed {
    world: World,
    user: UserName,
}

impl Signed {
    async fn new() -> Self {
        let world = World::new().await;
        let user = UserName::parse("bea@example.com").unwrap();
        let issuer = Some(ISSUER.to_owned());
        let document = User { name: user.clone(), issuer: issuer.clone(), ..world.ana.clone() };
        let identity = Identity {
            issuer: ISSUER.to_owned(),
            subject: "s1".to_owned(),
            user: user.clone(),
            bound_at: world.now(),
        };
        world.ports().store.commit(Batch::new().insert(&document).insert(&identity)).await.unwrap();
        Self { world, user }
    }

    async fn browser(&self, sid: Option<&str>) -> String {
        let sign_in = SignIn { issuer: Some(ISSUER.to_owned()), ..SignIn::new("oidc", self.world.now()) };
        let started = session::start(&self.world.ports(), &self.user, sign_in, sid.map(str::to_owned)).await;
        started.unwrap().expose().clone()
    }

    async fn is_in(&self, cookie: &str) -> bool {
        session::resolve(&self.world.store, self.world.now(), cookie).await.unwrap().is_some()
    }

    async fn apply(&self, ends: Ends, changes: Value) -> Result<Ended, LogoutError> {
        let provider = Provider { backchannel_logout: ends, ..provider("one", ISSUER) };
        apply(&self.world.ports(), &provider, &check_with(json!({}), changes).unwrap()).await
    }
}

#[tokio::test]
async fn a_logout_ends_the_sessions_it_names_and_no_others() {
    let signed = Signed::new().await;
    let (one, two) = (signed.browser(Some("browser-1")).await, signed.browser(Some("browser-2")).await);
    let own = session::start(&signed.world.ports(), &signed.world.ana.name, signed.world.sign_in(), None)
        .await
        .unwrap();
    let ended = signed.apply(Ends::Sessions, json!({ "jti": "a" })).await.unwrap();
    assert_eq!(ended, Ended { sessions: 1, grants: 0 });
    assert!(!signed.is_in(&one).await && signed.is_in(&two).await);
    // By the session alone.
    let three = signed.browser(Some("browser-3")).await;
    signed.apply(Ends::Sessions, json!({ "jti": "b", "sub": null, "sid": "browser-3" })).await.unwrap();
    assert!(!signed.is_in(&three).await && signed.is_in(&two).await);
    // By the subject alone: all of them.
    let four = signed.browser(None).await;
    signed.apply(Ends::Sessions, json!({ "jti": "c", "sid": null })).await.unwrap();
    assert!(!signed.is_in(&two).await && !signed.is_in(&four).await);
    assert!(signed.is_in(own.expose()).await, "built-in accounts are none of a provider's business");
    // Somebody who is not known is signed out already.
    assert_eq!(
        signed.apply(Ends::Sessions, json!({ "jti": "d", "sub": "nobody" })).await,
        Ok(Ended::default())
    );
}

#[tokio::test]
async fn a_logout_token_is_taken_once() {
    let signed = Signed::new().await;
    signed.apply(Ends::Sessions, json!({})).await.unwrap();
    let later = signed.browser(Some("browser-1")).await;
    assert_eq!(signed.apply(Ends::Sessions, json!({})).await, Err(LogoutError::Replayed));
    assert!(signed.is_in(&later).await);
}

#[tokio::test]
async fn grants_end_with_a_logout_only_where_that_is_configured() {
    let signed = Signed::new().await;
    let request = signed.world.read(&signed.world.request()).await.unwrap();
    let user = User { name: signed.user.clone(), ..signed.world.ana.clone() };
    let sign_in = SignIn { issuer: Some(ISSUER.to_owned()), ..SignIn::new("oidc", signed.world.now()) };
    crate::authorize::approve(&signed.world.ports(), &signed.world.issuer, &request, &user, &sign_in)
        .await
        .unwrap();
    let live = async || {
        let grants = grants::of_user(&signed.world.store, &signed.user).await.unwrap();
        grants.iter().filter(|grant| grant.revoked_at.is_none()).count()
    };
    signed.apply(Ends::Sessions, json!({ "jti": "a" })).await.unwrap();
    assert_eq!(live().await, 1);
    assert_eq!(signed.apply(Ends::Grants, json!({ "jti": "b" })).await.unwrap().grants, 1);
    assert_eq!(live().await, 0);
}

#[tokio::test]
async fn nobody_is_signed_in_any_more_when_grants_begin_to_end() {
    let signed = Signed::new().await;
    let request = signed.world.read(&signed.world.request()).await.unwrap();
    let user = User { name: signed.user.clone(), ..signed.world.ana.clone() };
    let sign_in = SignIn { issuer: Some(ISSUER.to_owned()), ..SignIn::new("oidc", signed.world.now()) };
    crate::authorize::approve(&signed.world.ports(), &signed.world.issuer, &request, &user, &sign_in)
        .await
        .unwrap();
    signed.browser(Some("browser-1")).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = order.clone();
    signed.world.store.observe(Box::new(move |changes| {
        seen.lock().unwrap().extend(changes.iter().map(|change| change.kind));
    }));
    signed.apply(Ends::Grants, json!({})).await.unwrap();
    let order = order.lock().unwrap();
    let of = |kind| order.iter().position(|seen| *seen == kind).unwrap();
    assert!(of(Kind::Session) < of(Kind::Grant), "{order:?}");
    assert!(of(Kind::Grant) < of(Kind::UsedLogout), "{order:?}");
}

#[tokio::test]
async fn a_logout_that_could_not_be_recorded_can_be_sent_again() {
    let signed = Signed::new().await;
    let browser = signed.browser(Some("browser-1")).await;
    signed.world.ledger.set_failing(true);
    assert!(matches!(signed.apply(Ends::Sessions, json!({})).await, Err(LogoutError::Trouble(_))));
    signed.world.ledger.set_failing(false);
    assert!(signed.apply(Ends::Sessions, json!({})).await.is_ok());
    assert!(!signed.is_in(&browser).await);
}
