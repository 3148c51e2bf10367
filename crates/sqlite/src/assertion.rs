//! What a `Portunus-Assertion` tells this server: which tool was admitted, and which columns its caller may see.

use crate::mask::Mask;
use http::HeaderMap;
use portunus_core::assertion::{AssertionError, Verifier};
use serde::Deserialize;
use std::sync::Arc;

pub use portunus_core::assertion::HEADER;

/// What a valid assertion says.
#[derive(Debug, Clone)]
pub(crate) struct Verified {
    pub(crate) mask: Arc<Mask>,
    /// The tool the call was admitted for.
    pub(crate) tool: Option<String>,
}

#[derive(Clone, Deserialize)]
struct Claims {
    #[serde(default)]
    tool: Option<String>,
    /// Without one, nothing is disclosed.
    #[serde(default = "Mask::nothing")]
    mask: Mask,
}

/// Checks the assertion of a request.
pub(crate) fn verify(verifier: &Verifier, headers: &HeaderMap) -> Result<Verified, AssertionError> {
    let claims: Claims = verifier.verify(headers)?;
    Ok(Verified { mask: Arc::new(claims.mask), tool: claims.tool })
}
