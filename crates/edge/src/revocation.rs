//! What ends a call that is under way from outside: its grant was revoked, or the credential that it carries may not be
//! used any more.

use crate::caller::Known;
use crate::decide::Case;
use crate::key::Key;
use crate::refusal::Refusal;
use portunus_vault::ending::Ended;
use tokio::sync::watch;

/// The signals that end one call.
#[derive(Debug, Clone)]
pub struct Revocation {
    caller: watch::Receiver<bool>,
    credential: Option<Ended>,
}

/// Which of them it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The caller's grant.
    Grant,
    /// The server's credential.
    Credential,
}

impl Cause {
    /// In words for the client.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Grant => "The grant was revoked",
            Self::Credential => {
                "The server's credential was revoked during the call; it may or may not have taken effect"
            }
        }
    }
}

impl Revocation {
    /// Of a call with this key.
    #[must_use]
    pub fn of(known: &Known, key: Option<&Key>) -> Self {
        let credential = key.and_then(Key::credential).map(|bound| bound.ended());
        Self { caller: known.revocation(), credential }
    }

    /// Whether it has happened.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        let raised = |signal: &watch::Receiver<bool>| *signal.borrow();
        match &self.credential {
            _ if raised(&self.caller) => Some(Cause::Grant),
            Some(credential) if raised(credential) => Some(Cause::Credential),
            _ => None,
        }
    }

    /// Resolves when it happens.
    pub async fn wait(mut self) -> Cause {
        let credential = async {
            match &mut self.credential {
                Some(credential) => raised(credential).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = raised(&mut self.caller) => Cause::Grant,
            () = credential => Cause::Credential,
        }
    }
}

impl From<watch::Receiver<bool>> for Revocation {
    /// Of a caller whose call carries no credential.
    fn from(caller: watch::Receiver<bool>) -> Self {
        Self { caller, credential: None }
    }
}

/// An error means that nobody is left who could say so, which is no revocation: it is waited for on.
async fn raised(signal: &mut watch::Receiver<bool>) {
    if signal.wait_for(|raised| *raised).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A call up to the head of its answer, given up when its credential may not be used any more. Its grant is looked at
/// where something is waited for.
///
/// # Errors
/// Those of the call, and [`Refusal::CredentialRevoked`].
pub async fn unless_ended<T>(
    case: &Case<'_>,
    key: Option<&Key>,
    call: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let Some(ended) = key.and_then(Key::credential).map(|bound| bound.ended()) else { return call.await };
    let (mut signal, revoked) = (ended.clone(), || Err(Refusal::CredentialRevoked { id: case.asked.id() }));
    tokio::select! {
        // What broke because of it is not what happened, and may be heard of first.
        biased;
        () = raised(&mut signal) => revoked(),
        done = call => if done.is_err() && *ended.borrow() { revoked() } else { done },
    }
}
