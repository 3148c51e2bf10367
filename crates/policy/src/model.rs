//! What goes into a decision: policy files, published servers and their tools, and one request.

use crate::sql::SqlFacts;
use portunus_core::digest::Digest;
use portunus_core::id::{Id, ServerName, UserName};
use portunus_core::peer::ClientCertificate;
use portunus_core::time::Timestamp;
use std::net::IpAddr;

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it came from, for messages.
    pub path: String,
    /// Its text, in Cedar.
    pub text: String,
}

/// A published server as policies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTools {
    /// Its name.
    pub server: ServerName,
    /// Such as `production`.
    pub environment: String,
    /// Who answers for it; a user's name.
    pub owner: String,
    /// The tools that are known now; it may well have others.
    pub tools: Vec<Tool>,
}

/// A known tool of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it may do, as confirmed by an administrator; [`TrustGroups::CAUTIOUS`] otherwise.
    pub groups: TrustGroups,
    /// Its input schema, raw JSON; without one, policies cannot look at its arguments.
    pub input_schema: Option<String>,
}

/// The groups of actions that a tool belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent groups, each a word of the policy language"
)]
pub struct TrustGroups {
    /// It reads.
    pub read: bool,
    /// It changes something.
    pub write: bool,
    /// What it changes may be lost.
    pub destructive: bool,
    /// It reaches beyond the server.
    pub open_world: bool,
}

impl TrustGroups {
    /// What a tool counts as until somebody confirms otherwise.
    pub const CAUTIOUS: Self = Self { read: false, write: true, destructive: true, open_world: true };
    /// It only reads, inside the server.
    pub const READ: Self = Self { read: true, write: false, destructive: false, open_world: false };

    /// What the tools of the built-in SQL server are known to do; `None` for a name it does not have.
    #[must_use]
    pub fn of_builtin_sql(tool: &str) -> Option<Self> {
        match tool {
            "list_tables" | "describe_table" | "read_query" | "explain_query" => Some(Self::READ),
            "write_query" => Some(Self { read: false, write: true, destructive: true, open_world: false }),
            _ => None,
        }
    }
}

/// One request to be decided. What is known of the caller comes from the [`crate::Principal`].
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The id the decision will carry.
    pub decision: Id,
    /// The server it is for.
    pub server: &'a ServerName,
    /// What it wants.
    pub operation: Operation<'a>,
    /// The arguments of a tool call: the raw JSON object, exactly as it will be forwarded; `None` when it has none.
    pub arguments: Option<&'a [u8]>,
    /// What the SQL among the arguments does, where an argument is known to hold SQL.
    pub sql: Option<&'a SqlFacts>,
    /// An approval that is being used for this call.
    pub approval: Option<&'a Approved>,
    /// The circumstances.
    pub context: Context<'a>,
}

/// What a request wants of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// `tools/call` of this tool.
    CallTool(&'a str),
    /// A listing; the method, such as `tools/list`.
    List(&'a str),
    /// `resources/read` of this URI.
    ReadResource(&'a str),
    /// `prompts/get` of this prompt.
    GetPrompt(&'a str),
    /// `completion/complete` for this prompt's name or resource's URI.
    Complete(&'a str),
    /// A subscription to this resource URI.
    Subscribe(&'a str),
    /// Housekeeping of the protocol; the method, such as `initialize`.
    Session(&'a str),
    /// A task method for this task id.
    Task(&'a str),
    /// The client's answer to a question of the server (sampling, elicitation, roots).
    Answer,
    /// A trial run of a call of this tool, rolled back, to tell approvers what it would change.
    Estimate(&'a str),
}

/// The circumstances of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// The present moment.
    pub now: Timestamp,
    /// Where the connection comes from.
    pub source: IpAddr,
    /// The environment the edge runs in, such as `production`.
    pub environment: &'a str,
    /// The protocol's era: `legacy` or `modern`.
    pub era: &'a str,
    /// The certificate of the client's connection. Policies see it only when its chain was verified.
    pub certificate: Option<&'a ClientCertificate>,
}

/// Something whose place in a listing is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The server that lists it.
    pub server: &'a ServerName,
    /// What could be asked of it: [`Operation::CallTool`], [`Operation::ReadResource`] or [`Operation::GetPrompt`].
    pub operation: Operation<'a>,
    /// The circumstances.
    pub context: Context<'a>,
}

/// A human yes that was given for one exact call. It counts only when its binding is that of the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// The approval's id.
    pub id: Id,
    /// Who said yes.
    pub by: UserName,
    /// What it is good for: [`crate::ApprovalNeeded::binding`].
    pub binding: Digest,
}
