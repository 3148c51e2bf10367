//! Who may do what, at a glance: principals × tools. Nothing of a single call is known, so a cell says what holds whatever
//! the call is, and otherwise what it depends on. It does not change with the hour, so that it can be kept in a file and
//! compared.

use crate::engine::Engine;
use crate::explain::Outcome;
use crate::model::{Context, NO_PAST, Operation, Request};
use crate::names::TYPES;
use crate::partial::{Known, Partial, Range};
use crate::principal::Principal;
use crate::testing::id;
use portunus_core::caller::{Caller, Holding, SignIn};
use portunus_core::id::{ClientId, GroupName, ServerName, UserName, WorkloadName};
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// Somebody whose row is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// What the row is called; the user or workload when not said.
    #[serde(default)]
    pub name: Option<String>,
    /// A person.
    #[serde(default)]
    pub user: Option<UserName>,
    /// Or a workload.
    #[serde(default)]
    pub workload: Option<WorkloadName>,
    /// The groups they are in.
    #[serde(default)]
    pub groups: Vec<GroupName>,
    /// What drives their client; an assistant when not said, for a workload `workload`.
    #[serde(default)]
    pub actor: Option<Actor>,
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matrix {
    /// What could be done.
    pub columns: Vec<Column>,
    /// Who does it.
    pub rows: Vec<Row>,
}

/// Something that could be done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Column {
    /// On this server.
    pub server: String,
    /// `call`, `list`, `read`, `prompt`, `disclose` (a column), `class` (a data class) or `change` (a table's rows).
    pub action: &'static str,
    /// Of this tool, resource, prompt, column, class or table; `*` for any that no policy names.
    pub target: String,
}

/// One principal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What it is called.
    pub name: String,
    /// One for each column.
    pub cells: Vec<Cell>,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// When all that is unknown speaks for it.
    pub best: Outcome,
    /// When all speaks against it.
    pub worst: Outcome,
    /// What it depends on: attributes of the context; empty when both are the same.
    pub depends: BTreeSet<String>,
    /// Who must approve, at best; `None` when nobody must.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_approver: Option<String>,
    /// Who must approve, at worst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_approver: Option<String>,
}

impl Cell {
    /// This, whatever the call is.
    #[must_use]
    pub fn settled(best: Outcome) -> Self {
        let (depends, best_approver, worst_approver) = (BTreeSet::new(), None, None);
        Self { best, worst: best, depends, best_approver, worst_approver }
    }

    /// Whether it is the same whatever the call is.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.best == self.worst && self.best_approver == self.worst_approver
    }

    /// Who must approve, in words; empty when nobody must.
    #[must_use]
    pub fn approvers(&self) -> String {
        let both: BTreeSet<&str> =
            [&self.best_approver, &self.worst_approver].into_iter().flatten().map(String::as_str).collect();
        both.into_iter().collect::<Vec<&str>>().join(" or ")
    }

    /// `permit`, `refuse`, `approval: owner`, or `permit/approval (owner): arguments, hour`.
    #[must_use]
    pub fn words(&self) -> String {
        if self.is_settled() {
            let by = self.best_approver.as_ref().map_or_else(String::new, |by| format!(": {by}"));
            return format!("{}{by}", self.best.as_str());
        }
        let end = |outcome: Outcome, by: &Option<String>| {
            let by = by.as_ref().map_or_else(String::new, |by| format!(" ({by})"));
            format!("{}{by}", outcome.as_str())
        };
        let (best, worst) = (end(self.best, &self.best_approver), end(self.worst, &self.worst_approver));
        let depends: Vec<&str> = self.depends.iter().map(String::as_str).collect();
        format!("{best}/{worst}: {}", depends.join(", "))
    }
}

impl Column {
    /// `call sales/read_query`.
    #[must_use]
    pub fn words(&self) -> String {
        match self.action {
            "list" => format!("list {}", self.server),
            action => format!("{action} {}/{}", self.server, self.target),
        }
    }
}

/// The rows that policies themselves speak of: each group, user and workload they name, and somebody in no group.
#[must_use]
pub fn principals(engine: &Engine) -> Vec<Who> {
    let mut named: BTreeSet<(u8, String)> = BTreeSet::new();
    for literal in engine.known.values().flat_map(|known| known.policy.entity_literals()) {
        let (kind, name) = (literal.type_name(), literal.id().unescaped().to_owned());
        let kinds = [&TYPES.group, &TYPES.user, &TYPES.workload];
        if let Some(rank) = kinds.iter().position(|one| *one == kind) {
            named.insert((u8::try_from(rank).unwrap_or_default(), name));
        }
    }
    let nobody = Who {
        name: Some("(no group)".to_owned()),
        user: None,
        workload: None,
        groups: Vec::new(),
        actor: None,
    };
    let mut all: Vec<Who> = Vec::new();
    for (rank, name) in named {
        let who = match rank {
            0 => GroupName::parse(&name).ok().map(|group| Who {
                name: Some(format!("group {group}")),
                groups: vec![group],
                ..nobody.clone()
            }),
            1 => {
                UserName::parse(&name).ok().map(|user| Who { name: None, user: Some(user), ..nobody.clone() })
            }
            _ => WorkloadName::parse(&name).ok().map(|workload| Who {
                name: None,
                workload: Some(workload),
                ..nobody.clone()
            }),
        };
        all.extend(who);
    }
    all.push(nobody);
    all
}

/// Decides every cell.
#[must_use]
pub fn matrix(engine: &Engine, principals: &[Who], now: Timestamp) -> Matrix {
    let partial = Partial::new(engine);
    let columns = columns(engine);
    let rows = principals.iter().map(|who| {
        let mut on: BTreeMap<&str, Option<Principal>> = BTreeMap::new();
        let mut cell = |column: &Column| {
            let principal = on
                .entry(engine.servers.get_key_value(&column.server)?.0.as_str())
                .or_insert_with(|| caller(who, &column.server, now).map(|caller| engine.principal(&caller)));
            decide(engine, &partial, principal.as_ref()?, column, now)
        };
        // What cannot even be asked is refused.
        let refused = || Cell::settled(Outcome::Refuse);
        let cells = columns.iter().map(|column| cell(column).unwrap_or_else(refused)).collect();
        Row { name: name_of(who), cells }
    });
    let rows = rows.collect();
    Matrix { columns, rows }
}

fn columns(engine: &Engine) -> Vec<Column> {
    let mut columns = BTreeSet::new();
    let own = engine.known.values().filter(|known| known.path != crate::defaults::PATH);
    let literals: BTreeSet<_> = own.flat_map(|known| known.policy.entity_literals()).collect();
    let acts = |name: &str| {
        literals.iter().any(|one| *one.type_name() == TYPES.action && one.id().unescaped() == name)
    };
    for (server, served) in &engine.servers {
        let mut add = |action, target: &str| {
            columns.insert(Column { server: server.clone(), action, target: target.to_owned() });
        };
        served.tools().into_iter().for_each(|tool| add("call", tool));
        for (asked, action) in [("read_resource", "read"), ("get_prompt", "prompt"), ("list", "list")] {
            if acts(asked) {
                add(action, "*");
            }
        }
        for literal in &literals {
            let Some(inner) = literal.id().unescaped().strip_prefix(&format!("{server}/")) else { continue };
            if *literal.type_name() == TYPES.resource {
                add("read", inner);
            } else if *literal.type_name() == TYPES.prompt {
                add("prompt", inner);
            }
        }
        let data = &served.data;
        data.columns.values().for_each(|column| add("disclose", column));
        if literals.iter().any(|one| *one.type_name() == TYPES.data_class) {
            data.classes.values().for_each(|class| add("class", class));
        }
        data.tables.values().for_each(|table| add("change", table));
        if acts("disclose") && !data.columns.is_empty() {
            add("disclose", "*");
        }
    }
    columns.into_iter().collect()
}

/// What is known of every call: who asks and what drives their client, and that nobody has approved anything.
fn known() -> Known {
    let attributes = ["actor", "environment", "approval", "method", "target"];
    Known { attributes: attributes.into(), groups: true, well_formed: true }
}

fn decide(
    engine: &Engine,
    partial: &Partial<'_>,
    principal: &Principal,
    column: &Column,
    now: Timestamp,
) -> Option<Cell> {
    let server = &principal.caller().server;
    let target = column.target.as_str();
    let operation = match column.action {
        "call" => Operation::CallTool(target),
        "read" => Operation::ReadResource(target),
        "prompt" => Operation::GetPrompt(target),
        _ => Operation::List("tools/list"),
    };
    let request = Request {
        decision: id("dec").ok()?,
        server,
        operation,
        arguments: None,
        sql: None,
        besides: None,
        approval: None,
        context: Context {
            now,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            environment: &engine.served(&column.server)?.environment,
            era: "modern",
            certificate: None,
            past: &NO_PAST,
            pin: "pinned",
            credential_age: None,
        },
    };
    let range = match column.action {
        kind @ ("disclose" | "class" | "change") => {
            let asked = engine.ask_data(&principal.0, &column.server, kind, target)?;
            partial.decide_asked(principal, &request, asked, &known())?
        }
        _ => partial.decide(principal, &request, &known())?,
    };
    Some(cell(&range))
}

fn cell(range: &Range) -> Cell {
    let (best, worst) = (Outcome::of(&range.best), Outcome::of(&range.worst));
    let [best_approver, worst_approver] =
        [&range.best, &range.worst].map(|end| end.approver().map(str::to_owned));
    let mut cell = Cell { best, worst, depends: BTreeSet::new(), best_approver, worst_approver };
    if !cell.is_settled() {
        cell.depends.clone_from(&range.depends);
    }
    cell
}

fn name_of(who: &Who) -> String {
    let of = |who: &Who| match (&who.user, &who.workload) {
        (Some(user), _) => format!("user {user}"),
        (None, Some(workload)) => format!("workload {workload}"),
        (None, None) => "(no group)".to_owned(),
    };
    who.name.clone().unwrap_or_else(|| of(who))
}

/// Somebody with these groups; whoever has no name of their own is somebody whom no policy names.
fn caller(who: &Who, server: &str, now: Timestamp) -> Option<Caller> {
    let (user, usual) = match (&who.user, &who.workload) {
        (Some(user), _) => (user.clone(), Actor::Assistant),
        (None, Some(workload)) => (UserName::of_workload(workload), Actor::Workload),
        (None, None) => (UserName::parse("somebody").ok()?, Actor::Assistant),
    };
    Some(Caller {
        user,
        groups: who.groups.clone(),
        client: ClientId::parse("any-client").ok()?,
        client_name: String::new(),
        grant: id("grt").ok()?,
        server: ServerName::parse(server).ok()?,
        scopes: Vec::new(),
        actor: who.actor.unwrap_or(usual),
        sign_in: SignIn::new("pwd", now),
        holding: Holding::default(),
    })
}

/// A cell that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Whose.
    pub principal: String,
    /// What.
    pub column: String,
    /// What it was; `None`: there was no such cell.
    pub was: Option<String>,
    /// What it is; `None`: there is no such cell any more.
    pub is: Option<String>,
}

impl Matrix {
    /// The matrix as text that reviews well: a line for each cell, in order, `principal | column | words`.
    #[must_use]
    pub fn golden(&self) -> String {
        let mut text = String::from(
            "# Who may do what. Written by `portunus policy matrix --golden FILE --update`; a difference fails without --update.\n",
        );
        let cells = self.cells();
        let width = |of: fn(&(String, String, String)) -> &String| {
            cells.iter().map(|cell| of(cell).chars().count()).max().unwrap_or(0)
        };
        let (first, second) = (width(|cell| &cell.0), width(|cell| &cell.1));
        for (principal, column, words) in &cells {
            text.push_str(&format!("{principal:first$} | {column:second$} | {words}\n"));
        }
        text
    }

    /// What differs from a golden text. Lines that are no cells are passed over.
    #[must_use]
    pub fn changes(&self, golden: &str) -> Vec<Change> {
        let lines = golden.lines().filter(|line| !line.starts_with('#'));
        let mut was: BTreeMap<(String, String), String> = lines
            .filter_map(|line| {
                let mut parts = line.splitn(3, " | ").map(|part| part.trim().to_owned());
                Some(((parts.next()?, parts.next()?), parts.next()?))
            })
            .collect();
        let mut changes = Vec::new();
        for (principal, column, is) in self.cells() {
            let before = was.remove(&(principal.clone(), column.clone()));
            if before.as_ref() != Some(&is) {
                changes.push(Change { principal, column, was: before, is: Some(is) });
            }
        }
        let gone = was.into_iter();
        changes.extend(gone.map(|((principal, column), was)| Change {
            principal,
            column,
            was: Some(was),
            is: None,
        }));
        changes
    }

    fn cells(&self) -> Vec<(String, String, String)> {
        let plain = |text: &str| text.replace(['\n', '\r', '|'], " ").trim().to_owned();
        let each = |row: &Row| {
            let pairs = self.columns.iter().zip(&row.cells);
            pairs
                .map(|(column, cell)| (plain(&row.name), plain(&column.words()), plain(&cell.words())))
                .collect::<Vec<_>>()
        };
        self.rows.iter().flat_map(each).collect()
    }
}
