//! What a decision costs: with the policies of the demo, and with 10, 100 and 1,000 policies over 100 servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use portunus_core::caller::{Caller, Holding, SignIn};
use portunus_core::id::{ClientId, GroupName, Id, ServerName, UserName};
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use portunus_policy::sql::{Dialect, SqlFacts, facts};
use portunus_policy::{
    Context, Decision, Engine, NO_PAST, Operation, Principal, Request, ServerTools, Source, Tool,
    TrustGroups, View, defaults,
};
use std::hint::black_box;

const SCHEMA: &str = r#"{"type":"object","required":["sql"],"properties":{"sql":{"type":"string"},"limit":{"type":"integer"}}}"#;
const DEMO: &str = r#"
permit (principal in Group::"analysts", action in Action::"read", resource == Server::"s0");
permit (principal in Group::"analysts", action == Action::"s0/write_query", resource == Server::"s0");
@approvable("owner") @reason("Writes need approval.")
forbid (principal, action in Action::"write", resource == Server::"s0") unless { context has approval };
@reason("Tables are not dropped through assistants.")
forbid (principal, action in Action::"write", resource) when { context has sql && context.sql.kinds.contains("drop") };
forbid (principal, action == Action::"s0/read_query", resource) when { context.arguments has limit && context.arguments.limit > 10000 };
forbid (principal, action == Action::"disclose", resource == Column::"s0/customers.phone");
forbid (principal, action == Action::"disclose", resource == Column::"s0/staff.salary");
"#;
const ARGUMENTS: &[u8] =
    br#"{"sql":"SELECT country, count(*) FROM customers GROUP BY 1 ORDER BY 2 DESC","limit":50}"#;

fn servers(count: usize) -> Vec<ServerTools> {
    let tool = |name: &str| {
        let groups = TrustGroups::of_builtin_sql(name).unwrap();
        Tool { name: name.to_owned(), groups, input_schema: Some(SCHEMA.to_owned()) }
    };
    let tools: Vec<Tool> =
        ["list_tables", "describe_table", "read_query", "explain_query", "write_query"].map(tool).into();
    (0..count)
        .map(|n| ServerTools {
            server: ServerName::parse(&format!("s{n}")).unwrap(),
            environment: "production".to_owned(),
            owner: "owen".to_owned(),
            tools: tools.clone(),
            classes: Vec::new(),
        })
        .collect()
}

/// Policies for all servers in turn.
fn many(count: usize) -> String {
    let one = |n: usize| {
        let (server, group) = (n % 100, n % 7);
        format!(
            "permit (principal in Group::\"g{group}\", action == Action::\"s{server}/read_query\", resource) when {{ context.arguments has limit && context.arguments.limit < {n} }};\n"
        )
    };
    (0..count).map(one).collect()
}

fn engine(text: &str, servers: &[ServerTools]) -> Engine {
    let source = Source { path: "bench.cedar".to_owned(), text: text.to_owned() };
    Engine::load(&[defaults::source(), source], servers).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn caller() -> Caller {
    Caller {
        user: UserName::parse("ana@example.com").unwrap(),
        groups: ["analysts", "staff", "g3"].map(|group| GroupName::parse(group).unwrap()).to_vec(),
        client: ClientId::parse("https://chatgpt.com/oauth/client.json").unwrap(),
        client_name: "ChatGPT".to_owned(),
        grant: id("grt"),
        server: ServerName::parse("s0").unwrap(),
        scopes: vec!["tools".to_owned()],
        actor: Actor::Assistant,
        sign_in: SignIn::new("pwd", Timestamp::from_secs(1_795_000_000)),
        holding: Holding::default(),
    }
}

fn id(prefix: &str) -> Id {
    Id::parse(&format!("{prefix}_00000000000000000000000001")).unwrap()
}

fn context() -> Context<'static> {
    let now = Timestamp::from_secs(1_795_000_600);
    Context {
        now,
        source: "10.1.2.3".parse().unwrap(),
        environment: "production",
        era: "modern",
        certificate: None,
        past: &NO_PAST,
        pin: "pinned",
        credential_age: None,
    }
}

fn decide(engine: &Engine, principal: &Principal, tool: &str, sql: Option<&SqlFacts>) -> Decision {
    let server = &principal.caller().server;
    let operation = Operation::CallTool(tool);
    let (arguments, context) = (Some(ARGUMENTS), context());
    engine.decide(
        principal,
        &Request {
            decision: id("dec"),
            server,
            operation,
            arguments,
            besides: None,
            sql,
            approval: None,
            context,
        },
    )
}

/// Prints what criterion does not: how long the slower ones take.
fn percentiles(count: usize, decide: impl Fn() -> Decision) {
    let mut nanos: Vec<u128> = (0..50_000)
        .map(|_| {
            let started = std::time::Instant::now();
            drop(black_box(decide()));
            started.elapsed().as_nanos()
        })
        .collect();
    nanos.sort_unstable();
    let at = |percent: usize| nanos[nanos.len() * percent / 100] as f64 / 1000.0;
    println!(
        "{count} policies over 100 servers: p50 {:.1} µs, p99 {:.1} µs (goal: p99 ≤ 30 µs)",
        at(50),
        at(99)
    );
}

fn benches(criterion: &mut Criterion) {
    let demo = engine(DEMO, &servers(1));
    let principal = demo.principal(&caller());
    let query = facts("SELECT country, count(*) FROM customers GROUP BY 1", Dialect::Sqlite);
    let write = facts("UPDATE products SET price = 1", Dialect::Sqlite);
    assert!(matches!(decide(&demo, &principal, "read_query", Some(&query)), Decision::Permit(_)));
    assert!(matches!(decide(&demo, &principal, "write_query", Some(&write)), Decision::ApprovalNeeded(_)));
    criterion.bench_function("decide/demo/read", |b| {
        b.iter(|| decide(&demo, &principal, "read_query", black_box(Some(&query))));
    });
    criterion.bench_function("decide/demo/approval needed", |b| {
        b.iter(|| decide(&demo, &principal, "write_query", black_box(Some(&write))));
    });
    let server = ServerName::parse("s0").unwrap();
    criterion.bench_function("disclosure/demo", |b| {
        b.iter(|| demo.disclosure(black_box(&principal), &server, &context()));
    });
    criterion.bench_function("visible/demo", |b| {
        let view = View { server: &server, operation: Operation::CallTool("read_query"), context: context() };
        b.iter(|| demo.visible(&principal, black_box(&view)));
    });
    criterion.bench_function("principal/demo", |b| b.iter(|| demo.principal(black_box(&caller()))));
    criterion.bench_function("load/demo", |b| b.iter(|| engine(black_box(DEMO), &servers(1))));
    for count in [10, 100, 1_000, 10_000] {
        let engine = engine(&format!("{DEMO}{}", many(count)), &servers(100));
        let principal = engine.principal(&caller());
        percentiles(count, || decide(&engine, &principal, "read_query", Some(&query)));
        criterion.bench_function(&format!("decide/{count} policies over 100 servers"), |b| {
            b.iter(|| decide(&engine, &principal, "read_query", black_box(Some(&query))));
        });
    }
    let text = format!(
        "SELECT c.country, count(*), sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id IN ({}) GROUP BY 1",
        "12345, ".repeat(120) + "1"
    );
    criterion.bench_function(&format!("sql/facts of {} bytes", text.len()), |b| {
        b.iter(|| facts(black_box(&text), Dialect::Sqlite));
    });
}

criterion_group!(all, benches);
criterion_main!(all);
