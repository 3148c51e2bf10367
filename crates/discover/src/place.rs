//! Where clients keep what they are configured with, by operating system, and how an entry of theirs looks that goes to a URL.

use serde::Serialize;

/// A program that people connect servers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// Claude Desktop.
    ClaudeDesktop,
    /// Claude Code.
    ClaudeCode,
    /// Cursor.
    Cursor,
    /// Visual Studio Code and what is made of it.
    VsCode,
    /// Windsurf, and its plug-in in other editors.
    Windsurf,
    /// Codex.
    Codex,
    /// Gemini CLI.
    Gemini,
    /// Cline and Roo Code, which live in Visual Studio Code.
    Cline,
    /// Any that reads an `mcp.json`.
    Generic,
    /// None: an environment file.
    Environment,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, with the comments and trailing commas that clients allow.
    Json,
    /// TOML.
    Toml,
    /// Lines of `NAME=value`.
    Dotenv,
}

/// An operating system, for the places of its users' files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// Linux and other Unix systems.
    Linux,
    /// macOS.
    Mac,
    /// Windows.
    Windows,
}

impl Os {
    /// The one that this runs on.
    #[must_use]
    pub const fn current() -> Self {
        if cfg!(target_os = "macos") {
            Self::Mac
        } else if cfg!(windows) {
            Self::Windows
        } else {
            Self::Linux
        }
    }
}

/// A file that may be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub client: Client,
    /// How it is written.
    pub format: Format,
    /// Below the home or project directory, with `/` between; a part may be `*`, or begin with `*` and go on with an ending.
    pub path: String,
}

impl Client {
    /// The word for it, which begins the ids of its servers.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "claude-desktop",
            Self::ClaudeCode => "claude-code",
            Self::Cursor => "cursor",
            Self::VsCode => "vscode",
            Self::Windsurf => "windsurf",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Cline => "cline",
            Self::Generic => "mcp",
            Self::Environment => "env",
        }
    }

    /// The members of an entry that goes to this URL.
    #[must_use]
    pub fn entry(self, url: &str) -> Vec<(&'static str, Word)> {
        let text = |text: &str| Word::Text(text.to_owned());
        match self {
            // Its configuration file knows programs only.
            Self::ClaudeDesktop => vec![
                ("command", text("npx")),
                ("args", Word::List(["-y", "mcp-remote", url].map(str::to_owned).to_vec())),
            ],
            Self::Cursor | Self::Codex => vec![("url", text(url))],
            Self::Windsurf => vec![("serverUrl", text(url))],
            Self::Gemini => vec![("httpUrl", text(url))],
            Self::Cline => vec![("type", text("streamableHttp")), ("url", text(url))],
            Self::ClaudeCode | Self::VsCode | Self::Generic | Self::Environment => {
                vec![("type", text("http")), ("url", text(url))]
            }
        }
    }
}

/// A value to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// A text.
    Text(String),
    /// Several.
    List(Vec<String>),
}

/// Editors that are Visual Studio Code under another name.
const CODES: [&str; 4] = ["Code", "Code - Insiders", "VSCodium", "Code - OSS"];

/// The files of a user, below the home directory.
#[must_use]
pub fn of_user(os: Os) -> Vec<Place> {
    use Client::{ClaudeCode, ClaudeDesktop, Cline, Codex, Cursor, Gemini, Generic, VsCode, Windsurf};
    let settings = match os {
        Os::Linux => ".config",
        Os::Mac => "Library/Application Support",
        Os::Windows => "AppData/Roaming",
    };
    let mut places = vec![
        json(ClaudeDesktop, &format!("{settings}/Claude/claude_desktop_config.json")),
        json(ClaudeCode, ".claude.json"),
        json(ClaudeCode, ".claude/settings.json"),
        json(ClaudeCode, ".claude/settings.local.json"),
        json(ClaudeCode, ".claude/.credentials.json"),
        json(Cursor, ".cursor/mcp.json"),
        json(Windsurf, ".codeium/windsurf/mcp_config.json"),
        json(Windsurf, ".codeium/mcp_config.json"),
        Place { client: Codex, format: Format::Toml, path: ".codex/config.toml".to_owned() },
        json(Codex, ".codex/auth.json"),
        json(Gemini, ".gemini/settings.json"),
        json(Gemini, ".gemini/mcp-oauth-tokens.json"),
        json(Gemini, ".gemini/extensions/*/gemini-extension.json"),
        dotenv(Gemini, ".gemini/.env"),
        json(Generic, ".mcp.json"),
        json(Generic, "mcp.json"),
        dotenv(Client::Environment, ".env"),
    ];
    for code in CODES {
        let user = format!("{settings}/{code}/User");
        places.push(json(VsCode, &format!("{user}/mcp.json")));
        places.push(json(VsCode, &format!("{user}/settings.json")));
        places.push(json(VsCode, &format!("{user}/profiles/*/mcp.json")));
        places.push(json(VsCode, &format!("{user}/profiles/*/settings.json")));
        let storage = format!("{user}/globalStorage");
        places
            .push(json(Cline, &format!("{storage}/saoudrizwan.claude-dev/settings/cline_mcp_settings.json")));
        places.push(json(Cline, &format!("{storage}/rooveterinaryinc.roo-cline/settings/mcp_settings.json")));
    }
    if os == Os::Mac {
        // Some keep to the other Unix place there.
        places.push(json(ClaudeDesktop, ".config/Claude/claude_desktop_config.json"));
    }
    places
}

/// The files of a project, below its directory.
#[must_use]
pub fn of_project() -> Vec<Place> {
    vec![
        json(Client::ClaudeCode, ".mcp.json"),
        json(Client::ClaudeCode, ".claude/settings.json"),
        json(Client::ClaudeCode, ".claude/settings.local.json"),
        json(Client::Cursor, ".cursor/mcp.json"),
        json(Client::VsCode, ".vscode/mcp.json"),
        json(Client::VsCode, ".vscode/settings.json"),
        json(Client::VsCode, "*.code-workspace"),
        json(Client::VsCode, ".devcontainer/devcontainer.json"),
        json(Client::VsCode, ".devcontainer.json"),
        json(Client::Windsurf, ".windsurf/mcp_config.json"),
        Place { client: Client::Codex, format: Format::Toml, path: ".codex/config.toml".to_owned() },
        json(Client::Gemini, ".gemini/settings.json"),
        dotenv(Client::Gemini, ".gemini/.env"),
        json(Client::Cline, ".roo/mcp.json"),
        json(Client::Generic, "mcp.json"),
        dotenv(Client::Environment, ".env"),
        dotenv(Client::Environment, ".env.local"),
        dotenv(Client::Environment, ".env.development"),
        dotenv(Client::Environment, ".env.production"),
    ]
}

fn json(client: Client, path: &str) -> Place {
    Place { client, format: Format::Json, path: path.to_owned() }
}

fn dotenv(client: Client, path: &str) -> Place {
    Place { client, format: Format::Dotenv, path: path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_has_a_place_for_every_client() {
        for os in [Os::Linux, Os::Mac, Os::Windows] {
            let places = of_user(os);
            for client in [
                Client::ClaudeDesktop,
                Client::ClaudeCode,
                Client::Cursor,
                Client::VsCode,
                Client::Windsurf,
                Client::Codex,
                Client::Gemini,
                Client::Cline,
                Client::Generic,
            ] {
                assert!(places.iter().any(|place| place.client == client), "{os:?} {client:?}");
            }
            for place in places.iter().chain(&of_project()) {
                assert!(
                    !place.path.starts_with('/') && !place.path.split('/').any(|part| part == ".."),
                    "{place:?}"
                );
            }
        }
    }
}
