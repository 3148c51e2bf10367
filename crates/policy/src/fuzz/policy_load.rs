//! Loading policies: an engine or problems with their places, always the same; and a `forbid` of everything wins over
//! whatever else was loaded.

use crate::model::{Context, Operation, Request, ServerTools, Source, Tool, TrustGroups, View};
use crate::{Decision, Engine, NO_PAST, Principal, Problem, defaults};
use portunus_core::caller::{Caller, Holding, SignIn};
use portunus_core::id::{ClientId, Id, ServerName, UserName};
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use std::net::{IpAddr, Ipv4Addr};

/// Between the parts of an input: policies, the input schema of a tool, arguments for it, its name.
const SEPARATOR: &str = "\n====\n";

/// `data` as a policy file, perhaps with a tool's schema, arguments for it and its name, each after a line `====`.
///
/// # Panics
/// When a promise is broken.
pub fn policy_load(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split(SEPARATOR);
    let policies = parts.next().unwrap_or_default();
    let (schema, arguments, name) = (parts.next(), parts.next(), parts.next().unwrap_or("t"));
    let Some(asked) = Asked::new(arguments, name) else { return };
    let servers = asked.servers(schema);
    let mine = Source { path: "main.cedar".to_owned(), text: policies.to_owned() };
    let sources = [defaults::source(), mine];
    let loaded = Engine::load(&sources, &servers);
    // Loading takes most of the time: what needs it twice is tried with some of the inputs.
    let sample = data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) % 8;
    if sample == 0 {
        let again = Engine::load(&sources, &servers);
        let version = |loaded: &Result<Engine, _>| loaded.as_ref().ok().map(|engine| *engine.version());
        assert!(version(&loaded) == version(&again) && loaded.as_ref().err() == again.as_ref().err());
    }
    let engine = match loaded {
        Ok(engine) => engine,
        Err(problems) => {
            assert!(!problems.is_empty(), "neither an engine nor a problem");
            return assert_placed(&problems, policies);
        }
    };
    assert_placed(engine.warnings(), policies);
    assert!(!asked.permitted(&engine) || asked.visible(&engine), "permitted, but not to be seen");
    if sample < 4 {
        assert_closed(&asked, sources, &servers);
    }
}

/// A `forbid` of everything in a file of its own wins over whatever else there is.
fn assert_closed(asked: &Asked<'_>, sources: [Source; 2], servers: &[ServerTools]) {
    let forbid = "@id(\"nothing at all\") forbid (principal, action, resource);".to_owned();
    let nothing = Source { path: "nothing.cedar".to_owned(), text: forbid };
    let [defaults, mine] = sources;
    let same_id = mine.text.contains("nothing at all");
    match Engine::load(&[nothing, defaults, mine], servers) {
        Ok(closed) => assert!(!asked.permitted(&closed) && !asked.visible(&closed), "a forbid was passed by"),
        Err(problems) => assert!(same_id, "one more file cannot be loaded: {problems:?}"),
    }
}

/// Every problem has words, and a place that exists.
fn assert_placed(problems: &[Problem], policies: &str) {
    let lines: Vec<&str> = policies.split('\n').collect();
    for problem in problems.iter().filter(|problem| problem.path == "main.cedar") {
        let line = problem.line.checked_sub(1).and_then(|at| lines.get(at));
        assert!(line.is_some(), "{problem} is beyond the file");
        let columns = line.map_or(0, |line| line.chars().count());
        assert!((1..=columns + 1).contains(&problem.column), "{problem} is beyond its line of {columns}");
        assert!(!problem.message.trim().is_empty());
    }
}

/// Ana calls a tool.
struct Asked<'a> {
    caller: Caller,
    server: ServerName,
    arguments: Option<&'a str>,
    tool: &'a str,
    context: Context<'a>,
    decision: Id,
}

impl<'a> Asked<'a> {
    fn new(arguments: Option<&'a str>, tool: &'a str) -> Option<Self> {
        let now = Timestamp::from_secs(1_795_000_000);
        let server = ServerName::parse("sales").ok()?;
        let caller = Caller {
            user: UserName::parse("ana").ok()?,
            groups: Vec::new(),
            client: ClientId::parse("https://chatgpt.com/oauth/client.json").ok()?,
            client_name: "ChatGPT".to_owned(),
            grant: Id::parse("grt_00000000000000000000000001").ok()?,
            server: server.clone(),
            scopes: vec!["tools".to_owned()],
            actor: Actor::Assistant,
            sign_in: SignIn::new("pwd", now),
            holding: Holding::default(),
        };
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let context = Context {
            now,
            source,
            environment: "production",
            era: "modern",
            certificate: None,
            past: &NO_PAST,
            pin: "pinned",
            credential_age: None,
        };
        let decision = Id::parse("dec_00000000000000000000000001").ok()?;
        Some(Self { caller, server, arguments, tool, context, decision })
    }

    fn servers(&self, schema: Option<&str>) -> [ServerTools; 1] {
        let input_schema = schema.map(str::to_owned);
        let tool = Tool { name: self.tool.to_owned(), groups: TrustGroups::READ, input_schema };
        let (environment, owner) = ("production".to_owned(), "owen".to_owned());
        let (server, classes) = (self.server.clone(), vec!["email".to_owned()]);
        [ServerTools { server, environment, owner, tools: vec![tool], classes }]
    }

    fn principal(&self, engine: &Engine) -> Principal {
        engine.principal(&self.caller)
    }

    fn permitted(&self, engine: &Engine) -> bool {
        let request = Request {
            decision: self.decision.clone(),
            server: &self.server,
            operation: Operation::CallTool(self.tool),
            arguments: self.arguments.map(str::as_bytes),
            sql: None,
            besides: None,
            approval: None,
            context: self.context,
        };
        matches!(engine.decide(&self.principal(engine), &request), Decision::Permit(_))
    }

    fn visible(&self, engine: &Engine) -> bool {
        let operation = Operation::CallTool(self.tool);
        let view = View { server: &self.server, operation, context: self.context };
        engine.visible(&self.principal(engine), &view)
    }
}
