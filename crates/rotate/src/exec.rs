//! Plug-ins that are programs. Each question starts the program once: the question on its standard input, the answer on its
//! standard output, its errors nowhere. It gets no secret in an argument, an environment of two fixed variables, `/` as its
//! directory, a process group of its own, and a bounded time, after which everything that it started is ended.

use crate::plugin::Carrier;
use async_trait::async_trait;
use portunus_core::limits::{CHILD_GRACE, ROTATION_ANSWER_BYTES};
use portunus_core::secret::Secret;
use portunus_vault::rotation::{Administrator, RotatorError};
use rustix::process::{Pid, Signal, getuid, kill_process, kill_process_group};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Time for a program's whole tree to be gone once its guard was told.
const END: Duration = Duration::from_secs(CHILD_GRACE.as_secs() * 2 + 6);

/// A program that answers questions.
#[derive(Debug, Clone)]
pub struct Exec {
    /// Its name in the configuration.
    pub name: String,
    /// The program, an absolute path.
    pub program: PathBuf,
    /// What is given to it; never a secret.
    pub arguments: Vec<String>,
    /// What starts it and ends its whole tree: program and arguments up to its own. `None`: it is started directly, and its
    /// process group is ended.
    pub guard: Option<Vec<OsString>>,
    /// Longest time for one answer.
    pub timeout: Duration,
}

#[async_trait]
impl Carrier for Exec {
    async fn ask(
        &self,
        question: &Secret<Vec<u8>>,
        _administrator: Option<&Administrator>,
    ) -> Result<Secret<Vec<u8>>, RotatorError> {
        check(&self.program)?;
        let mut child =
            self.command().spawn().map_err(|error| self.later(&format!("did not start: {error}")))?;
        let answered = timeout(self.timeout, converse(&mut child, question)).await;
        let ended = match answered {
            Ok(Ok((status, answer))) => Ok((status, answer)),
            Ok(Err(error)) => Err(self.later(&error.to_string())),
            Err(_) => Err(self.later(&format!("gave no answer within {} s", self.timeout.as_secs()))),
        };
        self.end(child).await;
        let (status, answer) = ended?;
        if answer.expose().len() > ROTATION_ANSWER_BYTES {
            return Err(self.later(&format!("answered more than {ROTATION_ANSWER_BYTES} bytes")));
        }
        if !status.success() {
            return Err(self.later(&format!("ended with {status}")));
        }
        Ok(answer)
    }

    /// It runs here, and sends the credential wherever it does: so it must have been meant for this very plug-in.
    fn host(&self) -> Option<String> {
        Some(format!("{}.exec", self.name))
    }
}

impl Exec {
    fn command(&self) -> Command {
        let mut command = match self.guard.as_deref() {
            Some([program, words @ ..]) => {
                let mut command = Command::new(program);
                command.args(words).arg(&self.program);
                command
            }
            _ => Command::new(&self.program),
        };
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What a program says of its troubles may be a secret: it is told where nobody listens.
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Until nothing of it is left.
    async fn end(&self, mut child: Child) {
        let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else {
            // It has ended and was waited for; the guard, if there was one, ended with everything below it.
            return;
        };
        if self.guard.is_some() {
            let _ = kill_process(pid, Signal::TERM);
            if timeout(END, child.wait()).await.is_ok() {
                return;
            }
        }
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = child.wait().await;
    }

    fn later(&self, why: &str) -> RotatorError {
        RotatorError::Later(format!("the plug-in `{}` {why}", self.name))
    }
}

async fn converse(
    child: &mut Child,
    question: &Secret<Vec<u8>>,
) -> std::io::Result<(ExitStatus, Secret<Vec<u8>>)> {
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let ask = async move {
        let Some(mut input) = input else { return };
        // One that does not read its question gives no useful answer, which is noticed there.
        let _ = input.write_all(question.expose()).await;
        let _ = input.shutdown().await;
    };
    let hear = async move {
        // Large enough from the start: growing would leave copies behind.
        let mut answer = Zeroizing::new(Vec::with_capacity(ROTATION_ANSWER_BYTES + 1));
        if let Some(output) = output {
            output.take(ROTATION_ANSWER_BYTES as u64 + 1).read_to_end(&mut answer).await?;
        }
        Ok(Secret::new(std::mem::take(&mut *answer)))
    };
    let ((), answer): ((), std::io::Result<_>) = tokio::join!(ask, hear);
    let answer = answer?;
    Ok((child.wait().await?, answer))
}

/// The program must be somebody's who can act for us anyway: root's or our own, and nobody else may change it.
///
/// # Errors
/// When it is not there, or others could have put something else in its place.
pub fn check(program: &Path) -> Result<(), RotatorError> {
    let wrong = |why: &str| RotatorError::Wrong(format!("the plug-in {} {why}", program.display()));
    if !program.is_absolute() {
        return Err(wrong("must be an absolute path"));
    }
    let ours = getuid().as_raw();
    for path in [Some(program), program.parent()].into_iter().flatten() {
        let found = std::fs::metadata(path).map_err(|error| wrong(&format!("cannot be used: {error}")))?;
        if found.uid() != 0 && found.uid() != ours {
            return Err(wrong("or its directory belongs to somebody else"));
        }
        // A directory that anybody may write to but where only owners may replace files is as good.
        let sticky = found.is_dir() && found.mode() & 0o1000 != 0;
        if found.mode() & 0o022 != 0 && !sticky {
            return Err(wrong("or its directory can be changed by others; take their right to write away"));
        }
    }
    Ok(())
}
