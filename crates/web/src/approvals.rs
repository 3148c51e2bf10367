//! Calls that wait for a human yes: who may decide, and deciding. What an approval is good for is fixed when it is asked
//! for; here people allow or deny it, each of them once, nobody their own.
//!
//! | module | holds |
//! |---|---|
//! | `expiry` | what nobody decided about in time |
//! | `page` | `/approvals` and `/approvals/{id}`, for whoever may decide and for whoever asked |
//! | [`webhook`] | telling another system of what is asked, and hearing its decision |

mod expiry;
mod page;
pub mod webhook;

pub use expiry::expire;
pub(crate) use page::{decide_on_page, list, show};

use portunus_core::document::{Approval, ApprovalState, Ruling, Through, User};
use portunus_core::id::Id;
use portunus_core::record::LedgerError;
use portunus_core::store::{Batch, Store, StoreError, list_all, load};
use portunus_core::time::Timestamp;
use portunus_oauth::config::Issuer;
use portunus_oauth::ports::{Ports, Trouble};
use portunus_policy::{Approver, Person};

/// Whoever holds the administrator's socket.
pub(crate) const LOCAL: Person<'static> =
    Person { name: crate::admin::ADMIN, groups: &[], administrator: true };

/// Why an approval could not be decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// There is none of this id, or none that this person may see.
    #[error("there is no such approval; see `portunus approve list`")]
    Unknown,
    /// Somebody decided before, or it was used.
    #[error("this was decided already")]
    Decided,
    /// One's own call.
    #[error("somebody else must allow your own call")]
    Own,
    /// The same person twice.
    #[error("you have said yes already; somebody else must too")]
    Twice,
    /// Not one of those who are missing.
    #[error("your yes is not the one that is missing: {0}")]
    NotMissing(String),
    /// Its time is over.
    #[error("this has expired; the call must be made again")]
    Expired,
    /// Something failed on our side.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<StoreError> for ApprovalError {
    fn from(error: StoreError) -> Self {
        match error {
            // Whoever changed it in this moment has decided.
            StoreError::Conflict { .. } => Self::Decided,
            error => Trouble::from(error).into(),
        }
    }
}
impl From<LedgerError> for ApprovalError {
    fn from(error: LedgerError) -> Self {
        Trouble::from(error).into()
    }
}

/// What somebody says of a waiting call.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Yes or no.
    pub allow: bool,
    /// Why; a no's reason is told to the client.
    pub reason: Option<&'a str>,
    /// Through what.
    pub through: Through,
}

/// A user as approvals see them.
pub(crate) fn person(user: &User) -> Person<'_> {
    Person { name: user.name.as_str(), groups: &user.groups, administrator: user.administrator }
}

/// What waits for a decision, oldest first.
///
/// # Errors
/// When the store fails.
pub async fn pending(store: &dyn Store, now: Timestamp) -> Result<Vec<Approval>, StoreError> {
    let all = list_all::<Approval>(store, None).await?.into_iter().map(|approval| approval.value);
    let waits = |a: &Approval| a.state == ApprovalState::Pending && !a.expires_at.is_past(now);
    let mut pending: Vec<Approval> = all.filter(waits).collect();
    pending.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    Ok(pending)
}

/// Whether an approval waits for this person.
pub(crate) fn awaits(approval: &Approval, issuer: &Issuer, person: &Person<'_>) -> bool {
    let said = approval.rulings.iter().any(|ruling| same(&ruling.by, person.name));
    may_decide(approval, issuer, person) && !asked_by(approval, person) && !said
}

/// Whether this person may see it: who may decide, and who asked.
pub(crate) fn may_see(approval: &Approval, issuer: &Issuer, person: &Person<'_>) -> bool {
    asked_by(approval, person) || may_decide(approval, issuer, person)
}

/// Whether it is this person's own call.
pub(crate) fn asked_by(approval: &Approval, person: &Person<'_>) -> bool {
    same(approval.user.as_str(), person.name)
}

fn may_decide(approval: &Approval, issuer: &Issuer, person: &Person<'_>) -> bool {
    // Words that cannot be read any more name nobody.
    let named = Approver::parse(&approval.approver);
    named.map_or(person.administrator, |named| named.admits(person, owner(approval, issuer)))
}

/// Two spellings that differ in case alone are one person's.
fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Who answers for the server now. An approval that was asked for under another owner is good for nothing anyway.
fn owner<'i>(approval: &Approval, issuer: &'i Issuer) -> &'i str {
    issuer.server(&approval.server).map_or("", |server| server.owner.as_str())
}

/// Who is still missing, in the words of policy.
///
/// # Errors
/// When the store fails.
pub(crate) async fn missing(
    store: &dyn Store,
    issuer: &Issuer,
    approval: &Approval,
) -> Result<Vec<String>, StoreError> {
    missing_with(store, issuer, approval, None).await
}

async fn missing_with(
    store: &dyn Store,
    issuer: &Issuer,
    approval: &Approval,
    more: Option<&Person<'_>>,
) -> Result<Vec<String>, StoreError> {
    let Ok(named) = Approver::parse(&approval.approver) else { return Ok(vec![approval.approver.clone()]) };
    let mut users = Vec::new();
    let mut people: Vec<Person<'_>> = more.into_iter().copied().collect();
    for ruling in approval.rulings.iter().filter(|ruling| ruling.allow) {
        if ruling.through == Through::Socket {
            people.push(LOCAL);
        } else if let Some(user) = load::<User>(store, &ruling.by).await? {
            users.push(user.value);
        }
    }
    // As they are now: who was disabled or left the group since has no say any more.
    people.extend(users.iter().filter(|user| user.disabled_at.is_none()).map(person));
    Ok(named.missing(&people, owner(approval, issuer)))
}

/// Allows or denies a waiting call in this person's name. That they say so is recorded before it counts; what came of it once
/// it is stored, so that one whom another was quicker than, or whose time ran out, is not recorded as having decided.
///
/// # Errors
/// See [`ApprovalError`].
pub async fn decide(
    ports: &Ports<'_>,
    issuer: &Issuer,
    id: &Id,
    by: &Person<'_>,
    said: &Said<'_>,
) -> Result<Approval, ApprovalError> {
    let found = load::<Approval>(ports.store, id.as_str()).await?.ok_or(ApprovalError::Unknown)?;
    let approval = found.value;
    let own = asked_by(&approval, by);
    if !may_see(&approval, issuer, by) {
        return Err(ApprovalError::Unknown);
    }
    match approval.state {
        ApprovalState::Pending if approval.expires_at.is_past(ports.now) => {
            return Err(ApprovalError::Expired);
        }
        ApprovalState::Pending => {}
        ApprovalState::Expired => return Err(ApprovalError::Expired),
        ApprovalState::Allowed | ApprovalState::Denied | ApprovalState::Used => {
            return Err(ApprovalError::Decided);
        }
    }
    if own && said.allow {
        return Err(ApprovalError::Own);
    }
    let named = Approver::parse(&approval.approver);
    let stands_in = !own && named.is_ok_and(|named| !named.names(by, owner(&approval, issuer)));
    // Behind the socket is one of the administrators, perhaps the very one who has said yes.
    let through_socket = said.through == Through::Socket;
    let same_person = |ruling: &Ruling| {
        let other_through_socket = ruling.through == Through::Socket;
        other_through_socket && stands_in || through_socket && ruling.as_administrator
    };
    if said.allow && approval.rulings.iter().any(|ruling| ruling.allow && same_person(ruling)) {
        return Err(ApprovalError::Twice);
    }
    let state =
        if said.allow { allowed(ports.store, issuer, &approval, by).await? } else { ApprovalState::Denied };
    let ruling = Ruling {
        by: by.name.to_owned(),
        allow: said.allow,
        through: said.through,
        as_administrator: stands_in,
        reason: said.reason.map(str::to_owned),
        at: ports.now,
    };
    record(ports, &approval, &ruling, if said.allow { "approval.allowing" } else { "approval.denying" })
        .await?;
    let settled = state != ApprovalState::Pending;
    let decided_by = settled.then(|| by.name.to_owned());
    let mut decided = Approval { state, decided_by, ..approval };
    decided.rulings.push(ruling);
    ports.store.commit(Batch::new().update(&decided, found.version)).await?;
    let action = match state {
        ApprovalState::Allowed => "approval.allowed",
        // One yes of several.
        ApprovalState::Pending => "approval.agreed",
        ApprovalState::Denied | ApprovalState::Used | ApprovalState::Expired => "approval.denied",
    };
    if let Some(ruling) = decided.rulings.last() {
        record(ports, &decided, ruling, action).await?;
    }
    Ok(decided)
}

/// Where it stands after this person's yes.
async fn allowed(
    store: &dyn Store,
    issuer: &Issuer,
    approval: &Approval,
    by: &Person<'_>,
) -> Result<ApprovalState, ApprovalError> {
    if approval.rulings.iter().any(|ruling| same(&ruling.by, by.name)) {
        return Err(ApprovalError::Twice);
    }
    let before = missing(store, issuer, approval).await?;
    let after = missing_with(store, issuer, approval, Some(by)).await?;
    match after.len() {
        0 => Ok(ApprovalState::Allowed),
        left if left < before.len() => Ok(ApprovalState::Pending),
        _ => Err(ApprovalError::NotMissing(before.join(", "))),
    }
}

async fn record(
    ports: &Ports<'_>,
    approval: &Approval,
    ruling: &Ruling,
    action: &str,
) -> Result<(), LedgerError> {
    let binding = approval.binding.hex();
    let mut detail = vec![
        ("user", approval.user.as_str()),
        ("client", approval.client_id.as_str()),
        ("server", approval.server.as_str()),
        ("tool", approval.tool.as_str()),
        ("approver", approval.approver.as_str()),
        ("through", ruling.through.word()),
        ("binding", &binding),
    ];
    if ruling.as_administrator {
        detail.push(("as", "administrator"));
    }
    detail.extend(ruling.reason.as_deref().map(|reason| ("reason", reason)));
    ports.record(&ruling.by, action, approval.id.as_str(), &detail).await
}
