//! Built-in accounts: adding, disabling, changing passwords. Each is recorded.

use crate::ports::{ATTEMPTS, Ports, Trouble};
use crate::session;
use portunus_core::document::{Spelling, User};
use portunus_core::id::{GroupName, UserName};
use portunus_core::record::LedgerError;
use portunus_core::store::{Batch, Kind, Query, Store, StoreError, list_all, load};

/// An account to add.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// What they sign in with.
    pub name: UserName,
    /// What people see.
    pub display_name: String,
    /// Groups.
    pub groups: Vec<GroupName>,
    /// May use the administrative parts.
    pub administrator: bool,
}

/// Why an account could not be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The name is taken.
    #[error("there is a user `{0}` already; see `portunus user list`")]
    Exists(UserName),
    /// Nobody has this name.
    #[error("there is no user `{0}`; see `portunus user list`")]
    Unknown(UserName),
    /// The name of a workload.
    #[error("`{0}` names a workload; an account cannot have such a name")]
    Workload(UserName),
    /// Something failed on our side.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

impl From<StoreError> for UserError {
    fn from(error: StoreError) -> Self {
        Trouble::from(error).into()
    }
}
impl From<LedgerError> for UserError {
    fn from(error: LedgerError) -> Self {
        Trouble::from(error).into()
    }
}

/// Adds an account whose password (see [`crate::password::one_time`]) must be changed at the first sign-in.
///
/// # Errors
/// When the name is taken, or something fails.
pub async fn add(
    ports: &Ports<'_>,
    new: NewUser,
    password_hash: String,
    by: &str,
) -> Result<User, UserError> {
    if new.name.workload().is_some() {
        return Err(UserError::Workload(new.name));
    }
    if let Some(taken) = alike(ports.store, &new.name).await? {
        return Err(UserError::Exists(taken));
    }
    let user = User {
        name: new.name,
        display_name: new.display_name,
        groups: new.groups,
        password_hash: Some(password_hash),
        one_time_password: true,
        administrator: new.administrator,
        disabled_at: None,
        issuer: None,
        created_at: ports.now,
    };
    let groups = user.groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join(" ");
    let administrator = if user.administrator { "yes" } else { "no" };
    let detail = [("groups", groups.as_str()), ("administrator", administrator)];
    ports.record(by, "user.added", user.name.as_str(), &detail).await?;
    match ports.store.commit(with_spelling(&user)).await {
        Ok(_generation) => Ok(user),
        Err(StoreError::Conflict { .. }) => Err(UserError::Exists(user.name)),
        Err(error) => Err(error.into()),
    }
}

/// The user whose name is this one, or differs from it in case alone: policies would tell the two apart, people would not.
/// Looks at every name, for stores that were written before there were [`Spelling`]s.
///
/// # Errors
/// When the store fails, or holds a name that is none.
pub(crate) async fn alike(store: &dyn Store, name: &UserName) -> Result<Option<UserName>, StoreError> {
    let mut after: Option<String> = None;
    loop {
        let query = Query { after: after.as_deref(), ..Query::default() };
        let page = store.list(Kind::User, query).await?;
        if let Some(found) = page.iter().find(|entry| entry.id.eq_ignore_ascii_case(name.as_str())) {
            let unreadable = |_| StoreError::Unreadable {
                kind: Kind::User.as_str(),
                why: String::from("its id is no user name"),
            };
            return UserName::try_from(found.id.clone()).map(Some).map_err(unreadable);
        }
        match page.last() {
            Some(last) => after = Some(last.id.clone()),
            None => return Ok(None),
        }
    }
}

/// Stores a new user, unless there is one whose name is spelt alike.
pub(crate) fn with_spelling(user: &User) -> Batch {
    Batch::new().insert(user).insert(&Spelling { user: user.name.clone() })
}

/// Every account, by name.
///
/// # Errors
/// When the store fails.
pub async fn list(store: &dyn Store) -> Result<Vec<User>, StoreError> {
    Ok(list_all::<User>(store, None).await?.into_iter().map(|user| user.value).collect())
}

/// Disables an account, at once: its sessions end and none of its tokens is admitted any more. `false` when it was
/// disabled before.
///
/// # Errors
/// When there is no such account, or something fails.
pub async fn disable(ports: &Ports<'_>, name: &UserName, by: &str) -> Result<bool, UserError> {
    let changed = change(ports, name, |user| {
        let first = user.disabled_at.is_none();
        user.disabled_at = user.disabled_at.or(Some(ports.now));
        first
    })
    .await?;
    session::end_all(ports.store, name).await?;
    if changed {
        ports.record(by, "user.disabled", name.as_str(), &[]).await?;
    }
    Ok(changed)
}

/// Sets the password that the user chose (its hash), and ends all of the user's sessions.
///
/// # Errors
/// When there is no such account, or something fails.
pub async fn set_password(ports: &Ports<'_>, name: &UserName, hash: String) -> Result<(), UserError> {
    ports.record(name.as_str(), "user.password_changed", name.as_str(), &[]).await?;
    change(ports, name, |user| {
        user.password_hash = Some(hash.clone());
        user.one_time_password = false;
        true
    })
    .await?;
    Ok(session::end_all(ports.store, name).await?)
}

/// Changes an account from what is stored, again if somebody else changed it in between; `apply` says whether it did.
pub(crate) async fn change(
    ports: &Ports<'_>,
    name: &UserName,
    apply: impl Fn(&mut User) -> bool,
) -> Result<bool, UserError> {
    for _ in 0..ATTEMPTS {
        let found = load::<User>(ports.store, name.as_str()).await?;
        let mut user = found.ok_or_else(|| UserError::Unknown(name.clone()))?;
        if !apply(&mut user.value) {
            return Ok(false);
        }
        match ports.store.commit(Batch::new().update(&user.value, user.version)).await {
            Ok(_generation) => return Ok(true),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Trouble::Busy.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[tokio::test]
    async fn accounts_are_added_once_and_every_change_is_recorded() {
        let world = World::new().await;
        let new = |name: &str| NewUser {
            name: UserName::parse(name).unwrap(),
            display_name: name.to_owned(),
            groups: vec![],
            administrator: false,
        };
        let added = add(&world.ports(), new("bob"), "hash".to_owned(), "admin").await.unwrap();
        assert!(added.one_time_password && !added.administrator);
        let again = add(&world.ports(), new("bob"), "hash".to_owned(), "admin").await;
        assert!(matches!(again, Err(UserError::Exists(_))));
        for name in ["Bob", "BOB", "Ana"] {
            let alike = add(&world.ports(), new(name), "hash".to_owned(), "admin").await;
            assert!(matches!(alike, Err(UserError::Exists(_))), "{name}");
        }
        assert_eq!(list(&world.store).await.unwrap().len(), 2);

        set_password(&world.ports(), &added.name, "other".to_owned()).await.unwrap();
        let bob = list(&world.store).await.unwrap().into_iter().find(|u| u.name == added.name).unwrap();
        assert_eq!((bob.one_time_password, bob.password_hash.as_deref()), (false, Some("other")));

        assert!(disable(&world.ports(), &added.name, "admin").await.unwrap());
        assert!(!disable(&world.ports(), &added.name, "admin").await.unwrap());
        let nobody = disable(&world.ports(), &UserName::parse("nobody").unwrap(), "admin").await;
        assert!(matches!(nobody, Err(UserError::Unknown(_))));
        for action in ["user.added", "user.password_changed", "user.disabled"] {
            assert_eq!(world.ledger.count(action), 1, "{action}");
        }
    }
}
