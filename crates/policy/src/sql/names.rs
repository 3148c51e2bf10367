//! Names of tables, columns and functions in syntax trees.

use sqlparser::ast::{Ident, ObjectName};

/// The parts of a name that are not computed.
pub(super) fn idents(name: &ObjectName) -> impl Iterator<Item = &Ident> {
    name.0.iter().filter_map(|part| part.as_ident())
}

/// The last part of a name.
pub(super) fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(|part| part.as_ident())
}

/// Whether it is written with its schema.
pub(super) fn is_qualified(name: &ObjectName) -> bool {
    name.0.len() > 1
}

/// Whether no part of it is computed.
pub(super) fn is_plain(name: &ObjectName) -> bool {
    name.0.iter().all(|part| part.as_ident().is_some())
}

/// Appends the last part, lower-case.
pub(super) fn write_last(buffer: &mut String, name: &ObjectName) {
    if let Some(ident) = last(name) {
        write_lower(buffer, &ident.value);
    }
}

/// Appends the name as written, without quotes, lower-case.
pub(super) fn write_full(buffer: &mut String, name: &ObjectName) {
    for (index, ident) in idents(name).enumerate() {
        if index > 0 {
            buffer.push('.');
        }
        write_lower(buffer, &ident.value);
    }
}

/// Appends in lower case.
pub(super) fn write_lower(buffer: &mut String, text: &str) {
    let start = buffer.len();
    buffer.push_str(text);
    if let Some(new) = buffer.get_mut(start..) {
        new.make_ascii_lowercase();
    }
}
