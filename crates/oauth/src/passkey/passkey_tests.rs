use super::*;
use crate::testing::World;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use ceremony::ChallengeKey;
use ciborium::Value;
use serde_json::json;
use std::sync::LazyLock;
use std::time::Duration;

const SITE: Site<'_> = Site { origin: "https://tools.example.com", rp_id: "tools.example.com" };
const COOKIE: &str = "the browser's cookie";
static KEY: LazyLock<ChallengeKey> = LazyLock::new(|| ChallengeKey::new(&[1; 32]));
static REGISTER: LazyLock<Challenge<'_>> =
    LazyLock::new(|| Challenge { key: &KEY, cookie: COOKIE, purpose: "registration" });
static SIGN_IN: LazyLock<Challenge<'_>> =
    LazyLock::new(|| Challenge { key: &KEY, cookie: COOKIE, purpose: "sign in" });

/// A device with one key, and everything that a hostile one could say.
struct Device {
    key: EcdsaKeyPair,
    rp_id: &'static str,
    origin: &'static str,
    flags: u8,
    counter: u32,
    handle: Vec<u8>,
    more: serde_json::Value,
    trailing: Vec<u8>,
}

fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

impl Device {
    fn new(user: &User) -> Self {
        Self {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            rp_id: SITE.rp_id,
            origin: SITE.origin,
            flags: 0x05,
            counter: 0,
            handle: user_handle(user),
            more: json!({}),
            trailing: vec![],
        }
    }

    fn client_data(&self, ceremony: &str, challenge: &str) -> Vec<u8> {
        let mut data =
            json!({ "type": ceremony, "challenge": encode(challenge.as_bytes()), "origin": self.origin });
        data.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        data.to_string().into_bytes()
    }

    fn data(&self, attested: bool) -> Vec<u8> {
        let mut data = sha256(&[self.rp_id.as_bytes()]).0.to_vec();
        data.push(self.flags | if attested { 0x40 } else { 0 });
        data.extend(self.counter.to_be_bytes());
        if attested {
            let point = self.key.public_key().as_ref();
            let int = |n: i64| Value::Integer(n.into());
            let key = Value::Map(vec![
                (int(1), int(2)),
                (int(3), int(-7)),
                (int(-1), int(1)),
                (int(-2), Value::Bytes(point[1..33].to_vec())),
                (int(-3), Value::Bytes(point[33..].to_vec())),
            ]);
            data.extend([0; 16]);
            data.extend(16_u16.to_be_bytes());
            data.extend(&point[1..17]);
            ciborium::into_writer(&key, &mut data).unwrap();
        }
        data.extend(&self.trailing);
        data
    }

    async fn register(&self, world: &World, user: &User, challenge: &str) -> Result<Passkey, PasskeyError> {
        let text = |text: &str| Value::Text(text.to_owned());
        let object = Value::Map(vec![
            (text("fmt"), text("none")),
            (text("attStmt"), Value::Map(vec![])),
            (text("authData"), Value::Bytes(self.data(true))),
        ]);
        let mut attestation = Vec::new();
        ciborium::into_writer(&object, &mut attestation).unwrap();
        let client_data = encode(&self.client_data("webauthn.create", challenge));
        let registration =
            Registration { name: "laptop", client_data: &client_data, attestation: &encode(&attestation) };
        register(&world.ports(), &SITE, &REGISTER, user, &registration).await
    }

    async fn sign_in(&self, world: &World, ceremony: &str, challenge: &str) -> Result<Proven, PasskeyError> {
        let (client_data, data) = (self.client_data(ceremony, challenge), self.data(false));
        let signed = [data.as_slice(), &sha256(&[&client_data]).0].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        let id = encode(&self.key.public_key().as_ref()[1..17]);
        let (client_data, data, signature, handle) =
            (encode(&client_data), encode(&data), encode(signature.as_ref()), encode(&self.handle));
        let assertion = Assertion {
            id: &id,
            client_data: &client_data,
            authenticator_data: &data,
            signature: &signature,
            user_handle: &handle,
        };
        super::sign_in(&world.ports(), &SITE, &SIGN_IN, &assertion).await
    }

    async fn enter(&self, world: &World) -> Result<Proven, PasskeyError> {
        self.sign_in(world, "webauthn.get", &SIGN_IN.make(world.now(), &world.rng)).await
    }
}

async fn registered() -> (World, Device) {
    let world = World::new().await;
    let device = Device::new(&world.ana);
    device.register(&world, &world.ana, &REGISTER.make(world.now(), &world.rng)).await.unwrap();
    (world, device)
}

#[tokio::test]
async fn a_registered_passkey_signs_its_user_in_until_it_is_removed() {
    let (world, device) = registered().await;
    let proven = device.enter(&world).await.unwrap();
    assert_eq!((proven.user.name.as_str(), proven.sign_in.method.as_str()), ("ana", "passkey"));
    assert_eq!(proven.sign_in.amr, ["hwk", "mfa"]);
    let [passkey] = of_user(&world.store, &world.ana.name).await.unwrap().try_into().unwrap();
    assert_eq!((passkey.name.as_str(), passkey.used_at), ("laptop", Some(world.now())));
    let other = UserName::parse("bob").unwrap();
    assert!(!remove(&world.ports(), &other, &passkey.id).await.unwrap(), "not somebody else's");
    assert!(remove(&world.ports(), &world.ana.name, &passkey.id).await.unwrap());
    assert_eq!(device.enter(&world).await.unwrap_err(), PasskeyError::Unknown);
    for (action, count) in
        [("passkey.added", 1), ("passkey.removed", 1), ("user.signed_in", 1), ("user.sign_in_failed", 1)]
    {
        assert_eq!(world.ledger.count(action), count, "{action}");
    }
}

#[tokio::test]
async fn a_challenge_is_good_once_in_its_own_browser_for_its_own_purpose_and_time() {
    let (world, device) = registered().await;
    let bad = |outcome: Result<Proven, PasskeyError>| {
        assert_eq!(outcome.unwrap_err(), PasskeyError::Bad(Bad::Challenge))
    };
    let once = SIGN_IN.make(world.now(), &world.rng);
    device.sign_in(&world, "webauthn.get", &once).await.unwrap();
    bad(device.sign_in(&world, "webauthn.get", &once).await);
    let elsewhere = Challenge { cookie: "another cookie", ..*SIGN_IN }.make(world.now(), &world.rng);
    bad(device.sign_in(&world, "webauthn.get", &elsewhere).await);
    bad(device.sign_in(&world, "webauthn.get", &REGISTER.make(world.now(), &world.rng)).await);
    for made_up in ["", "1795000000", "1795000000.00.x", "x.y.z"] {
        bad(device.sign_in(&world, "webauthn.get", made_up).await);
    }
    // Made by the browser itself, which knows its cookie but not our key; or before its time.
    let own = ChallengeKey::new(&[2; 32]);
    let own = Challenge { key: &own, ..*SIGN_IN }.make(world.now(), &world.rng);
    bad(device.sign_in(&world, "webauthn.get", &own).await);
    let begin = format!("{}.00", world.now().as_secs());
    let bare = format!("{begin}.{}", crate::csrf::proof(COOKIE, &format!("sign in {begin}")));
    bad(device.sign_in(&world, "webauthn.get", &bare).await);
    let early = SIGN_IN.make(world.now().plus(Duration::from_secs(1)), &world.rng);
    bad(device.sign_in(&world, "webauthn.get", &early).await);
    let old = SIGN_IN.make(world.now(), &world.rng);
    world.clock.advance(limits::CHALLENGE_TTL);
    bad(device.sign_in(&world, "webauthn.get", &old).await);
    // The same for registering.
    let challenge = REGISTER.make(world.now(), &world.rng);
    Device::new(&world.ana).register(&world, &world.ana, &challenge).await.unwrap();
    let again = Device::new(&world.ana).register(&world, &world.ana, &challenge).await.unwrap_err();
    assert_eq!(again, PasskeyError::Bad(Bad::Challenge));
}

#[tokio::test]
async fn an_answer_for_another_site_user_or_ceremony_or_without_the_user_is_refused() {
    let (world, good) = registered().await;
    let device = |change: &dyn Fn(&mut Device)| {
        let mut device = Device {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            ..Device::new(&world.ana)
        };
        change(&mut device);
        device
    };
    let cases: [Case<'_>; 9] = [
        (&|device| device.origin = "https://tools.example.com.evil.test", Bad::Origin),
        (&|device| device.origin = "http://tools.example.com", Bad::Origin),
        (&|device| device.origin = "https://tools.example.com:444", Bad::Origin),
        (&|device| device.rp_id = "example.com", Bad::Origin),
        (&|device| device.more = json!({ "crossOrigin": true }), Bad::Origin),
        (&|device| device.more = json!({ "topOrigin": "https://evil.test" }), Bad::Origin),
        (&|device| device.flags = 0x01, Bad::Verification),
        (&|device| device.flags = 0x04, Bad::Verification),
        (&|device| device.trailing = vec![0], Bad::Malformed("the authenticator data")),
    ];
    for (change, bad) in cases {
        let Device { origin, rp_id, flags, more, trailing, .. } = device(change);
        let hostile = Device { origin, rp_id, flags, more, trailing, ..registered_key(&good) };
        let challenge = SIGN_IN.make(world.now(), &world.rng);
        assert_eq!(
            hostile.sign_in(&world, "webauthn.get", &challenge).await.unwrap_err(),
            PasskeyError::Bad(bad)
        );
        let challenge = REGISTER.make(world.now(), &world.rng);
        let refused = device(change).register(&world, &world.ana, &challenge).await.unwrap_err();
        assert_eq!(refused, PasskeyError::Bad(bad));
    }
    let challenge = SIGN_IN.make(world.now(), &world.rng);
    let refused = good.sign_in(&world, "webauthn.create", &challenge).await.unwrap_err();
    assert_eq!(refused, PasskeyError::Bad(Bad::Type));
    let stranger = Device { handle: b"somebody else".to_vec(), ..registered_key(&good) };
    assert_eq!(stranger.enter(&world).await.unwrap_err(), PasskeyError::Bad(Bad::UserHandle));
    assert_eq!(Device::new(&world.ana).enter(&world).await.unwrap_err(), PasskeyError::Unknown);
    assert!(good.enter(&world).await.is_ok());
}

/// What a hostile page or device changes, and what is said of it.
type Case<'a> = (&'a dyn Fn(&mut Device), Bad);

/// The same device again.
fn registered_key(device: &Device) -> Device {
    let der = device.key.to_pkcs8v1().unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der.as_ref()).unwrap();
    Device { key, handle: device.handle.clone(), more: json!({}), trailing: vec![], ..*device }
}

#[tokio::test]
async fn a_signature_of_another_key_is_refused() {
    let (world, good) = registered().await;
    let challenge = SIGN_IN.make(world.now(), &world.rng);
    let (client_data, data) = (good.client_data("webauthn.get", &challenge), good.data(false));
    let signed = [data.as_slice(), &sha256(&[&client_data]).0].concat();
    let forged = Device::new(&world.ana).key.sign(&SystemRandom::new(), &signed).unwrap();
    let id = encode(&good.key.public_key().as_ref()[1..17]);
    let (client_data, data, handle) = (encode(&client_data), encode(&data), encode(&good.handle));
    for signature in [encode(forged.as_ref()), String::new(), encode(&[0; 70])] {
        let assertion = Assertion {
            id: &id,
            client_data: &client_data,
            authenticator_data: &data,
            signature: &signature,
            user_handle: &handle,
        };
        let refused = super::sign_in(&world.ports(), &SITE, &SIGN_IN, &assertion).await.unwrap_err();
        assert_eq!(refused, PasskeyError::Bad(Bad::Signature));
    }
}

#[tokio::test]
async fn a_counter_must_grow_once_it_counts() {
    let (world, device) = registered().await;
    let counting = |counter| Device { counter, ..registered_key(&device) };
    counting(5).enter(&world).await.unwrap();
    for copied in [0, 1, 5] {
        assert_eq!(
            counting(copied).enter(&world).await.unwrap_err(),
            PasskeyError::Bad(Bad::Counter),
            "{copied}"
        );
    }
    counting(6).enter(&world).await.unwrap();
}

#[tokio::test]
async fn nobody_signs_in_who_may_not_and_nobody_has_too_many() {
    let (world, device) = registered().await;
    let again = device.register(&world, &world.ana, &REGISTER.make(world.now(), &world.rng)).await;
    assert_eq!(again.unwrap_err(), PasskeyError::Exists);
    for _ in 1..limits::PASSKEYS_PER_USER {
        let challenge = REGISTER.make(world.now(), &world.rng);
        Device::new(&world.ana).register(&world, &world.ana, &challenge).await.unwrap();
    }
    let challenge = REGISTER.make(world.now(), &world.rng);
    let refused = Device::new(&world.ana).register(&world, &world.ana, &challenge).await.unwrap_err();
    assert_eq!(refused, PasskeyError::TooMany);
    let federated = User { issuer: Some("https://login.example".to_owned()), ..world.ana.clone() };
    let refused = Device::new(&federated).register(&world, &federated, &challenge).await.unwrap_err();
    assert_eq!(refused, PasskeyError::NotLocal);
    world.ledger.set_failing(true);
    assert!(matches!(device.enter(&world).await, Err(PasskeyError::Trouble(_))));
    world.ledger.set_failing(false);
    crate::users::disable(&world.ports(), &world.ana.name, "admin").await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(device.enter(&world).await.unwrap_err(), PasskeyError::Unknown);
}

#[test]
fn anything_else_is_no_answer_and_no_panic() {
    let rp = sha256(&[SITE.rp_id.as_bytes()]).0;
    for flags in 0..=255_u8 {
        for length in 0..80 {
            let mut bytes = rp.to_vec();
            bytes.push(flags);
            bytes.resize(37 + length, 0xff);
            let _ = ceremony::authenticator_data(&bytes, &SITE);
            let _ = ceremony::authenticator_data(bytes.get(..length).unwrap_or_default(), &SITE);
        }
    }
    let nested = vec![0x81; 100_000];
    assert!(ceremony::attested(&nested).is_err(), "depth is bounded");
    let announced = [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert!(ceremony::attested(&announced).is_err(), "a length that is announced is not believed");
}
