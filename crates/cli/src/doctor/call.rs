//! The first call with a token, in the client's era: `server/discover` or `initialize`, then `tools/list`.

use super::door::rpc_error;
use super::fetch::{Answer, FetchError};
use super::message;
use super::report::Findings;
use super::walk::Patient;
use http::{Method, StatusCode};
use portunus_core::limits;
use portunus_mcp::message::{Era, Version};
use serde_json::{Value, json};

/// A client that is connected.
pub(crate) struct Connected {
    pub era: Era,
    session: Option<String>,
    /// Whether the server says that it has tools.
    pub tools: bool,
}

/// Opens in the first era that both speak.
pub(crate) async fn connect(
    walk: &Patient<'_>,
    token: Option<&str>,
    findings: &mut Findings,
) -> Option<Connected> {
    for era in walk.profile.eras {
        let answer = walk.fetcher.send(&walk.url, message::opening(*era, token)).await;
        let answer = answered(walk, answer, findings)?;
        if answer.status == StatusCode::UNAUTHORIZED {
            findings.fail(
                "the token is answered 401",
                "The client would refresh, and then ask to sign in again, without end.",
                format!(
                    "Check audience (`resource` {}), issuer and expiry as the server sees them.",
                    walk.typed
                ),
            );
            return None;
        }
        let json = answer.json().unwrap_or_default();
        let last = walk.profile.eras.last() == Some(era);
        match era {
            Era::Modern if discovered(&json) => {
                findings.ok(format!("server/discover in {}: {}", Version::V20260728.as_str(), named(&json)));
                let tools = json["result"]["capabilities"]["tools"].is_object();
                return Some(Connected { era: *era, session: None, tools });
            }
            Era::Legacy if json["result"]["protocolVersion"].is_string() => {
                return initialized(walk, token, &answer, &json, findings).await;
            }
            _ if !last => {
                let said = rpc_error(&json).unwrap_or_else(|| answer.excerpt());
                findings.ok(format!(
                    "not of the newer era ({} {said}): the client falls back",
                    answer.status.as_u16()
                ));
            }
            _ => {
                let said = rpc_error(&json).unwrap_or_else(|| answer.excerpt());
                findings.fail(
                    format!("the first call is answered {}: {said}", answer.status),
                    "There is no era that both speak.",
                    format!(
                        "Speak MCP {} or {}.",
                        Version::NEWEST_LEGACY.as_str(),
                        Version::V20260728.as_str()
                    ),
                );
            }
        }
    }
    None
}

fn discovered(json: &Value) -> bool {
    let versions = super::metadata::texts(&json["result"]["supportedVersions"]);
    versions.iter().any(|version| version == Version::V20260728.as_str())
}

fn named(json: &Value) -> String {
    let info = &json["result"]["serverInfo"];
    let info =
        if info.is_object() { info } else { &json["result"]["_meta"]["io.modelcontextprotocol/serverInfo"] };
    let text = |name: &str| info[name].as_str().unwrap_or_default().to_owned();
    let named = format!("{} {}", text("name"), text("version"));
    if named.trim().is_empty() { String::from("a server without a name") } else { named.trim().to_owned() }
}

async fn initialized(
    walk: &Patient<'_>,
    token: Option<&str>,
    answer: &Answer,
    json: &Value,
    findings: &mut Findings,
) -> Option<Connected> {
    let version = json["result"]["protocolVersion"].as_str().unwrap_or_default();
    let known = Version::parse(version).is_some_and(|version| version.era() == Era::Legacy);
    if !known {
        findings.fail(
            format!("the server wants to speak {version}"),
            "The client does not know this version and hangs up.",
            format!(
                "Answer with the version that was asked for, {}, or an older one.",
                Version::NEWEST_LEGACY.as_str()
            ),
        );
        return None;
    }
    findings.ok(format!("initialize in {version}: {}", named(json)));
    let session =
        answer.headers.get("mcp-session-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let done = walk.fetcher.send(&walk.url, message::initialized(token, session.as_deref())).await;
    let done = answered(walk, done, findings)?;
    if done.status != StatusCode::ACCEPTED {
        findings.warn(
            format!("`notifications/initialized` is answered {}", done.status),
            "A notification has no answer: clients wait for 202.",
            "Answer 202 without a body.",
        );
    }
    let tools = json["result"]["capabilities"]["tools"].is_object();
    let connected = Connected { era: Era::Legacy, session, tools };
    stream(walk, token, &connected, findings).await;
    Some(connected)
}

/// A client of the older era asks for the server's own stream: an event stream, or 405.
async fn stream(walk: &Patient<'_>, token: Option<&str>, connected: &Connected, findings: &mut Findings) {
    let mut ask = message::of_session(Method::GET, token, connected.session.as_deref());
    ask.headers.retain(|(name, _)| *name != "content-type");
    match walk.fetcher.head(&walk.url, ask).await {
        Ok(answer) if answer.status.is_success() || answer.status == StatusCode::METHOD_NOT_ALLOWED => {
            findings.ok(format!("its stream (GET): {}", answer.status));
        }
        Ok(answer) => findings.warn(
            format!("GET is answered {}", answer.status),
            "Some clients take anything but an event stream or 405 for a broken server.",
            "Answer 405 where there is no stream.",
        ),
        Err(error) => {
            findings.warn(format!("GET: {error}"), "Clients ask for the server's stream.", error.mend())
        }
    }
}

/// All tools, page by page.
pub(crate) async fn tools(
    walk: &Patient<'_>,
    token: Option<&str>,
    connected: &Connected,
    findings: &mut Findings,
) -> Option<Vec<Value>> {
    let (most, pages) = limits::DOCTOR_TOOLS;
    let mut all: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..pages {
        let params = cursor.map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
        let ask = message::request(connected.era, "tools/list", params, token, connected.session.as_deref());
        let answer = walk.fetcher.send(&walk.url, ask).await;
        let answer = answered(walk, answer, findings)?;
        let json = answer.json().unwrap_or_default();
        let Some(page) = json["result"]["tools"].as_array() else {
            let said = rpc_error(&json).unwrap_or_else(|| answer.excerpt());
            findings.fail(
                format!("tools/list is answered {}: {said}", answer.status),
                "The client shows no tools.",
                "Answer with `tools`, be it an empty list.",
            );
            return None;
        };
        all.extend(page.iter().cloned());
        cursor = json["result"]["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Some(all);
        }
        if all.len() > most {
            break;
        }
    }
    findings.fail(
        format!("the list of tools does not end: {} so far", all.len()),
        "No client reads on without end.",
        "Leave out `nextCursor` on the last page.",
    );
    None
}

/// Ends the older era's session, as a client does that is closed.
pub(crate) async fn close(walk: &Patient<'_>, token: Option<&str>, connected: &Connected) {
    if connected.era == Era::Legacy && connected.session.is_some() {
        let ask = message::of_session(Method::DELETE, token, connected.session.as_deref());
        let _ = walk.fetcher.head(&walk.url, ask).await;
    }
}

fn answered(
    walk: &Patient<'_>,
    answer: Result<Answer, FetchError>,
    findings: &mut Findings,
) -> Option<Answer> {
    match answer {
        Ok(answer) => {
            walk.timely(&answer, findings);
            Some(answer)
        }
        Err(error) => {
            findings.fail(error.to_string(), "The client has no answer.", error.mend());
            None
        }
    }
}
