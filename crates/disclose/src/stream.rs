//! Screening text that is no JSON-RPC message and comes in pieces. What is released does not depend on where the pieces end.
//!
//! Text is looked at line by line, since no value but a private key goes over the end of a line. So what is held back is
//! the last line that has not ended, at most [`limits::SCREENED_LINE_BYTES`]; longer lines are cut where no value is.

use crate::class::Class;
use crate::find::{SECRET, Traits, end_of_private_key, opens_private_key, rest_of_private_key};
use crate::fold;
use crate::text::{Screener, apply};
use crate::veil::Veil;
use portunus_core::limits;
use std::collections::BTreeMap;

/// Bytes before a value in which a word may say what it is, and after which another cannot reach.
const MARGIN: usize = 1024;

/// Where the text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// Within a private key, of which so many bytes may come yet.
    PrivateKey(usize),
    /// Within a value that is longer than a line may be, until a space.
    LongValue,
}

/// Text on its way.
#[derive(Debug)]
pub struct Stream {
    veil: Veil,
    held: Vec<u8>,
    /// How much of what is held has no line end.
    searched: usize,
    state: State,
    counts: Vec<usize>,
}

impl Stream {
    /// At the start of a text.
    #[must_use]
    pub fn new(veil: Veil) -> Self {
        let counts = vec![0; veil.0.treatments.len()];
        Self { veil, held: Vec::new(), searched: 0, state: State::Text, counts }
    }

    /// Takes the next piece in; returns what may be released.
    #[must_use]
    pub fn feed(&mut self, piece: &[u8]) -> Vec<u8> {
        if self.veil.is_clear() {
            return piece.to_vec();
        }
        self.held.extend_from_slice(piece);
        self.release(false)
    }

    /// Ends the text; returns the rest of it, and how many values of each class were found in all.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, BTreeMap<Class, usize>) {
        let out = self.release(true);
        (out, self.veil.named(&self.counts))
    }

    fn release(&mut self, ended: bool) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        let mut out = Vec::new();
        let mut rest = held.as_slice();
        loop {
            let window = rest.get(..limits::SCREENED_LINE_BYTES).unwrap_or(rest);
            let from = self.searched.min(window.len());
            let line = window.get(from..).and_then(|new| memchr::memchr(b'\n', new)).map(|at| from + at + 1);
            let taken = match line {
                Some(length) => self.line(rest.get(..length).unwrap_or_default(), &mut out),
                None if window.len() == limits::SCREENED_LINE_BYTES => self.part(window, &mut out),
                None if ended && !window.is_empty() => self.line(window, &mut out),
                None => break,
            };
            self.searched = 0;
            rest = rest.get(taken..).unwrap_or_default();
        }
        self.searched = rest.len();
        self.held = rest.to_vec();
        out
    }

    /// A line, or what is left of it. Returns how much was taken: all, but for what follows the end of a private key.
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> usize {
        match self.state {
            State::Text => {
                self.bytes(line, out);
                line.len()
            }
            State::PrivateKey(bytes) => self.skip_key(line, bytes),
            State::LongValue => self.skip_value(line),
        }
    }

    fn skip_key(&mut self, line: &[u8], bytes: usize) -> usize {
        if let Some(end) = rest_of_private_key(line) {
            self.state = State::Text;
            return end;
        }
        let taken = line.len().min(bytes);
        self.state = if taken == bytes { State::Text } else { State::PrivateKey(bytes - taken) };
        taken
    }

    fn skip_value(&mut self, line: &[u8]) -> usize {
        let end =
            line.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b','));
        if end.is_some() {
            self.state = State::Text;
        }
        end.unwrap_or(line.len())
    }

    /// Screens bytes that nothing continues; what is no UTF-8 in them stays.
    fn bytes(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for chunk in bytes.utf8_chunks() {
            let mut screener = Screener { rule: &self.veil.0, counts: std::mem::take(&mut self.counts) };
            let edits = screener.text(chunk.valid(), None, 0);
            self.counts = screener.counts;
            out.extend_from_slice(apply(chunk.valid(), &edits).as_bytes());
            out.extend_from_slice(chunk.invalid());
            if self.hides_secrets() && opens_key(chunk.valid()) {
                self.state = State::PrivateKey(limits::PRIVATE_KEY_BYTES);
            }
        }
    }

    fn hides_secrets(&self) -> bool {
        self.veil.0.treatments.get(SECRET).is_some_and(Option::is_some)
    }

    /// The start of a line that is longer than a window: screens as much of it as no value goes across the end of.
    fn part(&mut self, window: &[u8], out: &mut Vec<u8>) -> usize {
        if self.state != State::Text {
            return self.line(window, out);
        }
        let text = match std::str::from_utf8(window) {
            Ok(text) => text,
            Err(error) => {
                let (valid, rest) = window.split_at_checked(error.valid_up_to()).unwrap_or_default();
                match error.error_len() {
                    // In the middle of a character: the next window has the rest of it.
                    None => std::str::from_utf8(valid).unwrap_or_default(),
                    Some(length) => {
                        self.bytes(valid, out);
                        out.extend_from_slice(rest.get(..length).unwrap_or_default());
                        return valid.len() + length;
                    }
                }
            }
        };
        let edits = Screener::new(&self.veil.0).text(text, None, 0);
        let mut cut = text.floor_char_boundary(text.len().saturating_sub(MARGIN));
        for edit in edits.iter().rev() {
            if edit.range.end + MARGIN > cut
                && edit.range.start < cut + MARGIN
                && edit.range.end > cut.saturating_sub(MARGIN)
            {
                cut = cut.min(text.floor_char_boundary(edit.range.start.saturating_sub(MARGIN)));
            }
        }
        if cut < MARGIN {
            // Values all the way: they are replaced, and what may continue the last one is dropped.
            self.bytes(text.as_bytes(), out);
            if self.state == State::Text {
                self.state = State::LongValue;
            }
            return text.len();
        }
        self.bytes(text.as_bytes().get(..cut).unwrap_or_default(), out);
        cut
    }
}

/// Whether a private key starts in the text and does not end in it.
fn opens_key(text: &str) -> bool {
    let folded = if Traits::of(text.as_bytes()).folds { fold::fold(text) } else { None };
    let text = folded.as_ref().map_or(text, |folded| folded.text.as_str()).as_bytes();
    let start = memchr::memmem::rfind(text, crate::find::PEM_START).and_then(|start| text.get(start..));
    start.is_some_and(|key| opens_private_key(key) && end_of_private_key(key).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Treatment;
    use crate::veil::{Classes, Rules};
    use proptest::prelude::*;

    fn veil() -> Veil {
        let treatments = crate::class::BUILT_IN.into_iter().map(|class| (class, Treatment::Mask)).collect();
        Classes::default().veil(&Rules { treatments, ..Rules::default() }).unwrap()
    }

    fn pieces(text: &[u8], size: usize) -> Vec<u8> {
        let mut stream = Stream::new(veil());
        let mut out = Vec::new();
        for piece in text.chunks(size) {
            out.extend(stream.feed(piece));
            assert!(stream.held.len() <= limits::SCREENED_LINE_BYTES);
        }
        out.extend(stream.finish().0);
        out
    }

    fn shown(text: &str, size: usize) -> String {
        String::from_utf8(pieces(text.as_bytes(), size)).unwrap()
    }

    #[test]
    fn a_value_cut_anywhere_is_found() {
        let text = "id,mail\n1,ana@example.com\n2,4111 1111 1111 1111\nlast DE89370400440532013000";
        let expected = "id,mail\n1,[email]\n2,[card]\nlast [iban]";
        for size in 1..text.len() + 1 {
            assert_eq!(shown(text, size), expected, "{size}");
        }
    }

    #[test]
    fn a_private_key_over_lines_is_dropped_to_its_end_or_its_bound() {
        let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0\n-----END PRIVATE KEY-----";
        for size in [1, 7, 1000] {
            assert_eq!(shown(&format!("a\nb {key} c\nd"), size), "a\nb [secret] c\nd");
        }
        let endless = format!("-----BEGIN PRIVATE KEY-----\n{}ana@example.com", "AAAA\n".repeat(40_000));
        let out = shown(&endless, 4096);
        assert!(out.starts_with("[secret]") && out.ends_with("[email]"), "{} {}", out.len(), &out[..40]);
        assert!(out.len() < endless.len() - limits::PRIVATE_KEY_BYTES / 2);
    }

    #[test]
    fn a_line_without_end_is_released_in_parts_and_nothing_passes_between_them() {
        for shift in 0..40 {
            let filler = "x y ".repeat((limits::SCREENED_LINE_BYTES - 1100) / 4 + shift);
            let text = format!("{filler}ana@example.com {filler}4111 1111 1111 1111 {filler}end");
            let out = shown(&text, 10_000);
            assert!(!out.contains("example") && !out.contains("1111"), "{shift}");
            assert_eq!(
                out,
                text.replace("ana@example.com", "[email]").replace("4111 1111 1111 1111", "[card]")
            );
        }
        let token = format!("see ghp_{} end", "A1b2".repeat(50_000));
        let out = shown(&token, 10_000);
        assert!(!out.contains("A1b2") && out.ends_with(" end"), "{}", out.len());
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        assert_eq!(pieces(b"\xff\xfe ana@example.com \xc3", 3), b"\xff\xfe [email] \xc3");
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_text(
            parts in prop::collection::vec(prop_oneof![
                Just("ana@example.com".to_owned()), Just("4111-1111-1111-1111".to_owned()), Just("\n".to_owned()),
                Just("-----BEGIN PRIVATE KEY-----".to_owned()), Just("-----END PRIVATE KEY-----".to_owned()),
                Just("+49 30 1234567".to_owned()), "[ -~]{0,8}", ".{0,4}", Just(" x".repeat(9000)),
            ], 0..24),
            cuts in prop::collection::vec(1_usize..4000, 1..20),
        ) {
            let text = parts.concat();
            let whole = pieces(text.as_bytes(), text.len().max(1));
            let mut stream = Stream::new(veil());
            let (mut out, mut rest) = (Vec::new(), text.as_bytes());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                out.extend(stream.feed(piece));
                rest = after;
            }
            out.extend(stream.finish().0);
            prop_assert_eq!(out, whole);
        }
    }
}
