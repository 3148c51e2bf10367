//! `portunus policy …`: offline, from the configuration and its policy files; only `shadow` asks the running edge.

mod explain;
mod init;
mod matrix;
mod page;
mod prove;
mod replay;
mod shadow;
mod test;

use super::{Failure, Outcome};
use crate::args::{Policy, PolicyFiles};
use crate::config::{self, Config};
use crate::policies::{self, PolicyError};
use portunus_policy::Engine;
use std::io::IsTerminal;
use std::path::Path;

/// Longest file of cases, principals or properties.
const YAML_BYTES: u64 = 4 * 1024 * 1024;

pub(crate) fn run(command: Policy) -> Outcome {
    match command {
        Policy::Check(files) => check(&files),
        Policy::Test(asked) => test::run(&asked),
        Policy::Explain(asked) => explain::run(&asked),
        Policy::Matrix(asked) => matrix::run(&asked),
        Policy::Replay(asked) => replay::run(&asked),
        Policy::Shadow(admin) => shadow::run(&admin),
        Policy::Prove(asked) => prove::run(&asked),
        Policy::Schema { files, server } => schema(&files, server.as_deref()),
        Policy::Init(asked) => init::run(&asked),
    }
}

fn load(files: &PolicyFiles) -> Result<(Config, Engine), Failure> {
    let config = config::load(&files.config).map_err(Failure::usage)?;
    let engine = engine(&config)?;
    Ok((config, engine))
}

fn engine(config: &Config) -> Result<Engine, Failure> {
    policies::load_beside(config).map_err(|error| match error {
        PolicyError::Problems(_) => Failure::refused(error),
        _ => Failure::usage(error),
    })
}

fn check(files: &PolicyFiles) -> Outcome {
    let (_, engine) = load(files)?;
    let warnings: Vec<String> = engine.warnings().iter().map(ToString::to_string).collect();
    if files.json {
        println!("{}", serde_json::json!({ "version": engine.version(), "warnings": warnings }));
    } else {
        warnings.iter().for_each(|warning| println!("{warning}"));
        println!("policies are valid; version {}", engine.version());
    }
    Ok(())
}

fn schema(files: &PolicyFiles, server: Option<&str>) -> Outcome {
    let config = config::load(&files.config).map_err(Failure::usage)?;
    let mut servers = policies::servers(&config, &policies::lock_beside(&config).map_err(Failure::usage)?);
    if let Some(wanted) = server {
        servers.retain(|known| known.server.as_str() == wanted);
        if servers.is_empty() {
            return Err(Failure::Usage(format!("no server `{wanted}` in {}", config.path.display())));
        }
    }
    let text = portunus_policy::schema_text(&servers);
    if files.json {
        println!("{}", serde_json::json!({ "schema": text }));
    } else {
        print!("{text}");
    }
    Ok(())
}

/// Reads a YAML file of a bounded size.
fn yaml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::Usage(format!("{}: {error}", path.display()));
    if std::fs::metadata(path).map_err(|e| wrong(&e))?.len() > YAML_BYTES {
        return Err(wrong(&format!("it is longer than {YAML_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
    serde_saphyr::from_str(&text).map_err(|e| wrong(&e))
}

/// Colours, when somebody sees them.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn new(json: bool) -> Self {
        Self(!json && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }
    fn green(self, text: &str) -> String {
        self.with("32", text)
    }
    fn red(self, text: &str) -> String {
        self.with("31", text)
    }
    fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }
    fn dim(self, text: &str) -> String {
        self.with("2", text)
    }
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
