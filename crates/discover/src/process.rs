//! A running program: whether it looks like an MCP server over stdio, and the secrets that it was given. What it inherited
//! counts too: it can read it.

use crate::args;
use crate::recognise::{self, Care, Why};
use portunus_core::limits::DISCOVER_FOUND;
use portunus_core::secret::Secret;

/// A secret of a process.
#[derive(Debug)]
pub struct Given {
    /// Where it is: `args.2 --api-key`, `env.TOKEN`.
    pub at: String,
    /// How it was recognised.
    pub why: Why,
    /// The secret.
    pub secret: Secret<String>,
}

/// Words of a command line that are looked at for a server's name.
const NAMED_IN: usize = 8;
/// Variables that look like secrets and are part of every session.
const ORDINARY: [&str; 12] = [
    "DBUS_SESSION_BUS_ADDRESS",
    "XDG_SESSION_ID",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SSH_AUTH_SOCK",
    "XAUTHORITY",
    "LS_COLORS",
    "PATH",
    "SYSTEMD_EXEC_PID",
    "WINDOWID",
    "GPG_AGENT_INFO",
    "PWD",
];

/// The word that makes a command line look like a server's, when one does.
#[must_use]
pub fn looks_like_server(words: &[String]) -> bool {
    words.iter().take(NAMED_IN).any(|word| {
        let lower = word.to_ascii_lowercase();
        let mut parts = lower.split(|c: char| !c.is_ascii_alphanumeric());
        parts.any(|part| {
            part == "mcp" || part == "fastmcp" || part == "modelcontextprotocol" || part == "mcpserver"
        })
    })
}

/// The secrets in a command line and an environment.
#[must_use]
pub fn given(words: &[String], environment: &[(String, String)]) -> Vec<Given> {
    let mut found = Vec::new();
    let mut before = None;
    for (index, word) in words.iter().enumerate() {
        for hit in args::word(before, word, Care::Loose) {
            let Some(secret) = word.get(hit.spot.range.clone()) else { continue };
            let how = match &hit.role {
                args::Role::Header(name) => format!(" header {name}"),
                args::Role::Environment(name) => format!(" variable {name}"),
                args::Role::Flag(name) => format!(" {name}"),
                args::Role::Within => String::new(),
            };
            let secret = Secret::new(secret.to_owned());
            found.push(Given { at: format!("args.{index}{how}"), why: hit.spot.why, secret });
        }
        before = Some(word.as_str());
    }
    for (name, value) in environment.iter().filter(|(name, _)| !ORDINARY.contains(&name.as_str())) {
        // Much that looks random is in every environment; what is named so, or has a maker's start, is meant.
        let care =
            if recognise::value(name, value, Care::Strict).is_empty() { Care::Loose } else { Care::Strict };
        for spot in recognise::value(name, value, care) {
            let named = spot.why != Why::Shape || care == Care::Strict;
            let Some(secret) = value.get(spot.range.clone()).filter(|_| named) else { continue };
            found.push(Given {
                at: format!("env.{name}"),
                why: spot.why,
                secret: Secret::new(secret.to_owned()),
            });
        }
    }
    found.truncate(DISCOVER_FOUND);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn servers_are_known_by_their_command_lines() {
        for line in [
            &["npx", "-y", "@modelcontextprotocol/server-github"][..],
            &["uvx", "mcp-server-sqlite"],
            &["/usr/bin/python3", "-m", "fastmcp", "run"],
            &["node", "/opt/github-mcp/index.js"],
        ] {
            assert!(looks_like_server(&words(line)), "{line:?}");
        }
        for line in [&["bash"][..], &["vim", "notes.txt"], &["mcpfoo"], &["tmcpd"]] {
            assert!(!looks_like_server(&words(line)), "{line:?}");
        }
    }

    #[test]
    fn what_a_process_was_given_or_inherited_is_found() {
        let environment = [
            ("GITHUB_TOKEN", "hunter2"),
            ("DATABASE_URL", "postgres://ana:hunter3@db/x"),
            ("INVOCATION_ID", "3f786850e387550fdab836ed7e6dc881"),
            ("SOME_ID", "3f786850e387550fdab836ed7e6dc881de23001b"),
            ("HOME", "/home/ana"),
        ];
        let environment: Vec<_> =
            environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let found = given(&words(&["npx", "x", "--api-key", "abc"]), &environment);
        let found: Vec<_> = found.iter().map(|f| (f.at.as_str(), f.secret.expose().as_str())).collect();
        let wanted =
            [("args.3 --api-key", "abc"), ("env.GITHUB_TOKEN", "hunter2"), ("env.DATABASE_URL", "hunter3")];
        assert_eq!(found, wanted);
    }
}
