//! `portunus policy check | test | explain`: offline, from the configuration and its policy files.

use super::{Failure, Outcome, table};
use crate::args::{Explain, Policy, PolicyFiles};
use crate::config::{self, Config};
use crate::policies::{self, PolicyError};
use crate::system::{SystemClock, SystemRng};
use portunus_core::caller::{Caller, Holding, SignIn};
use portunus_core::id::{self, ClientId, GroupName, ServerName, UserName};
use portunus_core::server::Actor;
use portunus_core::time::{Clock, Timestamp};
use portunus_policy::explain::{Explained, Explanation, Outcome as Decided, explain};
use portunus_policy::testing::{Case, CaseResult, run_cases};
use portunus_policy::{Approved, Context, Engine, NO_PAST, Operation, Request};
use std::net::{IpAddr, Ipv4Addr};

pub(crate) fn run(command: Policy) -> Outcome {
    match command {
        Policy::Check(files) => check(&files),
        Policy::Test(files) => test(&files),
        Policy::Explain(asked) => explain_call(&asked),
    }
}

fn load(files: &PolicyFiles) -> Result<(Config, Engine), Failure> {
    let config = config::load(&files.config).map_err(Failure::usage)?;
    let engine = policies::load(&config).map_err(|error| match error {
        PolicyError::Problems(_) => Failure::refused(error),
        _ => Failure::usage(error),
    })?;
    Ok((config, engine))
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

fn test(files: &PolicyFiles) -> Outcome {
    let (config, engine) = load(files)?;
    let mut cases: Vec<Case> = Vec::new();
    for path in policies::files(&config.policies, ".test.yaml").map_err(Failure::usage)? {
        let text = std::fs::read_to_string(&path).map_err(Failure::usage)?;
        let found: Vec<Case> = serde_saphyr::from_str(&text)
            .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
        cases.extend(found.into_iter().map(with_sql));
    }
    if cases.is_empty() {
        return Err(Failure::Usage(format!(
            "no cases: put some into {}/NAME.test.yaml",
            config.policies.display()
        )));
    }
    let results = run_cases(&engine, &cases, SystemClock.now());
    let failed = results.iter().filter(|result| result.failure.is_some()).count();
    if files.json {
        let rows = results
            .iter()
            .map(|r| serde_json::json!({ "name": r.name, "failure": r.failure, "policies": r.policies }));
        println!("{}", serde_json::Value::from_iter(rows));
    } else {
        results.iter().for_each(print_result);
        println!("{} passed, {failed} failed", results.len() - failed);
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(Failure::Refused(format!("{failed} of {} cases failed", results.len())))
    }
}

fn print_result(result: &CaseResult) {
    match &result.failure {
        None => println!("✓ {}", result.name),
        Some(failure) => println!("✗ {}: {failure}", result.name),
    }
}

/// A case sees the SQL among its arguments as the edge would.
fn with_sql(case: Case) -> Case {
    let text = |name: &str| case.arguments.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let sql = case.sql.clone().or_else(|| text("sql")).or_else(|| text("query"));
    Case { sql, ..case }
}

fn explain_call(asked: &Explain) -> Outcome {
    let (config, engine) = load(&asked.files)?;
    let server = ServerName::parse(&asked.server).map_err(Failure::usage)?;
    let entry = config.servers.iter().find(|entry| entry.server.name == server);
    let entry =
        entry.ok_or_else(|| Failure::Usage(format!("no server `{server}` in {}", config.path.display())))?;
    let now = SystemClock.now();
    let principal = engine.principal(&caller(asked, &server, now)?);
    let bounds = portunus_mcp::json::Bounds::of_bytes(entry.server.limits.request_bytes);
    portunus_mcp::json::scan(asked.arguments.as_bytes(), &bounds)
        .map_err(|error| Failure::Usage(format!("--arguments: {error}")))?;
    let sql = portunus_edge::facts::of_tool(Some(asked.arguments.as_bytes()), entry.sql.get(&asked.tool));
    let mut request = Request {
        decision: id::mint("dec", now, &SystemRng),
        server: &server,
        operation: Operation::CallTool(&asked.tool),
        arguments: Some(asked.arguments.as_bytes()),
        sql: sql.as_ref(),
        approval: None,
        context: Context {
            now,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            environment: &entry.server.environment,
            era: "modern",
            certificate: None,
            past: &NO_PAST,
            pin: "pinned",
            credential_age: None,
        },
    };
    let approved = approved(&engine, &principal, &request, asked, now)?;
    request.approval = approved.as_ref();
    print(&explain(&engine, &principal, &request), asked.files.json)
}

/// The approval that `--approved-by` supposes, bound to exactly this call.
fn approved(
    engine: &Engine,
    principal: &portunus_policy::Principal,
    request: &Request<'_>,
    explain: &Explain,
    now: Timestamp,
) -> Result<Option<Approved>, Failure> {
    let Some(by) = &explain.approved_by else { return Ok(None) };
    let by = UserName::parse(by).map_err(Failure::usage)?;
    match engine.decide(principal, request) {
        portunus_policy::Decision::ApprovalNeeded(needed) => {
            Ok(Some(Approved { id: id::mint("apr", now, &SystemRng), by, binding: needed.binding }))
        }
        _ => Ok(None),
    }
}

fn caller(explain: &Explain, server: &ServerName, now: Timestamp) -> Result<Caller, Failure> {
    let groups: Result<_, _> = explain.group.iter().map(|name| GroupName::parse(name)).collect();
    Ok(Caller {
        user: UserName::parse(&explain.user).map_err(Failure::usage)?,
        groups: groups.map_err(Failure::usage)?,
        client: ClientId::parse(&explain.client).map_err(Failure::usage)?,
        client_name: explain.client.clone(),
        grant: id::mint("grt", now, &SystemRng),
        server: server.clone(),
        scopes: vec![portunus_oauth::config::SCOPE.to_owned()],
        actor: Actor::Assistant,
        sign_in: SignIn::new("pwd", now),
        holding: Holding::default(),
    })
}

fn print(explanation: &Explanation, json: bool) -> Outcome {
    if json {
        println!("{}", serde_json::to_string(explanation).map_err(Failure::refused)?);
        return Ok(());
    }
    println!(
        "{}",
        match explanation.decision {
            Decided::Permit => "permitted",
            Decided::Refuse => "refused",
            Decided::Approval => "held for approval",
        }
    );
    explanation.reasons.iter().for_each(|reason| println!("  the client is told: {reason}"));
    let header = ["EFFECT", "POLICY", "WHERE", "WHY"];
    let sections = [
        ("Decided by", &explanation.determining),
        ("Could not be evaluated, so refused", &explanation.errors),
        ("Would permit this, but did not apply", &explanation.near_misses),
    ];
    for (title, statements) in sections {
        if !statements.is_empty() {
            println!("\n{title}:\n{}", table(&header, statements.iter().map(row).collect()));
        }
    }
    Ok(())
}

fn row(statement: &Explained) -> Vec<String> {
    let place = format!("{}:{}", statement.file, statement.line);
    vec![statement.effect.to_owned(), statement.id.clone(), place, statement.note.clone()]
}
