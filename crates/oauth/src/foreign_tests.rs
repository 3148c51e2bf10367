//! Assertions of issuers as attackers make them.

use super::*;
use crate::signer::Signer;
use aws_lc_rs::hmac;
use serde_json::json;

const ISSUER: &str = "https://ci.example";
const AUDIENCE: &str = "https://tools.example.com";
const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fn expected() -> Expected<'static> {
    let longest = Duration::from_secs(3600);
    Expected { issuer: ISSUER, audiences: &[AUDIENCE], types: &["", "jwt"], longest, now: NOW }
}

fn claims() -> Value {
    let now = NOW.as_secs();
    json!({ "iss": ISSUER, "sub": "repo:acme/app", "aud": AUDIENCE, "iat": now, "exp": now + 300, "jti": "1" })
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn with(value: &Value, member: &str, new: Option<Value>) -> Value {
    let mut changed = value.clone();
    match new {
        Some(new) => drop(changed.as_object_mut().unwrap().insert(member.to_owned(), new)),
        None => drop(changed.as_object_mut().unwrap().remove(member)),
    }
    changed
}

#[test]
fn an_assertion_of_each_algorithm_is_read() {
    for (signer, algorithms) in [
        (Signer::ed25519(), &["EdDSA"][..]),
        (Signer::p256(), &["ES256"][..]),
        (Signer::rsa(), &["RS256", "PS256"][..]),
    ] {
        let keys = set(&[Signer::ed25519().jwk("other"), signer.jwk("mine")]);
        for alg in algorithms {
            let text = signer.sign(&json!({ "alg": alg, "kid": "mine", "typ": "JWT" }), &claims());
            let read = verify(&text, &keys, &expected()).unwrap();
            assert_eq!((read.subject.as_str(), read.id.as_deref()), ("repo:acme/app", Some("1")));
            assert_eq!(
                claimed(&text).unwrap(),
                Claimed { issuer: ISSUER.to_owned(), kind: "jwt".to_owned() }
            );
        }
    }
}

#[test]
fn whom_it_is_from_and_for_and_when_must_be_exactly_right() {
    let signer = Signer::ed25519();
    let keys = set(&[signer.jwk("k")]);
    let now = NOW.as_secs();
    for (member, value, error) in [
        ("iss", Some(json!("https://ci.example/")), ForeignError::Issuer),
        ("iss", Some(json!("https://other.example")), ForeignError::Issuer),
        ("iss", Some(json!([ISSUER])), ForeignError::Issuer),
        ("iss", None, ForeignError::Issuer),
        ("aud", Some(json!("https://elsewhere.example")), ForeignError::Audience),
        ("aud", Some(json!("https://tools.example.com/")), ForeignError::Audience),
        ("aud", Some(json!([AUDIENCE, "https://elsewhere.example"])), ForeignError::Audience),
        ("aud", Some(json!([])), ForeignError::Audience),
        ("aud", Some(json!([[AUDIENCE]])), ForeignError::Audience),
        ("aud", Some(json!({ "a": AUDIENCE })), ForeignError::Audience),
        ("aud", None, ForeignError::Audience),
        ("sub", None, ForeignError::Malformed),
        ("sub", Some(json!(7)), ForeignError::Malformed),
        ("sub", Some(json!("")), ForeignError::Malformed),
        ("sub", Some(json!("x".repeat(2000))), ForeignError::Malformed),
        ("jti", Some(json!(7)), ForeignError::Malformed),
        ("exp", None, ForeignError::Malformed),
        ("exp", Some(json!("soon")), ForeignError::Malformed),
        ("exp", Some(json!(-1)), ForeignError::Malformed),
        ("exp", Some(json!(1e300)), ForeignError::Malformed),
        ("exp", Some(json!(now - 31)), ForeignError::Expired),
        ("exp", Some(json!(now + 4000)), ForeignError::TooLong),
        ("iat", None, ForeignError::Malformed),
        ("iat", Some(json!(now + 60)), ForeignError::Early),
        ("nbf", Some(json!(now + 60)), ForeignError::Early),
        ("nbf", Some(json!("later")), ForeignError::Malformed),
    ] {
        let text = signer.sign(&json!({ "alg": "EdDSA" }), &with(&claims(), member, value.clone()));
        assert_eq!(verify(&text, &keys, &expected()), Err(error), "{member} {value:?}");
    }
    for (member, value) in [
        ("aud", Some(json!([AUDIENCE]))),
        ("exp", Some(json!(now - 29))),
        ("iat", Some(json!(now + 29))),
        ("nbf", Some(json!(now))),
        ("jti", None),
    ] {
        let text = signer.sign(&json!({ "alg": "EdDSA" }), &with(&claims(), member, value));
        assert!(verify(&text, &keys, &expected()).is_ok(), "{member}");
    }
}

#[test]
fn the_key_is_the_issuers_whatever_the_assertion_brings() {
    let (signer, thief) = (Signer::rsa(), Signer::rsa());
    let keys = set(&[signer.jwk("k"), Signer::p256().jwk("p")]);
    let good = json!({ "alg": "RS256", "kid": "k" });
    let all = |header: &Value, by: &Signer| verify(&by.sign(header, &claims()), &keys, &expected());
    assert!(all(&good, &signer).is_ok());
    assert_eq!(all(&good, &thief), Err(ForeignError::Signature));
    for (member, value, error) in [
        ("alg", json!("none"), ForeignError::Algorithm),
        ("alg", json!("None"), ForeignError::Algorithm),
        ("alg", json!("HS256"), ForeignError::Algorithm),
        ("alg", json!("RS512"), ForeignError::Algorithm),
        ("alg", json!(["RS256"]), ForeignError::Algorithm),
        ("alg", json!("ES256"), ForeignError::Key(NoKey::Unknown)),
        ("kid", json!("p"), ForeignError::Key(NoKey::Unknown)),
        ("kid", json!("../k"), ForeignError::Key(NoKey::Unknown)),
        ("kid", json!(7), ForeignError::Malformed),
        ("jwk", thief.jwk("k"), ForeignError::Header),
        ("jku", json!("https://evil.test/keys"), ForeignError::Header),
        ("x5u", json!("https://evil.test/keys"), ForeignError::Header),
        ("x5c", json!(["MII"]), ForeignError::Header),
        ("crit", json!(["exp"]), ForeignError::Header),
        ("b64", json!(false), ForeignError::Header),
        ("zip", json!("DEF"), ForeignError::Header),
        ("typ", json!("at+jwt"), ForeignError::Type),
        ("typ", json!("logout+jwt"), ForeignError::Type),
        ("typ", json!("oauth-id-jag+jwt"), ForeignError::Type),
        ("typ", json!(7), ForeignError::Malformed),
    ] {
        let header = with(&good, member, Some(value));
        assert_eq!(all(&header, &thief), Err(error.clone()), "{member}");
        if error != ForeignError::Signature {
            assert_eq!(all(&header, &signer), Err(error), "{member}");
        }
    }
}

#[test]
fn a_public_key_is_no_shared_secret_and_zeros_are_no_signature() {
    let (rsa, p256) = (Signer::rsa(), Signer::p256());
    let keys = set(&[rsa.jwk("r"), p256.jwk("p")]);
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    for alg in ["HS256", "HS384", "HS512"] {
        let message = format!("{}.{}", part(&json!({ "alg": alg, "kid": "r" })), part(&claims()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &rsa.public_bytes());
        let tag = hmac::sign(&key, message.as_bytes());
        let text = format!("{message}.{}", BASE64URL_NOPAD.encode(tag.as_ref()));
        assert_eq!(verify(&text, &keys, &expected()), Err(ForeignError::Algorithm));
    }
    let message = format!("{}.{}", part(&json!({ "alg": "ES256", "kid": "p" })), part(&claims()));
    for signature in [vec![], vec![0; 64], vec![0; 63], vec![0xff; 64], vec![0x30, 0x06, 2, 1, 0, 2, 1, 0]] {
        let text = format!("{message}.{}", BASE64URL_NOPAD.encode(&signature));
        assert_eq!(verify(&text, &keys, &expected()), Err(ForeignError::Signature), "{signature:?}");
    }
    let bare = format!("{}.{}.", part(&json!({ "alg": "none" })), part(&claims()));
    assert_eq!(verify(&bare, &keys, &expected()), Err(ForeignError::Algorithm));
}

#[test]
fn a_text_that_could_be_read_in_two_ways_is_not_read() {
    let signer = Signer::ed25519();
    let keys = set(&[signer.jwk("k")]);
    let good = signer.sign(&json!({ "alg": "EdDSA" }), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let doubled =
        r#"{"iss":"https://ci.example","iss":"https://evil.test","sub":"s","aud":"a","iat":1,"exp":2}"#;
    let header = r#"{"alg":"EdDSA","alg":"none"}"#;
    let encode = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    for text in [
        String::new(),
        "...".to_owned(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}.{}", parts[2]),
        format!("{}.{}.{}", parts[0], encode(doubled), parts[2]),
        format!("{}.{}.{}", encode(header), parts[1], parts[2]),
        format!("{}.{}.{}", encode("[]"), parts[1], parts[2]),
        format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
        format!("{}\n.{}.{}", parts[0], parts[1], parts[2]),
        "a".repeat(limits::FOREIGN_ASSERTION_BYTES + 1),
    ] {
        assert_eq!(verify(&text, &keys, &expected()), Err(ForeignError::Malformed), "{text}");
    }
}
