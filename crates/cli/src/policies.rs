//! Policy files and confirmed tools → the engine.

use crate::config::data::DataClass;
use crate::config::{Config, ServerConfig, Tools};
use portunus_core::id::ServerName;
use portunus_edge::Candidate;
use portunus_edge::shown::class_names;
use portunus_pins::Lock;
use portunus_policy::{Engine, Problem, ServerTools, Source, Tool, TrustGroups, defaults};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest policy file.
const POLICY_BYTES: u64 = 4 * 1024 * 1024;

/// Why policies could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("policies {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("policy file {} is longer than {POLICY_BYTES} bytes", .0.display())]
    TooLong(PathBuf),
    #[error(transparent)]
    Pins(#[from] crate::pins::PinsError),
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        let _ = writeln!(text, "{problem}");
    }
    text.trim_end().to_owned()
}

/// Reads, checks and compiles the policies of this configuration.
pub(crate) fn load(config: &Config, lock: &Lock) -> Result<Engine, PolicyError> {
    Engine::load(&sources(&config.policies)?, &servers(config, lock)).map_err(PolicyError::Problems)
}

/// The servers as policies see them.
pub(crate) fn servers(config: &Config, lock: &Lock) -> Vec<ServerTools> {
    config.servers.iter().map(|entry| server_tools(entry, lock, &config.classes)).collect()
}

/// The candidate policies, if there are any and they can be used; what is wrong with them is in nobody's way.
pub(crate) fn candidate(config: &Config, lock: &Lock) -> Option<Candidate> {
    let directory = config.shadow_policies.as_ref()?;
    let path = directory.display().to_string();
    let loaded = sources(directory)
        .and_then(|sources| Engine::load(&sources, &servers(config, lock)).map_err(PolicyError::Problems));
    match loaded {
        Ok(engine) => Some(Candidate { path, engine: Arc::new(engine) }),
        Err(error) => {
            tracing::warn!(path, %error, "the candidate policies are not tried");
            None
        }
    }
}

/// The same, with the lockfile that lies beside the configuration.
pub(crate) fn load_beside(config: &Config) -> Result<Engine, PolicyError> {
    load(config, &lock_beside(config)?)
}

/// The lockfile that lies beside a configuration; an empty one where there is none.
pub(crate) fn lock_beside(config: &Config) -> Result<Lock, PolicyError> {
    Ok(crate::pins::load(&crate::pins::path_beside(&config.path))?)
}

/// The default policies and every `*.cedar` file of the directory, in order of name.
pub(crate) fn sources(directory: &Path) -> Result<Vec<Source>, PolicyError> {
    let mut sources = vec![defaults::source()];
    for path in files(directory, ".cedar")? {
        let unreadable = |error| PolicyError::Unreadable { path: path.clone(), error };
        if std::fs::metadata(&path).map_err(unreadable)?.len() > POLICY_BYTES {
            return Err(PolicyError::TooLong(path));
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        sources.push(Source { path: path.display().to_string(), text });
    }
    Ok(sources)
}

/// Files of a directory whose names end so, in order of name.
pub(crate) fn files(directory: &Path, ending: &str) -> Result<Vec<PathBuf>, PolicyError> {
    let unreadable = |error| PolicyError::Unreadable { path: directory.to_owned(), error };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn server_tools(config: &ServerConfig, lock: &Lock, classes: &[DataClass]) -> ServerTools {
    let tools = match &config.tools {
        Tools::Sql => portunus_sqlite::tool_schemas()
            .into_iter()
            .map(|(name, schema)| {
                let groups = TrustGroups::of_builtin_sql(&name).unwrap_or(TrustGroups::CAUTIOUS);
                Tool { name, groups, input_schema: Some(schema) }
            })
            .collect(),
        Tools::Confirmed(confirmed) => tools_of(confirmed, lock, &config.server.name),
    };
    ServerTools {
        server: config.server.name.clone(),
        environment: config.server.environment.clone(),
        owner: config.server.owner.clone(),
        tools,
        classes: class_names(classes.iter().map(|class| class.name.clone())),
    }
}

/// The tools that were confirmed or are pinned: groups as confirmed, input schemas as pinned.
fn tools_of(confirmed: &BTreeMap<String, TrustGroups>, lock: &Lock, server: &ServerName) -> Vec<Tool> {
    let tool = |(name, groups): (&String, &TrustGroups)| {
        (name.clone(), Tool { name: name.clone(), groups: *groups, input_schema: None })
    };
    let mut tools: BTreeMap<String, Tool> = confirmed.iter().map(tool).collect();
    for pinned in lock.tools(server) {
        let name = pinned.name.to_owned();
        let known = Tool { name: name.clone(), groups: TrustGroups::CAUTIOUS, input_schema: None };
        tools.entry(name).or_insert(known).input_schema = pinned.input_schema.map(str::to_owned);
    }
    tools.into_values().collect()
}

/// Tools of a server that are confirmed to change nothing.
pub(crate) fn read_only(config: &ServerConfig) -> HashSet<String> {
    let reads = |tool: &Tool| tool.groups.read && !tool.groups.write && !tool.groups.destructive;
    server_tools(config, &Lock::default(), &[])
        .tools
        .into_iter()
        .filter(reads)
        .map(|tool| tool.name)
        .collect()
}
