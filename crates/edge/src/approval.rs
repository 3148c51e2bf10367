//! Approvals: asked for when a policy wants a human's yes, used once, bound to one exact call.

use crate::Edge;
use crate::asked::Asked;
use crate::caller::Known;
use crate::refusal::Refusal;
use portunus_core::document::{Approval, ApprovalState};
use portunus_core::id::{self, Id, ServerName, UserName};
use portunus_core::limits;
use portunus_core::store::{self, Batch, StoreError};
use portunus_core::time::Timestamp;
use portunus_policy::{ApprovalNeeded, Approved};

/// What there is for a call that needs an approval.
pub enum Standing {
    /// A human said yes to exactly this call; it is used up now.
    Approved(Approved),
    /// It waits for a human.
    Waiting(Id),
    /// It is refused, for this reason.
    Refused(&'static str),
}

/// Uses an approval that was given for exactly this call, or sees to it that one is asked for.
///
/// # Errors
/// When the store fails.
pub async fn find_or_ask(
    edge: &Edge,
    known: &Known,
    server: &ServerName,
    asked: &Asked,
    needed: &ApprovalNeeded,
    now: Timestamp,
) -> Result<Standing, Refusal> {
    let parent = needed.binding.hex();
    let found = store::list_all::<Approval>(&*edge.store, Some(&parent)).await?;
    let live: Vec<_> = found.into_iter().filter(|entry| !entry.value.expires_at.is_past(now)).collect();
    for entry in &live {
        if entry.value.state != ApprovalState::Allowed {
            continue;
        }
        let used = Approval { state: ApprovalState::Used, ..entry.value.clone() };
        match edge.store.commit(Batch::new().update(&used, entry.version)).await {
            Ok(_) => return Ok(Standing::Approved(approved(&used)?)),
            Err(StoreError::Conflict { .. }) => {} // another call was quicker: it is used
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(waiting) = live.iter().find(|entry| entry.value.state == ApprovalState::Pending) {
        return Ok(Standing::Waiting(waiting.value.id.clone()));
    }
    if live.iter().any(|entry| entry.value.state == ApprovalState::Denied) {
        return Ok(Standing::Refused("A person denied this call."));
    }
    if waiting_for(edge, known, now).await? >= limits::APPROVALS_PER_USER {
        return Ok(Standing::Refused("Too many of your calls wait for approval already."));
    }
    let pending = pending(edge, known, server, asked, needed, now);
    edge.store.commit(Batch::new().insert(&pending)).await?;
    Ok(Standing::Waiting(pending.id))
}

/// How many calls of this user wait for approval.
async fn waiting_for(edge: &Edge, known: &Known, now: Timestamp) -> Result<usize, Refusal> {
    let all = store::list_all::<Approval>(&*edge.store, None).await?;
    let waits = |a: &Approval| a.state == ApprovalState::Pending && !a.expires_at.is_past(now);
    Ok(all.iter().filter(|entry| entry.value.user == known.caller.user && waits(&entry.value)).count())
}

fn pending(
    edge: &Edge,
    known: &Known,
    server: &ServerName,
    asked: &Asked,
    needed: &ApprovalNeeded,
    now: Timestamp,
) -> Approval {
    let arguments = asked.arguments().map_or("{}".into(), |raw| String::from_utf8_lossy(raw).into_owned());
    Approval {
        id: id::mint("apr", now, &*edge.rng),
        binding: needed.binding,
        user: known.caller.user.clone(),
        client_id: known.caller.client.clone(),
        server: server.clone(),
        tool: asked.tool().unwrap_or_default().to_owned(),
        arguments,
        reason: needed.refused.reasons.join(" "),
        state: ApprovalState::Pending,
        decided_by: None,
        created_at: now,
        expires_at: now.plus(limits::APPROVAL_TTL),
    }
}

fn approved(used: &Approval) -> Result<Approved, Refusal> {
    let by = used.decided_by.as_deref().and_then(|name| UserName::parse(name).ok());
    let by = by.ok_or(Refusal::Internal("an allowed approval names nobody"))?;
    Ok(Approved { id: used.id.clone(), by, binding: used.binding })
}
