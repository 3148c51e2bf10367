//! Cedar names and ids of Portunus' entities, parsed once.

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use std::str::FromStr;
use std::sync::LazyLock;

/// The entity types of the schema.
#[derive(Debug)]
pub(crate) struct Types {
    pub(crate) user: EntityTypeName,
    pub(crate) workload: EntityTypeName,
    pub(crate) group: EntityTypeName,
    pub(crate) server: EntityTypeName,
    pub(crate) resource: EntityTypeName,
    pub(crate) prompt: EntityTypeName,
    pub(crate) table: EntityTypeName,
    pub(crate) column: EntityTypeName,
    pub(crate) data_class: EntityTypeName,
    pub(crate) action: EntityTypeName,
    /// Values that Cedar cannot hold. Not in the schema, so that no policy can name one: they are equal to nothing that a
    /// policy can write, and anything else done with them is an evaluation error, which refuses.
    pub(crate) opaque: EntityTypeName,
}

/// See [`Types`].
pub(crate) static TYPES: LazyLock<Types> = LazyLock::new(|| Types {
    user: type_name("User"),
    workload: type_name("Workload"),
    group: type_name("Group"),
    server: type_name("Server"),
    resource: type_name("Resource"),
    prompt: type_name("Prompt"),
    table: type_name("Table"),
    column: type_name("Column"),
    data_class: type_name("DataClass"),
    action: type_name("Action"),
    opaque: type_name("Opaque"),
});

#[expect(clippy::expect_used, reason = "called with the constant identifiers above only")]
fn type_name(text: &str) -> EntityTypeName {
    EntityTypeName::from_str(text).expect("an identifier")
}

/// The entity of a type with an id.
pub(crate) fn uid(of: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(of.clone(), EntityId::new(id))
}

/// The entity of something that belongs to a server: `sales/…`.
pub(crate) fn uid_within(of: &EntityTypeName, server: &str, id: &str) -> EntityUid {
    let mut text = String::with_capacity(server.len() + 1 + id.len());
    text.push_str(server);
    text.push('/');
    text.push_str(id);
    EntityUid::from_type_name_and_id(of.clone(), EntityId::new(text))
}

/// The server an entity is, or belongs to; `None` for entities that belong to none.
pub(crate) fn server_of(entity: &EntityUid) -> Option<&str> {
    let (kind, id) = (entity.type_name(), entity.id().unescaped());
    let types = &*TYPES;
    if *kind == types.server {
        Some(id)
    } else if *kind == types.data_class {
        id.split_once('/').map(|(server, _)| server)
    } else if [&types.resource, &types.prompt, &types.table, &types.column].contains(&kind) {
        Some(id.split_once('/').map_or(id, |(server, _)| server))
    } else {
        None
    }
}

/// The name that was probably meant, if one is close enough.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}
