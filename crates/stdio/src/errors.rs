//! A child's standard error, line by line into the log: bounded, escaped, without the secrets it was given.

use crate::line::{Line, Lines};
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::secret::Secret;
use std::time::{Duration, Instant};
use tokio::process::ChildStderr;
use tokio::time::timeout;

/// A value shorter than that is no secret, and would be found everywhere.
const SECRET_BYTES: usize = 6;
/// What the rate is counted by.
const SECOND: Duration = Duration::from_secs(1);

/// Logs every line until the pipe closes. `secrets` are the values of the child's environment by name.
pub(crate) async fn log(
    pipe: ChildStderr,
    server: ServerName,
    pid: u32,
    secrets: Vec<(String, Secret<String>)>,
) {
    let mut lines = Lines::new(pipe, limits::CHILD_ERROR_LINE_BYTES);
    let mut rate = Rate { since: Instant::now(), lines: 0, dropped: 0 };
    loop {
        let line = match timeout(SECOND, lines.next()).await {
            Ok(Some(line)) => Some(line),
            Ok(None) => break,
            Err(_) => None,
        };
        let dropped = rate.renew(Instant::now());
        tell(dropped, &server, pid);
        let Some(line) = line else { continue };
        if !rate.admits() {
            tokio::task::consume_budget().await;
            continue;
        }
        let (text, cut) = match &line {
            Line::Whole(text) => (text, ""),
            Line::Cut(text) => (text, " […]"),
        };
        let text = shown(&String::from_utf8_lossy(text), &secrets);
        tracing::info!(server = server.as_str(), pid, line = %format_args!("{text}{cut}"), "child's stderr");
    }
    tell(rate.dropped, &server, pid);
}

fn tell(dropped: u64, server: &ServerName, pid: u32) {
    if dropped > 0 {
        tracing::warn!(server = server.as_str(), pid, dropped, "child's stderr: lines were not logged");
    }
}

/// A line as it is logged: secrets replaced by their names, control characters escaped.
fn shown(line: &str, secrets: &[(String, Secret<String>)]) -> String {
    let mut line = line.to_owned();
    for (name, value) in secrets {
        let value = value.expose();
        if value.len() >= SECRET_BYTES && line.contains(value.as_str()) {
            line = line.replace(value.as_str(), &format!("[{name}]"));
        }
    }
    let escape = |c: char| {
        c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    line.chars().map(|c| if escape(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

struct Rate {
    since: Instant,
    lines: u32,
    dropped: u64,
}

impl Rate {
    /// Begins anew after a second; gives how many lines were not logged in the one before.
    fn renew(&mut self, now: Instant) -> u64 {
        if now.saturating_duration_since(self.since) < SECOND {
            return 0;
        }
        std::mem::replace(self, Self { since: now, lines: 0, dropped: 0 }).dropped
    }

    /// Whether one more line is logged now.
    fn admits(&mut self) -> bool {
        self.lines += 1;
        let admitted = self.lines <= limits::CHILD_ERROR_LINES;
        self.dropped += u64::from(!admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_neither_secrets_nor_control_characters() {
        let secrets = [
            (String::from("TOKEN"), Secret::new(String::from("s3cret-value"))),
            (String::from("FLAG"), Secret::new(String::from("1"))),
        ];
        assert_eq!(
            shown("got s3cret-value 1\u{1b}[2J\u{202e}x\tü", &secrets),
            "got [TOKEN] 1\\u{1b}[2J\\u{202e}x\\tü"
        );
    }

    #[test]
    fn lines_over_the_rate_are_counted_not_logged() {
        let start = Instant::now();
        let mut rate = Rate { since: start, lines: 0, dropped: 0 };
        let admitted = (0..1000).filter(|_| rate.admits()).count();
        assert_eq!(admitted, limits::CHILD_ERROR_LINES as usize);
        assert_eq!(rate.renew(start), 0, "the second is not over");
        assert_eq!(rate.renew(start + SECOND), 1000 - u64::from(limits::CHILD_ERROR_LINES));
        assert!(rate.admits());
    }
}
