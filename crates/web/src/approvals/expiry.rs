//! Calls that nobody decided about in time: each is recorded once, and whoever was told of it is told of its end.

use crate::state::State;
use portunus_core::document::{Approval, ApprovalState};
use portunus_core::limits;
use portunus_core::store::{Batch, Query, StoreError, Versioned, list};
use portunus_oauth::ports::Trouble;

/// In whose name it is recorded.
const PORTUNUS: &str = "portunus";
/// Approvals read at once.
const PAGE: usize = 500;

/// Ends approvals that ran out unanswered, at most [`limits::APPROVALS_ENDED`] of them; returns how many. The rest is left for the
/// next time.
///
/// # Errors
/// When the store or the ledger fails; what was not recorded is tried again the next time.
pub async fn expire(state: &State) -> Result<usize, Trouble> {
    let (mut ended, mut after) = (0, None);
    loop {
        let query = Query { after: after.as_deref(), limit: PAGE, ..Query::default() };
        let page = list::<Approval>(state.store(), query).await?;
        for found in page.iter().filter(|found| is_over(&found.value, state)) {
            if ended == limits::APPROVALS_ENDED {
                return Ok(ended);
            }
            end(state, found).await?;
            ended += 1;
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.value.id.to_string()),
            _ => return Ok(ended),
        }
    }
}

/// A decision that was under way when the time ran out has been stored, or never will be.
fn is_over(approval: &Approval, state: &State) -> bool {
    let settled = approval.expires_at.plus(limits::APPROVAL_SETTLES);
    approval.state == ApprovalState::Pending && settled.is_past(state.now())
}

async fn end(state: &State, found: &Versioned<Approval>) -> Result<(), Trouble> {
    let approval = &found.value;
    let agreed = approval.rulings.iter().filter(|ruling| ruling.allow).count().to_string();
    let detail = [
        ("user", approval.user.as_str()),
        ("client", approval.client_id.as_str()),
        ("server", approval.server.as_str()),
        ("tool", approval.tool.as_str()),
        ("approver", approval.approver.as_str()),
        ("agreed", &agreed),
    ];
    state.ports().record(PORTUNUS, "approval.expired", approval.id.as_str(), &detail).await?;
    let expired = Approval { state: ApprovalState::Expired, ..approval.clone() };
    match state.store().commit(Batch::new().update(&expired, found.version)).await {
        // Another edge ended it.
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
