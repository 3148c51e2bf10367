//! The command line.

mod cred;
mod discover;

pub(crate) use cred::{
    Cred, CredAdd, CredBind, CredRewrap, EmergencyCommand, ReachFrom, ReportFormat, Review, Rotation,
    RotationCommand, Way,
};
pub(crate) use discover::{CredDiscover, Into, System};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Lets cloud LLM clients use tools inside a private network, under a policy, without opening that network.
#[derive(Debug, Parser)]
#[command(
    name = "portunus",
    version,
    about,
    propagate_version = true,
    after_help = "Start with:\n  portunus demo"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process: an edge, a sample database behind a real tunnel, a user and policies.
    #[command(
        after_help = "Examples:\n  portunus demo\n  portunus demo --once        # play the whole story and exit"
    )]
    Demo(Demo),
    /// Run the edge.
    #[command(after_help = "Example:\n  portunus serve -c /etc/portunus/portunus.yaml")]
    Serve(Serve),
    /// Connect a private server to an edge: dial out, serve what comes down.
    #[command(after_help = "Examples:
  portunus connect --gateway https://tools.example.com --name sales --sqlite shop.db --token-file join.token
  portunus connect --gateway https://tools.example.com --name wiki --to http://127.0.0.1:8000/mcp
  portunus connect --gateway https://tools.example.com --name files --per caller -- npx some-server --some-option")]
    Connect(Connect),
    /// Serve one SQLite database as an MCP server, on its own.
    #[command(
        after_help = "Examples:\n  portunus sqlite shop.db --stdio\n  portunus sqlite shop.db --listen 127.0.0.1:8000"
    )]
    Sqlite(Sqlite),
    /// Replay a client's handshake against any MCP server and say what fails.
    #[command(after_help = "Examples:
  portunus doctor https://tools.example.com/sales/mcp --as chatgpt
  portunus doctor https://localhost:8443/sales/mcp --as vscode --ca .demo/ca.pem --sign-in")]
    Doctor(Doctor),
    /// Check, test and explain policies.
    #[command(subcommand)]
    Policy(Policy),
    /// Upstream credentials.
    #[command(subcommand)]
    Cred(Cred),
    /// Calls that wait for a human's yes.
    #[command(subcommand)]
    Approve(Approve),
    /// What servers' tools say, as it was accepted.
    #[command(subcommand)]
    Pin(Pin),
    /// What users have agreed to.
    #[command(subcommand)]
    Grant(Grant),
    /// OAuth clients: the programs that people connect with, and machines.
    #[command(subcommand)]
    Client(Client),
    /// Access tokens for scripts and load tests.
    #[command(subcommand)]
    Token(Token),
    /// Join tokens for connectors.
    #[command(subcommand)]
    Join(Join),
    /// Built-in accounts.
    #[command(subcommand)]
    User(User),
    /// The tamper-evident ledger.
    #[command(subcommand)]
    Audit(Audit),
    /// Revoke at once: grants of a user, a client or a server, a credential, or everything.
    #[command(after_help = "Examples:\n  portunus kill --user ana\n  portunus kill --all --yes")]
    Kill(Kill),
    /// The configuration file.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a shell completion script.
    #[command(after_help = "Example:\n  portunus completions bash > /etc/bash_completion.d/portunus")]
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    #[command(after_help = "Example:\n  portunus man > /usr/local/share/man/man1/portunus.1")]
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where the demo keeps its state.
    #[arg(long, default_value = ".demo")]
    pub state: PathBuf,
    /// The https address; clients use https://localhost:PORT.
    #[arg(long, default_value = "127.0.0.1:8443")]
    pub listen: String,
    /// The address of health and metrics.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub admin_listen: String,
    /// Play the story with a scripted client, print a transcript, exit 0 only if every step did what it should.
    #[arg(long)]
    pub once: bool,
    /// Print one line of JSON when ready.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration file.
    #[arg(short, long, default_value = "portunus.yaml")]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").args(["to", "sqlite", "program"]).required(true))]
pub(crate) struct Connect {
    /// The edge's public URL.
    #[arg(long)]
    pub gateway: String,
    /// The server's name at the edge.
    #[arg(long)]
    pub name: String,
    /// Serve this HTTP MCP server.
    #[arg(long)]
    pub to: Option<String>,
    /// With --to https://…: trust this CA (PEM) for it, and no other.
    #[arg(long, conflicts_with_all = ["sqlite", "program"])]
    pub ca: Option<PathBuf>,
    /// With --to https://…: show this certificate chain (PEM).
    #[arg(long, requires = "client_key", conflicts_with_all = ["sqlite", "program"])]
    pub client_cert: Option<PathBuf>,
    /// The key of --client-cert.
    #[arg(long, requires = "client_cert")]
    pub client_key: Option<PathBuf>,
    /// Serve this SQLite database.
    #[arg(long)]
    pub sqlite: Option<PathBuf>,
    /// Serve this program, which speaks MCP on its standard input and output; it is started when it is first called.
    #[arg(last = true, value_name = "PROGRAM")]
    pub program: Vec<String>,
    /// With a program: pass a variable of this environment on (NAME), or set one (NAME=VALUE). It gets no others but
    /// PATH, HOME, LANG, TZ and TMPDIR.
    #[arg(long, conflicts_with_all = ["to", "sqlite"], value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// With a program: its working directory; default: this one.
    #[arg(long, conflicts_with_all = ["to", "sqlite"])]
    pub cwd: Option<PathBuf>,
    /// With a program: one process for all callers (server), or one for each user and client (caller).
    #[arg(long, conflicts_with_all = ["to", "sqlite"], default_value = "server")]
    pub per: String,
    /// With --sqlite: offer write_query too.
    #[arg(long, requires = "sqlite")]
    pub write: bool,
    /// The one-time join token; needed the first time only.
    #[arg(long)]
    pub token_file: Option<PathBuf>,
    /// A CA certificate (PEM) to trust besides the system's.
    #[arg(long)]
    pub ca_file: Option<PathBuf>,
    /// Where the connector keeps its key and certificate; default: a directory named after the server below the
    /// user's state directory.
    #[arg(long)]
    pub state: Option<PathBuf>,
    /// How many links to keep.
    #[arg(long, default_value_t = 2)]
    pub links: usize,
    /// Log lines instead of a live view.
    #[arg(long)]
    pub plain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Sqlite {
    /// The database file.
    pub file: PathBuf,
    /// Speak MCP over standard input and output.
    #[arg(long, conflicts_with = "listen", required_unless_present = "listen")]
    pub stdio: bool,
    /// Serve MCP over HTTP at http://ADDR/mcp; a loopback address, since there is no sign-in here.
    #[arg(long)]
    pub listen: Option<std::net::SocketAddr>,
    /// Offer write_query too.
    #[arg(long)]
    pub write: bool,
    /// Rows in one answer.
    #[arg(long, default_value_t = 200)]
    pub max_rows: usize,
    /// Time for one statement.
    #[arg(long, default_value_t = 5000)]
    pub timeout_ms: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The MCP server's URL, exactly as people paste it into the client.
    pub url: String,
    /// The client to replay.
    #[arg(long = "as", value_name = "CLIENT", value_enum, default_value_t = crate::doctor::profile::Client::Modern)]
    pub client: crate::doctor::profile::Client,
    /// A CA certificate (PEM) to trust besides the system's.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A file with an access token for the first call.
    #[arg(long, value_name = "FILE", conflicts_with = "sign_in")]
    pub token_file: Option<PathBuf>,
    /// Get a token: sign in with a browser (for clients whose redirect is on loopback).
    #[arg(long)]
    pub sign_in: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Where the running edge is administered.
#[derive(Debug, Args, Clone)]
pub(crate) struct Admin {
    /// The state directory of the running edge (its admin.sock is in it).
    #[arg(long, env = "PORTUNUS_STATE", default_value = ".demo")]
    pub state: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Check that the policies are valid Cedar and fit the servers.
    #[command(after_help = "Example:\n  portunus policy check -c portunus.yaml")]
    Check(PolicyFiles),
    /// Run the test cases beside the policies (*.test.yaml), and say which policies no case reaches.
    #[command(after_help = "Examples:
  portunus policy test -c portunus.yaml
  portunus policy test -c portunus.yaml --min-coverage 90")]
    Test(PolicyTest),
    /// Say which policies decide a call, and why.
    #[command(after_help = "Example:
  portunus policy explain -c portunus.yaml --user ana --server sales --tool read_query --arguments '{\"sql\":\"SELECT 1\"}'")]
    Explain(Explain),
    /// Show who may do what: principals × tools, and what it depends on.
    #[command(after_help = "Examples:
  portunus policy matrix -c portunus.yaml
  portunus policy matrix -c portunus.yaml --format html > matrix.html
  portunus policy matrix -c portunus.yaml --golden policies/matrix.txt --update   # then commit it
  portunus policy matrix -c portunus.yaml --golden policies/matrix.txt            # fails when a cell has changed")]
    Matrix(PolicyMatrix),
    /// Decide recorded calls again, under other policies: which of them would flip?
    #[command(after_help = "Examples:
  portunus policy replay -c portunus.yaml --since 7d --policies next/
  portunus policy replay -c portunus.yaml --since 30d --policies next/ --html flips.html")]
    Replay(PolicyReplay),
    /// Show how a candidate beside the policies in force would have decided live calls.
    Shadow(Admin),
    /// Prove properties of the policies for every possible request (*.proofs.yaml), or find a request that breaks them.
    #[command(after_help = "Examples:
  portunus policy prove -c portunus.yaml
  portunus policy prove -c portunus.yaml --narrows /srv/portunus/policies   # the new ones permit nothing more than these
  portunus policy prove -c portunus.yaml --solver /opt/cvc5/bin/cvc5 --timeout 120s")]
    Prove(PolicyProve),
    /// Print the Cedar schema of the servers' tools, for editors and other Cedar tools.
    #[command(after_help = "Example:\n  portunus policy schema -c portunus.yaml > portunus.cedarschema")]
    Schema {
        #[command(flatten)]
        files: PolicyFiles,
        /// Of this server only.
        #[arg(long)]
        server: Option<String>,
    },
    /// Write policies to start from, with their tests.
    #[command(after_help = "Examples:
  portunus policy init read-only --server sales --group analysts
  portunus policy init no-exfiltration --server mail --group staff --out policies")]
    Init(PolicyInit),
}

#[derive(Debug, Args)]
pub(crate) struct PolicyTest {
    #[command(flatten)]
    pub files: PolicyFiles,
    /// Fail when fewer policies than this decided in a case, in per cent.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub min_coverage: Option<u8>,
}

/// How a matrix is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MatrixFormat {
    /// An aligned table for the terminal.
    Table,
    /// The text of the golden file.
    Text,
    Markdown,
    Csv,
    Json,
    /// A page of its own, with colours and words.
    Html,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyMatrix {
    #[command(flatten)]
    pub files: PolicyFiles,
    /// Whose rows: a YAML list of `user` or `workload`, `groups`, `name`; default: whom the policies name.
    #[arg(long)]
    pub principals: Option<PathBuf>,
    /// Compare with this file and fail when a cell differs.
    #[arg(long)]
    pub golden: Option<PathBuf>,
    /// Write the golden file anew.
    #[arg(long, requires = "golden")]
    pub update: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value = "table")]
    pub format: MatrixFormat,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyReplay {
    #[command(flatten)]
    pub files: PolicyFiles,
    /// How far back, such as 24h or 7d.
    #[arg(long, default_value = "7d")]
    pub since: String,
    /// Policies to decide by; default: those of the configuration.
    #[arg(long)]
    pub policies: Option<PathBuf>,
    /// The ledger's directory; default: `ledger` in the configuration's state directory.
    #[arg(long)]
    pub ledger: Option<PathBuf>,
    /// Groups of users whose records do not hold them: a YAML list of `user` and `groups`.
    #[arg(long)]
    pub principals: Option<PathBuf>,
    /// Write a page with a picture.
    #[arg(long)]
    pub html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyProve {
    #[command(flatten)]
    pub files: PolicyFiles,
    /// The cvc5 solver, version 1.3.1 or later; default: `cvc5` on the PATH.
    #[arg(long, env = "CVC5")]
    pub solver: Option<PathBuf>,
    /// Longest time for one question to the solver.
    #[arg(long, default_value = "60s")]
    pub timeout: String,
    /// Prove only that nothing is permitted that these policies do not permit.
    #[arg(long, value_name = "DIR", conflicts_with = "equivalent")]
    pub narrows: Option<PathBuf>,
    /// Prove only that exactly the same is permitted as by these policies.
    #[arg(long, value_name = "DIR")]
    pub equivalent: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyInit {
    /// Which.
    #[arg(value_parser = portunus_policy::defaults::templates::NAMES)]
    pub template: String,
    /// The server's name.
    #[arg(long)]
    pub server: String,
    /// The group that may use it.
    #[arg(long)]
    pub group: String,
    /// The directory to write to.
    #[arg(long, default_value = ".")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyFiles {
    /// The configuration file that names policies and servers.
    #[arg(short, long, default_value = "portunus.yaml")]
    pub config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub files: PolicyFiles,
    /// Who is asking.
    #[arg(long)]
    pub user: String,
    /// Their groups.
    #[arg(long)]
    pub group: Vec<String>,
    /// Through which OAuth client.
    #[arg(long, default_value = "any-client")]
    pub client: String,
    /// Which server.
    #[arg(long)]
    pub server: String,
    /// Which tool.
    #[arg(long)]
    pub tool: String,
    /// Its arguments, JSON.
    #[arg(long, default_value = "{}")]
    pub arguments: String,
    /// The labels on their session, such as `private`.
    #[arg(long)]
    pub label: Vec<String>,
    /// As if this person had approved it.
    #[arg(long)]
    pub approved_by: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Pin {
    /// List what is accepted, and what is new or has changed and is therefore hidden.
    #[command(
        after_help = "Examples:\n  portunus pin list\n  portunus pin list sales --file portunus.lock    # without an edge"
    )]
    List {
        /// Of this server only.
        server: Option<String>,
        /// Read this lockfile; no edge need run, and nothing that waits is known.
        #[arg(long)]
        file: Option<PathBuf>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Show what changed since it was accepted, what looks wrong about it, and its digest.
    #[command(after_help = "Example:\n  portunus pin diff sales/read_query")]
    Diff {
        #[command(flatten)]
        what: Pinned,
        #[command(flatten)]
        admin: Admin,
    },
    /// Accept what the server lists now: it is shown and may be called, as policy says.
    #[command(after_help = "Examples:
  portunus pin accept sales/read_query --digest 3f2a90c1
  portunus pin accept sales --all                # all that waits but what has serious flags")]
    Accept {
        #[command(flatten)]
        what: Pinned,
        /// The digest that `pin diff` showed, or its first 8 digits or more.
        #[arg(long, required_unless_present = "all")]
        digest: Option<String>,
        /// Everything of this server that waits and has no serious flag.
        #[arg(long, conflicts_with_all = ["digest", "kind"])]
        all: bool,
        #[command(flatten)]
        admin: Admin,
    },
    /// Take a pin back: it is hidden and refused until it is accepted again.
    #[command(after_help = "Example:\n  portunus pin reject sales/read_query")]
    Reject {
        #[command(flatten)]
        what: Pinned,
        #[command(flatten)]
        admin: Admin,
    },
}

/// A definition.
#[derive(Debug, Args)]
pub(crate) struct Pinned {
    /// SERVER/NAME; the name of a widget is its URI.
    pub name: String,
    /// What it is, where a server has more than one thing of this name.
    #[arg(long, value_parser = ["tool", "prompt", "resource", "widget"])]
    pub kind: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Approve {
    /// What waits.
    List(Admin),
    /// One call as a whole: who, through which client, the exact arguments, what it would do.
    Show {
        /// apr_…
        id: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// Allow one call, once.
    Allow {
        /// apr_…
        id: String,
        /// Why, for the record.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Deny it.
    Deny {
        /// apr_…
        id: String,
        /// Why; the client is told.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        admin: Admin,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Grant {
    /// List grants.
    List {
        /// Only this user's.
        #[arg(long)]
        user: Option<String>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Revoke one at once; its tokens and streams end.
    Revoke {
        /// grt_…
        id: String,
        #[command(flatten)]
        admin: Admin,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Client {
    /// Enter a client, or a machine that uses servers in its own name.
    #[command(after_help = "Examples:
  portunus client add cursor --name Cursor --redirect-uri http://localhost/callback
  portunus client add nightly-report --server sales --jwks-file nightly.jwks.json
  portunus client add nightly-report --server sales --secret       # prints the secret once")]
    Add(ClientAdd),
    /// List clients.
    #[command(after_help = "Example:\n  portunus client list --pending")]
    List {
        /// Only those that wait for an approval.
        #[arg(long)]
        pending: bool,
        #[command(flatten)]
        admin: Admin,
    },
    /// Let a client in; also lifts a block.
    #[command(
        after_help = "Example:\n  portunus client approve https://claude.ai/oauth/mcp-oauth-client-metadata"
    )]
    Approve(ClientNamed),
    /// Keep a client out; its grants, tokens and streams end at once.
    Block(ClientNamed),
    /// Forget a client; its grants, tokens and streams end at once.
    Remove(ClientNamed),
}

#[derive(Debug, Args)]
pub(crate) struct ClientNamed {
    /// Its client_id.
    pub id: String,
    #[command(flatten)]
    pub admin: Admin,
}

#[derive(Debug, Args)]
pub(crate) struct ClientAdd {
    /// Its client_id; for a machine also its name in policies: a-z, 0-9 and `-`.
    pub id: String,
    /// What people see.
    #[arg(long)]
    pub name: Option<String>,
    /// Where users may be sent back to.
    #[arg(long)]
    pub redirect_uri: Vec<String>,
    /// A server that it may use in its own name.
    #[arg(long)]
    pub server: Vec<String>,
    /// It may use the device grant: people type in a code that it shows.
    #[arg(long)]
    pub device_grant: bool,
    /// It signs with a key of this JSON Web Key Set.
    #[arg(long, conflicts_with_all = ["jwks_uri", "secret"])]
    pub jwks_file: Option<PathBuf>,
    /// It signs with a key of the set at this https URL.
    #[arg(long, conflicts_with = "secret")]
    pub jwks_uri: Option<String>,
    /// Make a secret for it.
    #[arg(long)]
    pub secret: bool,
    #[command(flatten)]
    pub admin: Admin,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Print a token (recorded like any other grant).
    #[command(
        after_help = "Example:\n  portunus token issue --state .demo --server sales --as ana --ttl 10m"
    )]
    Issue {
        /// The one server it is for.
        #[arg(long)]
        server: String,
        /// The user it speaks for.
        #[arg(long = "as")]
        user: String,
        /// The client it is for.
        #[arg(long, default_value = "portunus-cli")]
        client: String,
        /// How long it lives, at most a day.
        #[arg(long, default_value = "10m")]
        ttl: String,
        #[command(flatten)]
        admin: Admin,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Join {
    /// Print a one-time token with which a connector joins.
    #[command(after_help = "Example:\n  portunus join issue --server sales > join.token")]
    Issue {
        /// The server that the connector will serve.
        #[arg(long)]
        server: String,
        #[command(flatten)]
        admin: Admin,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Add an account; prints its one-time password.
    Add {
        /// What they sign in with.
        name: String,
        /// What people see.
        #[arg(long)]
        display_name: Option<String>,
        /// Groups.
        #[arg(long)]
        group: Vec<String>,
        /// May administer.
        #[arg(long)]
        administrator: bool,
        #[command(flatten)]
        admin: Admin,
    },
    /// List accounts.
    List(Admin),
    /// Disable an account at once; its grants end.
    Disable {
        /// Whose.
        name: String,
        #[command(flatten)]
        admin: Admin,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Show the latest records.
    #[command(after_help = "Example:\n  portunus audit tail --follow")]
    Tail {
        /// How many.
        #[arg(short, default_value_t = 20)]
        n: usize,
        /// Keep showing new ones.
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        files: LedgerFiles,
    },
    /// Write evidence for auditors into a new directory: identities, reviews and the records of a period, with the ledger's proof.
    #[command(after_help = "Examples:
  portunus audit export q4-evidence --since 90d
  portunus audit export 2027-q1 --since 2027-01-01 --before 2027-04-01
  portunus audit verify 2027-q1 --vkey \"$(cat ledger.vkey)\"   (offline, anywhere)")]
    Export {
        /// The directory; it must not be there yet.
        dir: PathBuf,
        /// The records from then on: a time ago (90d) or a date.
        #[arg(long, default_value = "90d")]
        since: String,
        /// The records before then; default: now.
        #[arg(long)]
        before: Option<String>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Check every record against the signed checkpoints; works offline on a copy. Or check an evidence pack.
    #[command(after_help = "Examples:
  portunus audit verify --state .demo
  portunus audit verify q4-evidence --vkey \"$(cat ledger.vkey)\"")]
    Verify {
        /// An evidence pack, as `portunus audit export` writes it; default: the ledger.
        pack: Option<PathBuf>,
        #[command(flatten)]
        files: LedgerFiles,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LedgerFiles {
    /// The state directory.
    #[arg(long, env = "PORTUNUS_STATE", default_value = ".demo")]
    pub state: PathBuf,
    /// The ledger's directory; default: `ledger` in the state directory.
    #[arg(long)]
    pub ledger: Option<PathBuf>,
    /// The verifier key to trust (the text of ledger.vkey, kept elsewhere); default: the one beside the ledger.
    #[arg(long)]
    pub vkey: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// Every grant of this user, and their connections to upstreams.
    #[arg(long)]
    pub user: Option<String>,
    /// Every grant to this client.
    #[arg(long)]
    pub client: Option<String>,
    /// Every grant for this server, and all connections to it.
    #[arg(long)]
    pub server: Option<String>,
    /// This tool, as SERVER/TOOL: it is hidden and refused until `portunus pin accept`.
    #[arg(long)]
    pub tool: Option<String>,
    /// This credential: its secret is ended at its upstream where there is a way, and tried.
    #[arg(long)]
    pub credential: Option<String>,
    /// Every credential of this vendor, and all connections to its authorization server.
    #[arg(long)]
    pub vendor: Option<String>,
    /// Every grant, connection and credential there is.
    #[arg(long)]
    pub all: bool,
    /// Do not ask before --all.
    #[arg(long, requires = "all")]
    pub yes: bool,
    #[command(flatten)]
    pub admin: Admin,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a configuration file.
    Check(ConfigFile),
    /// Print the JSON schema of portunus.yaml.
    Schema,
    /// Print the configuration as it is understood.
    Print(ConfigFile),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration file.
    #[arg(short, long, default_value = "portunus.yaml")]
    pub config: PathBuf,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
