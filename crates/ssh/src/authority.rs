//! The authority for SSH user certificates (OpenSSH's PROTOCOL.certkeys), and its list of revoked ones (PROTOCOL.krl).

use crate::identity::{ED25519, line, packed, public_blob, signature};
use crate::wire::{Reader, nested, put};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64;
use portunus_core::secret::Secret;
use portunus_core::time::Timestamp;
use std::fmt;

const CERTIFICATE: &str = "ssh-ed25519-cert-v01@openssh.com";
/// For a user, not a host.
const USER: u32 = 1;
/// The magic of a revocation list, and its format.
const KRL: (&[u8], u32) = (b"SSHKRL\n\0", 1);
/// Sections of a revocation list: certificates of one authority, and within it their serial numbers.
const SECTION_CERTIFICATES: u8 = 1;
const SECTION_SERIALS: u8 = 0x20;

/// Signs user certificates.
pub struct UserAuthority(Ed25519KeyPair);

/// What a certificate says.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Unique among those of the authority, not zero (which a revocation list cannot name).
    pub serial: u64,
    /// For the log of the server that sees it.
    pub key_id: &'a str,
    /// Whom it may log in as; not empty (which would be everybody).
    pub principals: &'a [&'a str],
    /// When its life begins.
    pub valid_after: Timestamp,
    /// And ends; in whole seconds.
    pub valid_before: Timestamp,
    /// The only addresses that it may be used from, as CIDR with commas between.
    pub source_address: Option<&'a str>,
    /// Such as `permit-pty`, in alphabetic order.
    pub extensions: &'a [&'a str],
}

/// A certificate as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub(crate) blob: Vec<u8>,
    pub(crate) public: Vec<u8>,
    /// Its serial number.
    pub serial: u64,
    /// The second in which its life ends.
    pub valid_before: u64,
}

impl fmt::Debug for UserAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserAuthority").finish_non_exhaustive()
    }
}

impl UserAuthority {
    /// With the key of this seed; `None` when the cryptographic library refuses it.
    #[must_use]
    pub fn new(seed: &Secret<[u8; 32]>) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed.expose()).ok().map(Self)
    }

    /// The line for a server's `TrustedUserCAKeys`.
    #[must_use]
    pub fn public_line(&self) -> String {
        line("ssh-ed25519", &self.blob(), "portunus-ssh-ca") + "\n"
    }

    fn blob(&self) -> Vec<u8> {
        public_blob(self.0.public_key().as_ref())
    }

    /// The line of a certificate for this public key. `nonce` are random bytes.
    #[must_use]
    pub fn certify(&self, public: &[u8; 32], nonce: &[u8; 32], said: &Said<'_>) -> String {
        let mut blob = Vec::new();
        put(&mut blob, CERTIFICATE.as_bytes());
        put(&mut blob, nonce);
        put(&mut blob, public);
        blob.extend_from_slice(&said.serial.to_be_bytes());
        blob.extend_from_slice(&USER.to_be_bytes());
        put(&mut blob, said.key_id.as_bytes());
        packed(&mut blob, said.principals);
        blob.extend_from_slice(&said.valid_after.as_secs().to_be_bytes());
        blob.extend_from_slice(&said.valid_before.as_secs().to_be_bytes());
        nested(&mut blob, |options| {
            if let Some(addresses) = said.source_address {
                put(options, b"source-address");
                packed(options, &[addresses]);
            }
        });
        nested(&mut blob, |extensions| {
            for extension in said.extensions {
                put(extensions, extension.as_bytes());
                put(extensions, b"");
            }
        });
        // Reserved.
        put(&mut blob, b"");
        put(&mut blob, &self.blob());
        let signature = signature(&self.0, &blob);
        put(&mut blob, &signature);
        line(CERTIFICATE, &blob, said.key_id)
    }

    /// A list for a server's `RevokedKeys`. `version` grows with each.
    #[must_use]
    pub fn revocations(&self, serials: &[u64], version: u64, now: Timestamp) -> Vec<u8> {
        let mut serials = serials.to_vec();
        serials.sort_unstable();
        serials.dedup();
        let mut list = KRL.0.to_vec();
        list.extend_from_slice(&KRL.1.to_be_bytes());
        list.extend_from_slice(&version.to_be_bytes());
        list.extend_from_slice(&now.as_secs().to_be_bytes());
        // Flags, reserved, comment.
        list.extend_from_slice(&0_u64.to_be_bytes());
        put(&mut list, b"");
        put(&mut list, b"portunus");
        if serials.is_empty() {
            return list;
        }
        list.push(SECTION_CERTIFICATES);
        nested(&mut list, |section| {
            put(section, &self.blob());
            put(section, b"");
            section.push(SECTION_SERIALS);
            nested(section, |all| {
                serials.iter().for_each(|serial| all.extend_from_slice(&serial.to_be_bytes()))
            });
        });
        list
    }
}

impl Certificate {
    /// Reads the line of a certificate for an Ed25519 key; who signed it is for servers to check.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some(CERTIFICATE) {
            return None;
        }
        let blob = BASE64.decode(words.next()?.as_bytes()).ok()?;
        let mut reader = Reader(&blob);
        if reader.string()? != CERTIFICATE.as_bytes() {
            return None;
        }
        let _nonce = reader.string()?;
        let public = reader.string()?.to_vec();
        let serial = reader.u64()?;
        if reader.u32()? != USER {
            return None;
        }
        let (_key_id, _principals, _valid_after) = (reader.string()?, reader.string()?, reader.u64()?);
        let valid_before = reader.u64()?;
        let (_options, _extensions, _reserved) = (reader.string()?, reader.string()?, reader.string()?);
        let mut signer = Reader(reader.string()?);
        let signed = signer.string()? == ED25519 && reader.string().is_some() && reader.0.is_empty();
        signed.then_some(Self { blob, public, serial, valid_before })
    }
}
