//! What must hold for any bytes. A fuzzer calls [`any_bytes`]; a broken promise panics.

use crate::header;
use crate::json::{self, Bounds};
use crate::list;
use crate::message::{self, Era, List};
use crate::sse::{Event, Splitter, SseError};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

/// Runs everything that reads foreign bytes over `data`.
///
/// # Panics
/// When a promise is broken.
pub fn any_bytes(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let accepted = json::scan(&body, &Bounds::default());
    if let Ok(scan) = &accepted {
        let tree = serde_json::from_slice::<serde_json::Value>(&body);
        assert!(tree.is_ok(), "accepted, but serde_json refuses it: {tree:?}");
        let again = json::scan(scan.root().text().as_bytes(), &Bounds::default());
        assert!(again.is_ok(), "a part of an accepted text is refused: {again:?}");
    }
    for headers in [post(None), post(Some("2025-06-18")), post(Some("2026-07-28"))] {
        match message::read(&headers, &body, &Bounds::default()) {
            Ok(_) => assert!(accepted.is_ok(), "a message was read from a text that is refused"),
            Err(reject) => {
                let answer = json::scan(&reject.to_body(), &Bounds::default()).is_ok();
                assert!(answer, "a reject is not unambiguous JSON: {reject:?}");
            }
        }
    }
    for kind in [List::Tools, List::Resources, List::ResourceTemplates, List::Prompts] {
        let mut keep = |name: &str| name.len().is_multiple_of(2);
        if let Ok(rewritten) = list::rewrite(kind, Era::Modern, &body, &mut keep) {
            let again = list::rewrite(kind, Era::Modern, &rewritten.body, &mut keep);
            assert!(again.is_ok_and(|again| again.removed == 0 && again.body == rewritten.body));
        }
    }
    let whole = split(data, data.len().max(1));
    for size in [1, 2, 3, 7] {
        assert!(split(data, size) == whole, "events depend on how the stream was cut");
    }
}

/// All events of a stream fed in pieces of this size, and how it ended.
fn split(stream: &[u8], size: usize) -> (Vec<Event>, Option<SseError>) {
    let mut splitter = Splitter::new(1 << 16);
    let mut events = Vec::new();
    let mut pieces = stream.chunks(size);
    loop {
        match pieces.next() {
            Some(piece) => splitter.feed(piece),
            None => splitter.end(),
        }
        let ended = splitter.has_ended();
        loop {
            match splitter.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        if ended {
            return (events, None);
        }
    }
}

fn post(version: Option<&'static str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(header::JSON));
    if let Some(version) = version {
        headers.insert(header::MCP_PROTOCOL_VERSION, HeaderValue::from_static(version));
    }
    headers
}
