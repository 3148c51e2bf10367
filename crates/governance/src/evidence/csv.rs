//! CSV (RFC 4180). A cell that a spreadsheet would take for a formula gets an apostrophe in front.

use crate::findings::Finding;
use crate::identity::Identity;
use crate::visibility;
use portunus_core::time::Timestamp;

/// One line for each identity.
#[must_use]
pub fn identities(identities: &[Identity], now: Timestamp) -> String {
    let mut text = line(
        &[
            "identity",
            "kind",
            "form",
            "status",
            "owner",
            "purpose",
            "environment",
            "vendor",
            "upstreams",
            "servers",
            "scopes",
            "created",
            "expires",
            "changed",
            "rotation",
            "version",
            "fingerprint",
            "tested",
            "tested_outcome",
            "last_used",
            "last_used_by",
            "last_used_client",
            "last_used_tool",
            "uses",
            "missing",
        ]
        .map(str::to_owned),
    );
    for identity in identities {
        text.push_str(&line(&row(identity, now)));
    }
    text
}

fn row(identity: &Identity, now: Timestamp) -> [String; 25] {
    let at = |moment: Option<Timestamp>| moment.map_or_else(String::new, |moment| moment.to_string());
    let last = identity.last_used.as_ref();
    let version = identity
        .versions
        .iter()
        .rfind(|version| version.state == portunus_core::document::VersionState::Active);
    let servers: Vec<_> = identity.servers.iter().map(|server| server.as_str()).collect();
    [
        identity.id.clone(),
        identity.kind.to_string(),
        identity.form.clone(),
        identity.standing.as_str().to_owned(),
        identity.owner.clone().unwrap_or_default(),
        identity.purpose.clone(),
        identity.environment.clone().unwrap_or_default(),
        identity.vendor.clone().unwrap_or_default(),
        identity.upstreams.join(" "),
        servers.join(" "),
        identity.scopes.join(" "),
        identity.created_at.to_string(),
        at(identity.expires_at),
        identity.changed_at.to_string(),
        identity.rotation.as_ref().map_or_else(String::new, |plan| plan.method.clone()),
        version.map_or_else(String::new, |version| version.number.to_string()),
        version.map_or_else(String::new, |version| version.fingerprint.clone()),
        at(identity.tested.as_ref().map(|tested| tested.at)),
        identity.tested.as_ref().map_or_else(String::new, |tested| tested.outcome.word().to_owned()),
        at(last.map(|used| used.at)),
        last.map_or_else(String::new, |used| used.user.to_string()),
        last.map_or_else(String::new, |used| used.client.to_string()),
        last.map_or_else(String::new, |used| used.tool.clone()),
        identity.uses.to_string(),
        visibility::missing(identity, now).join("; "),
    ]
}

/// One line for each finding.
#[must_use]
pub fn findings(findings: &[Finding]) -> String {
    let mut text = line(&["severity", "rule", "identity", "detail", "remedy"].map(str::to_owned));
    for finding in findings {
        let Finding { identity, rule, severity, detail, remedy } = finding;
        let words = [severity.as_str(), rule.as_str(), identity, detail, remedy];
        text.push_str(&line(&words.map(str::to_owned)));
    }
    text
}

fn line(cells: &[String]) -> String {
    let cells: Vec<_> = cells.iter().map(|text| cell(text)).collect();
    cells.join(",") + "\r\n"
}

fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_never_formulas() {
        for (given, wanted) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("a\nb", "\"a\nb\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("@SUM(1)", "'@SUM(1)"),
            ("-1", "'-1"),
        ] {
            assert_eq!(cell(given), wanted);
        }
    }
}
