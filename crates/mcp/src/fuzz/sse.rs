//! Streams of events: the same whatever the pieces, what the HTML Living Standard says, and written so as to be read again.

use crate::sse::{Event, Splitter, SseError};
use bytes::Bytes;

/// Streams are cut in pieces of these sizes, and in pieces of sizes that the bytes themselves choose (0).
const PIECES: [usize; 5] = [1, 2, 3, 7, 0];
/// Bounds of an event, in bytes.
const BOUNDS: [usize; 3] = [1 << 16, 64, 16];

/// `data` as a stream of events.
///
/// # Panics
/// When a promise is broken.
pub fn sse(data: &[u8]) {
    for bound in BOUNDS {
        let whole = split(data, data.len().max(1), bound);
        for size in PIECES {
            assert!(split(data, size, bound) == whole, "events depend on how the stream was cut");
        }
        let raw: Vec<u8> = whole.events.iter().flat_map(|event| event.raw.to_vec()).collect();
        assert!(data.starts_with(&raw), "events are not the bytes of the stream");
        assert!(whole.error.is_some() || raw.len() + whole.pending == data.len(), "bytes went missing");
        assert!(whole.events.iter().all(|event| event.raw.len() <= bound), "an event over the bound");
    }
    let whole = split(data, data.len().max(1), data.len() + 1);
    if let (Ok(text), None) = (std::str::from_utf8(data), whole.error) {
        let said = whole.events.iter().filter_map(|event| Some((event.data.clone()?, event.name.clone())));
        let said: Vec<_> = said.collect();
        let meant = reference(text);
        assert!(said == meant, "{said:?} was read where the standard reads {meant:?}");
    }
    whole.events.iter().take(16).for_each(rewritten);
}

#[derive(PartialEq)]
struct Split {
    events: Vec<Event>,
    error: Option<SseError>,
    pending: usize,
}

/// All events of a stream fed in pieces of this size, and how it ended.
fn split(stream: &[u8], size: usize, bound: usize) -> Split {
    let mut splitter = Splitter::new(bound);
    let mut events = Vec::new();
    let mut rest = stream;
    loop {
        let next = match size {
            0 => rest.first().map_or(0, |byte| usize::from(byte % 9)),
            size => size,
        };
        let (piece, later) = rest.split_at_checked(next).unwrap_or((rest, &[]));
        if rest.is_empty() {
            splitter.end();
        } else if piece.is_empty() {
            // A size of 0 chosen by the bytes: one byte, after an empty piece.
            splitter.feed(piece);
            let (one, more) = rest.split_at_checked(1).unwrap_or((rest, &[]));
            splitter.feed(one);
            rest = more;
        } else {
            splitter.feed(piece);
            rest = later;
        }
        let ended = splitter.has_ended();
        loop {
            match splitter.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return Split { events, error: Some(error), pending: 0 },
            }
        }
        if ended {
            return Split { events, error: None, pending: splitter.pending_bytes() };
        }
    }
}

/// The data and names that the HTML Living Standard (9.2.6) dispatches, read in the plainest way.
fn reference(text: &str) -> Vec<(Bytes, Option<String>)> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let Some((whole, _)) = text.rsplit_once('\n') else { return Vec::new() };
    let mut events = Vec::new();
    let (mut data, mut name): (Option<String>, _) = (None, None);
    for line in whole.split('\n') {
        if line.is_empty() {
            let name = name.take();
            events.extend(data.take().map(|data| (Bytes::from(data), name)));
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                data = Some(data.map_or_else(|| value.to_owned(), |so_far| format!("{so_far}\n{value}")));
            }
            "event" => name = Some(value.to_owned()),
            _ => {}
        }
    }
    events
}

/// An event that is written anew is read as it was meant.
fn rewritten(event: &Event) {
    let read = |raw: &[u8]| split(raw, raw.len().max(1), raw.len() + 1).events;
    let encoded = event.encode();
    let again = read(&encoded);
    let fields = |event: &Event| (event.data.clone(), event.name.clone(), event.retry);
    assert!(again.iter().map(fields).eq([fields(event)]), "an event changed by being written: {again:?}");
    if event.data.is_some() {
        let other = read(&event.with_data(Bytes::from_static(b"{\"a\":1}")).raw);
        assert!(other.len() == 1, "other data made {} events", other.len());
        assert!(
            other.iter().all(|other| other.data.as_deref() == Some(b"{\"a\":1}") && other.name == event.name)
        );
        let other = read(&event.with_id("an-id").raw);
        let ids: Vec<_> = other.iter().filter_map(|event| event.id.as_deref()).collect();
        assert!(ids == ["an-id"], "another id is read as {ids:?}");
        let meant: Vec<_> = other.iter().filter_map(|event| event.data.clone()).collect();
        assert!(meant.iter().eq(&event.data), "another id changed the data");
    }
}
