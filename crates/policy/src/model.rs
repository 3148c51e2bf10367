//! What goes into a decision: policy files, published servers and their tools, and one request.

use crate::sql::SqlFacts;
use portunus_core::digest::Digest;
use portunus_core::id::{Id, ServerName, UserName};
use portunus_core::peer::ClientCertificate;
use portunus_core::time::Timestamp;
use std::collections::BTreeSet;
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
    /// The data classes that are looked for in its results.
    pub classes: Vec<String>,
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
    /// What else of a tool call reaches the server, as one canonical text; no policy looks at it, an approval is bound to it.
    pub besides: Option<&'a str>,
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
    /// A question of the server to the client, which goes to whoever drives it.
    Ask(Question<'a>),
}

/// What a server asks of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question<'a> {
    /// `sampling/createMessage`: the client's model is to write something for the server.
    Sampling,
    /// `roots/list`: which directories the client works in.
    Roots,
    /// `elicitation/create` by a form that the client shows.
    Form,
    /// `elicitation/create` by a page at this host, in lower case, with port where it is not the scheme's own.
    Page(&'a str),
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
    /// What was done before.
    pub past: &'a Past,
    /// Where the tool's pin stands: `pinned`, `new`, `changed` or `unseen`.
    pub pin: &'a str,
    /// Seconds since the credential version that the call will carry was made; `None` when it carries none.
    pub credential_age: Option<u64>,
}

/// What is known of earlier calls: the labels that are on the caller's session, and what was counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past {
    /// Labels of the session, such as `private` and `untrusted`.
    pub labels: BTreeSet<String>,
    /// Of the user, over all servers and clients.
    pub user: Counts,
    /// Of the OAuth client, over all users.
    pub client: Counts,
    /// Of the tool, over all callers.
    pub tool: Counts,
    /// Of this tool by this user.
    pub user_tool: Counts,
    /// The emergency that the caller has at this server, which two others allowed.
    pub emergency: Option<Id>,
}

/// A caller of whom nothing is known.
pub static NO_PAST: Past = Past {
    labels: BTreeSet::new(),
    user: Counts::NONE,
    client: Counts::NONE,
    tool: Counts::NONE,
    user_tool: Counts::NONE,
    emergency: None,
};

/// What was counted within the last minute, hour and day, the present call not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Calls that were permitted.
    pub calls: Spans,
    /// Rows in their results, as far as results have rows.
    pub rows: Spans,
    /// Bytes of their answers.
    pub bytes: Spans,
    /// Requests that were refused.
    pub refusals: Spans,
}

impl Counts {
    /// Nothing.
    pub const NONE: Self = Self { calls: [0; 3], rows: [0; 3], bytes: [0; 3], refusals: [0; 3] };
}

/// Within the last minute, hour and day.
pub type Spans = [u64; 3];

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
