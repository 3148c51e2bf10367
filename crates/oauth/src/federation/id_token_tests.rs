use super::*;
use crate::federation::testing::{SIGNER, changed};
use crate::jwt;
use crate::keys::KeySet;
use serde_json::json;

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fn good() -> Value {
    json!({
        "iss": "https://login.example", "aud": "portunus", "sub": "subject-1", "nonce": "the nonce",
        "iat": 1_795_000_000, "exp": 1_795_000_300, "sid": "s1", "auth_time": 1_794_999_000,
        "amr": ["pwd", "otp"], "acr": "gold",
    })
}

fn check_with(header: Value, changes: Value, max_age: Option<u64>) -> Result<IdToken, IdTokenError> {
    let header = changed(&json!({ "alg": "ES256", "kid": "e" }), &header);
    let token = SIGNER.token(&header, &changed(&good(), &changes));
    let keys = KeySet::parse(SIGNER.jwks().to_string().as_bytes()).unwrap();
    let verified = jwt::read(&token).unwrap().verify(&keys).unwrap();
    let expected = Expected {
        issuer: "https://login.example",
        client_id: "portunus",
        nonce: "the nonce",
        max_age: max_age.map(Duration::from_secs),
        now: NOW,
    };
    check(verified, &expected)
}

fn checked(changes: Value) -> Result<IdToken, IdTokenError> {
    check_with(json!({}), changes, None)
}

#[test]
fn a_good_token_says_who_when_and_how() {
    let token = checked(json!({})).unwrap();
    assert_eq!((token.subject.as_str(), token.sid.as_deref()), ("subject-1", Some("s1")));
    assert_eq!((token.amr, token.acr.as_deref()), (vec!["pwd".to_owned(), "otp".to_owned()], Some("gold")));
    assert_eq!(token.auth_time, Some(Timestamp::from_secs(1_794_999_000)));
}

#[test]
fn each_claim_that_is_wrong_refuses() {
    let second = |offset: i64| json!(1_795_000_000 + offset);
    for (changes, error) in [
        (json!({ "iss": "https://login.example/" }), IdTokenError::Issuer),
        (json!({ "iss": "https://evil.example" }), IdTokenError::Issuer),
        (json!({ "iss": null }), IdTokenError::Issuer),
        (json!({ "iss": ["https://login.example"] }), IdTokenError::Issuer),
        (json!({ "aud": "other" }), IdTokenError::Audience),
        (json!({ "aud": null }), IdTokenError::Audience),
        (json!({ "aud": ["portunus", "other"] }), IdTokenError::Audience),
        (json!({ "azp": "other" }), IdTokenError::Audience),
        (json!({ "nonce": "another" }), IdTokenError::Nonce),
        (json!({ "nonce": null }), IdTokenError::Nonce),
        (json!({ "exp": null }), IdTokenError::Expired),
        (json!({ "exp": "1795000300" }), IdTokenError::Expired),
        (json!({ "exp": second(-60) }), IdTokenError::Expired),
        (json!({ "iat": null }), IdTokenError::Early),
        (json!({ "iat": second(61) }), IdTokenError::Early),
        (json!({ "nbf": second(61) }), IdTokenError::Early),
        (json!({ "nbf": "soon" }), IdTokenError::Early),
        (json!({ "auth_time": second(61) }), IdTokenError::Early),
        (json!({ "sub": null }), IdTokenError::Subject),
        (json!({ "sub": "" }), IdTokenError::Subject),
        (json!({ "sub": "a\u{0}b" }), IdTokenError::Subject),
        (json!({ "sub": "x".repeat(256) }), IdTokenError::Subject),
        (
            json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } }),
            IdTokenError::Kind,
        ),
    ] {
        assert_eq!(checked(changes.clone()).unwrap_err(), error, "{changes}");
    }
}

#[test]
fn clocks_may_differ_by_a_minute_and_no_more() {
    let second = |offset: i64| json!(1_795_000_000 + offset);
    for fine in [json!({ "exp": second(-59) }), json!({ "iat": second(60) }), json!({ "nbf": second(60) })] {
        assert!(checked(fine.clone()).is_ok(), "{fine}");
    }
}

#[test]
fn a_token_of_another_kind_is_no_id_token() {
    for typ in ["logout+jwt", "at+jwt", "application/logout+jwt", "secevent+jwt", "dpop+jwt"] {
        assert_eq!(
            check_with(json!({ "typ": typ }), json!({}), None).unwrap_err(),
            IdTokenError::Kind,
            "{typ}"
        );
    }
    for typ in ["JWT", "jwt", "application/jwt"] {
        assert!(check_with(json!({ "typ": typ }), json!({}), None).is_ok(), "{typ}");
    }
}

#[test]
fn a_sign_in_that_is_older_than_asked_for_is_refused() {
    assert!(check_with(json!({}), json!({}), Some(1000)).is_ok());
    assert!(check_with(json!({}), json!({}), Some(940)).is_ok(), "within the skew");
    assert_eq!(check_with(json!({}), json!({}), Some(939)).unwrap_err(), IdTokenError::TooOld);
    let silent = check_with(json!({}), json!({ "auth_time": null }), Some(1000));
    assert_eq!(silent.unwrap_err(), IdTokenError::TooOld);
}

#[test]
fn what_a_token_says_of_the_sign_in_is_bounded() {
    let many = json!(vec!["x"; 100]);
    assert_eq!(checked(json!({ "amr": many })).unwrap().amr.len(), limits::AMR_VALUES);
    let odd = checked(
        json!({ "amr": ["ok", 7, "", "a\nb", "x".repeat(500)], "acr": "x".repeat(500), "sid": "\u{1}" }),
    );
    let odd = odd.unwrap();
    assert_eq!((odd.amr, odd.acr, odd.sid), (vec!["ok".to_owned()], None, None));
    assert!(checked(json!({ "amr": "pwd" })).unwrap().amr.is_empty());
}
