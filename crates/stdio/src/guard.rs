//! The guard: this program once more, between Portunus and a child, so that the child's whole tree ends when it should.
//!
//! It starts the program, passes the three standard streams on and holds none of them itself. When the program ends, when
//! it gets SIGTERM, or when Portunus is gone in whatever way, it ends everything that the program started: time to end by
//! itself, SIGTERM, SIGKILL (that at once when it gets SIGUSR1). On Linux it is the *subreaper* of the tree: a process that was forked off and detached
//! (`setsid`, double fork) becomes its child and is found; and the program gets SIGKILL should the guard itself be killed.
//! Elsewhere the process group is ended. No step needs `unsafe`: what must happen between fork and exec happens in one
//! more start of this program, which then becomes the other one ([`become_program`]).

use portunus_core::limits;
use rustix::process::{Pid, Signal, WaitOptions, getpid, getppid, kill_process, kill_process_group};
use std::ffi::{OsStr, OsString};
use std::io::{Error, Result};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// Has a guard end its tree without giving it time. Not one that leaves a core file, should it come before it is listened to.
pub(crate) const AT_ONCE: Signal = Signal::USR1;

/// What follows the guard's sub-command when it is to become the program.
const BECOME: &str = "become";
/// Interval of looks whether Portunus is still there.
const LOOK: Duration = Duration::from_millis(250);
/// Time for a tree to be gone after SIGKILL.
const KILL: Duration = Duration::from_secs(5);
/// Exit codes as a shell gives them.
const NOT_STARTED: u8 = 127;
const GUARD_FAILED: u8 = 125;

/// The sub-command `argument PARENT -- PROGRAM WORDS…`, and `argument PARENT become -- PROGRAM WORDS…` by which it starts
/// itself once more. Ends with the program's exit code, 128 and the number when it was a signal.
#[must_use]
pub fn run(argument: &OsStr, words: &[OsString]) -> ExitCode {
    let parent = |text: &OsString| text.to_str()?.parse().ok().and_then(Pid::from_raw);
    let code = match words {
        [ours, word, dashes, program @ ..] if word == BECOME && dashes == "--" => {
            parent(ours).map_or(GUARD_FAILED, |parent| become_program(parent, program))
        }
        [ours, dashes, program @ ..] if dashes == "--" => match parent(ours) {
            Some(parent) => guard(argument, parent, program).unwrap_or_else(|error| {
                eprintln!("portunus: the guard of a child process failed: {error}");
                GUARD_FAILED
            }),
            None => GUARD_FAILED,
        },
        _ => GUARD_FAILED,
    };
    ExitCode::from(code)
}

/// Replaces this process by the program. Returns only when that fails.
fn become_program(guard: Pid, program: &[OsString]) -> u8 {
    #[cfg(target_os = "linux")]
    if rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).is_err() {
        return GUARD_FAILED;
    }
    // It may have died before that took effect.
    if getppid() != Some(guard) {
        return GUARD_FAILED;
    }
    let [name, words @ ..] = program else { return NOT_STARTED };
    let error = Command::new(name).args(words).exec();
    eprintln!("`{}` could not be started: {error}", name.to_string_lossy());
    NOT_STARTED
}

fn guard(argument: &OsStr, parent: Pid, program: &[OsString]) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(getpid()))?;
        let mut signals = Signals::listen()?;
        let mut tree = Tree::start(argument, program)?;
        release_streams()?;
        tree.wait(parent, &mut signals).await;
        tree.kill().await;
        Ok(tree.code())
    })
}

/// Whoever holds these pipes at both ends would never see them close.
fn release_streams() -> Result<()> {
    let nothing = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)?;
    Ok(())
}

struct Signals {
    child: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    at_once: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            at_once: signal(SignalKind::user_defined1())?,
        })
    }
}

/// The program and what it started.
struct Tree {
    program: Pid,
    status: Option<ExitStatus>,
    /// Nothing is left of it.
    empty: bool,
}

impl Tree {
    fn start(argument: &OsStr, program: &[OsString]) -> Result<Self> {
        let mut command = Command::new(crate::Guard::of_this_program("")?.program);
        command.arg(argument).arg(getpid().as_raw_nonzero().to_string()).arg(BECOME).arg("--").args(program);
        let child = command.process_group(0).spawn()?;
        let program = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // It is waited for below, together with what it leaves behind.
        drop(child);
        let program = program.ok_or_else(|| Error::other("no process id"))?;
        Ok(Self { program, status: None, empty: false })
    }

    /// Until the program has ended: by itself, or because it was told to when somebody wanted the end.
    async fn wait(&mut self, parent: Pid, signals: &mut Signals) {
        let mut wanted: Option<Instant> = None;
        let mut told = false;
        let now = || Some(Instant::now());
        while self.status.is_none() {
            tokio::select! {
                _ = signals.child.recv() => self.reap(),
                _ = signals.terminate.recv() => wanted = wanted.or_else(now),
                _ = signals.interrupt.recv() => wanted = wanted.or_else(now),
                _ = signals.hangup.recv() => wanted = wanted.or_else(now),
                _ = signals.at_once.recv() => return,
                () = tokio::time::sleep(LOOK) => self.reap(),
            }
            if getppid() != Some(parent) {
                wanted = wanted.or_else(now);
            }
            let Some(since) = wanted else { continue };
            if since.elapsed() >= limits::CHILD_GRACE && !told {
                told = true;
                let _ = kill_process_group(self.program, Signal::TERM);
            }
            if since.elapsed() >= limits::CHILD_GRACE * 2 {
                let _ = kill_process_group(self.program, Signal::KILL);
                return;
            }
        }
    }

    /// Ends whatever is left, also what comes to us only because its parent has just ended.
    async fn kill(&mut self) {
        // Without a subreaper only the group is known.
        #[cfg(not(target_os = "linux"))]
        let _ = kill_process_group(self.program, Signal::KILL);
        let begun = Instant::now();
        while !self.empty && begun.elapsed() < KILL {
            for child in children() {
                let _ = kill_process(child, Signal::KILL);
            }
            self.reap();
            if !self.empty {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Takes note of every child that has ended.
    fn reap(&mut self) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.program => {
                    self.status = Some(ExitStatus::from_raw(status.as_raw()));
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => {
                    self.empty = true;
                    return;
                }
            }
        }
    }

    fn code(&self) -> u8 {
        let Some(status) = self.status else { return GUARD_FAILED };
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(GUARD_FAILED)
    }
}

/// Our own children; their ids are theirs until we wait for them.
#[cfg(target_os = "linux")]
fn children() -> Vec<Pid> {
    let ours = getpid().as_raw_nonzero().get();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent_of(*pid) == Some(ours)).filter_map(Pid::from_raw).collect()
}

/// The fourth field of `/proc/PID/stat`; the second is a name in brackets that may hold anything.
#[cfg(target_os = "linux")]
fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.get(stat.iter().rposition(|byte| *byte == b')')? + 1..)?;
    std::str::from_utf8(after_name).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Others have no `/proc`.
#[cfg(not(target_os = "linux"))]
fn children() -> Vec<Pid> {
    Vec::new()
}
