//! What the peer of a TLS connection proved besides knowing how to speak TLS.

use crate::digest::{Digest, sha256};
use http::Extensions;
use std::sync::Arc;

/// The certificate that a client showed in its handshake. The handshake proved that the client holds its key; whether it
/// also chains up to an authority that an administrator named is in [`ClientCertificate::verified_by`].
///
/// The listener puts it into the extensions of each request of the connection ([`ClientCertificate::attach`]); whoever
/// needs it takes it from there ([`ClientCertificate::of`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The leaf, DER.
    pub der: Vec<u8>,
    /// SHA-256 of the leaf: `x5t#S256` of RFC 8705 section 3.1.
    pub thumbprint: Digest,
    /// The configured name of the authorities that its chain was verified against; `None`: it vouches for itself.
    pub verified_by: Option<String>,
    /// Its DNS names (`subjectAltName`), lower case. They prove something only where `verified_by` is there.
    pub dns_sans: Vec<String>,
}

impl ClientCertificate {
    /// A leaf whose key the peer has proven to hold.
    #[must_use]
    pub fn new(der: Vec<u8>, verified_by: Option<String>, dns_sans: Vec<String>) -> Self {
        let dns_sans = dns_sans.into_iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { thumbprint: sha256(&[&der]), der, verified_by, dns_sans }
    }
    /// Puts it where [`ClientCertificate::of`] finds it; made once per connection, shared by its requests.
    pub fn attach(self: &Arc<Self>, extensions: &mut Extensions) {
        extensions.insert(self.clone());
    }
    /// The certificate of the connection that a request came through.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Arc<Self>> {
        extensions.get::<Arc<Self>>()
    }
}
