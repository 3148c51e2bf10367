//! The messages that a client sends, in either era.

use super::fetch::Ask;
use http::Method;
use portunus_mcp::message::{Era, Version};
use serde_json::{Value, json};

/// The request id of every message: there is one at a time.
pub(crate) const ID: u64 = 1;

/// The first message of a client in this era.
pub(crate) fn opening(era: Era, token: Option<&str>) -> Ask {
    match era {
        Era::Modern => request(era, "server/discover", json!({}), token, None),
        Era::Legacy => {
            let version = Version::NEWEST_LEGACY.as_str();
            let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": info() });
            let mut ask = request(era, "initialize", params, token, None);
            // Nothing is agreed on yet.
            ask.headers.retain(|(name, _)| *name != "mcp-protocol-version");
            ask
        }
    }
}

/// Any request.
pub(crate) fn request(
    era: Era,
    method: &str,
    mut params: Value,
    token: Option<&str>,
    session: Option<&str>,
) -> Ask {
    let mut headers = headers(era, token, session);
    if era == Era::Modern {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": Version::V20260728.as_str(),
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": info(),
        });
        headers.push(("mcp-method", method.to_owned()));
    }
    let body = json!({ "jsonrpc": "2.0", "id": ID, "method": method, "params": params }).to_string();
    Ask { method: Method::POST, headers, body: body.into(), id: Some(ID), only_head: false }
}

/// The notification that ends the handshake of the older era.
pub(crate) fn initialized(token: Option<&str>, session: Option<&str>) -> Ask {
    let body = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string();
    Ask {
        method: Method::POST,
        headers: headers(Era::Legacy, token, session),
        body: body.into(),
        ..Ask::default()
    }
}

/// A request without a body in the older era's session: GET for its stream, DELETE for its end.
pub(crate) fn of_session(method: Method, token: Option<&str>, session: Option<&str>) -> Ask {
    Ask { method, headers: headers(Era::Legacy, token, session), ..Ask::default() }
}

fn headers(era: Era, token: Option<&str>, session: Option<&str>) -> Vec<(&'static str, String)> {
    let version = if era == Era::Modern { Version::V20260728 } else { Version::NEWEST_LEGACY };
    let mut headers = vec![
        ("content-type", String::from("application/json")),
        ("accept", String::from("application/json, text/event-stream")),
        ("mcp-protocol-version", version.as_str().to_owned()),
    ];
    headers.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
    headers.extend(session.map(|session| ("mcp-session-id", session.to_owned())));
    headers
}

fn info() -> Value {
    json!({ "name": "portunus-doctor", "version": env!("CARGO_PKG_VERSION") })
}
