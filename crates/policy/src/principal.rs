//! A caller in the form that decisions need, made once per token.

use crate::context::{set, text};
use crate::names::{TYPES, uid};
use cedar_policy::{Entities, Entity, EntityUid, RestrictedExpression};
use portunus_core::caller::Caller;
use portunus_core::digest::Digest;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A caller in the form that decisions need; cheap to clone, worth keeping for as long as the token is.
#[derive(Debug, Clone)]
pub struct Principal(pub(crate) Arc<Prepared>);

impl Principal {
    /// The caller it was made of.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.0.caller
    }
}

#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) caller: Caller,
    pub(crate) uid: EntityUid,
    /// The user and the server, as of the engine of this version; `None` refuses.
    pub(crate) entities: Option<Entities>,
    pub(crate) version: Digest,
    pub(crate) client: RestrictedExpression,
    pub(crate) actor: RestrictedExpression,
    pub(crate) scopes: RestrictedExpression,
    pub(crate) sign_in_method: RestrictedExpression,
}

impl Prepared {
    pub(crate) fn new(caller: &Caller, server: Option<&Entity>, version: Digest) -> Self {
        Self {
            uid: who(caller).0,
            entities: entities(caller, server),
            version,
            client: text(caller.client.as_str()),
            actor: text(caller.actor.as_str()),
            scopes: set(&caller.scopes),
            sign_in_method: text(&caller.sign_in.method),
            caller: caller.clone(),
        }
    }
}

/// The user with their groups, and the server.
pub(crate) fn entities(caller: &Caller, server: Option<&Entity>) -> Option<Entities> {
    let groups: HashSet<EntityUid> =
        caller.groups.iter().map(|group| uid(&TYPES.group, group.as_str())).collect();
    let (uid, name) = who(caller);
    let attributes = HashMap::from([("name".to_owned(), text(name))]);
    let user = Entity::new(uid, attributes, groups).ok()?;
    Entities::from_entities([user, server?.clone()], None).ok()
}

/// The entity that the caller is, and its name: a workload is never a `User`, whatever it is called.
fn who(caller: &Caller) -> (EntityUid, &str) {
    match caller.user.workload() {
        Some(name) => (uid(&TYPES.workload, name), name),
        None => (uid(&TYPES.user, caller.user.as_str()), caller.user.as_str()),
    }
}
