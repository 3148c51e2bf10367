//! What comes out of a decision. A [`Permit`] has no public constructor: only [`crate::Engine`] makes one.

use crate::step_up::StepUp;
use portunus_core::digest::Digest;
use portunus_core::id::{Id, ServerName};

/// What a client is told when no policy has words of its own.
pub const DEFAULT_REASON: &str = "No policy allows this.";
/// What a client is told when a policy looks at arguments that are not what the tool's own schema declares.
pub const ARGUMENTS_REASON: &str = "The arguments do not fit the tool's input schema.";

/// The result of a decision.
#[derive(Debug)]
#[must_use = "a decision that is not looked at protects nothing"]
pub enum Decision {
    /// It may go on.
    Permit(Permit),
    /// It may not.
    Refused(Refused),
    /// It may not until a human approves exactly this call.
    ApprovalNeeded(ApprovalNeeded),
}

impl Decision {
    /// Who must approve, if somebody must.
    #[must_use]
    pub fn approver(&self) -> Option<&str> {
        match self {
            Self::ApprovalNeeded(needed) => Some(&needed.approver),
            Self::Permit(_) | Self::Refused(_) => None,
        }
    }
}

/// Proof that a request was permitted. It cannot be built, copied or changed outside this crate:
///
/// ```compile_fail
/// let forged = portunus_policy::Permit { decision: todo!(), server: todo!() };
/// ```
/// ```compile_fail
/// fn twice(permit: &portunus_policy::Permit) -> portunus_policy::Permit { permit.clone() }
/// ```
#[derive(Debug)]
#[must_use = "a permit is the key to the next step"]
pub struct Permit {
    pub(crate) decision: Id,
    pub(crate) server: ServerName,
    pub(crate) action: String,
    pub(crate) policies: Vec<String>,
    pub(crate) approval: Option<Id>,
}

impl Permit {
    /// The decision's id.
    #[must_use]
    pub fn decision(&self) -> &Id {
        &self.decision
    }
    /// The only server it is good for.
    #[must_use]
    pub fn server(&self) -> &ServerName {
        &self.server
    }
    /// The action that was permitted, in the words of policy: `sales/read_query`, `list` …
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }
    /// Ids of the policies that permitted it, sorted; none for a look of the edge's own ([`crate::Engine::look_up`]).
    #[must_use]
    pub fn policies(&self) -> &[String] {
        &self.policies
    }
    /// The approval without which it would have been refused.
    #[must_use]
    pub fn approval(&self) -> Option<&Id> {
        self.approval.as_ref()
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The decision's id; may be shown to the client.
    pub decision: Id,
    /// The policies' own words (`@reason`), sorted, or [`DEFAULT_REASON`]; may be shown to the client.
    pub reasons: Vec<String>,
    /// Ids of the policies that forbade it or could not be evaluated, sorted; for the record, not for the client.
    pub policies: Vec<String>,
    /// What the caller could bring to lift it: more scopes, or a fresher or stronger sign-in. `None` when nothing would,
    /// or something else stands in the way too. (An approval may still be needed afterwards.)
    pub step_up: Option<StepUp>,
}

/// A refusal that an approval would lift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalNeeded {
    /// The refusal as it stands.
    pub refused: Refused,
    /// Who must approve: the text of `@approvable("…")`, such as `owner`.
    pub approver: String,
    /// What the approval will be good for: this user, client, server, tool, these exact arguments and what else goes with
    /// them, this approver and this policy version. Not what the tool says of itself: whoever knows that binds it too.
    pub binding: Digest,
}
