//! What the clients do that people use: how each names itself, where it wants to be sent back to, what it insists on.

use clap::ValueEnum;
use portunus_mcp::message::Era;
use std::time::Duration;

/// The clients that can be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// A modern client in general.
    Modern,
    /// ChatGPT.
    Chatgpt,
    /// claude.ai and Claude Desktop.
    Claude,
    /// Claude Code.
    ClaudeCode,
    /// VS Code.
    Vscode,
    /// Cursor.
    Cursor,
    /// Codex.
    Codex,
}

/// How a client becomes known to an authorization server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registration {
    /// By the address of its metadata document.
    Document,
    /// By RFC 7591.
    Dynamic,
}

/// Where a client wants to be sent back to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Redirect {
    /// An address on the internet.
    Remote(&'static str),
    /// This path on loopback; the port is fixed, or any when none is given.
    Loopback { host: &'static str, port: Option<u16>, path: &'static str },
}

/// One client.
#[derive(Debug)]
pub(crate) struct Profile {
    /// The word on the command line.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// What it speaks, in the order in which it tries.
    pub eras: &'static [Era],
    /// How it becomes known, in the order in which it tries.
    pub registrations: &'static [Registration],
    /// Its `client_id` where metadata documents are understood; none when it is made per connector.
    pub document: Option<&'static str>,
    /// The same for authorization servers without RFC 9207, when that differs.
    pub document_needs_iss: bool,
    /// How it can prove itself at the token endpoint, with a metadata document.
    pub document_auth: &'static [&'static str],
    pub redirect: Redirect,
    /// Connects from the internet, not from the user's machine.
    pub cloud: bool,
    /// Compares issuers byte for byte, a trailing slash included.
    pub exact_issuer: bool,
    /// Uses the first authorization server only.
    pub first_issuer_only: bool,
    /// Time for one endpoint.
    pub patience: Duration,
    /// Tools it takes.
    pub tools: Option<usize>,
    /// Asks before each call of a tool without `readOnlyHint`.
    pub wants_hints: bool,
    /// Uses tools of the shapes `search` and `fetch` as knowledge.
    pub knowledge: bool,
}

const BOTH: &[Era] = &[Era::Modern, Era::Legacy];
const PATIENCE: Duration = Duration::from_secs(30);

const MODERN: Profile = Profile {
    name: "modern",
    title: "a modern client",
    eras: BOTH,
    registrations: &[Registration::Dynamic],
    document: None,
    document_needs_iss: false,
    document_auth: &["none"],
    redirect: Redirect::Loopback { host: "127.0.0.1", port: None, path: "/callback" },
    cloud: false,
    exact_issuer: true,
    first_issuer_only: false,
    patience: PATIENCE,
    tools: None,
    wants_hints: false,
    knowledge: false,
};

const CHATGPT: Profile = Profile {
    name: "chatgpt",
    title: "ChatGPT",
    registrations: &[Registration::Document, Registration::Dynamic],
    document: Some("https://chatgpt.com/oauth/client.json"),
    document_needs_iss: true,
    document_auth: &["private_key_jwt", "none"],
    redirect: Redirect::Remote("https://chatgpt.com/connector_platform_oauth_redirect"),
    cloud: true,
    wants_hints: true,
    knowledge: true,
    ..MODERN
};

const CLAUDE: Profile = Profile {
    name: "claude",
    title: "Claude",
    registrations: &[Registration::Document, Registration::Dynamic],
    document: Some("https://claude.ai/oauth/mcp-oauth-client-metadata"),
    redirect: Redirect::Remote("https://claude.ai/api/mcp/auth_callback"),
    cloud: true,
    exact_issuer: false,
    first_issuer_only: true,
    patience: Duration::from_secs(10),
    ..MODERN
};

const CLAUDE_CODE: Profile = Profile {
    name: "claude-code",
    title: "Claude Code",
    registrations: &[Registration::Document, Registration::Dynamic],
    document: Some("https://claude.ai/oauth/claude-code-client-metadata"),
    redirect: Redirect::Loopback { host: "localhost", port: None, path: "/callback" },
    exact_issuer: false,
    ..MODERN
};

const VSCODE: Profile = Profile {
    name: "vscode",
    title: "VS Code",
    eras: &[Era::Legacy],
    registrations: &[Registration::Document, Registration::Dynamic],
    document: Some("https://vscode.dev/oauth/client-metadata.json"),
    redirect: Redirect::Loopback { host: "127.0.0.1", port: Some(33418), path: "/" },
    exact_issuer: false,
    tools: Some(128),
    ..MODERN
};

const CURSOR: Profile = Profile {
    name: "cursor",
    title: "Cursor",
    redirect: Redirect::Loopback { host: "localhost", port: Some(8787), path: "/callback" },
    exact_issuer: false,
    ..MODERN
};

const CODEX: Profile = Profile {
    name: "codex",
    title: "Codex",
    registrations: &[Registration::Document, Registration::Dynamic],
    document: Some("https://chatgpt.com/oauth/codex/client.json"),
    exact_issuer: false,
    ..MODERN
};

impl Client {
    /// What it does.
    pub(crate) const fn profile(self) -> &'static Profile {
        match self {
            Self::Modern => &MODERN,
            Self::Chatgpt => &CHATGPT,
            Self::Claude => &CLAUDE,
            Self::ClaudeCode => &CLAUDE_CODE,
            Self::Vscode => &VSCODE,
            Self::Cursor => &CURSOR,
            Self::Codex => &CODEX,
        }
    }
}

impl Redirect {
    /// The redirect URI; `port` stands in where the client takes any.
    pub(crate) fn uri(self, any_port: u16) -> String {
        match self {
            Self::Remote(uri) => uri.to_owned(),
            Self::Loopback { host, port, path } => {
                format!("http://{host}:{}{path}", port.unwrap_or(any_port))
            }
        }
    }
}
