//! Event streams: any cut gives the same events, and what is not changed is passed on byte for byte.
#![cfg(test)]

use bytes::Bytes;
use portunus_mcp::sse::{Event, Splitter, SseError};
use proptest::prelude::*;

/// All events of a stream cut into these pieces, and what was left over.
fn split(pieces: &[&[u8]], max_bytes: usize) -> Result<(Vec<Event>, usize), SseError> {
    let mut splitter = Splitter::new(max_bytes);
    let mut events = Vec::new();
    for piece in pieces {
        splitter.feed(piece);
        while let Some(event) = splitter.next_event()? {
            events.push(event);
        }
    }
    splitter.end();
    while let Some(event) = splitter.next_event()? {
        events.push(event);
    }
    Ok((events, splitter.pending_bytes()))
}

fn data(stream: &str) -> Vec<String> {
    let (events, _) = split(&[stream.as_bytes()], 1000).unwrap();
    events
        .into_iter()
        .filter_map(|event| event.data)
        .map(|data| String::from_utf8(data.to_vec()).unwrap())
        .collect()
}

#[test]
fn events_are_read_as_the_standard_says() {
    assert_eq!(data("data: a\n\ndata:b\r\n\r\ndata:  c\r\r"), ["a", "b", " c"]);
    assert_eq!(data("data: a\ndata: b\n\n"), ["a\nb"]);
    assert_eq!(data("data: a\rdata: b\r\n\r\n"), ["a\nb"]);
    assert_eq!(data("data\n\ndata:\n\n"), ["", ""]);
    assert_eq!(data("data\ndata\n\n"), ["\n"]);
    assert_eq!(data("\u{FEFF}data: a\n\n\u{FEFF}data: b\n\n"), ["a"]);
    assert_eq!(data(": comment\n\nevent: x\n\ndatax: 1\n\nDATA: 1\n\n"), [""; 0]);
    assert_eq!(data("data: never finished\n"), [""; 0]);
    assert_eq!(data("data: a\n\r"), ["a"]);
}

#[test]
fn fields_are_kept() {
    let stream = b"id: 7\nevent: message\nretry: 1500\ndata: {}\n: c\nid: \0\nretry: 1x\n\n";
    let (events, left) = split(&[stream], 1000).unwrap();
    assert_eq!((events.len(), left), (1, 0));
    let event = &events[0];
    assert_eq!(
        (event.id.as_deref(), event.name.as_deref(), event.retry),
        (Some("7"), Some("message"), Some(1500))
    );
    let changed = event.with_data(Bytes::from("[\n1]"));
    assert_eq!(changed.raw, "id: 7\nevent: message\nretry: 1500\ndata: [\ndata: 1]\n\n");
    assert_eq!(Event::of_data(Bytes::from("{}")).raw, "data: {}\n\n");
}

#[test]
fn a_comment_between_events_is_passed_on_at_once() {
    let mut splitter = Splitter::default();
    splitter.feed(b": keep-alive\n");
    let event = splitter.next_event().unwrap().unwrap();
    assert_eq!((event.raw, event.data), (Bytes::from(": keep-alive\n"), None));
    splitter.feed(b"data: a\n: inside\n");
    assert_eq!(splitter.next_event(), Ok(None));
}

#[test]
fn an_event_is_released_as_soon_as_it_is_whole() {
    for stream in ["data: a\n\n", "data: a\r\n\r\n", "data: a\r\r"] {
        let mut splitter = Splitter::default();
        splitter.feed(stream.as_bytes());
        let event = splitter.next_event().unwrap().unwrap();
        assert_eq!(event.data.as_deref(), Some(&b"a"[..]), "{stream:?}");
    }
}

#[test]
fn an_event_over_the_bound_ends_the_stream_for_good() {
    let event = b"data: 123456\n\n";
    assert!(split(&[event], event.len()).is_ok());
    assert_eq!(split(&[event], event.len() - 1), Err(SseError::TooLong(13)));
    let mut splitter = Splitter::new(100);
    for _ in 0..10 {
        splitter.feed(&[b'x'; 60]);
        let _ = splitter.next_event();
    }
    assert_eq!(splitter.next_event(), Err(SseError::TooLong(100)));
    assert_eq!(splitter.pending_bytes(), 0, "nothing is kept after a failure");
    assert_eq!(split(&[b"data: \xFF\n\n"], 100), Err(SseError::NotUtf8));
}

#[test]
fn a_stream_of_single_bytes_takes_no_quadratic_time() {
    let mut splitter = Splitter::default();
    let start = std::time::Instant::now();
    for _ in 0..2_000_000 {
        splitter.feed(b"x");
        assert_eq!(splitter.next_event(), Ok(None));
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

proptest! {
    #[test]
    fn any_cut_of_a_stream_gives_the_same_events_and_the_same_bytes(
        stream in "(data: ?|data:[a-c]{0,3}|:|id: 1|event: e|\u{FEFF}|é|\r|\n|\r\n|\n\n|\r\r|\r\n\r\n){0,30}",
        cuts in proptest::collection::vec(0_usize..200, 0..12),
    ) {
        let bytes = stream.as_bytes();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([bytes.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let pieces: Vec<&[u8]> = starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect();
        let whole = split(&[bytes], 10_000).unwrap();
        prop_assert_eq!(&split(&pieces, 10_000).unwrap(), &whole);
        let (events, left) = whole;
        let raw: Vec<u8> = events.iter().flat_map(|event| event.raw.to_vec()).collect();
        prop_assert_eq!(&raw, &bytes[..bytes.len() - left]);
    }

    #[test]
    fn an_encoded_event_is_read_back(
        data in proptest::option::of("[ a-c:é\n]{0,20}"), name in proptest::option::of("[a-c :]{1,5}"),
        id in proptest::option::of("[a-c0-9 ]{0,5}"), retry in proptest::option::of(0_u64..10_000),
    ) {
        let event = Event { raw: Bytes::new(), data: data.map(Bytes::from), name, id, retry };
        let encoded = event.encode();
        let (events, left) = split(&[&encoded], 1000).unwrap();
        prop_assert_eq!((events.len(), left), (1, 0));
        prop_assert_eq!(&events[0], &Event { raw: encoded, ..event });
    }
}
