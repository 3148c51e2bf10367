//! What is looked after again and again: what a process that died, or an authorization server that did not answer, left half
//! done; and connections that nobody may have any more.

use crate::{ConnectError, Connections};
use futures_util::{StreamExt, stream};
use portunus_core::document::{Connection, ConnectionState, PendingConsent, Tested};
use portunus_core::limits;
use portunus_core::store::{Batch, Expect, StoreError, Versioned, list_all, load};
use serde_json::{Value, json};

/// Who does it.
const ITSELF: &str = "portunus";

/// A connection that nothing here uses any more.
#[derive(Debug)]
pub struct Denied {
    id: String,
    identity: String,
    /// Why it is still used, if it is.
    failed: Option<ConnectError>,
}

/// What became of a connection that was to be ended.
#[derive(Debug)]
pub struct Ended {
    /// `connection:SERVER/USER`.
    pub identity: String,
    /// What was seen of its tokens; `None`: there is nothing to end.
    pub seen: Result<Option<Tested>, ConnectError>,
}

impl Ended {
    /// For whoever asked for it.
    #[must_use]
    pub fn shown(&self) -> Value {
        match &self.seen {
            Ok(tested) => json!({ "name": self.identity, "revoked": true, "tested": tested }),
            Err(error) => json!({ "name": self.identity, "revoked": false, "why": error.to_string() }),
        }
    }
}

impl Connections {
    /// One look at everything: connections that are to be none are denied, those that are denied have their tokens ended, and
    /// codes whose redemption was cut off are redeemed once more. `why` says why a connection must go, for people. Returns how
    /// many connections were denied.
    ///
    /// # Errors
    /// When the store fails. What fails for one of them is logged, and tried again at the next look.
    pub async fn sweep(&self, why: impl Fn(&Connection) -> Option<String>) -> Result<usize, StoreError> {
        let going_on = list_all::<Connection>(self.store(), None).await?.into_iter().filter_map(|found| {
            let connection = found.value;
            matches!(connection.state, ConnectionState::Disconnecting { .. }).then(|| Denied {
                id: Connection::id_of(&connection.server, connection.user.as_ref()),
                identity: connection.identity(),
                failed: None,
            })
        });
        let mut all: Vec<_> = going_on.collect();
        let denied = self.deny_all(ITSELF, |one| why(one).filter(|_| !one.state.is_ended())).await?;
        let count = denied.iter().filter(|one| one.failed.is_none()).count();
        all.extend(denied);
        for Ended { identity, seen } in self.settle_all(all).await {
            if let Err(error) = seen {
                tracing::warn!(%error, identity, "a connection could not be ended");
            }
        }
        for consent in list_all::<PendingConsent>(self.store(), None).await? {
            let id = consent.value.state.hex();
            if let Err(error) = self.resume(consent).await {
                tracing::warn!(%error, consent = id, "a consent that was cut off was not brought to its end");
            }
        }
        Ok(count)
    }

    /// Denies every connection that there is a reason for, an empty one too: when this returns, nothing here uses them any
    /// more. One that cannot be denied does not keep the others.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn deny_all(
        &self,
        by: &str,
        why: impl Fn(&Connection) -> Option<String>,
    ) -> Result<Vec<Denied>, StoreError> {
        let mut denied = Vec::new();
        for Versioned { value: connection, .. } in list_all::<Connection>(self.store(), None).await? {
            let Some(why) = why(&connection) else { continue };
            let (id, identity) =
                (Connection::id_of(&connection.server, connection.user.as_ref()), connection.identity());
            match self.deny(&id, by, &why).await {
                Ok(false) => {}
                Ok(true) => denied.push(Denied { id, identity, failed: None }),
                Err(error) => denied.push(Denied { id, identity, failed: Some(error) }),
            }
        }
        Ok(denied)
    }

    /// Ends the tokens of what was denied, and tries them; some at once.
    pub async fn settle_all(&self, denied: Vec<Denied>) -> Vec<Ended> {
        let each = denied.into_iter().map(|Denied { id, identity, failed }| async move {
            let seen = match failed {
                None => self.settle(&id).await,
                Some(error) => Err(error),
            };
            Ended { identity, seen }
        });
        let mut ended: Vec<_> = stream::iter(each).buffer_unordered(limits::ENDINGS_AT_ONCE).collect().await;
        ended.sort_by(|a, b| a.identity.cmp(&b.identity));
        ended
    }

    /// Brings the consent to its end that somebody answered, and whose redemption was cut off. Where the code was redeemed
    /// before, its authorization server ends what it gave for it (RFC 6749 section 4.1.2): nothing lives on unknown.
    async fn resume(&self, consent: Versioned<PendingConsent>) -> Result<(), ConnectError> {
        let Versioned { value: mut pending, version } = consent;
        let now = self.now();
        let Some(answered) = &mut pending.answered else { return Ok(()) };
        if now.since(answered.at) < limits::REFRESH_TURN {
            return Ok(());
        }
        let since = std::mem::replace(&mut answered.at, now);
        let id = Connection::id_of(&pending.server, pending.user.as_ref());
        let known = load::<Connection>(self.store(), &id).await?;
        let newer = known.is_some_and(|known| known.value.connected_at >= since);
        let Some(settings) = self.of(&pending.server).filter(|_| !newer) else {
            // A second use of the code could end what a newer consent gave.
            let why = "it was interrupted, and what came of it is not known";
            return self.refuse(&pending, why).await;
        };
        let claimed = Batch::new().update(&pending, version);
        match self.store().commit(claimed).await {
            Ok(_) => {}
            Err(StoreError::Conflict { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.redeem(settings, pending).await.map(|_connection| ())
    }

    /// Records that a consent came to nothing, and forgets it.
    pub(crate) async fn refuse(&self, pending: &PendingConsent, why: &str) -> Result<(), ConnectError> {
        let identity = Connection::identity_of(&pending.server, pending.user.as_ref());
        self.record(pending.by.as_str(), "connection.refused", &identity, &[("why", why)]).await?;
        let forgotten = Batch::new().delete::<PendingConsent>(&pending.state.hex(), Expect::Any);
        Ok(self.store().commit(forgotten).await.map(|_generation| ())?)
    }
}
