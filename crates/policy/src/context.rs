//! The Cedar context of one request. Only what the policies at hand look at is built.

use crate::looks::Looks;
use crate::model::{Context, Counts, Past};
use crate::principal::Prepared;
use crate::sql::SqlFacts;
use cedar_policy::{EntityUid, RestrictedExpression};
use portunus_core::caller::SignIn;
use portunus_core::peer::ClientCertificate;
use portunus_core::time::Timestamp;

/// What a context is built of besides the caller and the circumstances.
#[derive(Default)]
pub(crate) struct Parts<'a> {
    pub(crate) method: Option<&'a str>,
    pub(crate) target: Option<&'a str>,
    pub(crate) arguments: Option<RestrictedExpression>,
    pub(crate) sql: Option<&'a SqlFacts>,
    /// Attributes that only this operation has.
    pub(crate) texts: Vec<(&'static str, &'a str)>,
    pub(crate) numbers: Vec<(&'static str, u64)>,
    /// Whether it is a tool call, which alone has a pin and a credential.
    pub(crate) is_call: bool,
    /// Who approved, and the approval's id.
    pub(crate) approval: Option<(EntityUid, &'a str)>,
}

/// Builds the context; `None` when Cedar cannot hold it, which refuses.
pub(crate) fn build(
    looks: Looks,
    caller: &Prepared,
    circumstances: &Context<'_>,
    parts: Parts<'_>,
) -> Option<cedar_policy::Context> {
    let mut pairs: Vec<(String, RestrictedExpression)> = Vec::with_capacity(16);
    let mut add = |attribute: Looks, name: &str, value: &mut dyn FnMut() -> Option<RestrictedExpression>| {
        if looks.contains(attribute) {
            pairs.extend(value().map(|value| (name.to_owned(), value)));
        }
    };
    let now = circumstances.now;
    add(Looks::CLIENT, "client", &mut || Some(caller.client.clone()));
    add(Looks::ACTOR, "actor", &mut || Some(caller.actor.clone()));
    add(Looks::SCOPES, "scopes", &mut || Some(caller.scopes.clone()));
    add(Looks::SIGN_IN, "sign_in", &mut || sign_in(caller, now));
    add(Looks::SOURCE, "source", &mut || {
        // An IPv4 address inside IPv6 is the IPv4 address, or it would escape ranges written for that.
        Some(RestrictedExpression::new_ip(circumstances.source.to_canonical().to_string()))
    });
    add(Looks::NOW, "now", &mut || Some(RestrictedExpression::new_datetime(now.to_string())));
    add(Looks::HOUR, "hour", &mut || long(now.as_secs() / 3600 % 24));
    add(Looks::WEEKDAY, "weekday", &mut || Some(text(weekday(now))));
    add(Looks::ENVIRONMENT, "environment", &mut || Some(text(circumstances.environment)));
    add(Looks::ERA, "era", &mut || Some(text(circumstances.era)));
    add(Looks::CLIENT_PROOF, "client_proof", &mut || Some(text(caller.caller.holding.word())));
    add(Looks::CLIENT_CERTIFICATE, "client_certificate", &mut || {
        circumstances.certificate.and_then(certificate)
    });
    add(Looks::METHOD, "method", &mut || parts.method.map(text));
    add(Looks::TARGET, "target", &mut || parts.target.map(text));
    add(Looks::LABELS, "labels", &mut || Some(set(&circumstances.past.labels)));
    add(Looks::COUNTERS, "counters", &mut || counters(circumstances.past));
    add(Looks::EMERGENCY, "emergency", &mut || {
        let id = ("id".to_owned(), text(circumstances.past.emergency.as_ref()?.as_str()));
        RestrictedExpression::new_record([id]).ok()
    });
    if parts.is_call {
        add(Looks::PIN, "pin", &mut || Some(text(circumstances.pin)));
        add(Looks::CREDENTIAL, "credential", &mut || credential(circumstances.credential_age));
    }
    for (name, value) in &parts.texts {
        add(Looks::DETAIL, name, &mut || Some(text(value)));
    }
    for (name, value) in &parts.numbers {
        add(Looks::DETAIL, name, &mut || long(*value));
    }
    let mut arguments = parts.arguments;
    add(Looks::ARGUMENTS, "arguments", &mut || arguments.take());
    add(Looks::SQL, "sql", &mut || parts.sql.and_then(sql));
    add(Looks::APPROVAL, "approval", &mut || parts.approval.as_ref().and_then(approval));
    cedar_policy::Context::from_pairs(pairs).ok()
}

fn sign_in(caller: &Prepared, now: Timestamp) -> Option<RestrictedExpression> {
    let age = long(now.since(caller.caller.sign_in.at).as_secs())?;
    let method = caller.sign_in_method.clone();
    let SignIn { acr, amr, .. } = &caller.caller.sign_in;
    let members = [
        ("method".to_owned(), method),
        ("age_seconds".to_owned(), age),
        // Empty: nothing is known of it.
        ("acr".to_owned(), text(acr.as_deref().unwrap_or_default())),
        ("amr".to_owned(), set(amr)),
    ];
    RestrictedExpression::new_record(members).ok()
}

fn credential(age: Option<u64>) -> Option<RestrictedExpression> {
    RestrictedExpression::new_record([("age_seconds".to_owned(), long(age?)?)]).ok()
}

fn counters(past: &Past) -> Option<RestrictedExpression> {
    let of = [
        ("user", &past.user),
        ("client", &past.client),
        ("tool", &past.tool),
        ("user_tool", &past.user_tool),
    ];
    let members: Option<Vec<_>> =
        of.into_iter().map(|(name, counts)| Some((name.to_owned(), counts_of(counts)?))).collect();
    RestrictedExpression::new_record(members?).ok()
}

fn counts_of(counts: &Counts) -> Option<RestrictedExpression> {
    let kinds = [
        (["calls_per_minute", "calls_per_hour", "calls_per_day"], counts.calls),
        (["rows_per_minute", "rows_per_hour", "rows_per_day"], counts.rows),
        (["bytes_per_minute", "bytes_per_hour", "bytes_per_day"], counts.bytes),
        (["refusals_per_minute", "refusals_per_hour", "refusals_per_day"], counts.refusals),
    ];
    let members = kinds.into_iter().flat_map(|(names, spans)| names.into_iter().zip(spans));
    // What does not fit is as much as fits: a quota is passed long before.
    let members = members.map(|(name, count)| (name.to_owned(), long(count.min(i64::MAX.unsigned_abs()))));
    let members: Option<Vec<_>> = members.map(|(name, value)| Some((name, value?))).collect();
    RestrictedExpression::new_record(members?).ok()
}

/// A certificate that only vouches for itself says nothing about anyone.
fn certificate(shown: &ClientCertificate) -> Option<RestrictedExpression> {
    let verified_by = text(shown.verified_by.as_deref()?);
    let members = [
        ("dns_names".to_owned(), set(&shown.dns_sans)),
        ("verified_by".to_owned(), verified_by),
        ("thumbprint".to_owned(), text(&shown.thumbprint.hex())),
    ];
    RestrictedExpression::new_record(members).ok()
}

/// What is not known of SQL could be anything. Instead of a set that may lack something, a policy that looks at it finds
/// no attribute, which is an error and refuses. `complete`, `harmless` and `read_only` can be asked first.
fn sql(facts: &SqlFacts) -> Option<RestrictedExpression> {
    let mut members = vec![
        ("complete".to_owned(), RestrictedExpression::new_bool(facts.complete)),
        ("harmless".to_owned(), RestrictedExpression::new_bool(facts.complete && facts.harmless)),
        ("read_only".to_owned(), RestrictedExpression::new_bool(facts.complete && facts.read_only)),
    ];
    if facts.complete || !facts.kinds.contains("unknown") {
        members.push(("kinds".to_owned(), set(&facts.kinds)));
    }
    if facts.complete {
        let sets = [
            ("reads", &facts.reads),
            ("writes", &facts.writes),
            ("functions", &facts.functions),
            ("columns_read", &facts.columns_read),
            ("columns_written", &facts.columns_written),
        ];
        members.extend(sets.map(|(name, names)| (name.to_owned(), set(names))));
        let count = |count: usize| u64::try_from(count).ok();
        let counts = [
            ("statements", count(facts.statements)),
            ("joins", count(facts.joins)),
            ("limit", facts.limited),
        ];
        for (name, count) in counts {
            members.extend(count.and_then(long).map(|count| (name.to_owned(), count)));
        }
    }
    RestrictedExpression::new_record(members).ok()
}

fn approval((by, id): &(EntityUid, &str)) -> Option<RestrictedExpression> {
    let by = RestrictedExpression::new_entity_uid(by.clone());
    RestrictedExpression::new_record([("by".to_owned(), by), ("id".to_owned(), text(id))]).ok()
}

pub(crate) fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

pub(crate) fn set<'a>(values: impl IntoIterator<Item = &'a String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.into_iter().map(|value| text(value)))
}

fn long(value: u64) -> Option<RestrictedExpression> {
    i64::try_from(value).ok().map(RestrictedExpression::new_long)
}

/// In UTC. The epoch was a Thursday.
fn weekday(now: Timestamp) -> &'static str {
    match now.as_secs() / 86_400 % 7 {
        0 => "thursday",
        1 => "friday",
        2 => "saturday",
        3 => "sunday",
        4 => "monday",
        5 => "tuesday",
        _ => "wednesday",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weekday_is_that_of_the_calendar() {
        for (day, name) in [("1970-01-01", "thursday"), ("2026-11-23", "monday"), ("2024-02-29", "thursday")]
        {
            assert_eq!(weekday(Timestamp::parse(day).unwrap()), name);
        }
    }
}
