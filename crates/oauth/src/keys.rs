//! JSON Web Key Sets (RFC 7517) that clients and identity providers publish: read strictly and bounded, reduced to the
//! public keys that can verify a signature here, and asked for one key at a time.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use portunus_core::digest::{Digest, sha256};
use portunus_core::limits;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The algorithms that are accepted anywhere (RFC 8725 section 3.1): asymmetric ones only, so that no public key can be
/// taken for a shared secret.
pub const ALGORITHMS: [&str; 4] = ["RS256", "PS256", "ES256", "EdDSA"];

/// One of [`ALGORITHMS`].
#[must_use]
pub fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "PS256" => Some(Algorithm::PS256),
        "ES256" => Some(Algorithm::ES256),
        "EdDSA" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

/// A key set with at least one usable key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeySet {
    keys: Vec<PublicKey>,
}

/// A public key that can verify one or two of [`ALGORITHMS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicKey {
    kty: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(flatten)]
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Material {
    Rsa { n: String, e: String },
    P256 { crv: &'static str, x: String, y: String },
    Ed25519 { crv: &'static str, x: String },
}

/// Why a key set is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Longer than [`limits::KEY_SET_BYTES`].
    #[error("the key set is longer than {} bytes", limits::KEY_SET_BYTES)]
    TooLong,
    /// More than [`limits::KEY_SET_KEYS`] keys.
    #[error("the key set has more than {} keys", limits::KEY_SET_KEYS)]
    TooMany,
    /// Not a JSON Web Key Set.
    #[error("the key set is not one by RFC 7517: {0}")]
    NotAKeySet(String),
    /// Somebody published their private or shared key.
    #[error("the key set holds a private or symmetric key; replace that key, and publish public ones only")]
    Private,
    /// Nothing in it can verify a signature here.
    #[error("the key set has no public signing key of RSA (2048 to 4096 bits), P-256 or Ed25519")]
    Useless,
}

/// Why no key of a set verifies a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// None fits: the set may have been rolled over since it was read.
    #[error("no key of the key set fits the signature's `kid` and `alg`")]
    Unknown,
    /// Several do.
    #[error("several keys of the key set fit the signature; name one with `kid`")]
    Ambiguous,
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<RawKey>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

impl KeySet {
    /// Reads a key set. Keys that cannot be used here are left out (RFC 7517 section 5).
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetError> {
        if bytes.len() > limits::KEY_SET_BYTES {
            return Err(KeySetError::TooLong);
        }
        let set: RawSet =
            serde_json::from_slice(bytes).map_err(|error| KeySetError::NotAKeySet(error.to_string()))?;
        if set.keys.len() > limits::KEY_SET_KEYS {
            return Err(KeySetError::TooMany);
        }
        if set.keys.iter().any(|key| key.d.is_some() || key.k.is_some()) {
            return Err(KeySetError::Private);
        }
        let keys: Vec<PublicKey> = set.keys.into_iter().filter_map(PublicKey::read).collect();
        if keys.is_empty() { Err(KeySetError::Useless) } else { Ok(Self { keys }) }
    }

    /// The set as JSON again, with nothing in it but what is used here.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Structs of strings: writing them cannot fail; an empty text would be read as no key set.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The one key for a signature by `algorithm` whose header names `kid`, or names none.
    ///
    /// # Errors
    /// When none or several fit.
    pub fn choose(&self, algorithm: Algorithm, kid: Option<&str>) -> Result<&PublicKey, NoKey> {
        let named = |key: &&PublicKey| kid.is_none() || key.kid.as_deref() == kid;
        let mut fitting = self.keys.iter().filter(named).filter(|key| key.verifies(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(NoKey::Unknown),
            (Some(_), Some(_)) => Err(NoKey::Ambiguous),
        }
    }
}

impl PublicKey {
    fn read(raw: RawKey) -> Option<Self> {
        let verifies = raw.usage.as_deref().is_none_or(|usage| usage == "sig")
            && raw.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"))
            && raw.alg.as_deref().is_none_or(|alg| algorithm(alg).is_some())
            && raw.kid.as_ref().is_none_or(|kid| kid.len() <= limits::ID_BYTES);
        let length = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).ok().map(|bytes| bytes.len());
        let is = |text: &Option<String>, bytes: usize| text.as_deref().and_then(length) == Some(bytes);
        let (kty, material) = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", None) => {
                let (n, e) = (raw.n?, raw.e?);
                let (fewest, most) = limits::RSA_MODULUS_BYTES;
                let sound = (fewest..=most).contains(&length(&n)?) && (1..=4).contains(&length(&e)?);
                ("RSA", sound.then_some(Material::Rsa { n, e })?)
            }
            ("EC", Some("P-256")) if is(&raw.x, 32) && is(&raw.y, 32) => {
                ("EC", Material::P256 { crv: "P-256", x: raw.x?, y: raw.y? })
            }
            ("OKP", Some("Ed25519")) if is(&raw.x, 32) => {
                ("OKP", Material::Ed25519 { crv: "Ed25519", x: raw.x? })
            }
            _ => return None,
        };
        verifies.then_some(Self { kty, kid: raw.kid, alg: raw.alg, material })
    }

    fn verifies(&self, wanted: Algorithm) -> bool {
        let by_type = match self.material {
            Material::Rsa { .. } => matches!(wanted, Algorithm::RS256 | Algorithm::PS256),
            Material::P256 { .. } => wanted == Algorithm::ES256,
            Material::Ed25519 { .. } => wanted == Algorithm::EdDSA,
        };
        by_type && self.alg.as_deref().is_none_or(|alg| algorithm(alg) == Some(wanted))
    }

    /// The SHA-256 thumbprint of RFC 7638: one text for one key, since its parts were read strictly.
    #[must_use]
    pub fn thumbprint(&self) -> Digest {
        let text = match &self.material {
            Material::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
            Material::P256 { crv, x, y } => format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#),
            Material::Ed25519 { crv, x } => format!(r#"{{"crv":"{crv}","kty":"OKP","x":"{x}"}}"#),
        };
        sha256(&[text.as_bytes()])
    }

    /// The key as `jsonwebtoken` takes it; `None` when it is malformed after all.
    #[must_use]
    pub fn decoding(&self) -> Option<DecodingKey> {
        match &self.material {
            Material::Rsa { n, e } => DecodingKey::from_rsa_components(n, e).ok(),
            Material::P256 { x, y, .. } => DecodingKey::from_ec_components(x, y).ok(),
            Material::Ed25519 { x, .. } => DecodingKey::from_ed_components(x).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn parse(value: &Value) -> Result<KeySet, KeySetError> {
        KeySet::parse(value.to_string().as_bytes())
    }

    fn ed(kid: &str) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": BASE64URL_NOPAD.encode(&[7; 32]) })
    }

    fn rsa(bytes: usize) -> Value {
        json!({ "kty": "RSA", "n": BASE64URL_NOPAD.encode(&vec![0xc5; bytes]), "e": "AQAB", "kid": "r" })
    }

    #[test]
    fn a_key_is_chosen_by_name_and_algorithm_and_never_by_what_a_signature_brings() {
        let p256 = json!({ "kty": "EC", "crv": "P-256", "kid": "p", "x": BASE64URL_NOPAD.encode(&[1; 32]),
            "y": BASE64URL_NOPAD.encode(&[2; 32]) });
        let mut only_pss = rsa(256);
        only_pss["alg"] = "PS256".into();
        let set = parse(&json!({ "keys": [ed("a"), ed("b"), only_pss, p256] })).unwrap();
        assert_eq!(set.choose(Algorithm::EdDSA, Some("b")).unwrap().kid.as_deref(), Some("b"));
        assert_eq!(set.choose(Algorithm::EdDSA, None), Err(NoKey::Ambiguous));
        assert_eq!(set.choose(Algorithm::ES256, None).unwrap().kid.as_deref(), Some("p"));
        assert_eq!(set.choose(Algorithm::ES256, Some("a")), Err(NoKey::Unknown), "the key's type decides");
        assert_eq!(set.choose(Algorithm::PS256, Some("r")).unwrap().kid.as_deref(), Some("r"));
        assert_eq!(set.choose(Algorithm::RS256, Some("r")), Err(NoKey::Unknown), "its `alg` says PS256");
        assert_eq!(set.choose(Algorithm::HS256, Some("r")), Err(NoKey::Unknown));
        assert_eq!(set.choose(Algorithm::EdDSA, Some("../../etc/passwd")), Err(NoKey::Unknown));
        // What is stored is read again as the same set.
        assert_eq!(KeySet::parse(set.to_json().as_bytes()), Ok(set));
    }

    #[test]
    fn bombs_and_keys_of_no_use_are_left_out_or_refused() {
        let many = |count: usize| parse(&json!({ "keys": vec![ed("x"); count] }));
        assert!(many(limits::KEY_SET_KEYS).is_ok());
        assert_eq!(many(1000), Err(KeySetError::TooLong));
        assert_eq!(many(limits::KEY_SET_KEYS + 1), Err(KeySetError::TooMany));
        assert_eq!(parse(&json!({ "keys": [ed(&"k".repeat(70_000))] })), Err(KeySetError::TooLong));
        let unusable = [
            json!({}),
            rsa(128),  // 1024 bits can be factored
            rsa(2048), // 16384 bits cost more to check than to make up
            json!({ "kty": "RSA", "n": BASE64URL_NOPAD.encode(&[0xc5; 256]), "e": "AQABAQABAQAB" }),
            json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }),
            json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }),
            json!({ "kty": "OKP", "crv": "X25519", "x": BASE64URL_NOPAD.encode(&[7; 32]) }),
            json!({ "kty": "oct" }),
            json!({ "kty": "unheard-of" }),
        ];
        for key in &unusable[1..] {
            assert_eq!(parse(&json!({ "keys": [key] })), Err(KeySetError::Useless), "{key}");
            assert_eq!(parse(&json!({ "keys": [key, ed("a")] })).unwrap().keys.len(), 1, "{key}");
        }
        for (member, value) in [("use", "enc"), ("alg", "HS256"), ("alg", "none"), ("alg", "RSA1_5")] {
            let mut key = ed("a");
            key[member] = value.into();
            assert_eq!(parse(&json!({ "keys": [key] })), Err(KeySetError::Useless), "{member}={value}");
        }
        for (member, value) in [("d", json!("AA")), ("k", json!("AA")), ("d", json!(7))] {
            let mut key = ed("a");
            key[member] = value;
            assert_eq!(parse(&json!({ "keys": [key, ed("b")] })), Err(KeySetError::Private));
        }
        for text in ["", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[7]}", "{\"keys\":[],\"keys\":[]}"] {
            assert!(KeySet::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_key_set_makes_the_reader_panic(text in ".{0,300}", x in ".{0,60}", kty in "RSA|EC|OKP") {
            let _ = KeySet::parse(text.as_bytes());
            let key = json!({ "kty": kty, "crv": "Ed25519", "x": x, "y": x, "n": x, "e": x });
            if let Ok(set) = parse(&json!({ "keys": [key] })) {
                prop_assert!(set.keys.iter().all(|key| key.decoding().is_some()));
            }
        }
    }
}
