//! Proofs as attackers make them.

use super::*;
use crate::signer::Signer;
use serde_json::{Value, json};

const URL: &str = "https://tools.example.com/sales/mcp";
const TOKEN: &str = "ptn_at_the-token";
const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const ME: Digest = Digest([1; 32]);

fn expected() -> Expected<'static> {
    Expected { method: "POST", url: URL, access_token: Some(TOKEN), key: None, now: NOW }
}

fn public(signer: &Signer) -> Value {
    let mut key = signer.jwk("x");
    key.as_object_mut().unwrap().remove("kid");
    key
}

fn header(signer: &Signer, alg: &str) -> Value {
    json!({ "typ": "dpop+jwt", "alg": alg, "jwk": public(signer) })
}

fn claims() -> Value {
    let ath = BASE64URL_NOPAD.encode(&sha256(&[TOKEN.as_bytes()]).0);
    json!({ "jti": "one", "htm": "POST", "htu": URL, "iat": NOW.as_secs(), "ath": ath })
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
fn a_proof_of_each_algorithm_names_its_key() {
    for (signer, algorithms) in [
        (Signer::ed25519(), &["EdDSA"][..]),
        (Signer::p256(), &["ES256"][..]),
        (Signer::rsa(), &["RS256", "PS256"][..]),
    ] {
        let mut keys = std::collections::HashSet::new();
        for alg in algorithms {
            let proven = verify(&signer.sign(&header(&signer, alg), &claims()), &expected()).unwrap();
            keys.insert(proven.key);
            let bound = Expected { key: Some(proven.key), ..expected() };
            assert!(verify(&signer.sign(&header(&signer, alg), &claims()), &bound).is_ok());
        }
        assert_eq!(keys.len(), 1);
    }
    // The example of RFC 7638 section 3.1.
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let set = json!({ "keys": [{ "kty": "RSA", "n": n, "e": "AQAB" }] });
    let set = KeySet::parse(set.to_string().as_bytes()).unwrap();
    let key = set.choose(jsonwebtoken::Algorithm::RS256, None).unwrap();
    assert_eq!(BASE64URL_NOPAD.encode(&key.thumbprint().0), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn a_proof_is_good_for_one_method_address_token_and_moment() {
    let signer = Signer::ed25519();
    let now = NOW.as_secs();
    for (member, value, error) in [
        ("htm", Some(json!("GET")), DpopError::Request),
        ("htm", Some(json!("post")), DpopError::Request),
        ("htm", None, DpopError::Malformed),
        ("htu", Some(json!("https://tools.example.com/hr/mcp")), DpopError::Request),
        ("htu", Some(json!("http://tools.example.com/sales/mcp")), DpopError::Request),
        ("htu", Some(json!("https://tools.example.com/sales/mcp/")), DpopError::Request),
        ("htu", Some(json!("https://tools.example.com.evil.test/sales/mcp")), DpopError::Request),
        ("htu", Some(json!("https://me@tools.example.com/sales/mcp")), DpopError::Request),
        ("htu", Some(json!("https://tools.example.com/oauth/token")), DpopError::Request),
        ("htu", Some(json!("/sales/mcp")), DpopError::Request),
        ("ath", None, DpopError::Token),
        ("ath", Some(json!("")), DpopError::Token),
        ("ath", Some(json!(BASE64URL_NOPAD.encode(&[0; 32]))), DpopError::Token),
        ("iat", Some(json!(now - 120)), DpopError::Time),
        ("iat", Some(json!(now + 31)), DpopError::Time),
        ("iat", Some(json!(-1)), DpopError::Malformed),
        ("iat", Some(json!(1e300)), DpopError::Malformed),
        ("iat", Some(json!("now")), DpopError::Malformed),
        ("iat", None, DpopError::Malformed),
        ("jti", None, DpopError::Malformed),
        ("jti", Some(json!("")), DpopError::Malformed),
        ("jti", Some(json!("x".repeat(257))), DpopError::Malformed),
    ] {
        let proof = signer.sign(&header(&signer, "EdDSA"), &with(&claims(), member, value.clone()));
        assert_eq!(verify(&proof, &expected()), Err(error), "{member} {value:?}");
    }
    // Written otherwise, but the same address (RFC 3986 section 6.2.2); query and fragment do not count.
    for same in [
        "HTTPS://Tools.Example.com/sales/mcp",
        "https://tools.example.com:443/sales/mcp",
        "https://tools.example.com/sales/mcp?x=1#y",
    ] {
        let proof = signer.sign(&header(&signer, "EdDSA"), &with(&claims(), "htu", Some(json!(same))));
        assert!(verify(&proof, &expected()).is_ok(), "{same}");
    }
    let other = Expected { key: Some(Digest([0; 32])), ..expected() };
    assert_eq!(verify(&signer.sign(&header(&signer, "EdDSA"), &claims()), &other), Err(DpopError::OtherKey));
}

#[test]
fn a_header_brings_one_public_key_of_its_algorithm_and_nothing_else() {
    let (signer, rsa) = (Signer::ed25519(), Signer::rsa());
    let good = header(&signer, "EdDSA");
    let mut private = public(&signer);
    private["d"] = json!("AA");
    for (member, value, error) in [
        ("typ", Some(json!("JWT")), DpopError::Header),
        ("typ", Some(json!("DPOP+JWT")), DpopError::Header),
        ("typ", None, DpopError::Malformed),
        ("alg", Some(json!("none")), DpopError::Key),
        ("alg", Some(json!("HS256")), DpopError::Key),
        ("alg", Some(json!("ES256")), DpopError::Key),
        ("alg", Some(json!("RS256")), DpopError::Key),
        ("jwk", Some(private), DpopError::Key),
        ("jwk", Some(json!({ "kty": "oct", "k": "AAAA" })), DpopError::Key),
        ("jwk", Some(json!([public(&signer)])), DpopError::Key),
        ("jwk", Some(json!("x")), DpopError::Key),
        ("jwk", Some(public(&rsa)), DpopError::Key),
        ("jwk", None, DpopError::Malformed),
        ("jku", Some(json!("https://evil.test/keys")), DpopError::Header),
        ("x5u", Some(json!("https://evil.test/keys")), DpopError::Header),
        ("x5c", Some(json!([])), DpopError::Header),
        ("crit", Some(json!(["b64"])), DpopError::Header),
        ("b64", Some(json!(false)), DpopError::Header),
    ] {
        let proof = signer.sign(&with(&good, member, value.clone()), &claims());
        assert_eq!(verify(&proof, &expected()), Err(error), "{member} {value:?}");
    }
    // Somebody else's key in the header does not make the signature theirs.
    let stolen = signer.sign(&header(&Signer::ed25519(), "EdDSA"), &claims());
    assert_eq!(verify(&stolen, &expected()), Err(DpopError::Signature));
}

#[test]
fn what_is_not_a_signed_text_proves_nothing() {
    let signer = Signer::p256();
    let good = signer.sign(&header(&signer, "ES256"), &claims());
    let (message, _) = good.rsplit_once('.').unwrap();
    let (first, second) = message.split_once('.').unwrap();
    for (text, error) in [
        (String::new(), DpopError::Malformed),
        ("..".to_owned(), DpopError::Malformed),
        (message.to_owned(), DpopError::Malformed),
        (format!("{message}."), DpopError::Signature),
        // All zero: what some verifiers once took for a signature by any P-256 key (CVE-2022-21449).
        (format!("{message}.{}", BASE64URL_NOPAD.encode(&[0; 64])), DpopError::Signature),
        (format!("{good}.x"), DpopError::Malformed),
        (format!("{good}="), DpopError::Signature),
        (format!(" {good}"), DpopError::Malformed),
        (format!("{second}.{first}.{}", &good[message.len() + 1..]), DpopError::Malformed),
        (format!("{good}{}", "A".repeat(limits::DPOP_PROOF_BYTES)), DpopError::Malformed),
    ] {
        assert_eq!(verify(&text, &expected()), Err(error), "{text}");
    }
    // Twice the same member: whichever a reader takes, this one takes none.
    let doubled = r#"{"jti":"a","jti":"b","htm":"POST","htu":"x","iat":1}"#;
    let text = format!(
        "{first}.{}.{}",
        BASE64URL_NOPAD.encode(doubled.as_bytes()),
        BASE64URL_NOPAD.encode(&[1; 64])
    );
    assert_eq!(verify(&text, &expected()), Err(DpopError::Malformed));
}

fn proven(guard_nonce: Option<String>, jti: &str) -> Proven {
    Proven { key: Digest([1; 32]), id: sha256(&[jti.as_bytes()]), nonce: guard_nonce }
}

#[test]
fn a_proof_is_taken_once_for_as_long_as_it_is_good() {
    let guard = Guard::new(&[7; 32], false);
    let one = proven(None, "one");
    assert_eq!(guard.take(&one, ME, NOW), Ok(()));
    let span = limits::DPOP_AGE + limits::SIGNED_ASSERTION_SKEW;
    for later in [Duration::ZERO, Duration::from_secs(1), span - Duration::from_millis(1)] {
        // Others come in between and make the sets change places.
        assert_eq!(guard.take(&proven(None, &format!("{later:?}")), ME, NOW.plus(later)), Ok(()));
        assert_eq!(guard.take(&one, ME, NOW.plus(later)), Err(DpopError::Replayed), "{later:?}");
    }
    assert_eq!(guard.take(&proven(None, "later"), ME, NOW.plus(span)), Ok(()));
    assert_eq!(
        guard.take(&one, ME, NOW.plus(span)),
        Err(DpopError::Replayed),
        "still remembered in the past set"
    );
    assert_eq!(guard.take(&one, ME, NOW.plus(span * 2)), Ok(()), "by now its age alone refuses it");
}

#[test]
fn memory_is_bounded_and_what_cannot_be_remembered_is_refused() {
    let mut used = Used::default();
    for n in 0..limits::DPOP_PROOFS {
        let holder = sha256(&[&(n / limits::DPOP_PROOFS_EACH).to_be_bytes()]);
        assert_eq!(used.take(sha256(&[&n.to_be_bytes()]), holder, NOW), Ok(()));
    }
    assert_eq!(used.take(sha256(&[b"one more"]), ME, NOW), Err(DpopError::Full));
    let span = limits::DPOP_AGE + limits::SIGNED_ASSERTION_SKEW;
    assert_eq!(used.take(sha256(&[b"one more"]), ME, NOW.plus(span)), Ok(()));
}

#[test]
fn one_who_sends_too_many_proofs_shuts_out_nobody_else() {
    let guard = Guard::new(&[7; 32], false);
    guard.fill(ME, NOW);
    assert_eq!(guard.take(&proven(None, "mine"), ME, NOW), Err(DpopError::Full));
    assert_eq!(guard.take(&proven(None, "another's"), Digest([2; 32]), NOW), Ok(()));
    let span = limits::DPOP_AGE + limits::SIGNED_ASSERTION_SKEW;
    assert_eq!(guard.take(&proven(None, "mine"), ME, NOW.plus(span)), Ok(()));
}

#[test]
fn a_reserved_proof_is_good_for_nobody_else_and_is_used_up_only_when_kept() {
    let guard = Guard::new(&[7; 32], false);
    let one = proven(None, "one");
    let place = guard.reserve(&one, NOW).unwrap();
    assert_eq!(guard.take(&one, ME, NOW), Err(DpopError::Replayed));
    drop(place);
    assert!(guard.used().shares.is_empty() && guard.used().present.is_empty());
    // Its span may end in between.
    let span = limits::DPOP_AGE + limits::SIGNED_ASSERTION_SKEW;
    let place = guard.reserve(&one, NOW).unwrap();
    assert_eq!(guard.take(&proven(None, "later"), ME, NOW.plus(span)), Ok(()));
    drop(place);
    assert!(guard.used().past.is_empty());
    guard.reserve(&one, NOW.plus(span)).unwrap().keep();
    assert_eq!(guard.take(&one, ME, NOW.plus(span)), Err(DpopError::Replayed));
}

#[test]
fn a_nonce_is_ours_and_fresh_or_none() {
    let (guard, other) = (Guard::new(&[7; 32], true), Guard::new(&[8; 32], true));
    let Err(DpopError::Nonce(nonce)) = guard.take(&proven(None, "a"), ME, NOW) else {
        panic!("a nonce is demanded")
    };
    assert_eq!(guard.take(&proven(Some(nonce.clone()), "a"), ME, NOW), Ok(()));
    let last = NOW.plus(limits::DPOP_NONCE_AGE - Duration::from_secs(1));
    assert_eq!(guard.take(&proven(Some(nonce.clone()), "b"), ME, last), Ok(()));
    let mut forged = nonce.clone().into_bytes();
    forged[3] ^= 1;
    for (bad, at) in [
        (nonce.clone(), NOW.plus(limits::DPOP_NONCE_AGE)),
        (other.nonce(NOW), NOW),
        (guard.nonce(NOW.plus(Duration::from_secs(60))), NOW),
        (String::from_utf8(forged).unwrap(), NOW),
        (String::new(), NOW),
        ("AAAA".to_owned(), NOW),
    ] {
        let refused = guard.take(&proven(Some(bad.clone()), "c"), ME, at);
        assert!(matches!(refused, Err(DpopError::Nonce(_))), "{bad}");
    }
    // Where none is demanded, a wrong one is still no nonce.
    let lax = Guard::new(&[7; 32], false);
    assert!(matches!(lax.take(&proven(Some(other.nonce(NOW)), "d"), ME, NOW), Err(DpopError::Nonce(_))));
}
