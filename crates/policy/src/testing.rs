//! Tests of policies, for `portunus policy test`: who asks for what, and what must come of it.

use crate::decision::Decision;
use crate::engine::Engine;
use crate::explain::{Explanation, Outcome, explain, explain_column};
use crate::model::{Approved, Context, Operation, Past, Request};
use crate::sql::{self, Dialect, SqlFacts};
use portunus_core::caller::{Caller, Holding, SignIn};
use portunus_core::id::{ClientId, GroupName, Id, ServerName, UserName};
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Who asks.
    pub user: UserName,
    /// The groups they are in.
    #[serde(default)]
    pub groups: Vec<GroupName>,
    /// Through which client.
    #[serde(default)]
    pub client: Option<ClientId>,
    /// Driven by whom; an assistant when not said.
    #[serde(default)]
    pub actor: Option<Actor>,
    /// The scopes of the grant.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// From where; 127.0.0.1 when not said.
    #[serde(default)]
    pub source: Option<IpAddr>,
    /// How they signed in; `pwd` when not said.
    #[serde(default)]
    pub sign_in: Option<String>,
    /// How long ago they signed in.
    #[serde(default)]
    pub sign_in_age_seconds: u64,
    /// The moment, as RFC 3339; the present when not said.
    #[serde(default)]
    pub at: Option<String>,
    /// The edge's environment; `production` when not said.
    #[serde(default)]
    pub environment: Option<String>,
    /// The labels on their session.
    #[serde(default)]
    pub labels: BTreeSet<String>,
    /// Where the tool's pin stands; `pinned` when not said.
    #[serde(default)]
    pub pin: Option<String>,
    /// The server.
    pub server: ServerName,
    /// The tool to call; or else `method`.
    #[serde(default)]
    pub tool: Option<String>,
    /// The method, such as `resources/read`.
    #[serde(default)]
    pub method: Option<String>,
    /// The resource, prompt or task that the method is about.
    #[serde(default)]
    pub target: Option<String>,
    /// A column of the server, `table.column`, in place of `tool` and `method`: whether it is shown.
    #[serde(default)]
    pub column: Option<String>,
    /// The tool's arguments.
    #[serde(default)]
    pub arguments: Option<serde_json::Map<String, serde_json::Value>>,
    /// SQL that the call carries, where no arguments are given; of arguments, what they carry is seen as the edge sees it.
    #[serde(default)]
    pub sql: Option<String>,
    /// Whether whoever must approve has approved it.
    #[serde(default)]
    pub approval: bool,
    /// What must come of it.
    pub expect: Outcome,
    /// Words that must be among the reasons of the refusal.
    #[serde(default)]
    pub reason: Option<String>,
}

/// How a test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// The test's name.
    pub name: String,
    /// `None` when it passed, or else what came of it instead.
    pub failure: Option<String>,
    /// Ids of the policies that decided.
    pub policies: Vec<String>,
}

/// What the SQL among a call's arguments does: of this server, this tool, these raw arguments. The edge knows which argument
/// holds SQL, and in which dialect.
pub type SqlOf<'a> = dyn Fn(&ServerName, &str, &[u8]) -> Option<SqlFacts> + 'a;

/// Runs tests. A test that makes no sense fails.
#[must_use]
pub fn run_cases(engine: &Engine, cases: &[Case], now: Timestamp, sql: &SqlOf<'_>) -> Vec<CaseResult> {
    cases.iter().map(|case| run(engine, case, now, sql)).collect()
}

/// Runs one test and explains what it came to; [`crate::coverage`] counts these.
pub(crate) fn run_explained(
    engine: &Engine,
    case: &Case,
    now: Timestamp,
    sql: &SqlOf<'_>,
) -> Result<Explanation, String> {
    Prepared::of(case, now, sql)?.explain(engine, case)
}

fn run(engine: &Engine, case: &Case, now: Timestamp, sql: &SqlOf<'_>) -> CaseResult {
    let (failure, policies) = match run_explained(engine, case, now, sql) {
        Err(why) => (Some(why), Vec::new()),
        Ok(explained) => {
            let because = explained.errors.iter().chain(&explained.determining);
            let policies: BTreeSet<String> = because.map(|one| one.id.clone()).collect();
            (compare(case, explained.decision, &explained.reasons), policies.into_iter().collect())
        }
    };
    CaseResult { name: case.name.clone(), failure, policies }
}

fn compare(case: &Case, outcome: Outcome, reasons: &[String]) -> Option<String> {
    let word = |outcome| match outcome {
        Outcome::Permit => "permitted",
        Outcome::Refuse => "refused",
        Outcome::Approval => "held for approval",
    };
    if outcome != case.expect {
        let because = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(" ")) };
        return Some(format!("should be {}, but is {}{because}", word(case.expect), word(outcome)));
    }
    let wanted = case.reason.as_ref()?;
    let found = reasons.iter().any(|reason| reason.contains(wanted.as_str()));
    (!found).then(|| format!("the reason should contain `{wanted}`, but is: {}", reasons.join(" ")))
}

/// A case as requests need it.
struct Prepared {
    now: Timestamp,
    caller: Caller,
    arguments: Option<Vec<u8>>,
    sql: Option<SqlFacts>,
    past: Past,
}

impl Prepared {
    fn of(case: &Case, now: Timestamp, sql: &SqlOf<'_>) -> Result<Self, String> {
        let now = match &case.at {
            Some(at) => Timestamp::parse(at)
                .ok_or_else(|| format!("`{at}` is not a moment; write 2026-11-23T15:00:00Z"))?,
            None => now,
        };
        let arguments = case.arguments.as_ref().map(serde_json::to_vec).transpose();
        let arguments = arguments.map_err(|e| e.to_string())?;
        let sql = match (&case.tool, &arguments) {
            (Some(tool), Some(arguments)) => sql(&case.server, tool, arguments),
            _ => case.sql.as_deref().map(|text| sql::facts(text, Dialect::Generic)),
        };
        let past = Past { labels: case.labels.clone(), ..Past::default() };
        Ok(Self { now, caller: caller(case, now)?, arguments, sql, past })
    }

    fn explain(&self, engine: &Engine, case: &Case) -> Result<Explanation, String> {
        let principal = engine.principal(&self.caller);
        if let Some(column) = &case.column {
            if case.tool.is_some() || case.method.is_some() || case.expect == Outcome::Approval {
                return Err(
                    "a test of a `column` has no `tool` or `method`, and is permitted or refused".to_owned()
                );
            }
            let column = column.to_ascii_lowercase();
            return Ok(explain_column(engine, &principal, &case.server, &column, &self.context(case)));
        }
        if let (Some(tool), Some(arguments)) = (&case.tool, &self.arguments) {
            engine
                .check_arguments(&case.server, tool, Some(arguments))
                .map_err(|why| format!("cannot be called so: {why}"))?;
        }
        let request = Request {
            decision: id("dec")?,
            server: &case.server,
            operation: operation(case.tool.as_deref(), case.method.as_deref(), case.target.as_deref())?,
            arguments: self.arguments.as_deref(),
            sql: self.sql.as_ref(),
            besides: None,
            approval: None,
            context: self.context(case),
        };
        match engine.decide(&principal, &request) {
            Decision::ApprovalNeeded(needed) if case.approval => {
                let by = UserName::parse("approver").map_err(|e| e.to_string())?;
                let approved = Approved { id: id("apr")?, by, binding: needed.binding };
                Ok(explain(engine, &principal, &Request { approval: Some(&approved), ..request }))
            }
            _ => Ok(explain(engine, &principal, &request)),
        }
    }

    fn context<'c>(&'c self, case: &'c Case) -> Context<'c> {
        Context {
            now: self.now,
            source: case.source.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            environment: case.environment.as_deref().unwrap_or("production"),
            era: "modern",
            certificate: None,
            past: &self.past,
            pin: case.pin.as_deref().unwrap_or("pinned"),
            credential_age: None,
        }
    }
}

fn caller(case: &Case, now: Timestamp) -> Result<Caller, String> {
    let age = Duration::from_secs(case.sign_in_age_seconds);
    let at = Timestamp::from_millis(
        now.as_millis().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
    );
    let client =
        case.client.clone().map_or_else(|| ClientId::parse("test").map_err(|e| e.to_string()), Ok)?;
    Ok(Caller {
        user: case.user.clone(),
        groups: case.groups.clone(),
        client,
        client_name: "test".to_owned(),
        grant: id("grt")?,
        server: case.server.clone(),
        scopes: case.scopes.clone(),
        actor: case.actor.unwrap_or(Actor::Assistant),
        sign_in: SignIn::new(case.sign_in.as_deref().unwrap_or("pwd"), at),
        holding: Holding::default(),
    })
}

/// What a request wants, from its method and what that is about.
pub(crate) fn operation<'a>(
    tool: Option<&'a str>,
    method: Option<&'a str>,
    target: Option<&'a str>,
) -> Result<Operation<'a>, String> {
    let target = || target.ok_or_else(|| "this method needs a `target`".to_owned());
    match (tool, method) {
        (Some(tool), None | Some("tools/call")) => Ok(Operation::CallTool(tool)),
        (None, Some(method)) => Ok(match method {
            "tools/call" => return Err("a call needs a `tool`".to_owned()),
            "resources/read" => Operation::ReadResource(target()?),
            "prompts/get" => Operation::GetPrompt(target()?),
            "completion/complete" => Operation::Complete(target()?),
            "resources/subscribe" | "resources/unsubscribe" | "subscriptions/listen" => {
                Operation::Subscribe(target()?)
            }
            "answer" => Operation::Answer,
            "portunus/estimate" => Operation::Estimate(target()?),
            method if method.starts_with("tasks/") => Operation::Task(target()?),
            method if method.ends_with("/list") => Operation::List(method),
            method => Operation::Session(method),
        }),
        _ => Err("a test has either a `tool` or a `method`".to_owned()),
    }
}

/// An id that is the same in every test.
pub(crate) fn id(prefix: &str) -> Result<Id, String> {
    Id::parse(&format!("{prefix}_00000000000000000000000000")).map_err(|e| e.to_string())
}
