//! How a child is started: through the guard, with an environment that holds nothing of ours.

use portunus_core::secret::Secret;
use portunus_core::server::Program;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::Command;

/// What a program finds in its environment besides what is configured, when we have it ourselves.
const KEPT: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

/// How this very program is started as a guard, see [`crate::guard`].
#[derive(Debug, Clone)]
pub struct Guard {
    /// The program.
    pub program: PathBuf,
    /// Its sub-command that calls [`crate::guard::run`].
    pub argument: OsString,
}

impl Guard {
    /// This program, whatever has become of its file since it was started, with this sub-command.
    ///
    /// # Errors
    /// When the system does not know where it is.
    pub fn of_this_program(argument: &str) -> std::io::Result<Self> {
        let program = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe()?
        };
        Ok(Self { program, argument: argument.into() })
    }
}

/// Variables of a credential.
pub(crate) type Shown = Vec<(String, Secret<String>)>;

/// The command of a child. What a credential shows it stands above what is configured.
pub(crate) fn command(guard: &Guard, program: &Program, shown: &Shown) -> Command {
    let mut command = Command::new(&guard.program);
    command
        .arg(&guard.argument)
        .arg(std::process::id().to_string())
        .arg("--")
        .args(&program.command)
        .current_dir(&program.directory)
        .env_clear()
        .envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .envs(program.environment.iter().map(|(name, value)| (name, value.expose())))
        .envs(shown.iter().map(|(name, value)| (name, value.expose())))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own: what a terminal sends to ours is not for the child.
        .process_group(0);
    command
}
