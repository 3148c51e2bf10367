//! Signing in with a name and a password, in three steps: look the user up, verify (slow, pure), finish. Whatever is
//! wrong (no such user, disabled, no password, wrong password) takes the same steps and gives the same answer.

use crate::password;
use crate::ports::{Ports, Trouble};
use portunus_core::caller::SignIn;
use portunus_core::document::User;
use portunus_core::id::UserName;
use portunus_core::store::{Store, StoreError, load};

/// The RFC 8176 name of this way to sign in.
const METHOD: &str = "pwd";

/// The user that somebody says they are, if there is one.
pub struct Candidate(Option<User>);

/// A candidate whose password was checked. Only [`Candidate::verify`] makes one.
pub struct Verified {
    user: Option<User>,
    right: bool,
}

/// A user who proved who they are.
#[derive(Debug, Clone)]
pub struct Proven {
    /// Who.
    pub user: User,
    /// How.
    pub sign_in: SignIn,
}

/// Why somebody was not signed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// Name and password do not belong together; there is no way to tell which is wrong.
    #[error("The user name or password is not right.")]
    Wrong,
    /// Something failed on our side.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// Looks the user up.
///
/// # Errors
/// When the store fails.
pub async fn begin(store: &dyn Store, name: &str) -> Result<Candidate, StoreError> {
    let name = UserName::parse(name).ok();
    // A name that nobody can have is looked up like any other, so that it takes the same time.
    let user = load::<User>(store, name.as_ref().map_or("-", UserName::as_str)).await?;
    Ok(Candidate(user.map(|user| user.value)))
}

impl Candidate {
    /// Verifies the password. Takes some tens of milliseconds of processor time and 19 MiB.
    #[must_use]
    pub fn verify(self, password: &str) -> Verified {
        let hash = self.0.as_ref().and_then(|user| user.password_hash.as_deref());
        let right = password::verify(hash, password);
        Verified { user: self.0, right }
    }
}

/// Records how it ended, and says who signed in.
///
/// # Errors
/// [`SignInError::Wrong`], or that it could not be recorded.
pub async fn finish(ports: &Ports<'_>, verified: Verified) -> Result<Proven, SignInError> {
    match verified {
        Verified { user: Some(user), right: true } if user.disabled_at.is_none() => {
            let detail = [("method", METHOD)];
            ports
                .record(user.name.as_str(), "user.signed_in", user.name.as_str(), &detail)
                .await
                .map_err(Trouble::from)?;
            Ok(Proven { user, sign_in: SignIn::new(METHOD, ports.now) })
        }
        Verified { user, .. } => {
            // What was typed as a name of nobody may be a password in the wrong field: it is not recorded.
            let subject = user.as_ref().map_or("unknown", |user| user.name.as_str());
            ports.record("unknown", "user.sign_in_failed", subject, &[]).await.map_err(Trouble::from)?;
            Err(SignInError::Wrong)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PASSWORD, World};

    async fn attempt(world: &World, name: &str, password: &str) -> Result<Proven, SignInError> {
        finish(&world.ports(), begin(&world.store, name).await.unwrap().verify(password)).await
    }

    #[tokio::test]
    async fn whatever_is_wrong_looks_the_same() {
        let world = World::new().await;
        assert_eq!(attempt(&world, "ana", PASSWORD).await.unwrap().user.name.as_str(), "ana");
        for (name, password) in
            [("ana", "wrong"), ("nobody", PASSWORD), ("not a name!", PASSWORD), ("", ""), ("ana", "")]
        {
            assert_eq!(attempt(&world, name, password).await.unwrap_err(), SignInError::Wrong);
        }
        crate::users::disable(&world.ports(), &world.ana.name, "admin").await.unwrap();
        assert_eq!(attempt(&world, "ana", PASSWORD).await.unwrap_err(), SignInError::Wrong);
        assert_eq!(world.ledger.count("user.signed_in"), 1);
        assert_eq!(world.ledger.count("user.sign_in_failed"), 6);
        let subjects: Vec<_> = world.ledger.events().into_iter().map(|event| event.subject).collect();
        assert!(!subjects.iter().any(|subject| subject.contains("not a name")));
    }

    #[tokio::test]
    async fn nobody_is_signed_in_when_it_cannot_be_recorded() {
        let world = World::new().await;
        world.ledger.set_failing(true);
        assert!(matches!(attempt(&world, "ana", PASSWORD).await, Err(SignInError::Trouble(_))));
    }
}
