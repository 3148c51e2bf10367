//! Worlds and requests, twice: as the engine takes them, and as JSON for the reference, made here and not by the engine.

use crate::generate::{
    ACTORS, CLIENTS, DAYS, Dice, GROUPS, KINDS, LABELS, METHODS, PROOFS, SCOPES, SERVERS, TABLES, URIS,
    USERS, WORKLOADS, set_problem,
};
use portunus_core::caller::{Caller, ClientProof, Confirmation, Holding, SignIn};
use portunus_core::digest::Digest;
use portunus_core::id::{ClientId, GroupName, Id, ServerName, UserName};
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use portunus_policy::explain::{Outcome, explain_column};
use portunus_policy::sql::SqlFacts;
use portunus_policy::{
    Context, Counts, Decision, Engine, Operation, Past, Request, ServerTools, Source, Tool, TrustGroups,
};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

const SCHEMA: &str = r#"{"type":"object","required":["sql"],"properties":{"sql":{"type":"string"},"limit":{"type":"integer"},
    "ratio":{"type":"number"},"tags":{"type":"array","items":{"type":"string"}},"force":{"type":"boolean"},
    "options":{"type":"object","properties":{"deep":{"type":"integer"}}}}}"#;

/// Tools of each server, with their groups; `later` is listed by none.
const TOOLS: [(&str, TrustGroups, bool); 4] = [
    ("read_query", TrustGroups::READ, true),
    ("write_query", TrustGroups { read: false, write: true, destructive: true, open_world: false }, true),
    ("fetch", TrustGroups { read: true, write: false, destructive: false, open_world: true }, false),
    ("later", TrustGroups::CAUTIOUS, false),
];

pub(crate) struct World {
    policies: Vec<String>,
    engine: Engine,
}

impl World {
    /// `None` when the policies do not load.
    pub(crate) fn new(dice: &mut Dice, policies: impl Fn(&mut Dice) -> Vec<String>) -> Option<Self> {
        let policies = policies(dice);
        let servers: Vec<ServerTools> = SERVERS.iter().map(|name| server(name)).collect();
        // One that does not fit the schema is left out, so that the others are tested nevertheless.
        let alone = |text: &String| match Engine::load(&[source(std::slice::from_ref(text))], &servers) {
            Ok(_) => true,
            Err(problems) => {
                set_problem(format!("{text}\n{}", problems[0]));
                false
            }
        };
        if let Ok(engine) = Engine::load(&[source(&policies)], &servers) {
            return Some(Self { policies, engine });
        }
        let policies: Vec<String> = policies.into_iter().filter(alone).collect();
        if policies.len() < 6 {
            return None;
        }
        let engine = Engine::load(&[source(&policies)], &servers).ok()?;
        Some(Self { policies, engine })
    }

    pub(crate) fn text(&self) -> String {
        self.policies.join("\n")
    }

    pub(crate) fn policies(&self) -> Value {
        let named = self.policies.iter().enumerate().map(|(index, text)| (format!("p{index}"), json!(text)));
        Value::Object(named.collect())
    }

    pub(crate) fn permits(&self, asked: &Asked) -> bool {
        let principal = self.engine.principal(&asked.caller);
        let server = &asked.caller.server;
        let operation = match asked.what {
            What::Tool(index) => Operation::CallTool(TOOLS[index].0),
            What::Read(uri) => Operation::ReadResource(uri),
            What::Prompt => Operation::GetPrompt("hello"),
            What::List => Operation::List("tools/list"),
            What::Column(column) => {
                let explained = explain_column(&self.engine, &principal, server, column, &asked.context());
                return explained.decision == Outcome::Permit;
            }
        };
        let arguments = asked.arguments.as_ref().map(|arguments| serde_json::to_vec(arguments).unwrap());
        let request = Request {
            decision: id("dec"),
            server,
            operation,
            arguments: arguments.as_deref(),
            sql: asked.sql.as_ref(),
            besides: None,
            approval: None,
            context: asked.context(),
        };
        matches!(self.engine.decide(&principal, &request), Decision::Permit(_))
    }

    /// The same for the reference: all of it, whether a policy looks at it or not.
    pub(crate) fn request(&self, asked: &Asked) -> Value {
        let server = asked.caller.server.as_str();
        let (action, resource) = match asked.what {
            What::Tool(index) => (format!("{server}/{}", TOOLS[index].0), uid("Server", server)),
            What::Read(uri) => ("read_resource".to_owned(), uid("Resource", &format!("{server}/{uri}"))),
            What::Prompt => ("get_prompt".to_owned(), uid("Prompt", &format!("{server}/hello"))),
            What::List => ("list".to_owned(), uid("Server", server)),
            What::Column(column) => ("disclose".to_owned(), uid("Column", &format!("{server}/{column}"))),
        };
        json!({
            "principal": asked.principal(),
            "action": uid("Action", &action),
            "resource": resource,
            "context": asked.context_json(),
            "entities": entities(asked, &resource),
        })
    }
}

fn source(policies: &[String]) -> Source {
    Source { path: "random.cedar".to_owned(), text: policies.join("\n") }
}

fn server(name: &str) -> ServerTools {
    let listed = TOOLS.iter().filter(|(tool, ..)| *tool != "later");
    let tool = |(name, groups, typed): &(&str, TrustGroups, bool)| Tool {
        name: (*name).to_owned(),
        groups: *groups,
        input_schema: typed.then(|| SCHEMA.to_owned()),
    };
    ServerTools {
        server: ServerName::parse(name).unwrap(),
        environment: environment(name).to_owned(),
        owner: "owen".to_owned(),
        tools: listed.map(tool).collect(),
        classes: Vec::new(),
    }
}

fn environment(server: &str) -> &'static str {
    if server == "mail" { "test" } else { "production" }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    Tool(usize),
    Read(&'static str),
    Prompt,
    List,
    Column(&'static str),
}

#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) caller: Caller,
    what: What,
    arguments: Option<Map<String, Value>>,
    sql: Option<SqlFacts>,
    now: Timestamp,
    source: IpAddr,
    era: &'static str,
    past: Past,
    credential_age: Option<u64>,
}

impl Asked {
    pub(crate) fn new(dice: &mut Dice, _: &World) -> Self {
        let now = Timestamp::from_secs(1_795_000_000 + dice.below(7 * 86_400));
        let what = match dice.below(10) {
            0..=5 => What::Tool(usize::try_from(dice.below(TOOLS.len() as u64)).unwrap()),
            6 => What::Read(dice.pick(&URIS)),
            7 => What::Prompt,
            8 => What::List,
            _ => What::Column(dice.pick(&["staff.salary", "staff.name"])),
        };
        let call = matches!(what, What::Tool(_));
        let sources = ["10.1.2.3", "192.168.7.7", "127.0.0.1", "fd00::1", "8.8.8.8"];
        Self {
            caller: caller(dice, now),
            what,
            arguments: call.then(|| arguments(dice)),
            sql: (call && dice.one_in(2)).then(|| sql(dice)),
            now,
            source: dice.pick(&sources).parse().unwrap(),
            era: dice.pick(&["legacy", "modern"]),
            past: past(dice),
            credential_age: dice.one_in(2).then(|| dice.below(90_000)),
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            now: self.now,
            source: self.source,
            environment: environment(self.caller.server.as_str()),
            era: self.era,
            certificate: None,
            past: &self.past,
            pin: "pinned",
            credential_age: self.credential_age,
        }
    }

    fn principal(&self) -> Value {
        match self.caller.user.workload() {
            Some(name) => uid("Workload", name),
            None => uid("User", self.caller.user.as_str()),
        }
    }

    fn context_json(&self) -> Value {
        let sign_in = &self.caller.sign_in;
        let seconds = self.now.as_secs();
        // The epoch was a Thursday.
        let day = usize::try_from((seconds / 86_400 + 3) % 7).unwrap();
        let mut context = json!({
            "client": self.caller.client.as_str(),
            "actor": self.caller.actor.as_str(),
            "scopes": self.caller.scopes,
            "sign_in": {
                "method": sign_in.method,
                "age_seconds": seconds - sign_in.at.as_secs(),
                "acr": sign_in.acr.as_deref().unwrap_or(""),
                "amr": sign_in.amr,
            },
            "source": { "__extn": { "fn": "ip", "arg": self.source.to_string() } },
            "now": { "__extn": { "fn": "datetime", "arg": self.now.to_string() } },
            "hour": seconds / 3600 % 24,
            "weekday": DAYS[day],
            "environment": environment(self.caller.server.as_str()),
            "era": self.era,
            "client_proof": self.caller.holding.word(),
            "labels": self.past.labels,
            "counters": {
                "user": counts(&self.past.user),
                "client": counts(&self.past.client),
                "tool": counts(&self.past.tool),
                "user_tool": counts(&self.past.user_tool),
            },
        });
        if self.arguments.is_some() {
            context["pin"] = json!("pinned");
            if let Some(age) = self.credential_age {
                context["credential"] = json!({ "age_seconds": age });
            }
        }
        if let What::List = self.what {
            context["method"] = json!("tools/list");
        }
        if let Some(facts) = &self.sql {
            let mut sql =
                json!({ "complete": facts.complete, "read_only": facts.complete && facts.read_only });
            if facts.complete || !facts.kinds.contains("unknown") {
                sql["kinds"] = json!(facts.kinds);
            }
            if facts.complete {
                sql["reads"] = json!(facts.reads);
                sql["writes"] = json!(facts.writes);
                sql["functions"] = json!(facts.functions);
            }
            context["sql"] = sql;
        }
        if let Some(arguments) = &self.arguments {
            let mut typed = arguments.clone();
            if let Some(ratio) = typed.get_mut("ratio") {
                let text = ratio.to_string();
                let text = if text.contains('.') { text } else { format!("{text}.0") };
                *ratio = json!({ "__extn": { "fn": "decimal", "arg": text } });
            }
            context["arguments"] = Value::Object(typed);
        }
        context
    }
}

fn past(dice: &mut Dice) -> Past {
    let labels = dice.some(&LABELS).into_iter().map(str::to_owned).collect();
    let mut counts = || Counts { calls: [dice.below(9), dice.below(99), dice.below(999)], ..Counts::NONE };
    let (user, client, tool, user_tool) = (counts(), counts(), counts(), counts());
    Past { labels, user, client, tool, user_tool, emergency: None }
}

fn counts(counts: &Counts) -> Value {
    let mut all = Map::new();
    let kinds = [
        ("calls", counts.calls),
        ("rows", counts.rows),
        ("bytes", counts.bytes),
        ("refusals", counts.refusals),
    ];
    for (kind, spans) in kinds {
        for (span, count) in ["minute", "hour", "day"].into_iter().zip(spans) {
            all.insert(format!("{kind}_per_{span}"), json!(count));
        }
    }
    Value::Object(all)
}

fn caller(dice: &mut Dice, now: Timestamp) -> Caller {
    let user = if dice.one_in(4) {
        UserName::of_workload(&dice.pick(&WORKLOADS).parse().unwrap())
    } else {
        UserName::parse(dice.pick(&USERS)).unwrap()
    };
    let nothing = Holding::default();
    let holding = match dice.pick(&PROOFS) {
        "secret" => Holding { proof: ClientProof::Secret, ..nothing },
        "key" => Holding { proof: ClientProof::Key, ..nothing },
        "certificate" => Holding { proof: ClientProof::Certificate, ..nothing },
        "dpop" => Holding { bound: Some(Confirmation::Dpop(Digest([1; 32]))), ..nothing },
        _ => nothing,
    };
    let at = Timestamp::from_secs(now.as_secs() - dice.below(1200));
    let acr = dice.one_in(2).then(|| "phr".to_owned());
    let amr = dice.some(&["otp", "pwd"]).into_iter().map(str::to_owned).collect();
    let sign_in = SignIn { acr, amr, ..SignIn::new(dice.pick(&METHODS), at) };
    let actor = match dice.pick(&ACTORS) {
        "autonomous" => Actor::Autonomous,
        "workload" => Actor::Workload,
        "ci" => Actor::Ci,
        _ => Actor::Assistant,
    };
    Caller {
        user,
        groups: dice.some(&GROUPS).iter().map(|group| GroupName::parse(group).unwrap()).collect(),
        client: ClientId::parse(dice.pick(&CLIENTS)).unwrap(),
        client_name: "any".to_owned(),
        grant: id("grt"),
        server: ServerName::parse(dice.pick(&SERVERS)).unwrap(),
        scopes: dice.some(&SCOPES).into_iter().map(str::to_owned).collect(),
        actor,
        sign_in,
        holding,
    }
}

fn arguments(dice: &mut Dice) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("sql".to_owned(), json!(dice.pick(&["SELECT * FROM staff", "SELECT 1", "DROP TABLE x"])));
    if dice.one_in(2) {
        all.insert("limit".to_owned(), json!(dice.below(120)));
    }
    if dice.one_in(2) {
        all.insert(
            "ratio".to_owned(),
            [json!(0.25), json!(0.5), json!(1.5), json!(-3.125)][usize::try_from(dice.below(4)).unwrap()]
                .clone(),
        );
    }
    if dice.one_in(2) {
        all.insert("tags".to_owned(), json!(dice.some(&["a", "b", "c"])));
    }
    if dice.one_in(2) {
        all.insert("force".to_owned(), json!(dice.one_in(2)));
    }
    if dice.one_in(2) {
        let deep = if dice.one_in(2) { json!({ "deep": dice.below(9) }) } else { json!({}) };
        all.insert("options".to_owned(), deep);
    }
    all
}

fn sql(dice: &mut Dice) -> SqlFacts {
    let some = |dice: &mut Dice, from: &[&str]| dice.some(from).into_iter().map(str::to_owned).collect();
    let mut kinds: std::collections::BTreeSet<String> = some(dice, &KINDS);
    let complete = dice.one_in(2);
    if kinds.is_empty() {
        kinds.insert(if complete { "select" } else { "unknown" }.to_owned());
    }
    SqlFacts {
        complete,
        read_only: dice.one_in(2),
        kinds,
        reads: some(dice, &TABLES),
        writes: some(dice, &TABLES),
        functions: some(dice, &["count", "load_extension"]),
        ..SqlFacts::default()
    }
}

/// Everybody and everything, with all attributes and all parents.
fn entities(asked: &Asked, resource: &Value) -> Value {
    let server = asked.caller.server.as_str();
    let groups: Vec<Value> = asked.caller.groups.iter().map(|group| uid("Group", group.as_str())).collect();
    let name = asked.caller.user.workload().unwrap_or(asked.caller.user.as_str());
    let mut all = vec![entity(&asked.principal(), &json!({ "name": name }), groups)];
    for name in SERVERS {
        let attributes =
            json!({ "environment": environment(name), "owner": { "__entity": uid("User", "owen") } });
        all.push(entity(&uid("Server", name), &attributes, Vec::new()));
        for (tool, groups, _) in TOOLS {
            let trust = [
                ("read", groups.read),
                ("write", groups.write),
                ("destructive", groups.destructive),
                ("open_world", groups.open_world),
            ];
            let inside = trust.into_iter().filter(|(_, inside)| *inside).map(|(group, _)| group);
            let parents =
                ["call", name].into_iter().chain(inside).map(|group| uid("Action", group)).collect();
            all.push(entity(&uid("Action", &format!("{name}/{tool}")), &json!({}), parents));
        }
    }
    let mut parents = vec![uid("Server", server)];
    if resource["type"] == "Column" {
        let table = uid("Table", &format!("{server}/staff"));
        all.push(entity(&table, &json!({}), parents.clone()));
        parents.push(table);
    }
    if resource["type"] != "Server" {
        all.push(entity(resource, &json!({}), parents));
    }
    Value::Array(all)
}

fn entity(uid: &Value, attributes: &Value, parents: Vec<Value>) -> Value {
    json!({ "uid": uid, "attrs": attributes, "parents": parents })
}

fn uid(kind: &str, id: &str) -> Value {
    json!({ "type": kind, "id": id })
}

fn id(prefix: &str) -> Id {
    Id::parse(&format!("{prefix}_00000000000000000000000001")).unwrap()
}
