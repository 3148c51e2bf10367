//! One record as one line: `{"seq":N,"record":{…}}` and a newline. What the Merkle tree hashes is the line without its
//! newline, so the bytes on disk are the evidence and need no canonical form.

use portunus_core::limits::RECORD_BYTES;
use portunus_core::record::{LedgerError, Record};

/// Bytes of the longest line, newline included.
pub const LINE_BYTES: usize = RECORD_BYTES + HEAD.len() + MIDDLE.len() + TAIL.len() + 21;

const HEAD: &[u8] = b"{\"seq\":";
const MIDDLE: &[u8] = b",\"record\":";
const TAIL: &[u8] = b"}";

/// A record with its place in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place, from 0; also its leaf's index in the tree.
    pub seq: u64,
    /// The record.
    pub record: Record,
}

/// Why a line is not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It does not have the form `{"seq":N,"record":{…}}`.
    #[error("the line does not have the form {{\"seq\":N,\"record\":{{…}}}}")]
    Form,
    /// The part in `record` is not a record this version knows.
    #[error("the record cannot be read: {0}")]
    Record(String),
}

/// The record's JSON text, which [`write_line`] makes a line of once its place is known.
///
/// # Errors
/// [`LedgerError::TooLong`] when it is longer than [`RECORD_BYTES`].
pub fn encode(record: &Record) -> Result<Vec<u8>, LedgerError> {
    let mut json = Vec::with_capacity(768);
    serde_json::to_writer(&mut json, record).map_err(|error| LedgerError::Io(error.to_string()))?;
    if json.len() > RECORD_BYTES { Err(LedgerError::TooLong) } else { Ok(json) }
}

/// Appends the line, without its newline, of the record with this JSON text.
pub fn write_line(line: &mut Vec<u8>, seq: u64, record_json: &[u8]) {
    line.extend_from_slice(HEAD);
    line.extend_from_slice(seq.to_string().as_bytes());
    line.extend_from_slice(MIDDLE);
    line.extend_from_slice(record_json);
    line.extend_from_slice(TAIL);
}

/// The sequence number a line claims and the text of its record, if it has the exact form [`write_line`] gives.
#[must_use]
pub fn split(line: &[u8]) -> Option<(u64, &[u8])> {
    let rest = line.strip_prefix(HEAD)?;
    let digits = rest.iter().take(21).position(|byte| !byte.is_ascii_digit())?;
    let (number, rest) = rest.split_at_checked(digits)?;
    let leading_zero = number.len() > 1 && number.first() == Some(&b'0');
    let seq = std::str::from_utf8(number).ok()?.parse().ok()?;
    let json = rest.strip_prefix(MIDDLE)?.strip_suffix(TAIL)?;
    (!leading_zero && json.first() == Some(&b'{') && json.last() == Some(&b'}')).then_some((seq, json))
}

/// Reads a line without its newline.
///
/// # Errors
/// When it is not an entry.
pub fn parse(line: &[u8]) -> Result<Entry, EntryError> {
    let (seq, json) = split(line).ok_or(EntryError::Form)?;
    let record = serde_json::from_slice(json).map_err(|error| EntryError::Record(error.to_string()))?;
    Ok(Entry { seq, record })
}

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_core::record::Event;
    use portunus_core::time::Timestamp;
    use std::collections::BTreeMap;

    fn event(subject: &str) -> Record {
        Record::Event(Event {
            at: Timestamp::from_millis(7),
            by: "ana".into(),
            action: "grant.created".into(),
            subject: subject.into(),
            detail: BTreeMap::new(),
        })
    }

    #[test]
    fn a_record_survives_its_line() {
        let record = event("two\nlines \u{0} and \"quotes\"");
        let mut line = Vec::new();
        write_line(&mut line, u64::MAX, &encode(&record).unwrap());
        assert!(!line.contains(&b'\n') && !line.contains(&0), "a line is one line and has no NUL");
        assert!(line.len() < LINE_BYTES);
        assert_eq!(parse(&line), Ok(Entry { seq: u64::MAX, record }));
    }

    #[test]
    fn a_record_over_its_bound_is_refused() {
        assert_eq!(encode(&event(&"x".repeat(RECORD_BYTES))), Err(LedgerError::TooLong));
    }

    #[test]
    fn a_line_of_another_form_is_not_an_entry() {
        for line in [
            "",
            "{}",
            "{\"seq\":,\"record\":{}}",
            "{\"seq\":01,\"record\":{}}",
            "{\"seq\":-1,\"record\":{}}",
            "{\"seq\":18446744073709551616,\"record\":{}}",
            "{\"seq\":1,\"record\":[]}",
            "{\"seq\":1, \"record\":{}}",
            "{\"seq\":1,\"seq\":2,\"record\":{}}",
            "{\"record\":{},\"seq\":1}",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(EntryError::Form), "{line}");
        }
        assert!(matches!(parse(b"{\"seq\":1,\"record\":{\"kind\":\"tale\"}}"), Err(EntryError::Record(_))));
    }
}
