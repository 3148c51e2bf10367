//! Policies and schema as the solver gets them, and what is assumed of requests.
//!
//! The schema is the one that policies are checked against, with two additions: a tool whose input schema is not known has
//! arguments of which nothing is known, and each server has one more tool, `(unlisted)`, that stands for every tool it does
//! not list. Assumed is only what the edge guarantees: a call goes to its tool's own server, with that server's owner and
//! environment, at an hour between 0 and 23 of one of seven days.

use crate::property::quoted;
use cedar_policy::{Policy, PolicySet, RequestEnv, Schema};
use portunus_policy::export::{Arguments, Exported};
use portunus_policy::{Engine, ServerTools, Tool, TrustGroups, schema_text};
use std::collections::{BTreeMap, BTreeSet};

/// The name of the tool that stands for all that a server does not list.
pub const UNLISTED: &str = "(unlisted)";

/// Policies with what they speak about.
pub struct World {
    pub(crate) schema: Schema,
    pub(crate) policies: BTreeMap<String, Exported>,
    servers: Vec<ServerTools>,
}

impl World {
    /// Of compiled policies and the servers that they were compiled for.
    ///
    /// # Errors
    /// When Cedar does not take the schema; the text says why.
    pub fn new(engine: &Engine, servers: &[ServerTools]) -> Result<Self, String> {
        let mut servers = servers.to_vec();
        let policies: BTreeMap<String, Exported> =
            engine.export().into_iter().map(|one| (one.id.clone(), one)).collect();
        let named: BTreeSet<String> = policies
            .values()
            .flat_map(|one| one.policy.entity_literals())
            .filter(|literal| literal.type_name().to_string() == "Action")
            .map(|literal| literal.id().unescaped().to_owned())
            .collect();
        for server in &mut servers {
            // Tools that policies name before any server lists them.
            let prefix = format!("{}/", server.server);
            for name in named.iter().filter_map(|action| action.strip_prefix(&prefix)) {
                if !server.tools.iter().any(|tool| tool.name == name) {
                    let groups = TrustGroups::CAUTIOUS;
                    server.tools.push(Tool { name: name.to_owned(), groups, input_schema: None });
                }
            }
            for tool in &mut server.tools {
                tool.input_schema.get_or_insert_with(|| OPEN.to_owned());
            }
            server.tools.push(Tool {
                name: UNLISTED.to_owned(),
                groups: TrustGroups::CAUTIOUS,
                input_schema: Some(OPEN.to_owned()),
            });
        }
        let mut schema = parsed(&servers)?;
        // A tool whose input schema cannot be used is one of whose arguments nothing is known.
        let asked: BTreeSet<String> =
            schema.request_envs().map(|env| env.action().id().unescaped().to_owned()).collect();
        let mut again = false;
        for server in &mut servers {
            for tool in &mut server.tools {
                if !asked.contains(&format!("{}/{}", server.server, tool.name)) {
                    tool.input_schema = Some(OPEN.to_owned());
                    again = true;
                }
            }
        }
        if again {
            schema = parsed(&servers)?;
        }
        Ok(Self { schema, policies, servers })
    }

    pub(crate) fn policy_set(&self) -> Result<PolicySet, String> {
        PolicySet::from_policies(self.policies.values().map(|one| one.policy.clone()))
            .map_err(|e| e.to_string())
    }

    /// Each kind of request there is: principal type × action × resource type.
    pub(crate) fn environments(&self) -> Vec<RequestEnv> {
        let mut all: Vec<RequestEnv> = self.schema.request_envs().collect();
        all.sort_by_key(|env| (env.action().id().unescaped().to_owned(), env.principal().to_string()));
        all
    }

    /// Whether an action is the one of this name, or in the group of this name.
    pub(crate) fn is_action(&self, env: &RequestEnv, name: &str) -> bool {
        let id = env.action().id().unescaped();
        if id == name {
            return true;
        }
        let Some((server, tool)) = self.tool(id) else { return false };
        let TrustGroups { read, write, destructive, open_world } = tool.groups;
        match name {
            "call" => true,
            "read" => read,
            "write" => write,
            "destructive" => destructive,
            "open_world" => open_world,
            other => other == server.server.as_str(),
        }
    }

    /// Whether there is an action, or group of actions, of this name.
    pub(crate) fn knows_action(&self, name: &str) -> bool {
        self.environments().iter().any(|env| self.is_action(env, name))
    }

    fn tool(&self, action: &str) -> Option<(&ServerTools, &Tool)> {
        let (server, tool) = action.split_once('/')?;
        let server = self.servers.iter().find(|one| one.server.as_str() == server)?;
        Some((server, server.tools.iter().find(|one| one.name == tool)?))
    }

    /// Whether a request of this kind is a call of a tool.
    pub(crate) fn is_tool(&self, env: &RequestEnv) -> bool {
        self.tool(env.action().id().unescaped()).is_some()
    }

    /// What is assumed of a request of this kind, in Cedar.
    pub(crate) fn assumptions(&self, env: &RequestEnv) -> String {
        let mut parts = vec![
            "0 <= context.hour && context.hour < 24".to_owned(),
            "[\"monday\", \"tuesday\", \"wednesday\", \"thursday\", \"friday\", \"saturday\", \"sunday\"].contains(context.weekday)".to_owned(),
            "0 <= context.sign_in.age_seconds".to_owned(),
            "[\"assistant\", \"autonomous\", \"workload\", \"ci\"].contains(context.actor)".to_owned(),
            "[\"legacy\", \"modern\"].contains(context.era)".to_owned(),
            "[\"none\", \"secret\", \"key\", \"certificate\", \"dpop\"].contains(context.client_proof)".to_owned(),
        ];
        if env.resource().to_string() == "Server" {
            let of = self.tool(env.action().id().unescaped()).map(|(server, _)| server);
            let these = of.map_or(self.servers.iter().collect::<Vec<_>>(), |one| vec![one]);
            let each = these.into_iter().map(|server| {
                let (name, owner) = (quoted(server.server.as_str()), quoted(&server.owner));
                let environment = quoted(&server.environment);
                format!(
                    "(resource == Server::{name} && resource.owner == User::{owner} && resource.environment == {environment})"
                )
            });
            parts.push(format!("({})", each.collect::<Vec<_>>().join(" || ")));
        }
        parts.join(" && ")
    }

    /// Whether a policy, or this text of a property, could look at an attribute of the context.
    pub(crate) fn reads(&self, attribute: &str, property: &str) -> bool {
        let by_policy = |one: &Exported| one.reads.as_ref().is_none_or(|reads| reads.contains(attribute));
        property.contains(attribute) || self.policies.values().any(by_policy)
    }

    /// Why what is proven of a request of this kind would not hold for every real one: a policy looks at arguments of which
    /// the schema says nothing, so that the solver takes them for absent.
    pub(crate) fn doubt(&self, env: &RequestEnv) -> Option<String> {
        let doubtful =
            |one: &&Exported| self.may_apply(&one.policy, env) && !self.are_declared(&one.arguments, env);
        self.policies.values().find(doubtful).map(|policy| undeclared(&policy.id, env))
    }

    /// The same of a property's own conditions.
    pub(crate) fn doubt_about(&self, property: &Policy, env: &RequestEnv) -> Option<String> {
        (!self.are_declared(&Arguments::of(property), env)).then(|| undeclared("the property", env))
    }

    /// Whether the schema has all that is read of a tool's arguments; what is no tool has none.
    fn are_declared(&self, arguments: &Arguments, env: &RequestEnv) -> bool {
        let found = self.tool(env.action().id().unescaped());
        found.is_none_or(|(_, tool)| arguments.are_declared(tool.input_schema.as_deref()))
    }

    pub(crate) fn may_apply(&self, policy: &Policy, env: &RequestEnv) -> bool {
        use cedar_policy::ActionConstraint;
        match policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(action) => self.is_action(env, action.id().unescaped()),
            ActionConstraint::In(any) => {
                any.iter().any(|action| self.is_action(env, action.id().unescaped()))
            }
        }
    }
}

fn parsed(servers: &[ServerTools]) -> Result<Schema, String> {
    let text = schema_text(servers);
    Schema::from_cedarschema_str(&text).map(|(schema, _)| schema).map_err(|error| error.to_string())
}

/// An input schema that says nothing.
const OPEN: &str = r#"{"type":"object"}"#;

fn undeclared(whose: &str, env: &RequestEnv) -> String {
    let tool = env.action().id().unescaped();
    format!(
        "{whose} looks at arguments of {tool} of which its input schema says nothing that Cedar has a type for"
    )
}
