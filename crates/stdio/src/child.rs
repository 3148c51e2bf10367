//! One running child: its pipes, its end, and that its whole tree is gone afterwards.

use crate::budget::{Budget, Held};
use crate::command::{Guard, Shown, command};
use crate::errors;
use crate::line::{Line, Lines};
use crate::table::{Asking, Table};
use bytes::Bytes;
use portunus_core::dialer::{DialError, Ending};
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::server::Program;
use portunus_ssh::Agent;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child as Process, ChildStdin, ChildStdout};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::timeout;

/// Time for the guard to end a tree, and then some.
const END: Duration = Duration::from_secs(limits::CHILD_GRACE.as_secs() * 2 + 6);

/// A child. Dropping it ends the process and everything that it started.
pub(crate) struct Child {
    link: Arc<Link>,
    stop: watch::Sender<bool>,
    gone: watch::Receiver<bool>,
    started: Instant,
    /// The result of its handshake.
    pub(crate) handshake: OnceLock<Bytes>,
}

/// What a credential gives a child.
pub(crate) struct Given {
    /// Variables.
    pub(crate) shown: Shown,
    /// What signs for it.
    pub(crate) agent: Option<Agent>,
    /// When it may have them no longer.
    pub(crate) ended: Ending,
}

impl Default for Given {
    fn default() -> Self {
        Self { shown: Vec::new(), agent: None, ended: Box::pin(std::future::pending()) }
    }
}

/// What the tasks of a child share with those who speak to it.
struct Link {
    table: Mutex<Table>,
    input: Mutex<Option<UnboundedSender<Held>>>,
    waiting: Arc<Budget>,
    end: OnceLock<End>,
    used: Mutex<Instant>,
}

/// How a child ended.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) at: Instant,
    pub(crate) why: String,
    /// It was told to.
    pub(crate) meant: bool,
}

/// Why a message did not reach the child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// It has ended.
    Ended(String),
    /// Too much waits for it already.
    Full,
}

impl Child {
    /// Starts one, with what a credential shows it. When that may not be used any more, it is ended without delay.
    ///
    /// # Errors
    /// When the system starts no process.
    pub(crate) fn start(
        guard: &Guard,
        name: &ServerName,
        program: &Program,
        given: Given,
    ) -> std::io::Result<Self> {
        let Given { shown, agent, ended } = given;
        let mut process = command(guard, program, &shown).spawn()?;
        let (input, queued) = unbounded_channel();
        let link = Arc::new(Link {
            table: Mutex::new(Table::new(program.per)),
            input: Mutex::new(Some(input)),
            waiting: Budget::new(limits::CHILD_INPUT_BYTES),
            end: OnceLock::new(),
            used: Mutex::new(Instant::now()),
        });
        let (stop, stopped) = watch::channel(false);
        let (tell_gone, gone) = watch::channel(false);
        let pid = process.id().unwrap_or_default();
        tracing::info!(server = name.as_str(), pid, "child started");
        if let Some(stdin) = process.stdin.take() {
            tokio::spawn(write(stdin, queued));
        }
        if let Some(stderr) = process.stderr.take() {
            let secrets = program.environment.iter().map(|(name, value)| (name.clone(), value.clone()));
            tokio::spawn(errors::log(stderr, name.clone(), pid, secrets.chain(shown).collect()));
        }
        let running = Running { process, pid, link: link.clone(), name: name.clone(), _agent: agent };
        tokio::spawn(async move {
            running.watch(stopped, ended).await;
            tell_gone.send_replace(true);
        });
        Ok(Self { link, stop, gone, started: Instant::now(), handshake: OnceLock::new() })
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.link.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it ended, if it has.
    pub(crate) fn end(&self) -> Option<&End> {
        self.link.end.get()
    }

    /// Why it ended.
    pub(crate) fn why(&self) -> String {
        self.end().map_or_else(|| String::from("it gave no answer"), |end| end.why.clone())
    }

    /// How long it has lived, or did.
    pub(crate) fn age(&self) -> Duration {
        self.end().map_or_else(Instant::now, |end| end.at).saturating_duration_since(self.started)
    }

    /// Since when nobody has wanted anything of it.
    pub(crate) fn idle(&self) -> Duration {
        if self.table().is_busy() {
            return Duration::ZERO;
        }
        self.link.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Since when it was told nothing.
    pub(crate) fn quiet(&self) -> Duration {
        self.link.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Tells it to end if its table is so. From then on nothing is sent to it, and nothing was sent that it has not answered:
    /// who comes too late is told so, and may go elsewhere.
    pub(crate) fn stop_if(&self, is_so: impl FnOnce(&Table) -> bool) -> bool {
        let mut table = self.table();
        if !is_so(&table) {
            return false;
        }
        let why = String::from("it was told to end");
        let _ = self.link.end.set(End { at: Instant::now(), why, meant: true });
        self.link.input.lock().unwrap_or_else(PoisonError::into_inner).take();
        table.close();
        drop(table);
        self.stop();
        true
    }

    /// Queues one message.
    pub(crate) fn say(&self, message: Bytes) -> Result<(), Unsent> {
        *self.link.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.link.say(message)
    }

    /// Queues a request that `write` writes for its number.
    pub(crate) fn ask(&self, asking: Asking, write: impl FnOnce(u64) -> Bytes) -> Result<u64, Unsent> {
        let number = self.table().ask(asking).ok_or(Unsent::Full)?;
        let said = self.say(write(number));
        if said.is_err() {
            self.table().forget(number);
        }
        said.map(|()| number)
    }

    /// Whether a request failed because this child had been told to end before it was sent: another one may have it.
    pub(crate) fn left_untouched(&self, error: &DialError) -> bool {
        matches!(error, DialError::Unreachable(_)) && self.end().is_some_and(|end| end.meant)
    }

    /// Tells it to end.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Resolves when its whole tree is gone.
    pub(crate) fn gone(&self) -> impl Future<Output = ()> + use<> {
        let mut gone = self.gone.clone();
        async move { drop(gone.wait_for(|gone| *gone).await) }
    }
}

impl Link {
    fn say(&self, message: Bytes) -> Result<(), Unsent> {
        let input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = || Unsent::Ended(self.end.get().map_or_else(String::new, |end| end.why.clone()));
        let Some(input) = &*input else { return Err(ended()) };
        let held = self.waiting.hold(message).ok_or(Unsent::Full)?;
        input.send(held).map_err(|_| ended())
    }

    /// Everybody learns that it has ended; its standard input is closed when all that was queued is written.
    fn close(&self, why: &str, meant: bool) {
        let _ = self.end.set(End { at: Instant::now(), why: why.to_owned(), meant });
        self.input.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.table.lock().unwrap_or_else(PoisonError::into_inner).close();
    }
}

async fn write(mut stdin: ChildStdin, mut queued: UnboundedReceiver<Held>) {
    while let Some(held) = queued.recv().await {
        let line = async {
            stdin.write_all(held.bytes()).await?;
            stdin.write_all(b"\n").await?;
            stdin.flush().await
        };
        // A child that does not read any more: its end is seen elsewhere.
        if line.await.is_err() {
            return;
        }
    }
}

/// What the task holds that watches over a child.
struct Running {
    process: Process,
    pid: u32,
    link: Arc<Link>,
    name: ServerName,
    /// Answers until the process is gone.
    _agent: Option<Agent>,
}

impl Running {
    async fn watch(mut self, mut stopped: watch::Receiver<bool>, ended: Ending) {
        let Some(stdout) = self.process.stdout.take() else { return };
        let mut how = Signal::TERM;
        let (mut why, meant) = tokio::select! {
            why = read(stdout, &self.link) => (why.to_owned(), false),
            // An error means that nobody holds the child any more.
            _ = stopped.wait_for(|stop| *stop) => (String::from("it was told to end"), true),
            () = ended => {
                how = crate::guard::AT_ONCE;
                (String::from("the credential in its environment was revoked"), true)
            }
        };
        if !meant && let Ok(Ok(status)) = timeout(Duration::from_millis(500), self.process.wait()).await {
            why = format!("{why} ({})", words(status));
        }
        self.link.close(&why, meant);
        let status = self.end(how).await;
        let status = status.map_or_else(|| String::from("not known"), words);
        if meant {
            tracing::info!(server = self.name.as_str(), pid = self.pid, status, "child ended");
        } else {
            tracing::warn!(server = self.name.as_str(), pid = self.pid, status, why, "child ended by itself");
        }
    }

    /// Its standard input is closed; the guard gives it time, if it may, and then ends it with all that it started.
    async fn end(&mut self, how: Signal) -> Option<ExitStatus> {
        if let Some(guard) = self.running() {
            let _ = kill_process(guard, how);
        }
        let waited = timeout(END, self.process.wait()).await;
        if let Ok(Ok(status)) = waited {
            return Some(status);
        }
        if let Some(guard) = self.running() {
            tracing::error!(
                server = self.name.as_str(),
                pid = self.pid,
                "a child's guard did not end it in time; killed"
            );
            let _ = kill_process_group(guard, Signal::KILL);
        }
        self.process.wait().await.ok()
    }

    /// The guard, as long as its process id cannot be anybody else's.
    fn running(&self) -> Option<Pid> {
        self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }
}

/// Hands on what the child says until it says no more, or nothing of use.
async fn read(stdout: ChildStdout, link: &Link) -> &'static str {
    let mut lines = Lines::new(stdout, limits::CHILD_LINE_BYTES);
    let mut garbage = 0;
    loop {
        let heard = match lines.next().await {
            None => return "it ended or closed its standard output",
            Some(Line::Cut(_)) => return "it wrote a message that is too long",
            Some(Line::Whole(line)) if line.trim_ascii().is_empty() => continue,
            Some(Line::Whole(line)) => link.table.lock().unwrap_or_else(PoisonError::into_inner).hear(&line),
        };
        match heard {
            Ok(reply) => {
                garbage = 0;
                // No room for the answer to a ping: the child does not read.
                if reply.is_some_and(|reply| link.say(reply) == Err(Unsent::Full)) {
                    return "it does not read what it is sent";
                }
            }
            Err(_) => {
                garbage += 1;
                tracing::debug!(garbage, "a line on a child's standard output is no message");
                if garbage >= limits::CHILD_GARBAGE_LINES {
                    return "it writes no messages to its standard output";
                }
            }
        }
        // One that floods must not keep others from running.
        tokio::task::consume_budget().await;
    }
}

/// Such as `exit status: 1`; a guard that was itself killed is told apart.
fn words(status: ExitStatus) -> String {
    match status.code() {
        Some(code) if code > 128 => format!("signal {}", code - 128),
        _ => status.to_string(),
    }
}
