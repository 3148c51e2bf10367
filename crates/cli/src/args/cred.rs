//! `portunus cred …`: identities that are no people.

use super::{Admin, CredDiscover};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Cred {
    /// Add a credential; the secret comes from a file or standard input, never from an argument.
    #[command(after_help = "Examples:
  portunus cred add wiki-token --server wiki --host wiki.internal --owner ana@example.com --purpose 'reads the wiki' --expires 90d --from-file token.txt
  pass show wiki | portunus cred add wiki-token --server wiki --host wiki.internal --owner ana@example.com --purpose 'reads the wiki' --expires 90d
  portunus cred add sales-db --server sales --host db.internal:5432 --postgres sales_reader --environment production \\
    --owner ana@example.com --purpose 'sales questions' --expires 30d --from-file password.txt")]
    Add(CredAdd),
    /// List every identity that is no person: credentials, connectors, clients, workloads, join tokens, the edge's own keys.
    List {
        /// Only of this kind.
        #[arg(long, value_parser = ["credential", "connection", "connector", "client", "workload", "join_token", "key", "certificate"])]
        kind: Option<String>,
        #[command(flatten)]
        admin: Admin,
    },
    /// Show one: its versions, who used it, what is wrong with it, what breaks without it. Never its secret.
    #[command(after_help = "Examples:
  portunus cred show wiki-token
  portunus cred show connector:con_01h… --json")]
    Show {
        /// A credential's name, or any identity's id.
        name: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// Find servers and secrets that nobody registered: in clients' configurations, environment files, OpenBao and running
    /// programs. Shows fingerprints, never a secret.
    #[command(after_help = "Examples:
  portunus cred discover
  portunus cred discover --project ~/src/shop --processes --json
  portunus cred discover --openbao https://bao.internal:8200 --token-file bao.token --path secret/mcp
  portunus cred discover --import cursor/wiki --owner ana@example.com --expires 90d
  portunus cred discover --undo 20261201-101500-3f2a90c1")]
    Discover(Box<CredDiscover>),
    /// Change what a credential is bound to: owner, purpose, server, hosts, end, rotation. Its secret stays.
    #[command(after_help = "Examples:
  portunus cred bind wiki-token --owner bo@example.com --expires 90d
  portunus cred bind sales-db --rotate postgres --every 30d --set admin=sales-db-admin --set roles=sales_a,sales_b")]
    Bind(CredBind),
    /// Nobody may use it, until it is enabled again.
    Disable {
        /// Its name.
        name: String,
        /// Why, for whoever reads it later.
        #[arg(long)]
        why: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// It may be used again.
    Enable {
        /// Its name.
        name: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// Put up with a secret's age for a while, 90 days at most.
    Waive {
        /// Its name.
        name: String,
        /// Until when: a time from now (30d) or a date.
        #[arg(long)]
        until: String,
        /// Why, for whoever reads it later.
        #[arg(long)]
        why: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// How much is known of all identities, what is wrong with them and what to do; or a document for auditors.
    #[command(after_help = "Examples:
  portunus cred report
  portunus cred report --format cyclonedx > identities.cdx.json
  portunus cred report --format csv > identities.csv")]
    Report {
        /// What to print.
        #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
        format: ReportFormat,
        #[command(flatten)]
        admin: Admin,
    },
    /// What a user, a client, a server or a credential can reach, and what of that was used.
    #[command(after_help = "Example:\n  portunus cred reach --user ana")]
    Reach {
        #[command(flatten)]
        from: ReachFrom,
        #[command(flatten)]
        admin: Admin,
    },
    /// A policy that takes away what nobody used, replayed over the recorded calls of the same time: to read, narrow further and
    /// prove. Exit status 1 when the replay does not pass.
    #[command(after_help = "Example:\n  portunus cred propose --days 30 > policies/least.cedar")]
    Propose {
        /// What was used in so many days.
        #[arg(long, default_value_t = 90)]
        days: u32,
        #[command(flatten)]
        admin: Admin,
    },
    /// Reviews, in which somebody else than the owner says what is still wanted.
    #[command(subcommand)]
    Review(Review),
    /// Emergencies: people ask for access at /emergencies, two others allow it there for an hour at most.
    #[command(subcommand)]
    Emergency(EmergencyCommand),
    /// Change one's secret now, by its rotation plan, without a failed call.
    #[command(after_help = "Examples:
  portunus cred rotate sales-db --wait
  portunus cred rotate sales-db --wait --json")]
    Rotate {
        /// Its name.
        name: String,
        /// Wait until the new secret is in use and the old one is proven dead, and show the steps.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        admin: Admin,
    },
    /// What becomes of rotations: how far they are, what the plan lacks; stop them all, let them go on.
    #[command(subcommand)]
    Rotation(RotationCommand),
    /// Revoke one at once, and end what it holds open.
    Revoke {
        /// Its name, or `connector:ID`.
        name: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// Change the key that seals everything in the store: a new one seals from now on, and what the old one seals is
    /// rewrapped while the edge serves. Interrupted, it goes on by itself at the next start.
    #[command(after_help = "Examples:
  portunus cred rewrap --new-key-file /etc/portunus/sealing-2.key   (made when it is not there)
  portunus cred rewrap            (a new key from the key service, file or credential that portunus.yaml names)
  portunus cred rewrap --status   (counts what is sealed with which key)")]
    Rewrap(CredRewrap),
}

#[derive(Debug, Args)]
pub(crate) struct CredRewrap {
    /// The file of the new key, on the edge's machine; made when it is not there. Default: what `sealing_key:` names.
    #[arg(long, conflicts_with = "status")]
    pub new_key_file: Option<PathBuf>,
    /// Change nothing; count what is sealed with which key.
    #[arg(long)]
    pub status: bool,
    #[command(flatten)]
    pub admin: Admin,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EmergencyCommand {
    /// What was asked for, allowed, denied and ended.
    List(Admin),
    /// End one at once: new calls are refused, and what still runs is cut.
    End {
        /// Its id.
        id: String,
        /// Why, for whoever reads it later.
        #[arg(long, default_value = "ended by hand")]
        why: String,
        #[command(flatten)]
        admin: Admin,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RotationCommand {
    /// Show a credential's plan and what is wrong with it, its latest rotation, and when the next one is due.
    Show {
        /// The credential's name.
        name: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// List the latest rotation of every credential.
    List(Admin),
    /// Stop all rotations where they are; calls go on.
    Pause(Admin),
    /// Let them go on.
    Resume(Admin),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Review {
    /// Open a campaign: each live identity gets a reviewer who is not its owner; they answer at /reviews. What nobody says
    /// anything about in time is disabled.
    #[command(
        after_help = "Example:\n  portunus cred review open 2027-q1 --reviewer bo --reviewer cy --within 14d"
    )]
    Open {
        /// The campaign's name.
        campaign: String,
        /// Who reviews; several share the work.
        #[arg(long = "reviewer", required = true)]
        reviewers: Vec<String>,
        /// How much time they get.
        #[arg(long, default_value = "14d")]
        within: String,
        #[command(flatten)]
        admin: Admin,
    },
    /// What was asked and said.
    List {
        /// Only of this campaign.
        #[arg(long)]
        campaign: Option<String>,
        #[command(flatten)]
        admin: Admin,
    },
}

/// What `report` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people.
    Text,
    /// The identities, one a line.
    Csv,
    /// The findings, one a line.
    Findings,
    /// OCSF 3004 events.
    Ocsf,
    /// A CycloneDX 1.6 bill of materials.
    Cyclonedx,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ReachFrom {
    /// This user, or workload.
    #[arg(long)]
    pub user: Option<String>,
    /// This client.
    #[arg(long)]
    pub client: Option<String>,
    /// This server.
    #[arg(long)]
    pub server: Option<String>,
    /// This credential.
    #[arg(long)]
    pub credential: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CredAdd {
    /// Its name; the server's `credential:` in portunus.yaml.
    pub name: String,
    /// The only server it is for.
    #[arg(long)]
    pub server: String,
    /// A host (with port when unusual) it may be sent to; several are allowed.
    #[arg(long = "host", required = true)]
    pub hosts: Vec<String>,
    /// Who answers for it.
    #[arg(long)]
    pub owner: String,
    /// What it is for.
    #[arg(long)]
    pub purpose: String,
    /// Where it belongs, such as `production`.
    #[arg(long)]
    pub environment: Option<String>,
    /// Who issued it.
    #[arg(long)]
    pub vendor: Option<String>,
    /// What it allows at its upstream; several are allowed.
    #[arg(long = "scope")]
    pub scopes: Vec<String>,
    /// When it ends: a time from now (90d) or a date (2027-01-31).
    #[arg(long)]
    pub expires: String,
    #[command(flatten)]
    pub way: Way,
    #[command(flatten)]
    pub rotation: Rotation,
    /// Read the secret from this file; default: standard input.
    #[arg(long)]
    pub from_file: Option<PathBuf>,
    /// Add a new version to a credential that exists.
    #[arg(long)]
    pub replace: bool,
    #[command(flatten)]
    pub admin: Admin,
}

/// How it is presented; default: `Authorization: Bearer`.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Way {
    /// In this header.
    #[arg(long)]
    pub header: Option<String>,
    /// As the password of this user (`Authorization: Basic`).
    #[arg(long, value_name = "USER")]
    pub basic: Option<String>,
    /// In this parameter of the URL's query; logs on the way may keep it.
    #[arg(long, value_name = "PARAMETER")]
    pub query: Option<String>,
    /// As a client certificate: the file holds the chain and its private key, both PEM.
    #[arg(long)]
    pub client_certificate: bool,
    /// In this variable of the program's environment.
    #[arg(long, value_name = "VARIABLE")]
    pub env: Option<String>,
    /// As the password of this PostgreSQL role: the program gets PGUSER and PGPASSWORD.
    #[arg(long, value_name = "ROLE")]
    pub postgres: Option<String>,
    /// As a key with which the program logs in as this user by SSH: it gets an agent (SSH_AUTH_SOCK), never the key.
    #[arg(long, value_name = "USER")]
    pub ssh: Option<String>,
    /// In no call: rotators change other secrets with it, as this account of their upstream.
    #[arg(long, value_name = "ACCOUNT")]
    pub rotator: Option<String>,
}

/// How its secret is changed; default: by hand.
#[derive(Debug, Args)]
pub(crate) struct Rotation {
    /// The rotator.
    #[arg(long = "rotate", value_name = "METHOD")]
    pub method: Option<String>,
    /// How old a version may become: 30d.
    #[arg(long, requires = "method")]
    pub every: Option<String>,
    /// What the rotator needs to know, as NAME=VALUE; several are allowed, none is secret.
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "method")]
    pub settings: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CredBind {
    /// Its name.
    pub name: String,
    /// Who answers for it from now on.
    #[arg(long)]
    pub owner: Option<String>,
    /// What it is for.
    #[arg(long)]
    pub purpose: Option<String>,
    /// Where it belongs.
    #[arg(long)]
    pub environment: Option<String>,
    /// Who issued it.
    #[arg(long)]
    pub vendor: Option<String>,
    /// What it allows at its upstream, instead of what was said before.
    #[arg(long = "scope")]
    pub scopes: Vec<String>,
    /// The only server it is for.
    #[arg(long)]
    pub server: Option<String>,
    /// The only hosts it may be sent to, instead of those before.
    #[arg(long = "host")]
    pub hosts: Vec<String>,
    /// When it ends: a time from now (90d) or a date (2027-01-31).
    #[arg(long)]
    pub expires: Option<String>,
    #[command(flatten)]
    pub rotation: Rotation,
    /// Its secret is changed by hand from now on.
    #[arg(long, conflicts_with = "method")]
    pub by_hand: bool,
    #[command(flatten)]
    pub admin: Admin,
}
