//! What filtering a list of 1,000 tools costs: the first time, and when the same list comes again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use portunus_core::caller::{Caller, Holding, SignIn};
use portunus_core::id::{ClientId, GroupName, Id, ServerName, UserName};
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use portunus_edge::lists::{Key, Lists};
use portunus_mcp::list;
use portunus_mcp::message::{Era, List};
use portunus_pins::Lock;
use portunus_policy::{
    Context, Engine, NO_PAST, Operation, ServerTools, Source, Tool, TrustGroups, View, defaults,
};
use std::hint::black_box;
use std::sync::Arc;

const SCHEMA: &str = r#"{"type":"object","required":["id"],"properties":{"id":{"type":"string","description":"Which one."},"limit":{"type":"integer"}}}"#;
const POLICIES: &str = r#"
permit (principal in Group::"analysts", action in Action::"read", resource == Server::"s");
permit (principal in Group::"analysts", action in Action::"write", resource == Server::"s") when { context.arguments has limit };
forbid (principal, action == Action::"s/tool_7", resource);
forbid (principal, action in Action::"write", resource) unless { principal in Group::"writers" };
"#;

fn caller() -> Caller {
    Caller {
        user: UserName::parse("ana@example.com").unwrap(),
        groups: vec![GroupName::parse("analysts").unwrap()],
        client: ClientId::parse("https://chatgpt.com/oauth/client.json").unwrap(),
        client_name: "ChatGPT".to_owned(),
        grant: Id::parse("grt_00000000000000000000000001").unwrap(),
        server: ServerName::parse("s").unwrap(),
        scopes: vec!["tools".to_owned()],
        actor: Actor::Assistant,
        sign_in: SignIn::new("pwd", Timestamp::from_secs(1_795_000_000)),
        holding: Holding::default(),
    }
}

fn message(id: u32) -> Bytes {
    let tool = |n: u32| {
        format!(
            r#"{{"name":"tool_{n}","title":"Tool {n}","description":"Finds what is asked for among the things of kind {n}, newest first, and says how many there are.","inputSchema":{SCHEMA},"annotations":{{"readOnlyHint":true}}}}"#
        )
    };
    let tools: Vec<String> = (0..1000).map(tool).collect();
    Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{}]}}}}"#, tools.join(",")))
}

fn benches(criterion: &mut Criterion) {
    let server = ServerName::parse("s").unwrap();
    let tool = |n: u32| {
        let groups = if n.is_multiple_of(3) { TrustGroups::CAUTIOUS } else { TrustGroups::READ };
        Tool { name: format!("tool_{n}"), groups, input_schema: Some(SCHEMA.to_owned()) }
    };
    let tools = ServerTools {
        server: server.clone(),
        environment: "production".to_owned(),
        owner: "owen".to_owned(),
        tools: (0..1000).map(tool).collect(),
        classes: Vec::new(),
    };
    let source = Source { path: "bench.cedar".to_owned(), text: POLICIES.to_owned() };
    let engine = Engine::load(&[defaults::source(), source], &[tools]).unwrap();
    let principal = engine.principal(&caller());
    let context = Context {
        now: Timestamp::from_secs(1_795_000_600),
        source: "10.1.2.3".parse().unwrap(),
        environment: "production",
        era: "legacy",
        certificate: None,
        past: &NO_PAST,
        pin: "pinned",
        credential_age: None,
    };
    let body = message(1);
    let filter = |body: &Bytes| {
        let view = View { server: &server, operation: Operation::Session(""), context };
        let mut viewer = engine.viewer(&principal, view);
        let mut keep = |name: &str| viewer.shows(Operation::CallTool(name));
        list::rewrite(List::Tools, Era::Legacy, body, &mut keep).unwrap()
    };
    assert_eq!(filter(&body).removed, 335);
    criterion.bench_function(&format!("list of 1,000 tools ({} KB)/cold", body.len() / 1024), |b| {
        b.iter(|| filter(black_box(&body)));
    });
    let lists = Lists::default();
    let key = Key {
        principal: Arc::new(principal.clone()),
        lock: Arc::new(Lock::default()),
        list: List::Tools,
        era: Era::Legacy,
    };
    lists.keep(key.clone(), &body, &filter(&body).body);
    let again = message(2);
    assert_eq!(lists.known(&key, &again).unwrap(), filter(&again).body);
    criterion.bench_function("list of 1,000 tools/warm", |b| {
        b.iter(|| lists.known(&key, black_box(&again)).unwrap());
    });
}

criterion_group!(all, benches);
criterion_main!(all);
