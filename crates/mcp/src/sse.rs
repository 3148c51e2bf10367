//! Server-sent events (HTML Living Standard, 9.2), without I/O: pieces in, whole events out, bounded.
//!
//! Concatenating the `raw` bytes of all events gives back the stream up to its last whole event, so an event that is not
//! changed is passed on byte for byte; and the events do not depend on how the stream was cut into pieces.

use bytes::{Bytes, BytesMut};
use portunus_core::limits;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event, or what stands between events (comments, blank lines), which has no data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// As it stood in the stream, with its blank line.
    pub raw: Bytes,
    /// The `data` lines joined by newlines; `None` without any.
    pub data: Option<Bytes>,
    /// `event`
    pub name: Option<String>,
    /// `id`
    pub id: Option<String>,
    /// `retry`, milliseconds.
    pub retry: Option<u64>,
}

/// Why a stream cannot be inspected any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event longer than the bound.
    #[error("an event of the stream is longer than {0} bytes")]
    TooLong(usize),
    /// An event that is not UTF-8.
    #[error("an event of the stream is not valid UTF-8")]
    NotUtf8,
}

/// Cuts a stream into events.
#[derive(Debug)]
pub struct Splitter {
    buffer: BytesMut,
    max_bytes: usize,
    /// Up to here no line ends in `buffer`.
    searched: usize,
    /// Where the present line starts in `buffer`.
    line_start: usize,
    /// The block in `buffer` has a line that is no comment.
    has_field: bool,
    /// The last line ended with a CR and no LF.
    after_bare_cr: bool,
    /// Nothing has been taken out yet: a byte-order mark may stand first.
    at_start: bool,
    ended: bool,
    failed: Option<SseError>,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new(limits::EVENT_BYTES)
    }
}

impl Splitter {
    /// A splitter for events of at most this many bytes.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            max_bytes,
            searched: 0,
            line_start: 0,
            has_field: false,
            after_bare_cr: false,
            at_start: true,
            ended: false,
            failed: None,
        }
    }

    /// Takes in a piece of the stream. All events should be taken out before the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(piece);
        }
    }

    /// The stream has ended: a CR at its very end waits for no LF.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether [`Splitter::end`] was called.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Bytes of the event that is not whole yet. After the end and the last event they are worth nothing: clients drop
    /// them too, and they were not inspected.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole event; `None` when more bytes are needed.
    ///
    /// # Errors
    /// See [`SseError`]; once failed, always failed.
    pub fn next_event(&mut self) -> Result<Option<Event>, SseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let next = self.cut().and_then(|raw| raw.map(|(raw, first)| Event::read(raw, first)).transpose());
        if let Err(error) = next {
            self.failed = Some(error);
            self.buffer = BytesMut::new();
        }
        next
    }

    /// The bytes of the next event, and whether they are the stream's first.
    fn cut(&mut self) -> Result<Option<(Bytes, bool)>, SseError> {
        while let Some((line_end, next_line)) = self.find_line() {
            let line = self.buffer.get(self.line_start..line_end).unwrap_or_default();
            let first_line = self.at_start && self.line_start == 0;
            let line = if first_line { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
            let blank = line.is_empty();
            let comment = line.first() == Some(&b':');
            self.after_bare_cr = self.buffer.get(next_line - 1) == Some(&b'\r');
            // A comment between events is passed on at once: it is there to keep the connection alive.
            if blank || comment && !self.has_field {
                return self.take(next_line).map(Some);
            }
            self.has_field = true;
            self.line_start = next_line;
            self.searched = next_line;
        }
        if self.buffer.len() > self.max_bytes {
            return Err(SseError::TooLong(self.max_bytes));
        }
        Ok(None)
    }

    fn take(&mut self, length: usize) -> Result<(Bytes, bool), SseError> {
        if length > self.max_bytes {
            return Err(SseError::TooLong(self.max_bytes));
        }
        let raw = self.buffer.split_to(length).freeze();
        let first = std::mem::replace(&mut self.at_start, false);
        self.searched = 0;
        self.line_start = 0;
        self.has_field = false;
        Ok((raw, first))
    }

    /// Where the present line ends, and where the next one starts.
    fn find_line(&mut self) -> Option<(usize, usize)> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(found) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + found;
        self.searched = end;
        if self.buffer.get(end) == Some(&b'\n') {
            return Some((end, end + 1));
        }
        // In a stream of bare CRs the one of a blank line ends the event at once: waiting for a possible LF would hold
        // the event back until the next one. Should an LF follow after all, it is a blank line that means nothing.
        let blank_among_crs = end == self.line_start && self.after_bare_cr;
        match self.buffer.get(end + 1) {
            _ if blank_among_crs => Some((end, end + 1)),
            Some(b'\n') => Some((end, end + 2)),
            Some(_) => Some((end, end + 1)),
            None if self.ended => Some((end, end + 1)),
            None => None,
        }
    }
}

impl Event {
    /// An event with data alone; its `raw` is what goes on the wire.
    #[must_use]
    pub fn of_data(data: Bytes) -> Self {
        let event = Self { raw: Bytes::new(), data: Some(data), name: None, id: None, retry: None };
        Self { raw: event.encode(), ..event }
    }

    /// The same event with other data.
    #[must_use]
    pub fn with_data(&self, data: Bytes) -> Self {
        let event = Self { data: Some(data), ..self.clone() };
        Self { raw: event.encode(), ..event }
    }

    /// The same event with another id; its other lines stay as they are.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Self {
        let event = Self { id: Some(id.to_owned()), ..self.clone() };
        let is_id = |line: &[u8]| line.starts_with(b"id:") || line.trim_ascii_end() == b"id";
        let lines = || self.raw.split_inclusive(|byte| *byte == b'\n');
        let bare_cr = lines().any(|line| {
            line.iter().filter(|byte| **byte == b'\r').count() > usize::from(line.ends_with(b"\r\n"))
        });
        if bare_cr || self.raw.starts_with(BYTE_ORDER_MARK) {
            return Self { raw: event.encode(), ..event };
        }
        let mut raw = format!("id: {id}\n").into_bytes();
        lines().filter(|line| !is_id(line)).for_each(|line| raw.extend_from_slice(line));
        Self { raw: raw.into(), ..event }
    }

    /// The event written anew from its fields. Line breaks in the data become `data` lines; a name or id ends at one.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.data.as_ref().map_or(0, Bytes::len) + 32);
        let mut line = |field: &str, value: &[u8]| {
            out.extend_from_slice(field.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.push(b'\n');
        };
        for (field, value) in [("id", &self.id), ("event", &self.name)] {
            if let Some(value) = value {
                line(field, Lines(value.as_bytes()).next().unwrap_or_default());
            }
        }
        if let Some(retry) = self.retry {
            line("retry", retry.to_string().as_bytes());
        }
        if let Some(data) = &self.data {
            Lines(data).for_each(|part| line("data", part));
            // A line break at the very end starts one more line.
            if data.is_empty() || data.ends_with(b"\n") || data.ends_with(b"\r") {
                line("data", b"");
            }
        }
        out.push(b'\n');
        out.into()
    }

    fn read(raw: Bytes, first: bool) -> Result<Self, SseError> {
        let text = std::str::from_utf8(&raw).map_err(|_| SseError::NotUtf8)?;
        let text = if first { text.strip_prefix('\u{FEFF}').unwrap_or(text) } else { text };
        let (mut name, mut id, mut retry) = (None, None, None);
        let mut data: Vec<&[u8]> = Vec::new();
        for line in Lines(text.as_bytes()) {
            let (field, value) = match line.iter().position(|byte| *byte == b':') {
                Some(colon) => (line.get(..colon), line.get(colon + 1..)),
                None => (Some(line), None),
            };
            let (field, value) = (field.unwrap_or_default(), value.unwrap_or_default());
            let value = value.strip_prefix(b" ").unwrap_or(value);
            let text = || String::from_utf8_lossy(value).into_owned();
            match field {
                b"data" => data.push(value),
                b"event" => name = Some(text()),
                b"id" if !value.contains(&0) => id = Some(text()),
                b"retry" if value.iter().all(u8::is_ascii_digit) => retry = text().parse().ok(),
                _ => {}
            }
        }
        let data = match data.as_slice() {
            [] => None,
            [[]] => Some(Bytes::new()),
            [one] => Some(raw.slice_ref(one)),
            lines => Some(lines.join(&b'\n').into()),
        };
        Ok(Self { data, name, id, retry, raw })
    }
}

/// The lines of a text, each ended by CR, LF, CRLF or the end of the text.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(self.0.len());
        let line = self.0.get(..end).unwrap_or_default();
        let next = end + if self.0.get(end..end + 2) == Some(b"\r\n") { 2 } else { 1 };
        self.0 = self.0.get(next..).unwrap_or_default();
        Some(line)
    }
}
