//! `portunus policy explain`: which policies decide a call, and what would have to change.

use super::{Paint, load};
use crate::args::Explain;
use crate::command::{Failure, Outcome, printable, table};
use crate::system::{SystemClock, SystemRng};
use portunus_core::caller::{Caller, Holding, SignIn};
use portunus_core::id::{self, ClientId, GroupName, ServerName, UserName};
use portunus_core::server::Actor;
use portunus_core::time::{Clock, Timestamp};
use portunus_policy::advice::{Suggestion, advise, brief};
use portunus_policy::explain::{Explained, Explanation, Outcome as Decided, explain};
use portunus_policy::{Approved, Context, Engine, Operation, Past, Request};
use std::net::{IpAddr, Ipv4Addr};

pub(crate) fn run(asked: &Explain) -> Outcome {
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
    let past = Past { labels: asked.label.iter().cloned().collect(), ..Past::default() };
    let mut request = Request {
        decision: id::mint("dec", now, &SystemRng),
        server: &server,
        operation: Operation::CallTool(&asked.tool),
        arguments: Some(asked.arguments.as_bytes()),
        sql: sql.as_ref(),
        besides: None,
        approval: None,
        context: Context {
            now,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            environment: &entry.server.environment,
            era: "modern",
            certificate: None,
            past: &past,
            pin: "pinned",
            credential_age: None,
        },
    };
    let approved = approved(&engine, &principal, &request, asked, now)?;
    request.approval = approved.as_ref();
    let suggestions = brief(advise(&engine, &principal, &request));
    print(&explain(&engine, &principal, &request), &suggestions, asked.files.json)
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

fn print(explanation: &Explanation, suggestions: &[Suggestion], json: bool) -> Outcome {
    if json {
        let mut value = serde_json::to_value(explanation).map_err(Failure::refused)?;
        if let Some(members) = value.as_object_mut() {
            let suggestions = serde_json::to_value(suggestions).map_err(Failure::refused)?;
            members.insert("suggestions".to_owned(), suggestions);
        }
        println!("{value}");
        return Ok(());
    }
    let paint = Paint::new(json);
    println!(
        "{}",
        match explanation.decision {
            Decided::Permit => paint.green("permitted"),
            Decided::Refuse => paint.red("refused"),
            Decided::Approval => paint.yellow("held for approval"),
        }
    );
    explanation.reasons.iter().for_each(|reason| println!("  the client is told: {}", printable(reason)));
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
    if explanation.decision != Decided::Permit {
        advice(suggestions, paint);
    }
    Ok(())
}

/// Each of these was put to the policies.
fn advice(suggestions: &[Suggestion], paint: Paint) {
    if suggestions.is_empty() {
        println!("\nNo single change of the request, and no two, would have it permitted.");
        return;
    }
    println!("\nIt would be permitted (each was tried):");
    for suggestion in suggestions {
        let changes: Vec<String> = suggestion.changes.iter().map(|change| printable(&change.text)).collect();
        let mut text = changes.join(" and ");
        if let Some(approver) = &suggestion.approver {
            let with = format!("with an approval by {}", printable(approver));
            text = if text.is_empty() { with } else { format!("{text}, {with}") };
        }
        let by = paint.dim(&format!("({})", printable(&suggestion.policies.join(", "))));
        println!("  {} {text}  {by}", paint.green("→"));
    }
}

fn row(statement: &Explained) -> Vec<String> {
    let place = format!("{}:{}", statement.file, statement.line);
    vec![statement.effect.to_owned(), statement.id.clone(), place, statement.note.clone()]
}
