use super::*;
use crate::federation::testing::{SIGNER, STRANGER, changed};
use serde_json::json;

fn keys() -> KeySet {
    KeySet::parse(SIGNER.jwks().to_string().as_bytes()).unwrap()
}

fn verify(token: &str, keys: &KeySet) -> Result<Verified, TokenError> {
    read(token)?.verify(keys)
}

#[test]
fn a_token_of_each_accepted_algorithm_is_verified_with_its_own_key_only() {
    for (alg, kid) in [("RS256", "r"), ("PS256", "r"), ("ES256", "e"), ("EdDSA", "o")] {
        let (header, claims) = (json!({ "alg": alg, "kid": kid, "typ": "JWT" }), json!({ "sub": "ana" }));
        let verified = verify(&SIGNER.token(&header, &claims), &keys()).unwrap();
        assert_eq!((verified.claims.text("sub"), verified.typ.as_deref()), (Some("ana"), Some("jwt")));
        let foreign = STRANGER.token(&header, &claims);
        assert_eq!(verify(&foreign, &keys()).unwrap_err(), TokenError::Signature, "{alg}");
        for other in ["r", "e", "o", "unknown", ""].into_iter().filter(|other| *other != kid) {
            let token = SIGNER.token(&json!({ "alg": alg, "kid": other }), &claims);
            assert_eq!(verify(&token, &keys()).unwrap_err(), TokenError::UnknownKey, "{alg} with {other}");
        }
    }
}

#[test]
fn no_algorithm_but_the_accepted_ones_is_tried() {
    for alg in [
        "none", "None", "NONE", "", "HS256", "HS384", "RS384", "RS512", "ES384", "ES256K", "RSA-OAEP",
        "rs256", "dir",
    ] {
        for kid in ["r", "e", "o"] {
            let token = SIGNER.token(&json!({ "alg": alg, "kid": kid }), &json!({}));
            assert_eq!(verify(&token, &keys()).unwrap_err(), TokenError::Algorithm, "{alg}");
        }
    }
    let unsigned = SIGNER.token(&json!({ "alg": "RS256", "kid": "r" }), &json!({}));
    let unsigned = unsigned.rsplit_once('.').unwrap().0;
    assert_eq!(verify(&format!("{unsigned}."), &keys()).unwrap_err(), TokenError::Signature);
    assert_eq!(verify(unsigned, &keys()).unwrap_err(), TokenError::Malformed);
}

#[test]
fn a_key_that_the_token_itself_brings_or_names_is_not_looked_at() {
    let own = STRANGER.jwks()["keys"][1].clone();
    for smuggled in [
        json!({ "jwk": own }),
        json!({ "jku": "https://evil.example/jwks", "kid": "e" }),
        json!({ "x5u": "https://evil.example/cert.pem", "kid": "e" }),
        json!({ "x5c": ["MIIB"], "kid": "e" }),
        json!({ "kid": "../../../../dev/null" }),
        json!({ "kid": "e' OR '1'='1" }),
    ] {
        let header = changed(&json!({ "alg": "ES256" }), &smuggled);
        let refused = verify(&STRANGER.token(&header, &json!({ "sub": "ana" })), &keys()).unwrap_err();
        assert!(matches!(refused, TokenError::Signature | TokenError::UnknownKey), "{smuggled} {refused}");
    }
}

#[test]
fn a_demanded_extension_is_refused() {
    for crit in [json!(["b64"]), json!([]), json!(["exp"]), json!("exp")] {
        let token =
            SIGNER.token(&json!({ "alg": "EdDSA", "kid": "o", "crit": crit, "b64": false }), &json!({}));
        assert_eq!(verify(&token, &keys()).unwrap_err(), TokenError::Critical);
    }
}

#[test]
fn without_a_kid_there_must_be_one_key_only() {
    let token = SIGNER.token(&json!({ "alg": "ES256" }), &json!({}));
    assert!(verify(&token, &keys()).is_ok(), "one P-256 key among others");
    let mut both = SIGNER.jwks();
    let mut second = STRANGER.jwks()["keys"][1].clone();
    second["kid"] = json!("e2");
    both["keys"].as_array_mut().unwrap().push(second);
    let both = KeySet::parse(both.to_string().as_bytes()).unwrap();
    assert_eq!(verify(&token, &both).unwrap_err(), TokenError::Ambiguous);
}

#[test]
fn what_is_not_a_token_is_refused_before_anything_is_believed() {
    let good = SIGNER.token(&json!({ "alg": "EdDSA", "kid": "o" }), &json!({}));
    let header_twice = {
        let header = BASE64URL_NOPAD.encode(br#"{"alg":"none","alg":"EdDSA"}"#);
        format!("{header}.e30.AA")
    };
    let cases = [
        "",
        ".",
        "..",
        "a.b.c",
        "e30.e30.e30.e30",
        "e30.W10.AA",
        &header_twice,
        &format!("{good}="),
        &format!("{good}.x"),
        &format!(" {good}"),
        &"e".repeat(limits::FOREIGN_TOKEN_BYTES + 1),
    ];
    for bad in cases {
        assert!(matches!(read(bad), Err(TokenError::Malformed)), "{:.60}", bad);
    }
    // Every changed byte of what is signed is noticed.
    let end = good.rfind('.').unwrap();
    for at in 0..end {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let text = String::from_utf8(bytes).unwrap();
        assert!(verify(&text, &keys()).is_err(), "byte {at}");
    }
}

#[test]
fn a_token_is_for_whom_it_names_alone_or_as_its_authorized_party() {
    let is_for = |claims: Value| Claims(claims.as_object().unwrap().clone()).is_for("us");
    assert!(is_for(json!({ "aud": "us" })));
    assert!(is_for(json!({ "aud": ["us"] })));
    assert!(is_for(json!({ "aud": ["us"], "azp": "us" })));
    assert!(is_for(json!({ "aud": ["them", "us"], "azp": "us" })));
    for bad in [
        json!({}),
        json!({ "aud": "them" }),
        json!({ "aud": "us ", "azp": "us" }),
        json!({ "aud": ["them"] , "azp": "us" }),
        json!({ "aud": ["them", "us"] }),
        json!({ "aud": ["them", "us"], "azp": "them" }),
        json!({ "aud": "us", "azp": "them" }),
        json!({ "aud": "us", "azp": ["us"] }),
        json!({ "aud": { "us": true } }),
        json!({ "aud": [["us"]] }),
        json!({ "aud": [] }),
    ] {
        assert!(!is_for(bad.clone()), "{bad}");
    }
}

#[test]
fn moments_are_numbers_and_nothing_else() {
    let moment = |value: Value| Claims(json!({ "exp": value }).as_object().unwrap().clone()).moment("exp");
    assert_eq!(moment(json!(1_795_000_000)), Some(Timestamp::from_secs(1_795_000_000)));
    assert_eq!(moment(json!(1_795_000_000.25)), Some(Timestamp::from_secs(1_795_000_000)));
    for bad in [json!("1795000000"), json!(-1), json!(1e300), json!(null), json!([1]), json!(true)] {
        assert_eq!(moment(bad.clone()), None, "{bad}");
    }
}
