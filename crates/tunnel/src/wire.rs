//! What both ends of a tunnel agree on: the link's ALPN, the two HTTPS addresses and their JSON, and the intervals.

use portunus_core::digest::sha256;
use portunus_core::id::{Id, ServerName};
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The link's application protocol (RFC 7301): HTTP/2 with the roles reversed.
pub const ALPN: &[u8] = b"portunus-link/1";
/// Where a connector enrols: POST of an [`EnrolRequest`].
pub const ENROL_PATH: &str = "/tunnel/enrol";
/// Where a connector renews its certificate: POST of a [`RenewRequest`].
pub const RENEW_PATH: &str = "/tunnel/renew";

/// Asks to become a connector.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// The single-use join token.
    #[serde(with = "exposed")]
    pub join_token: Secret<String>,
    /// The server the connector means to serve; a token for another one is refused and stays unused.
    pub server: ServerName,
    /// PKCS #10 request (RFC 2986) in PEM. Only its public key counts, and its signature proves possession of the key.
    pub csr_pem: String,
}

/// Asks for a new certificate for the same key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// The connector.
    pub connector: Id,
    /// When it was signed.
    pub at: Timestamp,
    /// As in [`EnrolRequest::csr_pem`], with the key that enrolled.
    pub csr_pem: String,
    /// The connector key's signature over [`renewal_message`]: ECDSA P-256 with SHA-256 in ASN.1, base64url.
    pub signature: String,
}

/// The answer to both. A newer edge may add fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolReply {
    /// The connector's id.
    pub connector: Id,
    /// The one server it may serve.
    pub server: ServerName,
    /// Its certificate in PEM.
    pub certificate_pem: String,
    /// How long the certificate lives, in seconds from now; a span, so that clocks need not agree.
    pub lifetime_secs: u64,
    /// About the edge.
    pub gateway: GatewayInfo,
}

/// What a connector should know about its edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayInfo {
    /// The edge's public URL.
    pub public_url: String,
    /// The public key that checks the header `Portunus-Assertion`.
    pub assertion_key: String,
}

/// Why an enrolment, a renewal or a link was refused, as JSON. On a link it comes in the place of HTTP/2's preface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For programs.
    pub code: ProblemCode,
    /// For people: what, and what to do next.
    pub message: String,
}

/// Why, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The request does not have the form it should.
    BadRequest,
    /// No such join token.
    JoinTokenUnknown,
    /// The join token was used before.
    JoinTokenUsed,
    /// The join token is past its life.
    JoinTokenExpired,
    /// The join token is for another server.
    WrongServer,
    /// The server has as many connectors as it may.
    TooManyConnectors,
    /// The signing request is not a proof of possession of a P-256 key.
    CsrRefused,
    /// No such connector.
    ConnectorUnknown,
    /// The connector was revoked.
    ConnectorRevoked,
    /// The key is not the one that enrolled, or the signature is not its own.
    KeyRefused,
    /// The certificate is past its life: renew it.
    CertificateExpired,
    /// The clocks differ too much.
    ClockSkew,
    /// The connector was away too long.
    Dormant,
    /// The edge cannot do it now.
    Unavailable,
    /// A newer edge's reason.
    #[serde(other)]
    Other,
}

impl ProblemCode {
    /// Whether trying the same again later can help.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::Unavailable | Self::ClockSkew | Self::CertificateExpired)
    }
}

/// The bytes that a renewal signs.
#[must_use]
pub fn renewal_message(connector: &Id, at: Timestamp, csr_pem: &str) -> Vec<u8> {
    let csr = sha256(&[csr_pem.as_bytes()]);
    format!("portunus-renewal/1\n{connector}\n{}\n{csr}", at.as_millis()).into_bytes()
}

/// The intervals of a link; tests shorten them.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Interval of pings, and the time to wait for the answer.
    pub ping: Duration,
    /// Time to open a link.
    pub open: Duration,
    /// Time that calls in flight get when a link is closed in order.
    pub drain: Duration,
    /// First and longest pause between two attempts to dial.
    pub pause: (Duration, Duration),
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping: limits::LINK_PING,
            open: limits::LINK_TIMEOUT,
            drain: limits::DRAIN_TIMEOUT,
            pause: limits::RECONNECT_PAUSE,
        }
    }
}

/// The one place where a join token is put into, or taken from, JSON.
mod exposed {
    use portunus_core::secret::Secret;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(secret: &Secret<String>, to: S) -> Result<S::Ok, S::Error> {
        secret.expose().serialize(to)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret<String>, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}
