//! The place in a result where the next page begins: an offset, bound to the statement, its parameters and the mask.
//!
//! It carries a checksum, no secret: whoever can ask the query can ask it with any OFFSET. Nothing of it is kept on the
//! server, so any connector of the same database can answer.

use data_encoding::BASE64URL_NOPAD;
use portunus_core::digest::sha256;

/// Why a cursor was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CursorError {
    #[error("`cursor` is damaged; pass next_cursor exactly as it was given, or leave it out to start again")]
    Malformed,
    #[error(
        "`cursor` belongs to another statement; repeat `sql` and `params` exactly as in the call that gave it, or leave \
         it out to start again"
    )]
    Foreign,
}

const SUM_BYTES: usize = 12;

/// Makes the cursor for the rows from `offset` on. `binding` is whatever else the result depends on.
pub(crate) fn make(offset: u64, binding: &[u8]) -> String {
    let mut bytes = offset.to_be_bytes().to_vec();
    bytes.extend_from_slice(&sum(offset, binding));
    BASE64URL_NOPAD.encode(&bytes)
}

/// The offset in a cursor.
pub(crate) fn read(cursor: &str, binding: &[u8]) -> Result<u64, CursorError> {
    let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).map_err(|_| CursorError::Malformed)?;
    let (offset, given) = bytes.split_first_chunk::<8>().ok_or(CursorError::Malformed)?;
    let offset = u64::from_be_bytes(*offset);
    if given.len() != SUM_BYTES {
        return Err(CursorError::Malformed);
    }
    if given == sum(offset, binding) { Ok(offset) } else { Err(CursorError::Foreign) }
}

fn sum(offset: u64, binding: &[u8]) -> Vec<u8> {
    let digest = sha256(&[b"portunus sqlite cursor", &offset.to_be_bytes(), binding]);
    digest.0.into_iter().take(SUM_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_reads_back_and_any_changed_character_is_refused(offset: u64, at in 0_usize..27, by in 1_u8..63) {
            let cursor = make(offset, b"SELECT 1");
            prop_assert_eq!(read(&cursor, b"SELECT 1"), Ok(offset));
            prop_assert_eq!(read(&cursor, b"SELECT 2"), Err(CursorError::Foreign));
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let mut bytes = cursor.into_bytes();
            let old = alphabet.iter().position(|c| *c == bytes[at]).unwrap();
            bytes[at] = alphabet[(old + usize::from(by)) % 64];
            prop_assert!(read(std::str::from_utf8(&bytes).unwrap(), b"SELECT 1").is_err());
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "x", "200", "AAAA", "é", &"A".repeat(1000)] {
            assert!(read(text, b"").is_err(), "{text}");
        }
    }
}
