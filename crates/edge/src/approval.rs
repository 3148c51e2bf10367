//! Approvals: asked for when a policy wants a human's yes, used once, bound to one exact call of one exact tool.

use crate::Edge;
use crate::decide::Case;
use crate::refusal::Refusal;
use crate::trial;
use portunus_core::digest::{Digest, sha256};
use portunus_core::document::{Approval, ApprovalState, SqlSummary, User};
use portunus_core::id::{self, UserName};
use portunus_core::limits;
use portunus_core::record::{Event, Record};
use portunus_core::store::{self, Batch, Kind, Store, StoreError, Versioned};
use portunus_core::time::Timestamp;
use portunus_pins::Kind as Pinned;
use portunus_policy::sql::SqlFacts;
use portunus_policy::{ApprovalNeeded, Approved};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, watch};

const TOO_MANY: &str = "Too many of your calls wait for approval already, or did within the last hour.";

/// What there is for a call that needs an approval.
pub enum Standing {
    /// A human said yes to exactly this call. It is good once: see [`use_up`].
    Allowed(Box<Allowed>),
    /// It waits for a human.
    Waiting(Box<Approval>),
    /// Time went by, and something was said meanwhile: whatever else the decision looked at may be different now.
    Settled,
    /// It is refused, for this reason.
    Refused(String),
}

/// An approval that was given and not used yet.
pub struct Allowed {
    /// As policy sees it.
    pub approved: Approved,
    found: Versioned<Approval>,
}

/// What asking for approvals shares.
pub struct Desk {
    /// Held while one is asked for: a call that is made twice at once asks once.
    asking: Mutex<()>,
    /// Changes with every approval.
    changed: watch::Receiver<()>,
    /// Room for calls that wait here.
    waiters: Semaphore,
    pub(crate) trials: Semaphore,
    patience: Duration,
}

impl Desk {
    /// A desk that follows the store. A call that comes back to ask again waits `patience` for an answer.
    pub fn new(store: &dyn Store, patience: Duration) -> Self {
        let (changes, changed) = watch::channel(());
        store.observe(Box::new(move |changed| {
            if changed.iter().any(|change| change.kind == Kind::Approval) {
                changes.send_replace(());
            }
        }));
        let (waiters, trials) = (Semaphore::new(limits::APPROVAL_WAITERS), Semaphore::new(limits::TRIALS));
        Self { asking: Mutex::new(()), changed, waiters, trials, patience }
    }
}

impl Desk {
    /// How long a call that came back waits for its user.
    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// A place for a call that waits here; `None` when as many wait as may.
    pub(crate) fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.waiters.try_acquire().ok()
    }
}

/// Finds an approval that was given for exactly this call, or sees to it that one is asked for.
///
/// # Errors
/// When the store or the ledger fails.
pub async fn find_or_ask(
    edge: &Edge,
    case: &Case<'_>,
    sql: Option<&SqlFacts>,
    needed: &ApprovalNeeded,
) -> Result<Standing, Refusal> {
    let mut changed = edge.approvals.changed.clone();
    changed.mark_unchanged();
    let bound = &Bound { tied: bind(edge, case, needed), needed };
    match find(edge, bound).await? {
        Some(Standing::Waiting(approval)) if case.asked.waiting.resumed => {
            wait(edge, case, bound, approval, changed).await
        }
        Some(standing) => Ok(standing),
        None => ask(edge, case, sql, bound).await,
    }
}

/// What policies want, tied to the tool's definition.
struct Bound<'a> {
    needed: &'a ApprovalNeeded,
    tied: Digest,
}

/// Ties an approval to what the tool was when it was asked for: the whole pinned definition, which is known from first sight
/// on, whether or not policies have learnt of it yet.
fn bind(edge: &Edge, case: &Case<'_>, needed: &ApprovalNeeded) -> Digest {
    let (lock, server) = (edge.pins.lock(), &case.published.server.name);
    let pinned = case.asked.tool().and_then(|tool| lock.entry(server, Pinned::Tool, tool));
    pinned.map_or(needed.binding, |entry| {
        sha256(&[b"portunus approval of a pinned tool 1", &needed.binding.0, &entry.definition.digest().0])
    })
}

/// Whether an approval is still for the tool as it is pinned now.
#[must_use]
pub fn holds(edge: &Edge, case: &Case<'_>, needed: &ApprovalNeeded, allowed: &Allowed) -> bool {
    allowed.found.value.binding == bind(edge, case, needed)
}

/// What there is already, if anything.
async fn find(edge: &Edge, bound: &Bound<'_>) -> Result<Option<Standing>, Refusal> {
    let (parent, now) = (bound.tied.hex(), edge.clock.now());
    let found = store::list_all::<Approval>(&*edge.store, Some(&parent)).await?;
    let live: Vec<_> = found.into_iter().filter(|entry| !entry.value.expires_at.is_past(now)).collect();
    for entry in live.iter().filter(|entry| entry.value.state == ApprovalState::Allowed) {
        if let Some(allowed) = allowed(edge, entry, bound).await? {
            return Ok(Some(Standing::Allowed(Box::new(allowed))));
        }
    }
    let in_state =
        |state| live.iter().find(move |entry| entry.value.state == state).map(|entry| &entry.value);
    if let Some(waiting) = in_state(ApprovalState::Pending) {
        return Ok(Some(Standing::Waiting(Box::new(waiting.clone()))));
    }
    Ok(in_state(ApprovalState::Denied).map(|denied| Standing::Refused(denial(denied))))
}

/// `None` when somebody who said yes may not say anything any more.
async fn allowed(
    edge: &Edge,
    entry: &Versioned<Approval>,
    bound: &Bound<'_>,
) -> Result<Option<Allowed>, Refusal> {
    if entry.value.binding != bound.tied {
        return Ok(None);
    }
    let by = entry.value.decided_by.as_deref().and_then(|name| UserName::parse(name).ok());
    let by = by.ok_or(Refusal::Internal("an allowed approval names nobody"))?;
    if by == entry.value.user {
        return Err(Refusal::Internal("an approval is of the one who asked"));
    }
    for ruling in &entry.value.rulings {
        let user = store::load::<User>(&*edge.store, &ruling.by).await?;
        if user.is_some_and(|user| user.value.disabled_at.is_some()) {
            return Ok(None);
        }
    }
    let approved = Approved { id: entry.value.id.clone(), by, binding: bound.needed.binding };
    Ok(Some(Allowed { approved, found: entry.clone() }))
}

/// Uses an approval up, by compare-and-swap: of many equal calls at once one does. Only for a call that is admitted otherwise;
/// whoever is told `false` must not go on.
///
/// # Errors
/// When the store fails.
pub async fn use_up(edge: &Edge, allowed: &Allowed) -> Result<bool, Refusal> {
    let used = Approval { state: ApprovalState::Used, ..allowed.found.value.clone() };
    match edge.store.commit(Batch::new().update(&used, allowed.found.version)).await {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn denial(denied: &Approval) -> String {
    let why =
        denied.rulings.iter().rev().find(|ruling| !ruling.allow).and_then(|ruling| ruling.reason.as_deref());
    why.map_or_else(
        || String::from("A person denied this call."),
        |why| format!("A person denied this call: {why}"),
    )
}

/// Waits a bounded time for the approver, so that a client need not ask again and again.
async fn wait(
    edge: &Edge,
    case: &Case<'_>,
    bound: &Bound<'_>,
    approval: Box<Approval>,
    mut changed: watch::Receiver<()>,
) -> Result<Standing, Refusal> {
    let Ok(_place) = edge.approvals.waiters.try_acquire() else { return Ok(Standing::Waiting(approval)) };
    let end = tokio::time::Instant::now() + edge.approvals.patience;
    loop {
        let told = tokio::time::timeout_at(end, changed.changed()).await;
        // Other policies may be in force by now: the client comes back, and they decide.
        let same = std::ptr::eq(&raw const **edge.snapshot.load(), case.snapshot);
        if !matches!(told, Ok(Ok(()))) || !same || case.known.is_revoked() {
            return Ok(Standing::Waiting(approval));
        }
        match find(edge, bound).await? {
            Some(Standing::Waiting(_)) => {}
            // A no is a no, whatever the decision would be by now.
            Some(denied @ Standing::Refused(_)) => return Ok(denied),
            Some(_) => return Ok(Standing::Settled),
            None => return Ok(Standing::Waiting(approval)),
        }
    }
}

async fn ask(
    edge: &Edge,
    case: &Case<'_>,
    sql: Option<&SqlFacts>,
    bound: &Bound<'_>,
) -> Result<Standing, Refusal> {
    let refused = |why: String| Ok(Standing::Refused(why));
    let longest = limits::APPROVAL_ARGUMENTS_BYTES;
    let bytes =
        case.asked.arguments().map_or(0, bytes::Bytes::len) + case.asked.besides().map_or(0, str::len);
    if bytes > longest {
        return refused(format!(
            "This call needs a person's approval, and its arguments are too long for a person to judge (more than {longest} bytes)."
        ));
    }
    if !may_ask(edge, &case.known.caller.user, edge.clock.now()).await? {
        return refused(String::from(TOO_MANY));
    }
    let estimate = trial::estimate(edge, case, sql).await;
    let _turn = edge.approvals.asking.lock().await;
    match find(edge, bound).await? {
        Some(Standing::Allowed(_)) => return Ok(Standing::Settled),
        Some(standing) => return Ok(standing),
        None => {}
    }
    let now = edge.clock.now();
    if !may_ask(edge, &case.known.caller.user, now).await? {
        return refused(String::from(TOO_MANY));
    }
    let pending = Approval { estimate, ..pending(edge, case, sql, bound, now) };
    record(edge, &pending).await?;
    edge.store.commit(Batch::new().insert(&pending)).await?;
    Ok(Standing::Waiting(Box::new(pending)))
}

/// Whether one more of this user's calls may be asked about.
async fn may_ask(edge: &Edge, user: &UserName, now: Timestamp) -> Result<bool, Refusal> {
    let all = store::list_all::<Approval>(&*edge.store, None).await?;
    // Denied ones count too, or a call that is withdrawn again and again would be asked about without end; and so do those
    // that ran out, which are kept a while: people are not to be asked by the hundred, however short each question's life.
    let unused = |a: &&Approval| a.user == *user && a.state != ApprovalState::Used;
    let (mut kept, mut live) = (0, 0);
    for approval in all.iter().map(|entry| &entry.value).filter(unused) {
        kept += 1;
        live += usize::from(!approval.expires_at.is_past(now));
    }
    Ok(live < limits::APPROVALS_PER_USER && kept < limits::APPROVALS_KEPT_PER_USER)
}

fn pending(
    edge: &Edge,
    case: &Case<'_>,
    sql: Option<&SqlFacts>,
    bound: &Bound<'_>,
    now: Timestamp,
) -> Approval {
    let arguments = case.asked.arguments();
    let arguments = arguments.map_or("{}".into(), |raw| String::from_utf8_lossy(raw).into_owned());
    Approval {
        id: id::mint("apr", now, &*edge.rng),
        binding: bound.tied,
        user: case.known.caller.user.clone(),
        client_id: case.known.caller.client.clone(),
        server: case.published.server.name.clone(),
        tool: case.asked.tool().unwrap_or_default().to_owned(),
        arguments,
        besides: case.asked.besides().map(str::to_owned),
        reason: bound.needed.refused.reasons.join(" "),
        approver: bound.needed.approver.clone(),
        sql: sql.map(summary),
        estimate: None,
        state: ApprovalState::Pending,
        rulings: Vec::new(),
        decided_by: None,
        created_at: now,
        expires_at: now.plus(case.snapshot.approval_ttl),
    }
}

/// No record, nothing asked.
async fn record(edge: &Edge, asked: &Approval) -> Result<(), Refusal> {
    let detail = [
        ("client", asked.client_id.to_string()),
        ("server", asked.server.to_string()),
        ("tool", edge.redactor.text(&asked.tool).into_owned()),
        ("approver", asked.approver.clone()),
        ("binding", asked.binding.hex()),
        ("expires_at", asked.expires_at.to_string()),
    ];
    let event = Event {
        at: asked.created_at,
        by: asked.user.to_string(),
        action: String::from("approval.asked"),
        subject: asked.id.to_string(),
        detail: detail.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    };
    crate::record::durable(edge.ledger.append(Record::Event(event))).await
}

/// The facts, as far as a person can read them.
fn summary(facts: &SqlFacts) -> SqlSummary {
    let (most, longest) = limits::APPROVAL_SQL_NAMES;
    let mut left_out = 0;
    let mut short = |names: &BTreeSet<String>| {
        left_out += names.len().saturating_sub(most);
        let cut = |name: &String| match name.char_indices().nth(longest) {
            Some((at, _)) => format!("{}…", name.get(..at).unwrap_or_default()),
            None => name.clone(),
        };
        names.iter().take(most).map(cut).collect()
    };
    let summary = SqlSummary {
        complete: facts.complete,
        kinds: short(&facts.kinds),
        reads: short(&facts.reads),
        writes: short(&facts.writes),
        columns: short(&facts.columns_read.union(&facts.columns_written).cloned().collect()),
        functions: short(&facts.functions),
        left_out: 0,
    };
    SqlSummary { left_out, ..summary }
}
