//! A provider for the tests of signing in: its configuration, discovery document, keys, and tokens of any kind.

use super::provider::{Ends, Provider};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use std::sync::LazyLock;

pub(crate) fn provider(id: &str, issuer: &str) -> Provider {
    Provider {
        id: id.to_owned(),
        name: "Example".to_owned(),
        issuer: issuer.to_owned(),
        client_id: "portunus".to_owned(),
        client_secret: None,
        scopes: vec!["email".to_owned()],
        groups_claim: Some("groups".to_owned()),
        groups: None,
        user_claim: None,
        domains: vec![],
        backchannel_logout: Ends::Sessions,
        callback: "/login/oidc/callback".to_owned(),
    }
}

pub(crate) fn discovery(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/auth"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "userinfo_endpoint": format!("{issuer}/me"),
        "end_session_endpoint": format!("{issuer}/end"),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    })
}

/// One key of each kind. Making them takes a moment, so there is one set for all tests.
pub(crate) struct Signer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

pub(crate) static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::new);
/// Somebody else's keys.
pub(crate) static STRANGER: LazyLock<Signer> = LazyLock::new(Signer::new);

impl Signer {
    fn new() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    /// The keys `r`, `e` and `o`, as they are published.
    pub(crate) fn jwks(&self) -> Value {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let rsa = self.rsa.public_key();
        let (n, e) = (
            rsa.modulus().big_endian_without_leading_zero().to_vec(),
            rsa.exponent().big_endian_without_leading_zero().to_vec(),
        );
        let point = self.ec.public_key().as_ref();
        json!({ "keys": [
            { "kty": "RSA", "kid": "r", "use": "sig", "n": text(&n), "e": text(&e) },
            { "kty": "EC", "kid": "e", "crv": "P-256", "alg": "ES256", "x": text(&point[1..33]), "y": text(&point[33..]) },
            { "kty": "OKP", "kid": "o", "crv": "Ed25519", "x": text(self.ed.public_key().as_ref()) },
        ] })
    }

    /// A token with this header and these claims, signed by the header's own algorithm if it is a real one.
    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(claims));
        let random = SystemRandom::new();
        let message = signed.as_bytes();
        let mut rsa = vec![0; self.rsa.public_modulus_len()];
        let signature = match header["alg"].as_str().unwrap_or_default() {
            "RS256" => self.rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut rsa).map(|()| rsa).unwrap(),
            "PS256" => self.rsa.sign(&RSA_PSS_SHA256, &random, message, &mut rsa).map(|()| rsa).unwrap(),
            "ES256" => self.ec.sign(&random, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(message).as_ref().to_vec(),
            "HS256" => {
                // The confusion attack: the public key as a shared secret.
                let key =
                    aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, self.ed.public_key().as_ref());
                aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }
}

/// `members` with some changed, added, or (`null`) removed.
pub(crate) fn changed(members: &Value, changes: &Value) -> Value {
    let mut members = members.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    Value::Object(members)
}
