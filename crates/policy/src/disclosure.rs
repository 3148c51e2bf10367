//! What of a server's data a caller may be shown and may change: columns, tables, data classes, rows and bytes.

use crate::context::{self, Parts};
use crate::engine::{Asked, Engine, failures};
use crate::looks::Looks;
use crate::model::{Context, Past};
use crate::names::TYPES;
use crate::principal::{Prepared, Principal};
use crate::sql::SqlFacts;
use cedar_policy::{EntityUid, Response};
use portunus_core::digest::Digest;
use portunus_core::id::ServerName;
use portunus_core::treatment::Treatment;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What of a server's data may be shown to a caller, and changed by them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure {
    /// Columns: `table.column`, or `table.*` for all columns of a table; lower-case.
    pub columns: Choice,
    /// Columns that are hidden, but of which a treated value may be shown where it is only shown.
    pub treated: BTreeMap<String, Treatment>,
    /// Tables whose rows may be changed.
    pub changes: Choice,
    /// Data classes whose values are not shown as they are.
    pub classes: BTreeMap<String, Treatment>,
}

/// Everything that the policies about a disclosure look at, besides the caller: with the same key it is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisclosureKey {
    version: Digest,
    /// The moment, hour, day and seconds since the sign-in, where a policy looks at them.
    times: [Option<u64>; 4],
    source: Option<IpAddr>,
    environment: Option<String>,
    era: Option<String>,
    certificate: Option<(Digest, Option<String>)>,
    past: Past,
}

/// All but some, or none but some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Whether it is yes for what is not among the exceptions.
    pub default: bool,
    /// For which it is the other way round, sorted.
    pub exceptions: Vec<String>,
}

impl Choice {
    /// No, for everything.
    pub const NONE: Self = Self { default: false, exceptions: Vec::new() };

    /// Whether it is yes for everything.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.default && self.exceptions.is_empty()
    }
    /// Whether it is yes for a name that may be written with more or fewer parts than an exception is: what could be an
    /// exception to yes is one; an exception to no is exactly what it says, since the same table may be in another schema.
    fn holds(&self, name: &str) -> bool {
        let could_be = |one: &&String| one.rsplit('.').zip(name.rsplit('.')).all(|(a, b)| a == b);
        if self.default {
            !self.exceptions.iter().any(|one| could_be(&one))
        } else {
            self.exceptions.iter().any(|one| one == name)
        }
    }
}

impl Disclosure {
    /// Nothing at all.
    #[must_use]
    pub fn nothing(classes: impl IntoIterator<Item = String>) -> Self {
        let classes = classes.into_iter().map(|class| (class, Treatment::Drop)).collect();
        Self { columns: Choice::NONE, treated: BTreeMap::new(), changes: Choice::NONE, classes }
    }

    /// Why a statement may not be run by a server that cannot hide columns itself: what is hidden or may not be changed and
    /// is, or could be, among what it uses. What is not known of the statement could be anything.
    #[must_use]
    pub fn objection(&self, facts: &SqlFacts) -> Option<String> {
        if !self.columns.is_all() {
            if !facts.complete {
                return Some("Some columns are hidden from you, and it cannot be told which ones this statement reads.".to_owned());
            }
            if !facts.harmless {
                let name = facts.doubtful.as_deref().unwrap_or("unknown");
                return Some(format!(
                    "Some columns are hidden from you, and this statement calls a function or reads a table of which it is not known what it reads: `{name}`."
                ));
            }
            let used: BTreeSet<&String> = facts.columns_read.iter().chain(&facts.columns_written).collect();
            if let Some(hidden) = used.into_iter().find(|column| !self.shows_to_others(column)) {
                return Some(format!(
                    "`{hidden}` is hidden from you: name the columns you need, without it."
                ));
            }
        }
        if !self.changes.is_all() {
            if !facts.complete {
                return Some("Some tables may not be changed, and it cannot be told which ones this statement changes.".to_owned());
            }
            if let Some(table) = facts.writes.iter().find(|table| !self.changes.holds(table)) {
                return Some(format!("The rows of `{table}` may not be changed."));
            }
        }
        None
    }

    /// Whether a column, or with `table.*` every column, is shown as it is.
    fn shows_to_others(&self, column: &str) -> bool {
        let Some((table, name)) = column.rsplit_once('.') else { return false };
        let whole = format!("{table}.*");
        // SQLite's names for the row may be a column's value under another name.
        let is_row = ["rowid", "oid", "_rowid_"].contains(&name);
        if name != "*" && !is_row {
            let both = [column, &whole].map(|name| self.columns.holds(name));
            return if self.columns.default { both == [true, true] } else { both != [false, false] };
        }
        // One exception of the table's columns is enough.
        let of_table = |one: &String| {
            one.rsplit_once('.')
                .is_some_and(|(of, _)| of.rsplit('.').zip(table.rsplit('.')).all(|(a, b)| a == b))
        };
        if self.columns.default {
            !self.columns.exceptions.iter().any(of_table)
        } else {
            self.columns.holds(&whole)
        }
    }
}

/// What the policies say of one thing that could be shown.
enum Shown {
    Yes,
    No(Option<Treatment>),
}

impl Engine {
    /// Asks the policies for `Action::"disclose"` about every column, table and data class that a policy could tell from
    /// others, and for `Action::"change"` about tables.
    #[must_use]
    pub fn disclosure(
        &self,
        principal: &Principal,
        server: &ServerName,
        circumstances: &Context<'_>,
    ) -> Disclosure {
        let caller = &*principal.0;
        self.ask_disclosure(caller, server.as_str(), circumstances).unwrap_or_else(|| {
            let served = self.served(server.as_str());
            Disclosure::nothing(served.into_iter().flat_map(|served| served.data.classes.values().cloned()))
        })
    }

    /// What [`Self::disclosure`] depends on for this caller: whoever keeps one must ask anew when this is another.
    #[must_use]
    pub fn disclosure_key(
        &self,
        principal: &Principal,
        server: &ServerName,
        now: &Context<'_>,
    ) -> DisclosureKey {
        let served = self.served(server.as_str());
        let targets = ["disclose", "change"].map(|name| served.and_then(|served| served.operation(name)));
        let looks = targets.into_iter().flatten().map(|target| target.slice.looks);
        let looks = looks.fold(Looks::NOTHING, Looks::and);
        let when = |attribute: Looks, value: u64| looks.contains(attribute).then_some(value);
        let seconds = now.now.as_secs();
        let signed_in = now.now.since(principal.0.caller.sign_in.at).as_secs();
        let mut past = if looks.contains(Looks::COUNTERS) { now.past.clone() } else { Past::default() };
        past.labels = if looks.contains(Looks::LABELS) { now.past.labels.clone() } else { BTreeSet::new() };
        let text = |attribute: Looks, value: &str| looks.contains(attribute).then(|| value.to_owned());
        let shown = now.certificate.filter(|_| looks.contains(Looks::CLIENT_CERTIFICATE));
        DisclosureKey {
            version: self.version,
            times: [
                when(Looks::NOW, now.now.as_millis()),
                when(Looks::HOUR, seconds / 3600),
                when(Looks::WEEKDAY, seconds / 86_400),
                when(Looks::SIGN_IN, signed_in),
            ],
            source: looks.contains(Looks::SOURCE).then_some(now.source),
            environment: text(Looks::ENVIRONMENT, now.environment),
            era: text(Looks::ERA, now.era),
            certificate: shown.map(|shown| (shown.thumbprint, shown.verified_by.clone())),
            past,
        }
    }

    fn ask_disclosure(
        &self,
        caller: &Prepared,
        server: &str,
        circumstances: &Context<'_>,
    ) -> Option<Disclosure> {
        let disclose = self.ask_about_data(caller, server, "disclose")?;
        let context = context::build(disclose.target.slice.looks, caller, circumstances, Parts::default())?;
        let shown = |thing: &EntityUid| self.shown(caller, &disclose, thing, &context);
        let data = &self.served(server)?.data;
        let (columns, treated) = columns(&data.columns, &data.unnamed_column, shown);
        let mut classes = BTreeMap::new();
        for (class, name) in &data.classes {
            if let Shown::No(treatment) = shown(class) {
                classes.insert(name.clone(), treatment.unwrap_or(Treatment::Mask));
            }
        }
        let change = self.ask_about_data(caller, server, "change")?;
        let context = context::build(change.target.slice.looks, caller, circumstances, Parts::default())?;
        let may = |table: &EntityUid| matches!(self.shown(caller, &change, table, &context), Shown::Yes);
        let default = may(&data.unnamed_table);
        let others = data.tables.iter().filter(|(table, _)| may(table) != default);
        let mut exceptions: Vec<String> = others.map(|(_, name)| name.clone()).collect();
        exceptions.sort_unstable();
        Some(Disclosure { columns, treated, changes: Choice { default, exceptions }, classes })
    }

    pub(crate) fn ask_about_data(&self, caller: &Prepared, server: &str, operation: &str) -> Option<Asked> {
        let served = self.served(server).filter(|_| caller.caller.server.as_str() == server)?;
        let target = served.operation(operation)?.clone();
        let mut more = served.data.entities.clone();
        more.push(target.entity.clone());
        let entities = self.entities(caller, served)?.add_entities(more, None).ok()?;
        Some(Asked::about(served, target, entities))
    }

    fn shown(
        &self,
        caller: &Prepared,
        asked: &Asked,
        thing: &EntityUid,
        context: &cedar_policy::Context,
    ) -> Shown {
        let policies = caller.own(&asked.target.slice);
        match self.respond(caller, asked, thing, &policies, context.clone()) {
            Some(response) if failures(&response).next().is_some() => Shown::No(None),
            Some(response) if response.decision() == cedar_policy::Decision::Allow => Shown::Yes,
            Some(response) => {
                let plain = (*thing.type_name() == TYPES.data_class).then_some(Treatment::Mask);
                Shown::No(self.treatment(&response, plain))
            }
            None => Shown::No(None),
        }
    }

    /// The strictest of the treatments, where a policy that names none means `plain`; `None` when that is nothing, or nothing
    /// permits it at all.
    fn treatment(&self, response: &Response, plain: Option<Treatment>) -> Option<Treatment> {
        let mut strictest = None;
        for policy in response.diagnostics().reason() {
            let id: &str = policy.as_ref();
            strictest = strictest.max(Some(self.known.get(id)?.treatment.or(plain)?));
        }
        strictest
    }
}

/// The columns that are shown, and the treatments of those that are not.
fn columns(
    named: &BTreeMap<EntityUid, String>,
    unnamed: &EntityUid,
    shown: impl Fn(&EntityUid) -> Shown,
) -> (Choice, BTreeMap<String, Treatment>) {
    let default = matches!(shown(unnamed), Shown::Yes);
    let mut treated = BTreeMap::new();
    let mut exceptions = Vec::new();
    let mut refused_tables = BTreeSet::new();
    for (column, name) in named {
        match shown(column) {
            Shown::Yes if default => {}
            Shown::Yes => exceptions.push(name.clone()),
            Shown::No(treatment) => {
                if default {
                    exceptions.push(name.clone());
                } else if let Some((table, _)) = name.rsplit_once('.') {
                    refused_tables.insert(format!("{table}.*"));
                }
                if !name.ends_with(".*") {
                    treated.extend(treatment.map(|treatment| (name.clone(), treatment)));
                }
            }
        }
    }
    // Of a table that is shown among hidden ones, one hidden column cannot be taken out again: then only the named are shown.
    exceptions.retain(|name| default || !refused_tables.contains(name));
    exceptions.sort_unstable();
    (Choice { default, exceptions }, treated)
}
