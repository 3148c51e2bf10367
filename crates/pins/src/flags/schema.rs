//! Parameters that collect what a tool has no use for, and claims that a name belies.

use super::{Found, Severity, Subject};
use crate::text;
use portunus_mcp::json::Raw;

/// Parameters through which published attacks carry data out.
const SMUGGLERS: [&str; 4] = ["sidenote", "sidechannel", "exfil", "extracontextforserver"];
/// Parameters that take the conversation or the model's own state.
const COLLECTORS: [&str; 19] = [
    "systemprompt",
    "systeminstructions",
    "conversationhistory",
    "chathistory",
    "messagehistory",
    "conversation",
    "fullconversation",
    "toolcallhistory",
    "toolslist",
    "availabletools",
    "chainofthought",
    "thoughtprocess",
    "previousmessages",
    "allmessages",
    "usermessages",
    "fullcontext",
    "sessionhistory",
    "modelname",
    "contextwindow",
];
/// Parameters that often do, and often do not.
const VAGUE: [&str; 5] = ["context", "reasoning", "notes", "metadata", "feedback"];
/// Words of tools that deal in conversations and models themselves.
const OF_MODELS: [&str; 14] = [
    "conversation",
    "chat",
    "llm",
    "model",
    "prompt",
    "completion",
    "assistant",
    "agent",
    "message",
    "transcript",
    "slack",
    "thread",
    "thinking",
    "generate",
];
/// First words of names, by what they promise.
const HARMS: [&str; 15] = [
    "delete",
    "remove",
    "drop",
    "destroy",
    "truncate",
    "wipe",
    "purge",
    "write",
    "overwrite",
    "kill",
    "uninstall",
    "transfer",
    "pay",
    "deploy",
    "send",
];
const CHANGES: [&str; 16] = [
    "create", "update", "insert", "edit", "modify", "patch", "upload", "move", "rename", "set", "execute",
    "exec", "run", "grant", "revoke", "publish",
];
const READS: [&str; 12] =
    ["get", "list", "read", "find", "search", "show", "describe", "query", "fetch", "count", "check", "view"];

/// What a tool says that it deals in.
pub(super) struct About {
    models: bool,
}

pub(super) fn about(tool: Raw<'_>) -> About {
    let text = |key| tool.get(key).and_then(Raw::string).unwrap_or_default().to_lowercase();
    let texts = [text("name"), text("title"), text("description")];
    About { models: OF_MODELS.iter().any(|word| texts.iter().any(|text| text.contains(word))) }
}

/// Whether a place is that of a parameter's schema, at any level.
pub(super) fn is_parameter(place: &str) -> bool {
    let parent = place.rsplit_once('/').map_or("", |(parent, _)| parent);
    place.starts_with("/inputSchema/") && parent.ends_with("/properties")
}

pub(super) fn check_parameter(subject: &Subject<'_>, found: &mut Found, place: &str, name: &str) {
    let folded: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let folded = folded.as_str();
    let collects = COLLECTORS.contains(&folded);
    let severity = if SMUGGLERS.contains(&folded) || (collects && !subject.about.models) {
        Severity::Serious
    } else if collects || VAGUE.contains(&folded) {
        Severity::Notable
    } else {
        return;
    };
    let what = "a parameter that takes more than the tool needs";
    found.push("collecting-parameter", severity, place, what, text::shown(name, 80));
}

pub(super) fn check_annotations(subject: &Subject<'_>, found: &mut Found, tool: Raw<'_>) {
    let Some(annotations) = tool.get("annotations") else { return };
    let claims = |key, value| annotations.get(key).and_then(Raw::bool) == Some(value);
    let words = words(subject.name);
    let known = |word: &&String| [&HARMS[..], &CHANGES, &READS].concat().contains(&word.as_str());
    let Some(verb) = words.iter().find(known) else { return };
    let severity = match (HARMS.contains(&verb.as_str()), CHANGES.contains(&verb.as_str())) {
        (true, _) => Severity::Serious,
        (false, true) => Severity::Notable,
        (false, false) => return,
    };
    if claims("readOnlyHint", true) {
        let what = "it claims to change nothing, and its name says otherwise";
        found.push("false-claim", severity, "/annotations/readOnlyHint", what, text::shown(subject.name, 80));
    } else if severity == Severity::Serious
        && claims("destructiveHint", false)
        && verb != "send"
        && verb != "write"
    {
        let what = "it claims to destroy nothing, and its name says otherwise";
        found.push(
            "false-claim",
            Severity::Notable,
            "/annotations/destructiveHint",
            what,
            text::shown(subject.name, 80),
        );
    }
}

/// The words of a name: `deleteFile`, `fs.delete-file` and `delete_file` are two or three.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && small) {
            words.push(String::new());
        }
        small = c.is_lowercase() || c.is_ascii_digit();
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
