//! What a `Portunus-Assertion` tells this server: which tool was admitted, and what was decided about the call.

use crate::decision::{Claims, Decision};
use http::HeaderMap;
use portunus_core::assertion::{AssertionError, Verifier};
use std::sync::Arc;

pub use portunus_core::assertion::HEADER;

/// What a valid assertion says.
#[derive(Debug, Clone)]
pub(crate) struct Verified {
    pub(crate) decision: Arc<Decision>,
    /// The tool the call was admitted for.
    pub(crate) tool: Option<String>,
}

/// Checks the assertion of a request. One that this server cannot keep is as invalid as a forged one.
pub(crate) fn verify(verifier: &Verifier, headers: &HeaderMap) -> Result<Verified, AssertionError> {
    let mut claims: Claims = verifier.verify(headers)?;
    let tool = claims.tool.take();
    let decision = Decision::from_claims(claims).ok_or(AssertionError::Invalid)?;
    Ok(Verified { decision: Arc::new(decision), tool })
}
