//! A small world: the servers `sales` and `hr`, and callers of them.

use portunus_core::caller::{Caller, Holding, SignIn};
use portunus_core::id::{ClientId, GroupName, Id, ServerName, UserName};
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use portunus_policy::{
    Approved, Context, Decision, Engine, NO_PAST, Operation, Principal, Problem, Refused, Request,
    ServerTools, Source, Tool, TrustGroups, View, defaults, sql::SqlFacts,
};
use std::time::Duration;

pub(crate) const READ_QUERY: &str = r#"{"type":"object","required":["sql"],"properties":{"sql":{"type":"string"},
    "limit":{"anyOf":[{"type":"integer"},{"type":"null"}]},"ratio":{"type":"number"},
    "tags":{"type":"array","items":{"type":"string"}},"force":{"type":"boolean"},
    "options":{"type":"object","properties":{"deep":{"type":"integer"}}}}}"#;

pub(crate) fn tool(name: &str, groups: TrustGroups, schema: Option<&str>) -> Tool {
    Tool { name: name.to_owned(), groups, input_schema: schema.map(str::to_owned) }
}

pub(crate) fn server(name: &str, tools: Vec<Tool>) -> ServerTools {
    let server = ServerName::parse(name).unwrap();
    ServerTools {
        server,
        environment: "production".to_owned(),
        owner: "owen".to_owned(),
        tools,
        classes: vec!["email".to_owned(), "card".to_owned()],
    }
}

pub(crate) fn servers() -> Vec<ServerTools> {
    let sql = |name: &str| tool(name, TrustGroups::of_builtin_sql(name).unwrap(), Some(READ_QUERY));
    vec![
        server("sales", vec![sql("read_query"), sql("write_query"), sql("list_tables")]),
        server(
            "hr",
            vec![sql("read_query"), tool("mail", TrustGroups::CAUTIOUS, Some(r#"{"type":"object"}"#))],
        ),
    ]
}

pub(crate) fn source(text: &str) -> Source {
    Source { path: "main.cedar".to_owned(), text: text.to_owned() }
}

pub(crate) fn load(text: &str) -> Result<Engine, Vec<Problem>> {
    Engine::load(&[defaults::source(), source(text)], &servers())
}

pub(crate) fn engine(text: &str) -> Engine {
    load(text)
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(ToString::to_string).collect::<String>()))
}

pub(crate) fn now() -> Timestamp {
    Timestamp::parse("2026-11-23T15:04:05Z").unwrap()
}

pub(crate) fn caller(user: &str, groups: &[&str], server: &str) -> Caller {
    Caller {
        user: UserName::parse(user).unwrap(),
        groups: groups.iter().map(|group| GroupName::parse(group).unwrap()).collect(),
        client: ClientId::parse("https://chatgpt.com/oauth/client.json").unwrap(),
        client_name: "ChatGPT".to_owned(),
        grant: id("grt"),
        server: ServerName::parse(server).unwrap(),
        scopes: vec!["tools".to_owned()],
        actor: Actor::Assistant,
        sign_in: SignIn::new("pwd", Timestamp::from_secs(now().as_secs() - 600)),
        holding: Holding::default(),
    }
}

pub(crate) fn id(prefix: &str) -> Id {
    Id::parse(&format!("{prefix}_00000000000000000000000001")).unwrap()
}

pub(crate) fn context() -> Context<'static> {
    Context {
        now: now(),
        source: "10.1.2.3".parse().unwrap(),
        environment: "production",
        era: "modern",
        certificate: None,
        past: &NO_PAST,
        pin: "pinned",
        credential_age: None,
    }
}

/// One call, to be changed and made.
pub(crate) struct Call<'a> {
    pub(crate) caller: Caller,
    pub(crate) server: &'a str,
    pub(crate) operation: Operation<'a>,
    pub(crate) arguments: Option<&'a str>,
    pub(crate) sql: Option<&'a SqlFacts>,
    pub(crate) approval: Option<&'a Approved>,
    pub(crate) context: Context<'a>,
}

impl<'a> Call<'a> {
    /// Ana, an analyst, calls a tool of `sales`.
    pub(crate) fn of(tool: &'a str) -> Self {
        let caller = caller("ana", &["analysts"], "sales");
        let operation = Operation::CallTool(tool);
        Self {
            caller,
            server: "sales",
            operation,
            arguments: None,
            sql: None,
            approval: None,
            context: context(),
        }
    }
    pub(crate) fn with(self, arguments: &'a str) -> Self {
        Self { arguments: Some(arguments), ..self }
    }
    pub(crate) fn later(mut self, span: Duration) -> Self {
        self.context.now = self.context.now.plus(span);
        self
    }
    pub(crate) fn decide(&self, engine: &Engine) -> Decision {
        self.decide_as(engine, &engine.principal(&self.caller))
    }
    pub(crate) fn decide_as(&self, engine: &Engine, principal: &Principal) -> Decision {
        let server = ServerName::parse(self.server).unwrap();
        engine.decide(
            principal,
            &Request {
                decision: id("dec"),
                server: &server,
                operation: self.operation,
                arguments: self.arguments.map(str::as_bytes),
                sql: self.sql,
                besides: None,
                approval: self.approval,
                context: self.context,
            },
        )
    }
    pub(crate) fn permitted(&self, engine: &Engine) -> bool {
        matches!(self.decide(engine), Decision::Permit(_))
    }
    pub(crate) fn refused(&self, engine: &Engine) -> Refused {
        match self.decide(engine) {
            Decision::Refused(refused) => refused,
            other => panic!("should be refused, but: {other:?}"),
        }
    }
    pub(crate) fn visible(&self, engine: &Engine) -> bool {
        let server = ServerName::parse(self.server).unwrap();
        let view = View { server: &server, operation: self.operation, context: self.context };
        engine.visible(&engine.principal(&self.caller), &view)
    }
}

pub(crate) const ANALYSTS_READ: &str =
    r#"permit (principal in Group::"analysts", action in Action::"read", resource == Server::"sales");"#;
