//! What a child says, read as far as routing needs, and the few bytes of a message that are changed on its way.
//!
//! Ids and progress tokens are replaced where they stand; everything else stays as it is, unknown members too. Nothing
//! here is strict about the rest of an answer: that is between server and client, as over HTTP.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Range;

/// One message from a child. Ranges are those of the line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// An answer to the request that we numbered so.
    Answer(Answer),
    /// A request to the client.
    Request {
        /// Its id as it stands there.
        id: &'a str,
        method: Cow<'a, str>,
    },
    /// News of the request with this token.
    Progress { number: u64, at: Range<usize> },
    /// The child gives up a request: one of ours (`listen`), or one of its own, by the id as it stands there.
    Cancelled { id: &'a str, at: Range<usize> },
    /// Any other notification.
    Notification(Notification<'a>),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) number: u64,
    /// Where the id stands.
    pub(crate) at: Range<usize>,
    /// Where the id stands again in `result._meta`, for the end of a subscription.
    pub(crate) subscription: Option<Range<usize>>,
    /// The code of an error.
    pub(crate) error: Option<i64>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Notification<'a> {
    pub(crate) method: Cow<'a, str>,
    /// The subscription it belongs to and where that stands.
    pub(crate) subscription: Option<(u64, Range<usize>)>,
    /// The resource it is about.
    pub(crate) uri: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Params<'a> {
    #[serde(borrow, default, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "requestId")]
    request_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Result_<'a> {
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/subscriptionId")]
    subscription: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Error {
    code: i64,
}

/// Reads one line; `None` when it is no JSON-RPC message.
pub(crate) fn read(line: &[u8]) -> Option<Said<'_>> {
    let line = std::str::from_utf8(line).ok()?;
    let envelope: Envelope<'_> = serde_json::from_str(line).ok()?;
    match (envelope.method, envelope.id) {
        (Some(method), Some(id)) => Some(Said::Request { id: id.get(), method }),
        (Some(method), None) => notification(line, method, envelope.params),
        (None, Some(id)) => Some(Said::Answer(Answer {
            number: id.get().parse().ok()?,
            at: range(line, id)?,
            subscription: envelope
                .result
                .and_then(|result| serde_json::from_str::<Result_<'_>>(result.get()).ok())
                .and_then(|result| subscription(line, result.meta))
                .map(|(_, at)| at),
            error: envelope
                .error
                .map(|error| serde_json::from_str::<Error>(error.get()).map_or(0, |error| error.code)),
        })),
        (None, None) => None,
    }
}

fn notification<'a>(line: &'a str, method: Cow<'a, str>, params: Option<&'a RawValue>) -> Option<Said<'a>> {
    let params: Params<'a> = match params {
        Some(params) => serde_json::from_str(params.get()).ok()?,
        None => Params::default(),
    };
    match (&*method, params.progress_token, params.request_id) {
        ("notifications/progress", Some(token), _) => {
            Some(Said::Progress { number: token.get().parse().ok()?, at: range(line, token)? })
        }
        ("notifications/cancelled", _, Some(id)) => {
            Some(Said::Cancelled { id: id.get(), at: range(line, id)? })
        }
        ("notifications/progress" | "notifications/cancelled", ..) => None,
        _ => {
            let subscription = subscription(line, params.meta);
            Some(Said::Notification(Notification { method, subscription, uri: params.uri }))
        }
    }
}

fn subscription(line: &str, meta: Option<&RawValue>) -> Option<(u64, Range<usize>)> {
    let id = serde_json::from_str::<Meta<'_>>(meta?.get()).ok()?.subscription?;
    Some((id.get().parse().ok()?, range(line, id)?))
}

fn range(line: &str, part: &RawValue) -> Option<Range<usize>> {
    part_of(line.as_bytes(), part.get().as_bytes())
}

/// Where `part`, which is a slice of `whole`, stands in it.
pub(crate) fn part_of(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

/// The message with these places, which do not overlap, filled anew, on one line. A line break in JSON is space between
/// tokens, so a space says the same.
pub(crate) fn splice(message: &[u8], mut places: Vec<(Range<usize>, &[u8])>) -> Bytes {
    places.sort_by_key(|(at, _)| at.start);
    let added: usize = places.iter().map(|(_, new)| new.len()).sum();
    let mut out = Vec::with_capacity(message.len() + added + 1);
    let mut done = 0;
    for (at, new) in places {
        out.extend_from_slice(message.get(done..at.start).unwrap_or_default());
        out.extend_from_slice(new);
        done = at.end;
    }
    out.extend_from_slice(message.get(done..).unwrap_or_default());
    for byte in &mut out {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    Bytes::from(out)
}

/// The `params` of an `initialize`, and what of it is looked at.
pub(crate) fn handshake(body: &[u8]) -> Option<(&str, String)> {
    #[derive(Deserialize)]
    struct Wanted<'a> {
        #[serde(borrow, rename = "protocolVersion")]
        version: Cow<'a, str>,
    }
    let envelope: Envelope<'_> = serde_json::from_slice(body).ok()?;
    let params = envelope.params?.get();
    let wanted: Wanted<'_> = serde_json::from_str(params).ok()?;
    Some((params, wanted.version.into_owned()))
}

/// The `result` of an answer, or else its `error`, as it stands there.
pub(crate) fn outcome(answer: &[u8]) -> Option<Result<&str, &str>> {
    let envelope: Envelope<'_> = serde_json::from_slice(answer).ok()?;
    match (envelope.result, envelope.error) {
        (Some(result), None) => Some(Ok(result.get())),
        (_, Some(error)) => Some(Err(error.get())),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_says_is_told_apart() {
        let said = |line: &'static str| read(line.as_bytes());
        assert!(matches!(
            said(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#),
            Some(Said::Answer(Answer { number: 7, error: None, .. }))
        ));
        assert!(matches!(
            said(r#"{"id":7,"error":{"code":-32601,"message":"no"}}"#),
            Some(Said::Answer(Answer { number: 7, error: Some(-32601), .. }))
        ));
        assert!(matches!(said(r#"{"id":"x","method":"ping"}"#), Some(Said::Request { id: "\"x\"", .. })));
        assert!(matches!(
            said(r#"{"method":"notifications/progress","params":{"progressToken":3,"progress":1}}"#),
            Some(Said::Progress { number: 3, .. })
        ));
        for garbage in [
            "",
            "Server ready on stdio",
            "[]",
            "7",
            r#"{"id":"7","result":{}}"#,
            r#"{"id":-7,"result":{}}"#,
            r#"{"id":7,"id":8,"result":{}}"#,
            r#"{"method":"notifications/progress","params":{"progressToken":"3"}}"#,
            r#"{"result":{}}"#,
        ] {
            assert_eq!(said(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn only_the_given_places_change_and_a_message_stays_on_one_line() {
        let line =
            br#"{"x":1,"id" : 12 ,"result":{"id":12,"_meta":{"io.modelcontextprotocol/subscriptionId":12}}}"#;
        let Some(Said::Answer(answer)) = read(line) else { panic!("an answer") };
        let places = vec![(answer.subscription.unwrap(), &b"\"a\""[..]), (answer.at, &b"\"a\""[..])];
        assert_eq!(
            &splice(line, places)[..],
            br#"{"x":1,"id" : "a" ,"result":{"id":12,"_meta":{"io.modelcontextprotocol/subscriptionId":"a"}}}"#
        );
        assert_eq!(&splice(b"{\r\n\"a\":\n1}", vec![])[..], b"{  \"a\": 1}");
    }

    #[test]
    fn a_handshake_and_its_outcome_are_read() {
        let body =
            br#"{"method":"initialize","id":1,"params":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
        let (params, version) = handshake(body).unwrap();
        assert_eq!(
            (params, &*version),
            (r#"{"protocolVersion":"2025-06-18","capabilities":{}}"#, "2025-06-18")
        );
        assert_eq!(outcome(br#"{"id":0,"result":{"a":1}}"#), Some(Ok(r#"{"a":1}"#)));
        assert_eq!(outcome(br#"{"id":0,"error":{"code":1}}"#), Some(Err(r#"{"code":1}"#)));
        assert_eq!(outcome(b"{}"), None);
    }
}
