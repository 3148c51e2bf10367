//! Lock → text.

use super::{Entry, Lock, VERSION};
use crate::definition;
use portunus_core::id::ServerName;
use std::fmt::Write as _;
use std::sync::Arc;

pub(super) fn write(lock: &Lock) -> String {
    let mut out = format!("{{\n  \"portunus_lock\": {VERSION},\n  \"servers\": {{");
    let mut comma = "";
    for (server, pinned) in &lock.servers {
        let _ = write!(out, "{comma}\n    ");
        write_server(&mut out, server, pinned);
        comma = ",";
    }
    out.push_str(if lock.servers.is_empty() { "}\n}\n" } else { "\n  }\n}\n" });
    out
}

fn write_server(out: &mut String, server: &ServerName, pinned: &super::Pinned) {
    let _ = write!(out, "\"{server}\": {{");
    let mut comma = "";
    for (kind, entries) in pinned {
        let _ = write!(out, "{comma}\n      \"{}\": {{", kind.plural());
        write_entries(out, entries.values());
        out.push_str(if entries.is_empty() { "}" } else { "\n      }" });
        comma = ",";
    }
    out.push_str(if pinned.is_empty() { "}" } else { "\n    }" });
}

fn write_entries<'a>(out: &mut String, entries: impl Iterator<Item = &'a Arc<Entry>>) {
    let mut comma = "";
    for entry in entries {
        let _ = write!(out, "{comma}\n        ");
        write_string(out, entry.definition.name());
        let _ = write!(
            out,
            ": {{\n          \"accepted_at\": \"{}\",\n          \"accepted_by\": ",
            entry.accepted_at
        );
        write_string(out, &entry.accepted_by);
        out.push_str(",\n          \"definition\": ");
        if let Some(value) = entry.definition.value() {
            out.push_str(&definition::pretty(value, 5));
        }
        let _ = write!(out, ",\n          \"digest\": \"{}\"\n        }}", entry.definition.digest());
        comma = ",";
    }
}

fn write_string(out: &mut String, text: &str) {
    definition::write_string(out, text, crate::text::is_hidden);
}
