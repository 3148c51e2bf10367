//! The contract with plug-ins: one question, one answer, both one JSON object (`docs/rotation.md`). What carries them is a
//! [`Carrier`]: a program's standard streams, or HTTPS.

use async_trait::async_trait;
use portunus_core::document::TestOutcome;
use portunus_core::secret::Secret;
use portunus_vault::rotation::{
    Administrator, Case, Created, Known, Origin, Plan, Rotator, RotatorError, Verdict, Version,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::time::Duration;

/// The setting of a plan that names the plug-in.
const NAME: &str = "plugin";
/// The version of the contract.
const CONTRACT: u32 = 1;

/// Takes a question to one plug-in and brings its answer.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// The whole answer, at most [`ROTATION_ANSWER_BYTES`](portunus_core::limits::ROTATION_ANSWER_BYTES).
    async fn ask(
        &self,
        question: &Secret<Vec<u8>>,
        administrator: Option<&Administrator>,
    ) -> Result<Secret<Vec<u8>>, RotatorError>;

    /// For which host the administrator's credential must be, when it goes into the question itself.
    fn host(&self) -> Option<String>;
}

/// One plug-in as it is configured.
pub struct Plugin<C> {
    /// How it is asked.
    pub carrier: C,
    /// Who makes its secrets.
    pub origin: Origin,
}

/// The plug-ins of one way to ask them, by name. They are named in the configuration only: a plan chooses among them, so
/// that whoever can write to the store cannot have a program run or a host asked.
pub struct Plugins<C>(pub HashMap<String, Plugin<C>>);

#[derive(Serialize)]
struct Question<'a> {
    portunus_rotation: u32,
    step: &'a str,
    id: &'a str,
    credential: About<'a>,
    settings: Map<String, Value>,
    version: Told<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Told<'a>>,
    known: Vec<KnownVersion<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    administrator: Option<Account<'a>>,
}

#[derive(Serialize)]
struct About<'a> {
    name: &'a str,
    kind: &'a str,
    kind_name: &'a str,
    hosts: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a str>,
    scopes: &'a [String],
}

#[derive(Serialize)]
struct Told<'a> {
    number: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

#[derive(Serialize)]
struct KnownVersion<'a> {
    number: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<&'a str>,
}

#[derive(Serialize)]
struct Account<'a> {
    account: &'a str,
    secret: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    ok: bool,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    permanent: bool,
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    handle: Option<String>,
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    lapses_in_seconds: Option<u64>,
    #[serde(default)]
    outcome: Option<TestOutcome>,
    #[serde(default)]
    detail: Option<String>,
}

impl<C: Carrier> Plugins<C> {
    fn chosen(&self, case: &Case<'_>) -> Result<&Plugin<C>, String> {
        let known = || {
            let mut names: Vec<&str> = self.0.keys().map(String::as_str).collect();
            names.sort_unstable();
            if names.is_empty() { String::from("none is configured") } else { names.join(", ") }
        };
        let name =
            case.text(NAME).ok_or_else(|| format!("settings.{NAME} must name a plug-in: {}", known()))?;
        self.0.get(name).ok_or_else(|| format!("there is no plug-in `{name}` under `rotators:`: {}", known()))
    }

    async fn ask(
        &self,
        step: &str,
        case: &Case<'_>,
        version: &Version<'_>,
        previous: Option<&Version<'_>>,
    ) -> Result<Answer, RotatorError> {
        let plugin = self.chosen(case).map_err(RotatorError::Wrong)?;
        let question = question(&plugin.carrier, step, case, version, previous)?;
        let answer = plugin.carrier.ask(&question, case.administrator).await?;
        let answer: Answer = serde_json::from_slice(answer.expose()).map_err(|error| {
            // The position only: the text around it may be a secret.
            let (line, column) = (error.line(), error.column());
            RotatorError::Later(format!(
                "the plug-in's answer is not as agreed (line {line}, column {column})"
            ))
        })?;
        if answer.ok {
            return Ok(answer);
        }
        let why = format!("the plug-in says: {}", answer.error.unwrap_or_else(|| String::from("no")));
        Err(if answer.permanent { RotatorError::Wrong(why) } else { RotatorError::Later(why) })
    }
}

fn question<C: Carrier>(
    carrier: &C,
    step: &str,
    case: &Case<'_>,
    version: &Version<'_>,
    previous: Option<&Version<'_>>,
) -> Result<Secret<Vec<u8>>, RotatorError> {
    let administrator = match (case.administrator, carrier.host()) {
        (Some(administrator), Some(host)) => {
            let (account, secret) = administrator.for_host(&host)?;
            Some(Account { account, secret: text(secret)? })
        }
        _ => None,
    };
    let credential = case.credential;
    let own = |key: &String| !["plugin", "admin", "drain_seconds"].contains(&key.as_str());
    let question = Question {
        portunus_rotation: CONTRACT,
        step,
        id: case.id,
        credential: About {
            name: credential.name.as_str(),
            kind: credential.kind.word(),
            kind_name: credential.kind.name(),
            hosts: &credential.hosts,
            environment: credential.environment.as_deref(),
            scopes: &credential.scopes,
        },
        settings: case
            .settings
            .iter()
            .filter(|(key, _)| own(key))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
        version: told(version)?,
        previous: previous.map(told).transpose()?,
        known: case.known.iter().map(known).collect(),
        administrator,
    };
    let bytes = serde_json::to_vec(&question);
    bytes.map(Secret::new).map_err(|_| RotatorError::Wrong(String::from("the question could not be written")))
}

fn told<'a>(version: &Version<'a>) -> Result<Told<'a>, RotatorError> {
    let Version { number, account, handle, secret } = *version;
    Ok(Told { number, account, handle, secret: secret.map(text).transpose()? })
}

fn known(known: &Known) -> KnownVersion<'_> {
    KnownVersion { number: known.version, account: known.account.as_deref(), handle: known.handle.as_deref() }
}

fn text(secret: &Secret<Vec<u8>>) -> Result<&str, RotatorError> {
    let text = std::str::from_utf8(secret.expose());
    text.map_err(|_| {
        RotatorError::Wrong(String::from("a secret that is no text cannot be given to a plug-in"))
    })
}

#[async_trait]
impl<C: Carrier> Rotator for Plugins<C> {
    fn plan(&self, case: &Case<'_>) -> Result<Plan, String> {
        let plugin = self.chosen(case)?;
        if let (Some(administrator), Some(host)) = (case.administrator, plugin.carrier.host()) {
            administrator.for_host(&host).map_err(|error| error.to_string())?;
        }
        Ok(Plan { origin: plugin.origin, account: None })
    }

    async fn create(&self, case: &Case<'_>, new: &Version<'_>) -> Result<Created, RotatorError> {
        let answer = self.ask("create", case, new, None).await?;
        Ok(Created {
            secret: answer.secret.map(|secret| Secret::new(secret.into_bytes())),
            account: answer.account,
            handle: answer.handle,
            lapses_at: answer.lapses_in_seconds.map(|seconds| case.now.plus(Duration::from_secs(seconds))),
        })
    }

    async fn verify(&self, case: &Case<'_>, new: &Version<'_>) -> Result<(), RotatorError> {
        self.ask("verify", case, new, None).await.map(drop)
    }

    async fn disable(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        self.ask("disable", case, old, None).await.map(drop)
    }

    async fn verify_dead(&self, case: &Case<'_>, old: &Version<'_>) -> Result<Verdict, RotatorError> {
        let answer = self.ask("verify_dead", case, old, None).await?;
        let unsaid = || RotatorError::Later(String::from("the plug-in gave no `outcome`"));
        Ok(Verdict {
            outcome: answer.outcome.ok_or_else(unsaid)?,
            detail: answer.detail.unwrap_or_else(|| String::from("the plug-in says so")),
        })
    }

    async fn delete(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        self.ask("delete", case, old, None).await.map(drop)
    }

    async fn undo(
        &self,
        case: &Case<'_>,
        new: &Version<'_>,
        old: &Version<'_>,
    ) -> Result<Option<String>, RotatorError> {
        self.ask("undo", case, new, Some(old)).await.map(|answer| answer.account)
    }
}
