//! SHA-256 (FIPS 180-4) and comparison in constant time.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A SHA-256 digest; prints and serialises as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

/// The digest of `parts` laid end to end.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0_u8; 32];
    for (to, from) in digest.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    Digest(digest)
}

/// Whether two byte strings are equal, in time that depends on their lengths only.
#[must_use]
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(left, right).is_ok()
}

impl Digest {
    /// Lower-case hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}
impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.hex()
    }
}
impl TryFrom<String> for Digest {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes =
            data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| "not lower-case hexadecimal")?;
        bytes.try_into().map(Self).map_err(|_| "a SHA-256 digest is 32 bytes")
    }
}
