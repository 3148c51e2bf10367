//! Compiled policies and the decisions they make.

use crate::decision::{DEFAULT_REASON, Decision, Refused};
use crate::model::{Context, Request, ServerTools, Source, View};
use crate::problem::Problem;
use portunus_core::caller::Caller;
use portunus_core::digest::{Digest, sha256};
use portunus_core::id::ServerName;
use std::sync::Arc;

/// Policies, checked and compiled. Immutable: a reload makes a new one.
#[derive(Debug)]
pub struct Engine {
    version: Digest,
    warnings: Vec<Problem>,
}

/// A caller in the form that decisions need; cheap to clone, worth keeping for as long as the token is.
#[derive(Debug, Clone)]
pub struct Principal(Arc<Caller>);

/// Which columns of a server may be shown to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure {
    /// Whether a column is shown that is not among the exceptions.
    pub default: bool,
    /// The columns for which it is the other way round: `table.column`, or `table.*` for a whole table; lower-case,
    /// sorted.
    pub exceptions: Vec<String>,
}

impl Engine {
    /// Checks and compiles policies. Exactly these sources count: the defaults are in [`crate::defaults`].
    ///
    /// # Errors
    /// All problems, when at least one is an error.
    pub fn load(sources: &[Source], _servers: &[ServerTools]) -> Result<Self, Vec<Problem>> {
        let parts: Vec<&[u8]> = sources.iter().map(|source| source.text.as_bytes()).collect();
        Ok(Self { version: sha256(&parts), warnings: Vec::new() })
    }

    /// The digest of the sources and the schema they were checked against.
    #[must_use]
    pub fn version(&self) -> &Digest {
        &self.version
    }

    /// Problems that do not stop the policies from being used.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Prepares a caller. A principal may be used with every later engine too.
    #[must_use]
    pub fn principal(&self, caller: &Caller) -> Principal {
        Principal(Arc::new(caller.clone()))
    }

    /// Decides one request.
    pub fn decide(&self, _principal: &Principal, request: &Request<'_>) -> Decision {
        let reasons = vec![DEFAULT_REASON.to_owned()];
        Decision::Refused(Refused { decision: request.decision.clone(), reasons, policies: Vec::new() })
    }

    /// Whether a request of this kind could be permitted with some arguments, perhaps after an approval.
    #[must_use]
    pub fn visible(&self, _principal: &Principal, _view: &View<'_>) -> bool {
        false
    }

    /// Which columns of a server may be shown.
    #[must_use]
    pub fn disclosure(
        &self,
        _principal: &Principal,
        _server: &ServerName,
        _context: &Context<'_>,
    ) -> Disclosure {
        Disclosure { default: false, exceptions: Vec::new() }
    }
}
