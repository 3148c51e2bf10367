//! The command line of `cred discover`.

use super::Admin;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").args(["import", "undo", "forget"]))]
pub(crate) struct CredDiscover {
    /// Search the clients' files below this home directory; default: yours.
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// The system that the home directory is from, which says where clients keep their files.
    #[arg(long, value_enum, value_name = "SYSTEM")]
    pub os: Option<System>,
    /// Search this project too, with its environment files; may be given several times.
    #[arg(long, value_name = "DIR")]
    pub project: Vec<PathBuf>,
    /// Search this environment file too.
    #[arg(long, value_name = "FILE")]
    pub dotenv: Vec<PathBuf>,
    /// Search this configuration file too: JSON, or TOML when its name ends so.
    #[arg(long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Look at running programs that look like MCP servers over stdio (Linux).
    #[arg(long)]
    pub processes: bool,
    /// List what is in this OpenBao or Vault: names and fingerprints.
    #[arg(long, value_name = "URL", requires_all = ["token_file", "path"])]
    pub openbao: Option<String>,
    /// A file with a token for it.
    #[arg(long, value_name = "FILE", requires = "openbao")]
    pub token_file: Option<PathBuf>,
    /// MOUNT, or MOUNT/PATH, of a KV engine in it; may be given several times.
    #[arg(long, value_name = "PATH", requires = "openbao")]
    pub path: Vec<String>,
    /// A CA certificate (PEM) to trust besides the system's, for OpenBao.
    #[arg(long, value_name = "FILE", requires = "openbao")]
    pub ca: Option<PathBuf>,
    /// Bring one finding under the edge: its secret becomes a credential, and its entry goes to the edge's URL.
    #[arg(long, value_name = "NAME", requires_all = ["owner", "expires"])]
    pub import: Option<String>,
    #[command(flatten)]
    pub into: Into,
    /// Put a file back as it was before an import.
    #[arg(long, value_name = "BACKUP")]
    pub undo: Option<String>,
    /// Delete a backup, and with it the plain secret in it.
    #[arg(long, value_name = "BACKUP")]
    pub forget: Option<String>,
    /// Where backups are kept; default: portunus/discover in the user's state directory.
    #[arg(long, value_name = "DIR")]
    pub backups: Option<PathBuf>,
    #[command(flatten)]
    pub admin: Admin,
}

/// What an import makes of a finding.
#[derive(Debug, Args)]
pub(crate) struct Into {
    /// With --import: the edge's server; default: the name of the entry.
    #[arg(long, requires = "import")]
    pub server: Option<String>,
    /// With --import: the credential's name; default: what the edge's server is bound to.
    #[arg(long, requires = "import")]
    pub credential: Option<String>,
    /// With --import: who answers for it.
    #[arg(long, requires = "import")]
    pub owner: Option<String>,
    /// With --import: when it ends: a time from now (90d) or a date (2027-01-31).
    #[arg(long, requires = "import")]
    pub expires: Option<String>,
    /// With --import: what it is for.
    #[arg(long, requires = "import")]
    pub purpose: Option<String>,
    /// With --import: the only host it may go to; default: the one that the entry goes to.
    #[arg(long, requires = "import")]
    pub host: Option<String>,
    /// With --import: send it so at the edge: `bearer`, `header=NAME`, `basic=USER`, `query=NAME` or `env=NAME`; default: as
    /// the client did.
    #[arg(long = "as", requires = "import", value_name = "KIND")]
    pub kind: Option<String>,
}

/// A system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum System {
    Linux,
    #[value(name = "macos")]
    Mac,
    Windows,
}
