//! Which changes of a request are worth trying, from what the policies for its action write.

#![expect(clippy::unnecessary_to_owned, reason = "the changes outlive what their words were read from")]

use super::{Candidate, Change, Draft};
use crate::engine::Engine;
use crate::lookups::{Lookups, compared};
use crate::model::{Operation, Past};
use crate::names::TYPES;
use crate::sql::SqlFacts;
use cedar_policy::Policy;
use portunus_core::caller::{Caller, ClientProof, Confirmation, Holding};
use portunus_core::digest::Digest;
use portunus_core::id::{ClientId, GroupName};
use portunus_core::limits;
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::net::IpAddr;

pub(super) const FRESH: &str = "after a fresh sign-in";

/// The texts that policies compare with something of the context.
struct Words(BTreeSet<(Vec<String>, String)>);

impl Words {
    fn of(compared: &[(Vec<String>, Value)]) -> Self {
        let text =
            |(path, literal): &(Vec<String>, Value)| Some((path.clone(), literal.as_str()?.to_owned()));
        Self(compared.iter().filter_map(text).collect())
    }
    fn of_path<'w>(&'w self, path: &'w [&'w str]) -> impl Iterator<Item = &'w String> {
        self.0.iter().filter(move |(of, _)| of == path).map(|(_, text)| text)
    }
}

/// Changes worth trying, from what the policies for this action write.
pub(super) fn candidates(engine: &Engine, draft: &Draft<'_>) -> Vec<Candidate> {
    let mut all = Vec::new();
    let server = draft.request.server.as_str();
    let principal = engine.principal(&draft.caller);
    let Some(asked) = engine.ask(&principal.0, server, draft.request.operation) else { return all };
    let mut policies: Vec<&Policy> = asked.target.slice.policies.policies().collect();
    policies.sort_by_key(|policy| policy.id().to_string());
    let mut reads = BTreeSet::new();
    let mut found = Vec::new();
    for policy in &policies {
        let lookups = Lookups::of(policy);
        reads.extend(lookups.attributes);
        if let Ok(json) = policy.to_json()
            && let Some(conditions) = json.get("conditions")
        {
            compared(conditions, &mut found);
        }
    }
    groups(&policies, &draft.caller, &mut all);
    found.truncate(limits::ADVICE_TRIED);
    let words = Words::of(&found);
    people(draft, &reads, &words, &mut all);
    sources(words.of_path(&["source"]), &mut all);
    if ["hour", "weekday", "now"].iter().any(|name| reads.contains(*name)) {
        times(draft.request.context.now, &mut all);
    }
    arguments(found, &mut all);
    past(&draft.past, &reads, &mut all);
    if let Some(facts) = &draft.sql {
        statements(facts, &mut all);
    }
    if matches!(draft.request.operation, Operation::CallTool(_)) {
        tools(engine, draft, &mut all);
    }
    all
}

fn add(
    all: &mut Vec<Candidate>,
    kind: &'static str,
    text: String,
    apply: impl Fn(&mut Draft<'_>) -> bool + 'static,
) {
    all.push(Candidate { change: Change { kind, text }, apply: Box::new(apply) });
}

/// Joining a group that a policy names, or leaving one.
fn groups(policies: &[&Policy], caller: &Caller, all: &mut Vec<Candidate>) {
    let literals: BTreeSet<String> = policies
        .iter()
        .flat_map(|policy| policy.entity_literals())
        .filter(|literal| *literal.type_name() == TYPES.group)
        .map(|literal| literal.id().unescaped().to_owned())
        .collect();
    for name in literals {
        let Ok(group) = GroupName::parse(&name) else { continue };
        if caller.groups.contains(&group) {
            add(all, "group", format!("to somebody who is not in group {name}"), move |draft| {
                draft.caller.groups.retain(|one| *one != group);
                true
            });
        } else {
            add(all, "group", format!("to a member of group {name}"), move |draft| {
                draft.caller.groups.push(group.clone());
                true
            });
        }
    }
}

/// Another client, another proof, more scopes, another sign-in.
fn people(draft: &Draft<'_>, reads: &BTreeSet<String>, words: &Words, all: &mut Vec<Candidate>) {
    let caller = &draft.caller;
    for scope in words.of_path(&["scopes"]).filter(|word| !caller.scopes.contains(word)).cloned() {
        add(all, "scope", format!("with the scope {scope}"), move |draft| {
            draft.caller.scopes.push(scope.clone());
            true
        });
    }
    for client in words.of_path(&["client"]).filter_map(|word| ClientId::parse(word).ok()) {
        if client != caller.client {
            add(all, "client", format!("through the client {client}"), move |draft| {
                draft.caller.client = client.clone();
                true
            });
        }
    }
    if reads.contains("actor") {
        for actor in [Actor::Assistant, Actor::Autonomous, Actor::Workload, Actor::Ci] {
            if actor != caller.actor {
                add(all, "actor", format!("to a client of kind {actor}"), move |draft| {
                    draft.caller.actor = actor;
                    true
                });
            }
        }
    }
    if reads.contains("client_proof") {
        let nothing = Holding::default();
        let dpop = Holding { bound: Some(Confirmation::Dpop(Digest([0; 32]))), ..nothing.clone() };
        let proven = [ClientProof::Secret, ClientProof::Key, ClientProof::Certificate];
        let holdings = proven.map(|proof| Holding { proof, ..nothing.clone() });
        for holding in holdings.into_iter().chain([dpop]) {
            let word = holding.word();
            if word != caller.holding.word() {
                add(all, "proof", format!("to a client that proves itself by {word}"), move |draft| {
                    draft.caller.holding = holding.clone();
                    true
                });
            }
        }
    }
    if reads.contains("sign_in") {
        sign_ins(words, all);
    }
}

fn sign_ins(words: &Words, all: &mut Vec<Candidate>) {
    add(all, "sign_in", FRESH.to_owned(), |draft| {
        let fresh = draft.caller.sign_in.at != draft.request.context.now;
        draft.caller.sign_in.at = draft.request.context.now;
        fresh
    });
    for way in words.of_path(&["sign_in", "method"]).cloned() {
        add(all, "sign_in", format!("after signing in by {way}"), move |draft| {
            let sign_in = &mut draft.caller.sign_in;
            let other = sign_in.method != way;
            (sign_in.method, sign_in.at) = (way.clone(), draft.request.context.now);
            other
        });
    }
    for class in words.of_path(&["sign_in", "acr"]).cloned() {
        add(all, "sign_in", format!("after a sign-in of class {class} (acr)"), move |draft| {
            let other = draft.caller.sign_in.acr.as_deref() != Some(&class);
            draft.caller.sign_in.acr = Some(class.clone());
            draft.caller.sign_in.at = draft.request.context.now;
            other
        });
    }
    for factor in words.of_path(&["sign_in", "amr"]).cloned() {
        add(all, "sign_in", format!("after a sign-in with {factor} (amr)"), move |draft| {
            let other = !draft.caller.sign_in.amr.contains(&factor);
            draft.caller.sign_in.amr.push(factor.clone());
            draft.caller.sign_in.at = draft.request.context.now;
            other
        });
    }
}

fn sources<'w>(words: impl Iterator<Item = &'w String>, all: &mut Vec<Candidate>) {
    for word in words {
        let address = word.split('/').next().unwrap_or_default();
        let Ok(source) = address.parse::<IpAddr>() else { continue };
        add(all, "source", format!("from {word}"), move |draft| {
            let other = draft.request.context.source != source;
            draft.request.context.source = source;
            other
        });
    }
}

/// The first hour of the coming week in which it is permitted, by a sign-in as old as now.
fn times(now: Timestamp, all: &mut Vec<Candidate>) {
    for hours in 1..=7 * 24_u64 {
        let at = Timestamp::from_secs((now.as_secs() / 3600 + hours) * 3600);
        add(all, "time", format!("at {at}"), move |draft| {
            let later = at.since(draft.request.context.now);
            draft.caller.sign_in.at = draft.caller.sign_in.at.plus(later);
            draft.request.context.now = at;
            true
        });
    }
}

/// An argument just inside the bound that a policy compares it with, equal to what it names, or left out.
fn arguments(compared: Vec<(Vec<String>, Value)>, all: &mut Vec<Candidate>) {
    let mut seen = BTreeSet::new();
    for (path, literal) in compared {
        let Some((_, path)) = path.split_first().filter(|(of, _)| *of == "arguments") else { continue };
        let name = path.join(".");
        let mut values: Vec<Option<Value>> = vec![None];
        if let Some(number) = literal.as_i64() {
            let near = [Some(number), number.checked_sub(1), number.checked_add(1)];
            values.extend(near.into_iter().flatten().map(|number| Some(Value::from(number))));
        } else if let Some(text) = literal.as_str() {
            let number = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            values.extend(number.map(|number| Some(Value::Number(number))));
            values.push(Some(literal.clone()));
        } else if literal.is_boolean() {
            values.push(Some(literal.clone()));
        }
        for value in values {
            let text = match &value {
                Some(value) => format!("with the argument {name} = {value}"),
                None => format!("without the argument {name}"),
            };
            if !path.is_empty() && seen.insert(text.clone()) {
                let path = path.to_vec();
                add(all, "argument", text, move |draft| put(draft, &path, value.as_ref()));
            }
        }
    }
}

/// Sets or removes an argument; `false` when that changes nothing, or cannot be done.
fn put(draft: &mut Draft<'_>, path: &[String], value: Option<&Value>) -> bool {
    let Ok(mut all) =
        serde_json::from_slice::<Map<String, Value>>(draft.arguments.as_deref().unwrap_or(b"{}"))
    else {
        return false;
    };
    let Some((last, parents)) = path.split_last() else { return false };
    let mut object = &mut all;
    for name in parents {
        let inner = object.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
        let Some(inner) = inner.as_object_mut() else { return false };
        object = inner;
    }
    let changed = match value {
        Some(value) => object.insert(last.clone(), value.clone()).as_ref() != Some(value),
        None => object.remove(last).is_some(),
    };
    draft.arguments = serde_json::to_vec(&all).ok();
    changed
}

/// SQL that leaves out one thing that this does. Its arguments stay, so that nothing else is different.
fn statements(facts: &SqlFacts, all: &mut Vec<Candidate>) {
    if !facts.complete {
        add(all, "sql", "with SQL that can be understood in full".to_owned(), |draft| {
            let Some(facts) = &mut draft.sql else { return false };
            facts.complete = true;
            facts.kinds.remove("unknown");
            true
        });
    }
    if !facts.read_only {
        add(all, "sql", "with SQL that only reads".to_owned(), |draft| {
            let Some(facts) = &mut draft.sql else { return false };
            (facts.complete, facts.read_only) = (true, true);
            facts.kinds = BTreeSet::from(["select".to_owned()]);
            facts.writes.clear();
            facts.columns_written.clear();
            true
        });
    }
    type Part = fn(&mut SqlFacts) -> &mut BTreeSet<String>;
    let parts: [(&str, Part); 4] = [
        ("does not read", |facts| &mut facts.reads),
        ("does not write", |facts| &mut facts.writes),
        ("does not call", |facts| &mut facts.functions),
        ("is not of kind", |facts| &mut facts.kinds),
    ];
    for (what, of) in parts {
        for name in of(&mut facts.clone()).clone() {
            add(all, "sql", format!("with SQL that {what} {name}"), move |draft| {
                draft.sql.as_mut().is_some_and(|facts| of(facts).remove(&name))
            });
        }
    }
}

/// A session without a label that is on this one, and a time when nothing is counted any more.
fn past(past: &Past, reads: &BTreeSet<String>, all: &mut Vec<Candidate>) {
    if reads.contains("labels") {
        for label in past.labels.iter().cloned() {
            add(all, "label", format!("in a session without the label {label}"), move |draft| {
                draft.past.labels.remove(&label)
            });
        }
    }
    if reads.contains("counters") {
        add(all, "counters", "once what was counted has passed".to_owned(), |draft| {
            let fresh = Past { labels: draft.past.labels.clone(), ..Past::default() };
            let counted = draft.past != fresh;
            draft.past = fresh;
            counted
        });
    }
}

/// The same with another tool of the server.
fn tools(engine: &Engine, draft: &Draft<'_>, all: &mut Vec<Candidate>) {
    let Some(served) = engine.served(draft.request.server.as_str()) else { return };
    for tool in served.tools() {
        if draft.request.operation == Operation::CallTool(tool) {
            continue;
        }
        let tool = tool.to_owned();
        add(all, "tool", format!("with the tool {tool} and the same arguments"), move |draft| {
            draft.tool = Some(tool.clone());
            true
        });
    }
}
