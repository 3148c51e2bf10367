//! OCSF 1.6 events: 3001 account change, 3002 authentication, 3004 entity management, 6003 API activity.

use crate::identity::Identity;
use portunus_core::record::{Event, Intent, Record, Verdict};
use portunus_core::time::Timestamp;
use serde_json::{Value, json};

const VERSION: &str = "1.6.0";

/// The record at place `seq` of the ledger as an event; `None` for the end of a call, whose beginning is one. `product` is the
/// version of Portunus.
#[must_use]
pub fn ocsf(seq: u64, record: &Record, product: &str) -> Option<Value> {
    let mut told = match record {
        Record::Intent(intent) => api_activity(intent, product),
        Record::Outcome(_) => return None,
        Record::Event(event) => of_event(event, product),
    };
    if let Some(metadata) = told.get_mut("metadata") {
        set(metadata, "log_name", "ledger".into());
        set(metadata, "sequence", seq.into());
    }
    Some(told)
}

/// An identity of the inventory, as it was read at `now`.
#[must_use]
pub fn ocsf_identity(identity: &Identity, product: &str, now: Timestamp) -> Value {
    let mut event = base(3004, (2, "Read"), now, product);
    set(
        &mut event,
        "entity",
        json!({
            "name": identity.id,
            "type": identity.kind.as_str(),
            "uid": identity.id,
            "data": identity,
        }),
    );
    event
}

fn of_event(event: &Event, product: &str) -> Value {
    let (what, step) = event.action.split_once('.').unwrap_or((event.action.as_str(), ""));
    let failed = ["failed", "denied", "refused"].iter().any(|end| step.ends_with(end));
    let mut told = match (what, step) {
        ("user", "signed_in" | "sign_in_failed") => authentication(event, (1, "Logon"), product),
        ("user", "signed_out") => authentication(event, (2, "Logoff"), product),
        ("user" | "passkey", _) => {
            let activity = match step {
                "added" => (1, "Create"),
                "enabled" => (2, "Enable"),
                "password_changed" => (3, "Password Change"),
                "disabled" => (5, "Disable"),
                _ => (99, "Other"),
            };
            let mut told = base(3001, activity, event.at, product);
            set(&mut told, "user", json!({ "name": event.subject }));
            told
        }
        // Whatever else happens, happens to something that somebody administers.
        _ => {
            let activity = match step {
                "added" | "created" | "asked" | "registered" | "issued" | "opened" => (1, "Create"),
                "exported" => (2, "Read"),
                "revoked" | "removed" | "deleted" | "expired" => (4, "Delete"),
                "enrolled" => (6, "Enroll"),
                "enabled" => (8, "Enable"),
                "disabled" => (9, "Disable"),
                _ => (3, "Update"),
            };
            let mut told = base(3004, activity, event.at, product);
            // An entity needs a name, and some things have none: the edge itself.
            let name = if event.subject.is_empty() { what } else { event.subject.as_str() };
            set(&mut told, "entity", json!({ "name": name, "type": what, "uid": name }));
            told
        }
    };
    let (id, word) = if failed { (2, "Failure") } else { (1, "Success") };
    set(&mut told, "status_id", id.into());
    set(&mut told, "status", word.into());
    set(&mut told, "message", event.action.clone().into());
    set(&mut told, "actor", json!({ "user": { "name": event.by } }));
    set(&mut told, "unmapped", json!(event.detail));
    told
}

fn authentication(event: &Event, activity: (u32, &str), product: &str) -> Value {
    let mut told = base(3002, activity, event.at, product);
    set(&mut told, "user", json!({ "name": event.by }));
    set(&mut told, "service", json!({ "name": "Portunus" }));
    told
}

fn api_activity(intent: &Intent, product: &str) -> Value {
    // What a call does at its upstream is the upstream's to say: it is an invocation.
    let mut event = base(6003, (99, "Invoke"), intent.at, product);
    let (id, word) = match intent.verdict {
        Verdict::Permit => (1, "Success"),
        Verdict::Refuse | Verdict::ApprovalNeeded => (2, "Failure"),
    };
    set(&mut event, "status_id", id.into());
    set(&mut event, "status", word.into());
    set(
        &mut event,
        "actor",
        json!({
            "user": { "name": intent.user },
            "app_name": intent.client,
            "session": { "uid": intent.grant },
        }),
    );
    set(
        &mut event,
        "api",
        json!({
            "operation": intent.target.clone().unwrap_or_else(|| intent.method.clone()),
            "service": { "name": intent.server },
            "request": { "uid": intent.decision },
        }),
    );
    let source = intent.circumstances.as_ref().map(|around| around.source.to_string());
    set(&mut event, "src_endpoint", json!({ "ip": source.unwrap_or_else(|| String::from("0.0.0.0")) }));
    set(
        &mut event,
        "unmapped",
        json!({
            "method": intent.method,
            "policies": intent.policies,
            "credential": intent.credential,
            "connection": intent.connection,
            "approval": intent.approval,
            "reason": intent.reason,
        }),
    );
    event
}

/// What every event has.
fn base(class: u32, (activity, name): (u32, &str), at: Timestamp, product: &str) -> Value {
    let category = class / 1000;
    let (category_name, class_name) = match class {
        3001 => ("Identity & Access Management", "Account Change"),
        3002 => ("Identity & Access Management", "Authentication"),
        3004 => ("Identity & Access Management", "Entity Management"),
        _ => ("Application Activity", "API Activity"),
    };
    json!({
        "metadata": { "version": VERSION, "product": { "name": "Portunus", "vendor_name": "Portunus", "version": product } },
        "time": at.as_millis(),
        "category_uid": category,
        "category_name": category_name,
        "class_uid": class,
        "class_name": class_name,
        "activity_id": activity,
        "activity_name": name,
        "type_uid": class * 100 + activity,
        "severity_id": 1,
        "severity": "Informational",
    })
}

fn set(event: &mut Value, name: &str, value: Value) {
    if let Some(members) = event.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}
