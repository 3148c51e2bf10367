//! What the doctor found: steps with findings, each with why and how to mend it. Everything that a server said is cleaned
//! before it gets in here, so that nothing in a report can steer a terminal.

use portunus_oauth::text;
use serde::Serialize;
use std::time::Duration;

/// Characters of one text in a report.
const TEXT_CHARS: usize = 400;

/// How good or bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Was not looked at.
    Skipped,
    /// The client goes on, but not as well as it could.
    Warning,
    /// Wrong: the client stops here, or somebody is in danger.
    Failed,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub level: Level,
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// The findings of one step, collected in order.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub Vec<Finding>);

impl Findings {
    /// Everything is as it should be in this point.
    pub(crate) fn ok(&mut self, what: impl AsRef<str>) {
        self.push(Level::Ok, what.as_ref(), None, None);
    }
    /// Was not looked at, and why.
    pub(crate) fn skip(&mut self, what: impl AsRef<str>, why: &str) {
        self.push(Level::Skipped, what.as_ref(), Some(why), None);
    }
    /// The client goes on, but …
    pub(crate) fn warn(&mut self, what: impl AsRef<str>, why: &str, mend: impl AsRef<str>) {
        self.push(Level::Warning, what.as_ref(), Some(why), Some(mend.as_ref()));
    }
    /// The client stops here.
    pub(crate) fn fail(&mut self, what: impl AsRef<str>, why: &str, mend: impl AsRef<str>) {
        self.push(Level::Failed, what.as_ref(), Some(why), Some(mend.as_ref()));
    }
    /// [`Self::fail`] for those who insist, [`Self::warn`] for the others.
    pub(crate) fn fail_if(&mut self, strict: bool, what: impl AsRef<str>, why: &str, mend: impl AsRef<str>) {
        let level = if strict { Level::Failed } else { Level::Warning };
        self.push(level, what.as_ref(), Some(why), Some(mend.as_ref()));
    }
    /// Whether something is wrong.
    pub(crate) fn failed(&self) -> bool {
        self.0.iter().any(|finding| finding.level == Level::Failed)
    }

    fn push(&mut self, level: Level, what: &str, why: Option<&str>, mend: Option<&str>) {
        let finding = Finding { level, what: line(what), why: why.map(line), mend: mend.map(line) };
        self.0.push(finding);
    }
}

/// One step of the handshake.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    pub name: &'static str,
    pub level: Level,
    pub findings: Vec<Finding>,
    pub milliseconds: u64,
}

impl Step {
    pub(crate) fn new(name: &'static str, findings: Findings, took: Duration) -> Self {
        let level = findings.0.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self { name, level, findings: findings.0, milliseconds }
    }
}

/// The whole examination.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub url: String,
    pub client: &'static str,
    /// `works`, `works with warnings`, or `fails`.
    pub verdict: &'static str,
    /// The step that the client does not get past.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<&'static str>,
    pub steps: Vec<Step>,
}

impl Report {
    pub(crate) fn new(
        url: &str,
        client: &'static str,
        stopped_at: Option<&'static str>,
        steps: Vec<Step>,
    ) -> Self {
        let worst = steps.iter().map(|step| step.level).max().unwrap_or(Level::Ok);
        let verdict = match worst {
            Level::Failed => "fails",
            Level::Warning => "works with warnings",
            Level::Ok | Level::Skipped => "works",
        };
        Self { url: line(url), client, verdict, stopped_at, steps }
    }
    pub(crate) fn failed(&self) -> bool {
        self.steps.iter().any(|step| step.level == Level::Failed)
    }
}

/// One line of text that moves nothing about, whoever wrote it.
pub(crate) fn line(said: &str) -> String {
    let mut letters = said.chars();
    let start: String = letters.by_ref().take(TEXT_CHARS).collect();
    let more = if letters.next().is_some() { "…" } else { "" };
    text::reveal(&start.replace(['\n', '\t', '\r'], " ")) + more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_steer_a_terminal() {
        let mut findings = Findings::default();
        findings.fail(
            "\u{1b}[2Jit works\r\u{7}",
            "a\nb\u{202e}c",
            "\u{9b}31m".to_owned() + &"x".repeat(10_000),
        );
        let said = serde_json::to_string(&findings.0).unwrap();
        assert!(!said.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\u{7}']), "{said}");
        assert!(!said.contains("\\n") && !said.contains("\\r"), "{said}");
        assert!(said.len() < 1000, "{}", said.len());
        assert_eq!(findings.0[0].why.as_deref(), Some("a b\\u{202e}c"));
    }
}
