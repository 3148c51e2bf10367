//! Protocol versions and eras, and how a message tells which it speaks.

use super::method::Method;
use super::params::Params;
use super::reject::Reject;
use crate::header;
use crate::json::{Kind, Raw};
use http::HeaderMap;
use std::fmt;

/// The two ways MCP has worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// Up to 2025-11-25: a handshake, sessions, messages both ways.
    Legacy,
    /// From 2026-07-28: stateless, all in each request.
    Modern,
}

/// A protocol version that Portunus speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2024-11-05
    V20241105,
    /// 2025-03-26
    V20250326,
    /// 2025-06-18
    V20250618,
    /// 2025-11-25
    V20251125,
    /// 2026-07-28
    V20260728,
}

impl Version {
    /// All of them, the newest first.
    pub const ALL: [Self; 5] =
        [Self::V20260728, Self::V20251125, Self::V20250618, Self::V20250326, Self::V20241105];
    /// What a message without `MCP-Protocol-Version` speaks.
    pub const WITHOUT_HEADER: Self = Self::V20250326;
    /// The newest version with a handshake.
    pub const NEWEST_LEGACY: Self = Self::V20251125;

    /// As on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V20241105 => "2024-11-05",
            Self::V20250326 => "2025-03-26",
            Self::V20250618 => "2025-06-18",
            Self::V20251125 => "2025-11-25",
            Self::V20260728 => "2026-07-28",
        }
    }
    /// From the wire; exact.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }
    /// Its era.
    #[must_use]
    pub const fn era(self) -> Era {
        match self {
            Self::V20260728 => Era::Modern,
            _ => Era::Legacy,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The version of `MCP-Protocol-Version`; `None` without that header.
pub(super) fn of_header(headers: &HeaderMap) -> Result<Option<Version>, Reject> {
    let Some(text) = header::single(headers, &header::MCP_PROTOCOL_VERSION)? else { return Ok(None) };
    Version::parse(text).map(Some).ok_or_else(|| Reject::unsupported_version(text, &Version::ALL))
}

/// The version a call speaks: header and `_meta` together.
pub(super) fn of_call(headers: &HeaderMap, params: &Params<'_>, method: &Method) -> Result<Version, Reject> {
    let header = header::single(headers, &header::MCP_PROTOCOL_VERSION)?;
    if let Some(meta) = params.protocol_version()? {
        return of_modern(header, &meta, params);
    }
    let version = of_header(headers)?;
    // The handshake is legacy whatever the header says; what is negotiated stands in the answer.
    if *method == Method::Initialize {
        return Ok(version.map_or(Version::WITHOUT_HEADER, |version| version.min(Version::NEWEST_LEGACY)));
    }
    let version = version.unwrap_or(Version::WITHOUT_HEADER);
    if version.era() == Era::Modern || method.is_modern_only() {
        return Err(Reject::missing_meta(missing_keys(params)));
    }
    Ok(version)
}

/// The version of a notification. The modern era asks nothing of its `_meta`, but it must not contradict the header.
pub(super) fn of_notification(headers: &HeaderMap, params: &Params<'_>) -> Result<Version, Reject> {
    let version = of_header(headers)?.unwrap_or(Version::WITHOUT_HEADER);
    match params.protocol_version()? {
        Some(meta) if meta != version.as_str() => {
            Err(Reject::version_mismatch(Some(version.as_str()), &meta))
        }
        _ => Ok(version),
    }
}

/// The version of a client's answer, which only the legacy era knows.
pub(super) fn of_answer(headers: &HeaderMap) -> Result<Version, Reject> {
    match of_header(headers)?.unwrap_or(Version::WITHOUT_HEADER) {
        version if version.era() == Era::Legacy => Ok(version),
        version => Err(Reject::invalid_request(format!(
            "MCP {version} clients send no JSON-RPC responses: put them into params.inputResponses of a new request"
        ))),
    }
}

/// A call whose `_meta` names a version.
fn of_modern(header: Option<&str>, meta: &str, params: &Params<'_>) -> Result<Version, Reject> {
    if header != Some(meta) {
        return Err(Reject::version_mismatch(header, meta));
    }
    // A legacy version is never carried in `_meta`: a server might serve such a request in either era.
    let modern = Version::parse(meta).filter(|version| version.era() == Era::Modern);
    let version = modern.ok_or_else(|| Reject::unsupported_version(meta, &[Version::V20260728]))?;
    match missing_keys(params) {
        missing if missing.is_empty() => Ok(version),
        missing => Err(Reject::missing_meta(missing)),
    }
}

fn missing_keys(params: &Params<'_>) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if params.meta(header::meta::PROTOCOL_VERSION).is_none() {
        missing.push(header::meta::PROTOCOL_VERSION);
    }
    if params.meta(header::meta::CLIENT_CAPABILITIES).map(Raw::kind) != Some(Kind::Object) {
        missing.push(header::meta::CLIENT_CAPABILITIES);
    }
    missing
}
