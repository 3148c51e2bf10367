//! Judges a list of tools as the client will use them. Pure.

use super::profile::Profile;
use super::report::Findings;
use serde_json::Value;
use std::collections::BTreeSet;

/// Characters of a tool's name that model providers take.
const NAME_CHARS: usize = 64;
/// Names of one kind that are listed.
const EXAMPLES: usize = 5;

/// Number, names, schemas, hints.
pub(crate) fn judge(tools: &[Value], profile: &Profile, findings: &mut Findings) {
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap_or_default()).collect();
    findings.ok(format!("{} tools", tools.len()));
    if tools.is_empty() {
        findings.warn(
            "there are no tools",
            "The server has none, or this user's policy shows none.",
            "Check what this user may see.",
        );
    }
    if let Some(most) = profile.tools.filter(|most| tools.len() > *most) {
        findings.warn(
            format!("{} tools are more than {} takes ({most})", tools.len(), profile.title),
            "It leaves some out, or asks people to choose.",
            "Split the server, or show fewer tools by policy.",
        );
    }
    let unusual = named(tools, |tool| !usual(tool["name"].as_str().unwrap_or_default()));
    complain(
        findings,
        &unusual,
        "have names that models cannot use",
        "Names go to the model's provider as they are.",
        "Use letters, digits, _ and - only, 64 at most.",
    );
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    if distinct.len() < names.len() {
        findings.fail(
            "two tools have the same name",
            "A call cannot say which one it means.",
            "Give each tool a name of its own.",
        );
    }
    let shapeless = named(tools, |tool| tool["inputSchema"]["type"] != "object");
    complain(
        findings,
        &shapeless,
        "have no input schema of type object",
        "Clients refuse such a tool, or the whole list.",
        "Give `inputSchema` with `\"type\":\"object\"`.",
    );
    let output =
        named(tools, |tool| tool.get("outputSchema").is_some_and(|schema| schema["type"] != "object"));
    complain(
        findings,
        &output,
        "have an output schema that is not of type object",
        "Clients refuse their answers.",
        "Give `outputSchema` with `\"type\":\"object\"`.",
    );
    let silent = named(tools, |tool| tool["description"].as_str().is_none_or(|text| text.trim().is_empty()));
    complain(
        findings,
        &silent,
        "have no description",
        "A model cannot know when to use them.",
        "Say what each tool does and when to use it.",
    );
    if profile.wants_hints {
        let unhinted = named(tools, |tool| !tool["annotations"]["readOnlyHint"].is_boolean());
        complain(
            findings,
            &unhinted,
            "have no `readOnlyHint`",
            "This client takes them for tools that write, and asks before each call.",
            "Set `annotations.readOnlyHint`: true for tools that change nothing.",
        );
    }
    if profile.knowledge {
        knowledge(tools, profile, findings);
    }
}

/// ChatGPT uses two tools of exactly this shape as a source of knowledge.
fn knowledge(tools: &[Value], profile: &Profile, findings: &mut Findings) {
    for (name, parameter) in [("search", "query"), ("fetch", "id")] {
        let Some(tool) = tools.iter().find(|tool| tool["name"] == name) else { continue };
        if tool["inputSchema"]["properties"][parameter]["type"] == "string" {
            findings.ok(format!("`{name}` can serve as knowledge"));
        } else {
            findings.warn(
                format!("`{name}` does not take a text `{parameter}`"),
                "A tool of this name is expected to have this shape, for knowledge and deep research.",
                format!(
                    "Let `{name}` take one text `{parameter}`, or call it something else for {}.",
                    profile.title
                ),
            );
        }
    }
}

fn usual(name: &str) -> bool {
    (1..=NAME_CHARS).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn named(tools: &[Value], is: impl Fn(&Value) -> bool) -> Vec<String> {
    let name = |tool: &Value| tool["name"].as_str().unwrap_or("(no name)").chars().take(NAME_CHARS).collect();
    tools.iter().filter(|tool| is(tool)).map(name).collect()
}

fn complain(findings: &mut Findings, tools: &[String], what: &str, why: &str, mend: &str) {
    if tools.is_empty() {
        return;
    }
    let some: Vec<&str> = tools.iter().take(EXAMPLES).map(String::as_str).collect();
    let more = if tools.len() > EXAMPLES { ", …" } else { "" };
    findings.warn(format!("{} tools {what}: {}{more}", tools.len(), some.join(", ")), why, mend);
}

#[cfg(test)]
mod tests {
    use super::super::profile::Client;
    use super::*;
    use serde_json::json;

    fn said(tools: &[Value], client: Client) -> String {
        let mut findings = Findings::default();
        judge(tools, client.profile(), &mut findings);
        findings.0.iter().map(|finding| finding.what.clone()).collect::<Vec<_>>().join("\n")
    }

    fn tool(name: &str) -> Value {
        json!({ "name": name, "description": "Does.", "inputSchema": { "type": "object" } })
    }

    #[test]
    fn each_client_complains_of_what_it_cannot_use() {
        let many: Vec<Value> = (0..129).map(|n| tool(&format!("t{n}"))).collect();
        assert!(said(&many, Client::Vscode).contains("129 tools are more than VS Code takes (128)"));
        assert_eq!(said(&many, Client::Cursor), "129 tools");
        assert!(
            said(&many, Client::Chatgpt).contains("129 tools have no `readOnlyHint`: t0, t1, t2, t3, t4, …")
        );
        let odd = [tool("a b"), tool("x"), tool("x"), json!({ "name": "y", "inputSchema": {} })];
        let odd = said(&odd, Client::Modern);
        for word in ["a b", "same name", "no input schema", "no description"] {
            assert!(odd.contains(word), "{word}: {odd}");
        }
        let search = json!({ "name": "search", "description": "x", "annotations": { "readOnlyHint": true },
            "inputSchema": { "type": "object", "properties": { "q": { "type": "string" } } } });
        assert!(said(&[search], Client::Chatgpt).contains("does not take a text `query`"));
    }
}
