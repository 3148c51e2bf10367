//! What decides beside the conditions that the solver sees: who must approve (`@approvable`), what stands in the place of a
//! hidden value (`@mask`), what is asked for before an approval (`@step_up`). The solver takes any approval for a good one, so
//! that "permits nothing more" says too little where an approval became easier to get.

use crate::world::World;
use cedar_policy::{Effect, RequestEnv};
use portunus_core::treatment::Treatment;
use portunus_policy::export::Exported;
use std::collections::BTreeMap;

/// Policies that may apply, by id.
type Policies<'w> = BTreeMap<&'w str, &'w Exported>;

/// Why `new` could still let more through than `than` where its conditions do not; `None` when it cannot. By policies with
/// the same id: a rewritten or renamed one counts as another wherever the annotations are not all alike.
pub(crate) fn weaker(new: &World, than: &World, env: &RequestEnv) -> Option<String> {
    let (these, others) = (applying(new, new, env), applying(than, new, env));
    let approvals = || if new.is_tool(env) { approvals(&these, &others) } else { None };
    let shown =
        || if env.action().id().unescaped() == "disclose" { treatments(&these, &others) } else { None };
    step_ups(&these, &others).or_else(approvals).or_else(shown)
}

fn applying<'w>(of: &'w World, actions: &World, env: &RequestEnv) -> Policies<'w> {
    let apply = of.policies.iter().filter(|(_, one)| actions.may_apply(&one.policy, env));
    apply.map(|(id, one)| (id.as_str(), one)).collect()
}

fn step_ups(new: &Policies<'_>, old: &Policies<'_>) -> Option<String> {
    let other = |(id, one): (&&str, &&Exported)| new.get(id).is_some_and(|same| same.step_up != one.step_up);
    let found = old.iter().find(|(id, one)| other((id, one)))?;
    Some(format!("the @step_up of {} is not the same", found.0))
}

/// A call is approved only when all policies that forbid it name one and the same approver. If every old policy that this
/// depends on is still there, nobody can approve now who could not before.
fn approvals(new: &Policies<'_>, old: &Policies<'_>) -> Option<String> {
    let asks: Vec<&Exported> = new.values().filter(|one| one.approver.is_some()).copied().collect();
    let first = asks.first()?;
    let depends: Vec<&Exported> = old.values().filter(|one| depends_on_approval(one)).copied().collect();
    let alike = |one: &&Exported| one.approver == first.approver && one.step_up.is_none();
    if asks.iter().chain(&depends).all(alike) {
        return None;
    }
    for one in &depends {
        let id = &one.id;
        let was = one.approver.as_deref().unwrap_or("nobody");
        let Some(same) = new.get(id.as_str()) else {
            return Some(format!("{id}, which approvals depend on (by {was}), is not there any more"));
        };
        if let Some(by) = same.approver.as_deref().filter(|by| *by != was) {
            return Some(format!("{id} can be approved by {by}, and by {was} in what it is compared with"));
        }
        if !reads_alike(same, one) {
            return Some(format!("{id}, which approvals depend on (by {was}), does not say the same"));
        }
    }
    if !depends.iter().any(|one| one.policy.effect() == Effect::Permit) {
        return None;
    }
    let more = asks.iter().find(|one| !old.get(one.id.as_str()).is_some_and(|was| reads_alike(was, one)))?;
    Some(format!("{} lets calls be approved that nobody could approve", more.id))
}

fn depends_on_approval(one: &Exported) -> bool {
    one.approver.is_some() || one.reads.as_ref().is_none_or(|reads| reads.contains("approval"))
}

/// What is shown of a hidden value: by the strictest of the policies that hide it, nothing when one says nothing.
fn treatments(new: &Policies<'_>, old: &Policies<'_>) -> Option<String> {
    if new.values().chain(old.values()).all(|one| one.treatment.is_none()) {
        return None;
    }
    let forbids = |all: &Policies<'_>, id: &str| {
        all.get(id).copied().filter(|one| one.policy.effect() == Effect::Forbid).cloned()
    };
    for (id, one) in old.iter().filter(|(_, one)| one.policy.effect() == Effect::Forbid) {
        let Some(same) = forbids(new, id) else {
            return Some(format!(
                "{id}, which hides values, is not there any more, and others show something of them"
            ));
        };
        if !as_strict(same.treatment, one.treatment) {
            let words = |of: Option<Treatment>| of.map_or("no @mask", Treatment::as_str);
            let (is, was) = (words(same.treatment), words(one.treatment));
            return Some(format!("{id} has {is}, and {was} in what it is compared with"));
        }
        if !reads_alike(&same, one) {
            return Some(format!("{id}, which hides values, does not say the same"));
        }
    }
    let drops = old.values().any(|one| one.treatment > Some(Treatment::Mask));
    let more = |one: &&Exported| {
        one.policy.effect() == Effect::Forbid
            && !old.contains_key(one.id.as_str())
            && (one.treatment.is_some() || drops)
    };
    let more = new.values().copied().find(more)?;
    Some(format!("{} may show something of values that were hidden altogether", more.id))
}

/// Without a treatment a column is hidden, and a data class masked.
fn as_strict(new: Option<Treatment>, old: Option<Treatment>) -> bool {
    match (new, old) {
        (Some(new), Some(old)) => new >= old,
        (None, Some(old)) => old <= Treatment::Mask,
        (None, None) => true,
        (Some(_), None) => false,
    }
}

/// Whether two policies are the same but for their annotations.
fn reads_alike(one: &Exported, other: &Exported) -> bool {
    let plain = |one: &Exported| {
        let mut json = one.policy.to_json().ok()?;
        json.as_object_mut()?.remove("annotations");
        Some(json)
    };
    plain(one).is_some_and(|json| plain(other) == Some(json))
}
