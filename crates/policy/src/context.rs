//! The Cedar context of one request. Only what the policies at hand look at is built.

use crate::looks::Looks;
use crate::model::Context;
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
/// no attribute, which is an error and refuses. `complete` and `read_only` can be asked first.
fn sql(facts: &SqlFacts) -> Option<RestrictedExpression> {
    let mut members = vec![
        ("complete".to_owned(), RestrictedExpression::new_bool(facts.complete)),
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
