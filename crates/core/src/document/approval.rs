//! A human yes to one exact call: what was asked, what the approvers saw, and what each of them said.

use crate::digest::Digest;
use crate::id::{ClientId, Id, ServerName, UserName};
use crate::limits;
use crate::store::{Document, Kind};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A single-use human yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// `apr_…`
    pub id: Id,
    /// Digest over caller, client, server, tool, exact arguments and what goes with them, approver and policy version: what
    /// it is good for.
    pub binding: Digest,
    /// Who asked.
    pub user: UserName,
    /// Through which client.
    pub client_id: ClientId,
    /// Of which server.
    pub server: ServerName,
    /// Which tool.
    pub tool: String,
    /// The exact arguments, JSON text, for the approver's eyes.
    pub arguments: String,
    /// What else steers the server (`_meta`, `task`), JSON text, where there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub besides: Option<String>,
    /// The policy's words.
    pub reason: String,
    /// Who must approve, in the words of policy: `owner`, `two of group dba` …
    #[serde(default = "owner")]
    pub approver: String,
    /// What the SQL among the arguments does, where there is some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<SqlSummary>,
    /// What it would change, where that can be tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// Where it stands.
    pub state: ApprovalState,
    /// What people said of it, in that order: any number of yes, or a no at the end. Each by somebody else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rulings: Vec<Ruling>,
    /// Whose word settled it.
    pub decided_by: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// End of its life.
    pub expires_at: Timestamp,
}

/// What approvals of before there was a choice needed.
fn owner() -> String {
    String::from("owner")
}

impl Document for Approval {
    const KIND: Kind = Kind::Approval;
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn parent(&self) -> Option<String> {
        Some(self.binding.hex())
    }
    /// It is kept a while longer than it is good for, so that its end can be recorded.
    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at.plus(limits::APPROVAL_KEPT))
    }
}

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Not everybody who must has decided.
    Pending,
    /// Allowed, and not used yet.
    Allowed,
    /// Denied.
    Denied,
    /// Allowed and used.
    Used,
    /// Nobody decided in time, and that is recorded.
    Expired,
}

/// What one person said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// Who: a user, or `admin` for whoever holds the administrator's socket.
    pub by: String,
    /// Yes or no.
    pub allow: bool,
    /// Through what.
    pub through: Through,
    /// They are not one of those whom the policy names, and decided as an administrator.
    #[serde(default)]
    pub as_administrator: bool,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// The way on which a decision came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Through {
    /// `portunus approve` over the administrator's socket.
    Socket,
    /// The page, signed in.
    Page,
    /// A signed webhook.
    Webhook,
}

impl Through {
    /// As it is recorded.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Page => "page",
            Self::Webhook => "webhook",
        }
    }
}

/// What a call's SQL does, cut to what a person can read ([`crate::limits::APPROVAL_SQL_NAMES`]).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SqlSummary {
    /// Everything in the text was understood; otherwise it may do anything.
    pub complete: bool,
    /// Kinds of statements.
    pub kinds: Vec<String>,
    /// Tables read.
    pub reads: Vec<String>,
    /// Tables written or changed.
    pub writes: Vec<String>,
    /// Columns named.
    pub columns: Vec<String>,
    /// Functions called.
    pub functions: Vec<String>,
    /// Names left out.
    #[serde(default)]
    pub left_out: usize,
}

/// What a trial run found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimate {
    /// So many rows changed before it was rolled back.
    RowsChanged(u64),
    /// None, for this reason.
    Unknown(String),
}
