//! Assertions as attackers make them.

use super::*;
use crate::signer::Signer;
use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde_json::{Value, json};

const CLIENT: &str = "https://client.example/oauth/client.json";
const ISSUER: &str = "https://tools.example.com";
const TOKEN_ENDPOINT: &str = "https://tools.example.com/oauth/token";
const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fn expected() -> Expected<'static> {
    Expected { client_id: CLIENT, audiences: [ISSUER, TOKEN_ENDPOINT], algorithm: None, now: NOW }
}

fn claims() -> Value {
    let now = NOW.as_secs();
    json!({ "iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": "one" })
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// The value with one member changed, or removed.
fn with(value: &Value, member: &str, new: Option<Value>) -> Value {
    let mut changed = value.clone();
    match new {
        Some(new) => drop(changed.as_object_mut().unwrap().insert(member.to_owned(), new)),
        None => drop(changed.as_object_mut().unwrap().remove(member)),
    }
    changed
}

#[test]
fn an_assertion_of_each_algorithm_proves_its_client() {
    for (signer, algorithms) in [
        (Signer::ed25519(), &["EdDSA"][..]),
        (Signer::p256(), &["ES256"][..]),
        (Signer::rsa(), &["RS256", "PS256"][..]),
    ] {
        let keys = set(&[Signer::ed25519().jwk("other"), signer.jwk("mine")]);
        for alg in algorithms {
            for aud in
                [json!(ISSUER), json!(TOKEN_ENDPOINT), json!([ISSUER]), json!([ISSUER, TOKEN_ENDPOINT])]
            {
                let header = json!({ "alg": alg, "kid": "mine", "typ": "client-authentication+jwt" });
                let assertion = signer.sign(&header, &with(&claims(), "aud", Some(aud)));
                assert_eq!(claimed_subject(&assertion).as_deref(), Ok(CLIENT));
                let proven = verify(&assertion, &keys, &expected()).unwrap();
                let refused_from = NOW.plus(Duration::from_secs(60)).plus(limits::SIGNED_ASSERTION_SKEW);
                assert_eq!(proven, Proven { id: "one".to_owned(), refused_from });
                let only_other = Expected { algorithm: Some("RS512"), ..expected() };
                assert_eq!(verify(&assertion, &keys, &only_other), Err(SignedError::Algorithm));
            }
        }
    }
}

#[test]
fn every_confusion_of_algorithms_and_keys_is_refused() {
    let (rsa, ed, stranger) = (Signer::rsa(), Signer::ed25519(), Signer::rsa());
    let keys = set(&[rsa.jwk("rsa"), ed.jwk("ed")]);
    let header = |alg: &str, kid: &str| json!({ "alg": alg, "kid": kid });
    // `none`, with and without a signature.
    for alg in ["none", "None", "nOnE", ""] {
        let forged = rsa.sign(&header(alg, "rsa"), &claims());
        assert_eq!(verify(&forged, &keys, &expected()), Err(SignedError::Algorithm), "{alg}");
        let (unsigned, _) = forged.rsplit_once('.').unwrap();
        assert_eq!(verify(&format!("{unsigned}."), &keys, &expected()), Err(SignedError::Algorithm));
    }
    // HMAC with the public key in each form that an attacker can have it in.
    let set_text = keys.to_json();
    for secret in [rsa.public_bytes(), rsa.jwk("rsa").to_string().into_bytes(), set_text.into_bytes()] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(&header("HS256", "rsa")), part(&claims()));
        let tag = BASE64URL_NOPAD.encode(hmac::sign(&key, message.as_bytes()).as_ref());
        assert_eq!(verify(&format!("{message}.{tag}"), &keys, &expected()), Err(SignedError::Algorithm));
    }
    // A key of one type under the algorithm of another, and another's key under a known name.
    for (signer, alg, kid, error) in [
        (&ed, "RS256", "ed", SignedError::Key(NoKey::Unknown)),
        (&ed, "RS256", "rsa", SignedError::Signature),
        (&rsa, "EdDSA", "rsa", SignedError::Key(NoKey::Unknown)),
        (&rsa, "RS384", "rsa", SignedError::Algorithm),
        (&rsa, "ES256K", "rsa", SignedError::Algorithm),
        (&stranger, "RS256", "rsa", SignedError::Signature),
        (&stranger, "RS256", "stranger", SignedError::Key(NoKey::Unknown)),
        (&rsa, "RS256", "../../dev/null", SignedError::Key(NoKey::Unknown)),
        (&rsa, "RS256", "rsa' OR '1'='1", SignedError::Key(NoKey::Unknown)),
    ] {
        let forged = signer.sign(&header(alg, kid), &claims());
        assert_eq!(verify(&forged, &keys, &expected()), Err(error), "{alg} {kid}");
    }
    // PSS padding where the header says PKCS#1.
    let good = rsa.sign(&header("PS256", "rsa"), &claims());
    let (_, signature) = good.rsplit_once('.').unwrap();
    let (message, _) = {
        let other = rsa.sign(&header("RS256", "rsa"), &claims());
        let (message, own) = other.rsplit_once('.').unwrap();
        (message.to_owned(), own.to_owned())
    };
    assert_eq!(verify(&format!("{message}.{signature}"), &keys, &expected()), Err(SignedError::Signature));
}

#[test]
fn a_key_that_comes_with_the_assertion_is_never_looked_at() {
    let (own, stranger) = (Signer::ed25519(), Signer::ed25519());
    let keys = set(&[own.jwk("k")]);
    let header = json!({ "alg": "EdDSA", "kid": "k" });
    for (member, value) in [
        ("jwk", stranger.jwk("k")),
        ("jku", json!("https://evil.test/jwks.json")),
        ("x5u", json!("https://evil.test/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
    ] {
        let header = with(&header, member, Some(value));
        for signer in [&stranger, &own] {
            let assertion = signer.sign(&header, &claims());
            assert_eq!(verify(&assertion, &keys, &expected()), Err(SignedError::Header), "{member}");
        }
    }
    for typ in ["at+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "oauth-authz-req+jwt", "JWT2"] {
        let assertion = own.sign(&with(&header, "typ", Some(json!(typ))), &claims());
        assert_eq!(verify(&assertion, &keys, &expected()), Err(SignedError::Type), "{typ}");
    }
    for typ in ["JWT", "application/client-authentication+jwt"] {
        let assertion = own.sign(&with(&header, "typ", Some(json!(typ))), &claims());
        assert!(verify(&assertion, &keys, &expected()).is_ok(), "{typ}");
    }
}

#[test]
fn an_assertion_is_good_for_its_client_its_audience_and_a_short_time() {
    let signer = Signer::ed25519();
    let keys = set(&[signer.jwk("k")]);
    let header = json!({ "alg": "EdDSA", "kid": "k" });
    let now = NOW.as_secs();
    let skew = limits::SIGNED_ASSERTION_SKEW.as_secs();
    let longest = limits::SIGNED_ASSERTION_TTL.as_secs();
    for (member, value, error) in [
        ("iss", Some(json!("https://other.example/client")), SignedError::Subject),
        ("sub", Some(json!("https://other.example/client")), SignedError::Subject),
        ("aud", Some(json!("https://tools.example.com/")), SignedError::Audience),
        ("aud", Some(json!("https://other.example")), SignedError::Audience),
        ("aud", Some(json!("https://tools.example.com/oauth/register")), SignedError::Audience),
        ("aud", Some(json!("https://tools.example.com/sales/mcp")), SignedError::Audience),
        ("aud", Some(json!([ISSUER, "https://other.example"])), SignedError::Audience),
        ("aud", Some(json!([])), SignedError::Audience),
        ("exp", Some(json!(now - skew)), SignedError::Expired),
        ("exp", Some(json!(0)), SignedError::Expired),
        ("exp", Some(json!(now + longest + skew + 1)), SignedError::TooLong),
        ("exp", Some(json!(4e15)), SignedError::TooLong),
        ("exp", Some(json!(1e300)), SignedError::Malformed),
        ("exp", Some(json!(-1)), SignedError::Malformed),
        ("exp", Some(json!("tomorrow")), SignedError::Malformed),
        ("nbf", Some(json!(now + skew + 1)), SignedError::Early),
        ("iat", Some(json!(now + skew + 1)), SignedError::Early),
        ("jti", Some(json!("")), SignedError::Malformed),
        ("jti", Some(json!("j".repeat(limits::ID_BYTES + 1))), SignedError::Malformed),
        ("jti", Some(json!(7)), SignedError::Malformed),
        ("iss", None, SignedError::Malformed),
        ("sub", None, SignedError::Malformed),
        ("aud", None, SignedError::Malformed),
        ("exp", None, SignedError::Malformed),
        ("jti", None, SignedError::Malformed),
    ] {
        let assertion = signer.sign(&header, &with(&claims(), member, value.clone()));
        assert_eq!(verify(&assertion, &keys, &expected()), Err(error), "{member}: {value:?}");
    }
    for (member, value) in [
        ("exp", json!(now - skew + 1)),
        ("exp", json!(now + longest + skew)),
        ("exp", json!(now as f64 + 0.5)),
        ("nbf", json!(now + skew)),
        ("iat", json!(now - 86_400)),
    ] {
        let assertion = signer.sign(&header, &with(&claims(), member, Some(value.clone())));
        assert!(verify(&assertion, &keys, &expected()).is_ok(), "{member}: {value}");
    }
    let long = signer.sign(&header, &with(&claims(), "x", Some(json!("x".repeat(8192)))));
    assert_eq!(verify(&long, &keys, &expected()), Err(SignedError::Malformed));
}

#[test]
fn a_changed_byte_anywhere_spoils_an_assertion() {
    let signer = Signer::p256();
    let keys = set(&[signer.jwk("k")]);
    let good = signer.sign(&json!({ "alg": "ES256", "kid": "k" }), &claims());
    assert!(verify(&good, &keys, &expected()).is_ok());
    for position in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verify(&changed, &keys, &expected()).is_err(), "byte {position}");
    }
    for other in [
        format!("{good}."),
        format!(".{good}"),
        format!("{good}="),
        format!("{good}\n"),
        good.replace('.', ""),
    ] {
        assert!(verify(&other, &keys, &expected()).is_err(), "{other:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,300}", header in ".{0,80}", payload in ".{0,120}") {
        let keys = set(&[json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64URL_NOPAD.encode(&[7; 32]) })]);
        prop_assert!(verify(&text, &keys, &expected()).is_err());
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        let made = format!("{}.{}.{}", part(&header), part(&payload), part("signature"));
        prop_assert!(verify(&made, &keys, &expected()).is_err());
        let _ = claimed_subject(&made);
    }
}
