//! What tools take and give: SQL in arguments, labels on sessions, classes of data in results.

use super::file;
use portunus_core::limits;
use portunus_edge::ToolLabels;
use portunus_edge::facts::Declared;
use portunus_edge::labels::Put;
use portunus_edge::shown::class_names;
use portunus_policy::sql::Dialect;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// A label's life.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelFile {
    /// How long it stays on a session after it was last put on, 1s to 30d, such as `8h`.
    pub lasts: String,
}

/// A class of data that is looked for in results.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataClassFile {
    /// Of a class of your own: a regular expression for its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Labels that a value of this class puts on the session that it is shown to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// What is confirmed of a tool.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ToolFile {
    /// Its groups.
    Groups(Vec<String>),
    /// More than that.
    More(MoreFile),
}

/// What is confirmed of a tool: its groups, its SQL, its labels.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MoreFile {
    /// What it does: `read`, `write`, `destructive`, `open_world`.
    pub groups: Vec<String>,
    /// Which argument holds SQL and in which dialect, or `none`. Without it, a text called `sql`, `query` or `statement`
    /// is taken for SQL of a dialect that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<SqlFile>,
    /// Labels that a call of it puts on the session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// Where a tool takes SQL.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum SqlFile {
    /// The word `none`: it takes none.
    Word(String),
    /// In this argument.
    Argument(SqlArgumentFile),
}

/// An argument with SQL.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlArgumentFile {
    /// Its name.
    pub argument: String,
    /// `sqlite`, `postgres`, `mysql` …, or `generic` for what must be good in all.
    pub dialect: String,
}

impl ToolFile {
    pub(crate) fn groups(&self) -> &[String] {
        match self {
            Self::Groups(groups) => groups,
            Self::More(more) => &more.groups,
        }
    }
    fn more(&self) -> Option<&MoreFile> {
        match self {
            Self::Groups(_) => None,
            Self::More(more) => Some(more),
        }
    }
}

/// How long each label stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lives(BTreeMap<String, Duration>);

/// A class of data as it is configured.
#[derive(Debug, Clone)]
pub(crate) struct DataClass {
    pub name: String,
    pub pattern: Option<String>,
    pub labels: Put,
}

pub(crate) fn lives(files: &BTreeMap<String, LabelFile>) -> Result<Lives, String> {
    let mut lives = BTreeMap::new();
    for (label, file) in files {
        check_name("label", label)?;
        let life = super::duration(&file.lasts)?;
        if !(Duration::from_secs(1)..=Duration::from_secs(30 * 86_400)).contains(&life) {
            return Err(format!("label `{label}`: `{}` must be 1s to 30d", file.lasts));
        }
        lives.insert(label.clone(), life);
    }
    if lives.len() > limits::LABELS {
        return Err(format!("there are more than {} labels", limits::LABELS));
    }
    Ok(Lives(lives))
}

impl Lives {
    fn put(&self, labels: &[String]) -> Result<Put, String> {
        let mut put = Put::new();
        for label in labels {
            check_name("label", label)?;
            put.insert(label.clone(), self.0.get(label).copied().unwrap_or(limits::LABEL_TTL));
        }
        Ok(put)
    }

    /// The labels of a server and its tools.
    pub(crate) fn of_server(&self, server: &file::Server) -> Result<ToolLabels, String> {
        let mut labels = ToolLabels { all: self.put(&server.labels)?, of_tool: HashMap::new() };
        if let Some(file::Tools::Confirmed(tools)) = &server.tools {
            for (tool, more) in tools.iter().filter_map(|(tool, file)| Some((tool, file.more()?))) {
                labels.of_tool.insert(tool.clone(), self.put(&more.labels)?);
            }
        }
        Ok(labels)
    }

    pub(crate) fn classes(&self, files: &BTreeMap<String, DataClassFile>) -> Result<Vec<DataClass>, String> {
        let class = |(name, file): (&String, &DataClassFile)| {
            check_name("data class", name)?;
            if file.pattern.is_none() && !class_names([]).contains(name) {
                return Err(format!("data class `{name}` is not a built-in one and needs a pattern"));
            }
            Ok(DataClass {
                name: name.clone(),
                pattern: file.pattern.clone(),
                labels: self.put(&file.labels)?,
            })
        };
        files.iter().map(class).collect()
    }
}

/// Which arguments of a server's tools hold SQL, as far as that was said.
pub(crate) fn sql(tools: Option<&file::Tools>) -> Result<HashMap<String, Declared>, String> {
    let mut declared = HashMap::new();
    match tools {
        Some(file::Tools::Confirmed(tools)) => {
            for (tool, sql) in
                tools.iter().filter_map(|(tool, file)| Some((tool, file.more()?.sql.as_ref()?)))
            {
                let this = match sql {
                    SqlFile::Word(word) if word == "none" => Declared::Nothing,
                    SqlFile::Word(word) => {
                        return Err(format!(
                            "sql `{word}` of tool `{tool}` must be `none` or {{ argument: …, dialect: … }}"
                        ));
                    }
                    SqlFile::Argument(file) => {
                        Declared::Argument(file.argument.clone(), dialect(tool, &file.dialect)?)
                    }
                };
                declared.insert(tool.clone(), this);
            }
        }
        Some(file::Tools::Word(_)) => {
            for tool in ["read_query", "write_query", "explain_query"] {
                declared.insert(tool.to_owned(), Declared::Argument("sql".to_owned(), Dialect::Sqlite));
            }
        }
        None => {}
    }
    Ok(declared)
}

fn dialect(tool: &str, word: &str) -> Result<Dialect, String> {
    word.parse::<Dialect>().map_err(|why| format!("dialect `{word}` of tool `{tool}` is not known: {why}"))
}

/// Names of labels and classes are words, so that policies read well and nothing hides in them.
fn check_name(what: &str, name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > limits::LABEL_BYTES || !name.chars().all(plain) {
        return Err(format!("{what} `{}` must be of a-z, 0-9 and `_`", name.escape_debug()));
    }
    Ok(())
}
