//! What a server asks of a client: requests of its own in the legacy era, input requests in the modern one, and pages that an
//! error sends the user to.

use crate::json::{self, Kind, Raw, misspelling};
use std::collections::BTreeSet;

/// One question in a server's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asks {
    /// `sampling/createMessage`
    Sampling,
    /// `roots/list`
    Roots,
    /// `elicitation/create` by a form.
    Form,
    /// A page at this URL, as written.
    Page(String),
    /// A request that Portunus does not know.
    Other(String),
}

/// The message's questions could be read in more than one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what the server asks of the client cannot be read for certain")]
pub struct Doubtful;

/// Bytes of a host name (RFC 1035 section 2.3.4), with a port.
const HOST_BYTES: usize = 261;

/// JSON-RPC error code of a call that needs the user to visit pages first (2025-11-25).
const PAGES_NEEDED: f64 = -32042.0;

/// The questions in one message of a server, at most [`portunus_core::limits::QUESTIONS`]. `ping` and notifications ask
/// nothing.
///
/// # Errors
/// When clients could read them differently, or there are too many.
pub fn questions(message: &[u8]) -> Result<Vec<Asks>, Doubtful> {
    let root = json::skim(message).filter(|root| root.kind() == Kind::Object).ok_or(Doubtful)?;
    let [id, method, params, result, error] = fields(root, ["id", "method", "params", "result", "error"])?;
    let mut asked = Vec::new();
    if let Some(method) = method
        && id.is_some()
    {
        asked.extend(question(method, params)?);
    }
    // Of a result, of a task in it, or of what is told about a task.
    for part in [result, params].into_iter().flatten().filter(|part| part.kind() == Kind::Object) {
        let [requests, task] = fields(part, ["inputRequests", "task"])?;
        input_requests(requests, &mut asked)?;
        if let Some(task) = task.filter(|task| task.kind() == Kind::Object) {
            let [requests] = fields(task, ["inputRequests"])?;
            input_requests(requests, &mut asked)?;
        }
    }
    if let Some(error) = error.filter(|error| error.kind() == Kind::Object) {
        let [code, data] = fields(error, ["code", "data"])?;
        if code.and_then(Raw::number) == Some(PAGES_NEEDED) {
            let [pages] = fields(data.ok_or(Doubtful)?, ["elicitations"])?;
            for page in pages.ok_or(Doubtful)?.elements() {
                let [url] = fields(page, ["url"])?;
                asked.push(Asks::Page(url.and_then(|url| url.string()).ok_or(Doubtful)?.into_owned()));
                bound(&asked)?;
            }
        }
    }
    Ok(asked)
}

fn input_requests(requests: Option<Raw<'_>>, asked: &mut Vec<Asks>) -> Result<(), Doubtful> {
    for (_, request) in requests.into_iter().flat_map(Raw::members) {
        let [method, params] = fields(request, ["method", "params"])?;
        asked.extend(question(method.ok_or(Doubtful)?, params)?);
        bound(asked)?;
    }
    Ok(())
}

fn bound(asked: &[Asks]) -> Result<(), Doubtful> {
    if asked.len() > portunus_core::limits::QUESTIONS { Err(Doubtful) } else { Ok(()) }
}

fn question(method: Raw<'_>, params: Option<Raw<'_>>) -> Result<Option<Asks>, Doubtful> {
    let method = method.string().ok_or(Doubtful)?;
    Ok(Some(match &*method {
        "ping" => return Ok(None),
        "sampling/createMessage" => Asks::Sampling,
        "roots/list" => Asks::Roots,
        "elicitation/create" => {
            let Some(params) = params else { return Ok(Some(Asks::Form)) };
            let [mode, url] = fields(params, ["mode", "url"])?;
            match (mode.map(|mode| mode.string().ok_or(Doubtful)).transpose()?.as_deref(), url) {
                (Some("form") | None, None) => Asks::Form,
                (Some("url"), Some(url)) => Asks::Page(url.string().ok_or(Doubtful)?.into_owned()),
                _ => return Err(Doubtful),
            }
        }
        other => Asks::Other(other.to_owned()),
    }))
}

/// Members of an object, none of them there twice or in another spelling.
fn fields<'a, const N: usize>(
    object: Raw<'a>,
    names: [&'static str; N],
) -> Result<[Option<Raw<'a>>; N], Doubtful> {
    let members: Vec<_> = object.members().collect();
    if misspelling(members.iter().map(|(name, _)| name), &names).is_some() {
        return Err(Doubtful);
    }
    let mut found = [None; N];
    let mut seen = BTreeSet::new();
    for (name, value) in &members {
        let Some(at) = names.iter().position(|known| known == name) else { continue };
        if !seen.insert(at) {
            return Err(Doubtful);
        }
        if let Some(slot) = found.get_mut(at) {
            *slot = Some(*value);
        }
    }
    Ok(found)
}

/// The host of a page, lower-case, with the port where it is not the scheme's own; `None` when it is no `https` URL, or not
/// plainly one.
#[must_use]
pub fn host(page: &str) -> Option<String> {
    let rest = page.strip_prefix("https://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if authority.is_empty()
        || authority.len() > HOST_BYTES
        || !authority.chars().all(plain)
        || page.contains(['\\', '\n', '\r', '\t', ' '])
    {
        return None;
    }
    let host = authority.to_ascii_lowercase();
    Some(host.strip_suffix(":443").map_or(host.clone(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_question_is_seen_in_both_eras() {
        for (message, asked) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#,
                vec![Asks::Sampling],
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#, vec![Asks::Roots]),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"?"}}"#,
                vec![Asks::Form],
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"mode":"url","url":"https://a.test/x"}}"#,
                vec![Asks::Page("https://a.test/x".to_owned())],
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, vec![]),
            (r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#, vec![]),
            (r#"{"jsonrpc":"2.0","id":1,"method":"shell/run"}"#, vec![Asks::Other("shell/run".to_owned())]),
            (
                r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"a":{"method":"roots/list"},"b":{"method":"elicitation/create","params":{"mode":"url","url":"https://b.test"}}}}}"#,
                vec![Asks::Roots, Asks::Page("https://b.test".to_owned())],
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"","data":{"elicitations":[{"mode":"url","url":"https://c.test/"}]}}}"#,
                vec![Asks::Page("https://c.test/".to_owned())],
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/tasks","params":{"task":{"inputRequests":{"a":{"method":"roots/list"}}}}}"#,
                vec![Asks::Roots],
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/tasks/input_required","params":{"inputRequests":{"a":{"method":"roots/list"}}}}"#,
                vec![Asks::Roots],
            ),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}"#, vec![]),
            (r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"method":"roots/list"}]}}"#, vec![]),
        ] {
            assert_eq!(questions(message.as_bytes()), Ok(asked), "{message}");
        }
    }

    #[test]
    fn what_clients_could_read_differently_is_doubtful() {
        for message in [
            r#"{"id":1,"method":"ping","method":"sampling/createMessage"}"#,
            r#"{"id":1,"method":"ping","Method":"sampling/createMessage"}"#,
            r#"{"id":1,"result":{"inputRequests":{"a":{"method":"ping","method":"roots/list"}}}}"#,
            r#"{"id":1,"result":{"inputRequests":{},"InputRequests":{"a":{"method":"roots/list"}}}}"#,
            r#"{"id":1,"result":{"inputRequests":{"a":{}}}}"#,
            r#"{"id":1,"method":"elicitation/create","params":{"mode":"form","url":"https://a.test"}}"#,
            r#"{"id":1,"method":"elicitation/create","params":{"mode":"URL","url":"https://a.test"}}"#,
            r#"{"id":1,"method":"elicitation/create","params":{"mode":"url"}}"#,
            r#"{"id":1,"error":{"code":-32042,"message":""}}"#,
            "[]",
        ] {
            assert_eq!(questions(message.as_bytes()), Err(Doubtful), "{message}");
        }
        let many: Vec<String> = (0..1000).map(|n| format!(r#""{n}":{{"method":"roots/list"}}"#)).collect();
        let many = format!(r#"{{"id":1,"result":{{"inputRequests":{{{}}}}}}}"#, many.join(","));
        assert_eq!(questions(many.as_bytes()), Err(Doubtful));
    }

    #[test]
    fn a_host_is_only_what_every_reader_takes_for_it() {
        for (page, expected) in [
            ("https://pay.example.com/x?y", Some("pay.example.com")),
            ("https://PAY.example.com:443", Some("pay.example.com")),
            ("https://pay.example.com:8443/", Some("pay.example.com:8443")),
            ("http://pay.example.com/", None),
            ("https://user@pay.example.com/", None),
            ("https://good.test\\@evil.test/", None),
            ("https://good.test%2f@evil.test", None),
            ("https:///evil.test", None),
            ("https://pay.example.com\n.evil.test", None),
            ("https://pаy.example.com/", None),
            ("javascript:alert(1)", None),
            ("", None),
        ] {
            assert_eq!(host(page).as_deref(), expected, "{page}");
        }
    }
}
