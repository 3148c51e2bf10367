//! Tokens: opaque to everyone, stored only as digests, recognisable to secret scanners.
//!
//! `ptn_at_` + 43 characters of base64url (32 random bytes) + 6 of base32 (a checksum of what comes before), so that a
//! scanner can tell a real token from a look-alike and a typing error is found before any look-up.

use crate::digest::{Digest, equal, sha256};
use crate::secret::Secret;
use crate::time::Rng;
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// `ptn_at_`: an access token.
    Access,
    /// `ptn_rt_`: a refresh token.
    Refresh,
    /// `ptn_jt_`: a connector's one-time join token.
    Join,
    /// `ptn_ac_`: an authorization code.
    Code,
    /// `ptn_ss_`: a browser session.
    Session,
    /// `ptn_cs_`: the secret of a registered OAuth client.
    ClientSecret,
    /// `ptn_dc_`: what a device fetches its tokens with.
    Device,
}

impl TokenKind {
    /// The visible prefix, with its trailing underscore.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Access => "ptn_at_",
            Self::Refresh => "ptn_rt_",
            Self::Join => "ptn_jt_",
            Self::Code => "ptn_ac_",
            Self::Session => "ptn_ss_",
            Self::ClientSecret => "ptn_cs_",
            Self::Device => "ptn_dc_",
        }
    }
}

const RANDOM_BYTES: usize = 32;
const CHECKSUM_CHARS: usize = 6;
/// The length of every token in bytes.
pub const TOKEN_BYTES: usize = 7 + 43 + CHECKSUM_CHARS;

/// Makes a fresh token.
#[must_use]
pub fn mint(kind: TokenKind, rng: &dyn Rng) -> Secret<String> {
    let mut random = [0_u8; RANDOM_BYTES];
    rng.fill(&mut random);
    let mut text = format!("{}{}", kind.prefix(), BASE64URL_NOPAD.encode(&random));
    text.push_str(&checksum(&text));
    Secret::new(text)
}

/// The digest under which a token is stored, if the text has the form of a token of this kind.
#[must_use]
pub fn digest(kind: TokenKind, text: &str) -> Option<Digest> {
    let (body, sum) = text.split_at_checked(TOKEN_BYTES - CHECKSUM_CHARS)?;
    let well_formed = text.len() == TOKEN_BYTES
        && body.strip_prefix(kind.prefix()).is_some_and(|r| r.bytes().all(is_base64url))
        && equal(sum.as_bytes(), checksum(body).as_bytes());
    well_formed.then(|| sha256(&[text.as_bytes()]))
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn checksum(body: &str) -> String {
    let sum = sha256(&[b"portunus token checksum", body.as_bytes()]);
    let mut text = BASE32_NOPAD.encode(&sum.0).to_ascii_lowercase();
    text.truncate(CHECKSUM_CHARS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevens;
    impl Rng for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    #[test]
    fn only_a_whole_token_of_the_right_kind_has_a_digest() {
        let token = mint(TokenKind::Access, &Sevens);
        let text = token.expose();
        assert_eq!(text.len(), TOKEN_BYTES);
        assert!(digest(TokenKind::Access, text).is_some());
        assert!(digest(TokenKind::Refresh, text).is_none());
        assert!(digest(TokenKind::Access, &text[..TOKEN_BYTES - 1]).is_none());
        assert!(digest(TokenKind::Access, &format!("{text}a")).is_none());
        let mut changed = text.clone();
        changed.replace_range(20..21, "x");
        assert!(digest(TokenKind::Access, &changed).is_none());
        assert!(digest(TokenKind::Access, &"é".repeat(28)).is_none());
    }
}
