//! What users agreed to: listing it, and revoking it. A grant is the parent of codes and tokens; once it is revoked,
//! nothing under it is admitted, whatever its own expiry says.

use crate::ports::{ATTEMPTS, Ports, Trouble};
use portunus_core::document::{AccessToken, Grant};
use portunus_core::id::{ClientId, Id, ServerName, UserName};
use portunus_core::record::LedgerError;
use portunus_core::store::{
    Batch, Document, Expect, Query, Store, StoreError, Versioned, list, list_all, load,
};
use std::collections::HashSet;

/// Which grants to revoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of this user's.
    User(UserName),
    /// All that were given to this client.
    Client(ClientId),
    /// All for this server.
    Server(ServerName),
    /// Every grant there is.
    All,
}

/// A user's grants, newest first; revoked ones among them.
///
/// # Errors
/// When the store fails.
pub async fn of_user(store: &dyn Store, user: &UserName) -> Result<Vec<Grant>, StoreError> {
    Ok(newest_first(list_all(store, Some(user.as_str())).await?))
}

/// Everyone's grants, newest first; revoked ones among them.
///
/// # Errors
/// When the store fails.
pub async fn all(store: &dyn Store) -> Result<Vec<Grant>, StoreError> {
    Ok(newest_first(list_all(store, None).await?))
}

/// The latest grants of everyone, newest first; revoked ones among them. Grant ids sort by time.
///
/// # Errors
/// When the store fails.
pub async fn latest(store: &dyn Store, count: usize) -> Result<Vec<Grant>, StoreError> {
    let query = Query { backwards: true, limit: count.max(1), ..Query::default() };
    Ok(list(store, query).await?.into_iter().map(|grant| grant.value).collect())
}

/// Revokes one grant, at once: when this returns, nothing under it is admitted on this node. `false` when there is no
/// such grant or it was revoked before.
///
/// # Errors
/// When the store fails (then nothing was revoked), or when it was revoked but could not be recorded.
pub async fn revoke(ports: &Ports<'_>, id: &Id, by: &str, why: &str) -> Result<bool, Trouble> {
    for _ in 0..ATTEMPTS {
        let Some(Versioned { value: mut grant, version }) = load::<Grant>(ports.store, id.as_str()).await?
        else {
            return Ok(false);
        };
        if grant.revoked_at.is_some() {
            return Ok(false);
        }
        grant.revoked_at = Some(ports.now);
        grant.revoked_why = Some(why.to_owned());
        match ports.store.commit(Batch::new().update(&grant, version)).await {
            Ok(_generation) => {
                record(ports, by, "grant.revoked", &grant, &[("why", why)]).await?;
                return Ok(true);
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Trouble::Busy)
}

/// Revokes all grants of a selection, and what went to its client or server by exchange under other grants; returns how many
/// there were of both.
///
/// # Errors
/// When the store or the ledger fails; those before the failure stay revoked.
pub async fn revoke_all(
    ports: &Ports<'_>,
    selection: &Selection,
    by: &str,
    why: &str,
) -> Result<usize, Trouble> {
    let parent = if let Selection::User(user) = selection { Some(user.as_str()) } else { None };
    let mut revoked = 0;
    let mut covered = HashSet::new();
    let mut after: Option<String> = None;
    loop {
        let query = Query { parent, after: after.as_deref(), ..Query::default() };
        let page = ports.store.list(Grant::KIND, query).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for entry in page.iter().filter(|entry| selection.may_cover(&entry.value)) {
            let Some(grant) = load::<Grant>(ports.store, &entry.id).await? else { continue };
            if selection.covers(&grant.value) {
                revoked += usize::from(revoke(ports, &grant.value.id, by, why).await?);
                covered.insert(grant.value.id);
            }
        }
    }
    match selection {
        Selection::Client(_) | Selection::Server(_) => {
            Ok(revoked + end_exchanged(ports, selection, &covered, by, why).await?)
        }
        // An exchange changes neither user nor grant.
        Selection::User(_) | Selection::All => Ok(revoked),
    }
}

/// Ends the tokens of a selection that came by exchange: they are under grants that it does not cover.
async fn end_exchanged(
    ports: &Ports<'_>,
    selection: &Selection,
    covered: &HashSet<Id>,
    by: &str,
    why: &str,
) -> Result<usize, Trouble> {
    let mut ended = 0;
    let mut after: Option<String> = None;
    loop {
        let query = Query { after: after.as_deref(), ..Query::default() };
        let page = ports.store.list(AccessToken::KIND, query).await?;
        let Some(last) = page.last() else { return Ok(ended) };
        after = Some(last.id.clone());
        for entry in page.iter().filter(|entry| selection.may_cover(&entry.value)) {
            let Some(token) = load::<AccessToken>(ports.store, &entry.id).await? else { continue };
            let token = token.value;
            if covered.contains(&token.grant) || !selection.covers_token(&token) {
                continue;
            }
            ports.store.commit(Batch::new().delete::<AccessToken>(&entry.id, Expect::Any)).await?;
            ended += 1;
            if let Some(grant) = load::<Grant>(ports.store, token.grant.as_str()).await? {
                let holder = token.holding.via.first().unwrap_or(&grant.value.client_id);
                let detail = [("holder", holder.as_str()), ("for", token.server.as_str()), ("why", why)];
                record(ports, by, "token.revoked", &grant.value, &detail).await?;
            }
        }
    }
}

impl Selection {
    /// Whether a stored grant or token could be covered, told from its bytes: reading all of a hundred thousand would take longer
    /// than finding the few. Names hold no character that JSON would write in another way.
    fn may_cover(&self, stored: &[u8]) -> bool {
        let name = match self {
            Self::Client(client) => client.as_str(),
            Self::Server(server) => server.as_str(),
            Self::User(_) | Self::All => return true,
        };
        std::str::from_utf8(stored).is_ok_and(|text| text.contains(name))
    }

    /// Whether a token is for it, or went through its hands.
    fn covers_token(&self, token: &AccessToken) -> bool {
        match self {
            Self::Client(client) => token.holding.via.contains(client),
            Self::Server(server) => token.server == *server,
            Self::User(_) | Self::All => false,
        }
    }

    fn covers(&self, grant: &Grant) -> bool {
        match self {
            Self::User(user) => grant.user == *user,
            Self::Client(client) => grant.client_id == *client,
            Self::Server(server) => grant.server == *server,
            Self::All => true,
        }
    }
}

/// The grants of user × client × server that are not revoked.
pub(crate) async fn live(
    store: &dyn Store,
    user: &UserName,
    client: &ClientId,
    server: &ServerName,
) -> Result<Vec<Versioned<Grant>>, StoreError> {
    let mut grants = list_all::<Grant>(store, Some(user.as_str())).await?;
    grants.retain(|grant| {
        let grant = &grant.value;
        grant.revoked_at.is_none() && grant.client_id == *client && grant.server == *server
    });
    Ok(grants)
}

/// Records an event about a grant.
pub(crate) async fn record(
    ports: &Ports<'_>,
    by: &str,
    action: &str,
    grant: &Grant,
    more: &[(&str, &str)],
) -> Result<(), LedgerError> {
    let mut detail = vec![
        ("user", grant.user.as_str()),
        ("client", grant.client_id.as_str()),
        ("client_name", grant.client_name.as_str()),
        ("server", grant.server.as_str()),
    ];
    detail.extend_from_slice(more);
    ports.record(by, action, grant.id.as_str(), &detail).await
}

fn newest_first(grants: Vec<Versioned<Grant>>) -> Vec<Grant> {
    let mut grants: Vec<Grant> = grants.into_iter().map(|grant| grant.value).collect();
    grants.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    grants
}
