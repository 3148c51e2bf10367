//! A caller in the form that decisions need, made once per token.

use crate::context::{set, text};
use crate::names::{TYPES, uid};
use crate::slice::Slice;
use cedar_policy::{
    Entities, Entity, EntityTypeName, EntityUid, Policy, PolicySet, PrincipalConstraint, RestrictedExpression,
};
use portunus_core::caller::Caller;
use portunus_core::digest::Digest;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

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
    /// What is left of slices for this caller; the slices are kept too, so that none is taken for another.
    own: Mutex<Vec<(Arc<Slice>, Arc<PolicySet>)>>,
    /// [`Self::entities`] with an action and the groups it is in, which Cedar joins anew each time otherwise.
    with_actions: Mutex<HashMap<EntityUid, Arc<Entities>>>,
}

/// Slices, and actions, that are kept for a caller at most.
const KEPT: usize = 64;

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
            own: Mutex::default(),
            with_actions: Mutex::default(),
        }
    }

    /// The caller, the server and an action, as of this caller's version.
    pub(crate) fn entities_with(&self, action: &Entity) -> Option<Arc<Entities>> {
        let mut kept = self.with_actions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entities) = kept.get(&action.uid()) {
            return Some(entities.clone());
        }
        let entities = Arc::new(self.entities.clone()?.add_entities([action.clone()], None).ok()?);
        if kept.len() == KEPT {
            kept.clear();
        }
        kept.insert(action.uid(), entities.clone());
        Some(entities)
    }

    /// The policies of a slice whose `principal` can be this caller. The others would not apply, whatever else they say: Cedar
    /// looks at a policy's scope before its conditions. Sorted out once.
    pub(crate) fn own(&self, slice: &Arc<Slice>) -> Arc<PolicySet> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, policies)) = own.iter().find(|(made_for, _)| Arc::ptr_eq(made_for, slice)) {
            return policies.clone();
        }
        let concern = |policy: &&Policy| self.can_be(&policy.principal_constraint());
        let policies = if slice.policies.policies().all(|policy| concern(&policy)) {
            // Nothing to sort out: no copy.
            slice.policies.clone()
        } else {
            let own = PolicySet::from_policies(slice.policies.policies().filter(concern).cloned());
            // All of them are as right, and only slower.
            own.map_or_else(|_| slice.policies.clone(), Arc::new)
        };
        if own.len() == KEPT {
            own.clear();
        }
        own.push((slice.clone(), policies.clone()));
        policies
    }

    fn can_be(&self, principal: &PrincipalConstraint) -> bool {
        let is_in = |named: &EntityUid| {
            *named == self.uid
                || self.entities.as_ref().is_none_or(|entities| entities.is_ancestor_of(named, &self.uid))
        };
        let is = |named: &EntityTypeName| named == self.uid.type_name();
        match principal {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Eq(named) => *named == self.uid,
            PrincipalConstraint::In(named) => is_in(named),
            PrincipalConstraint::Is(named) => is(named),
            PrincipalConstraint::IsIn(kind, named) => is(kind) && is_in(named),
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
