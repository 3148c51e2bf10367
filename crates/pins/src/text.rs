//! Characters that cannot be seen or that steer a terminal: which they are, and texts with them written out.

use std::fmt::Write as _;

/// A class of characters that people do not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hidden {
    /// C0 and C1 controls but tab, line feed and carriage return.
    Control,
    /// The order of writing is changed.
    Bidi,
    /// Marks of direction that right-to-left text has for good reasons.
    DirectionMark,
    /// Nothing is drawn.
    ZeroWidth,
    /// Joiners, which emoji and some scripts need.
    Joiner,
    /// U+E0000 to U+E007F: invisible copies of ASCII.
    Tag,
    /// Variation selectors; a row of them can carry any bytes.
    Variation,
    /// Characters without a meaning of their own.
    PrivateUse,
    /// Separators of lines and paragraphs that editors do not show as such.
    Separator,
}

impl Hidden {
    /// For people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Control => "control characters",
            Self::Bidi => "characters that turn the order of writing round",
            Self::DirectionMark => "marks of direction",
            Self::ZeroWidth => "characters without width",
            Self::Joiner => "joiners",
            Self::Tag => "tag characters (invisible ASCII)",
            Self::Variation => "variation selectors",
            Self::PrivateUse => "private-use characters",
            Self::Separator => "unusual separators",
        }
    }
}

/// The class of a character that people do not see; `None` for all others.
#[must_use]
pub const fn hidden(c: char) -> Option<Hidden> {
    Some(match c {
        '\t' | '\n' | '\r' => return None,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Hidden::Control,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Hidden::Bidi,
        '\u{200e}' | '\u{200f}' | '\u{61c}' => Hidden::DirectionMark,
        '\u{200c}' | '\u{200d}' => Hidden::Joiner,
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{13430}'..='\u{1345f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' => Hidden::ZeroWidth,
        '\u{2028}' | '\u{2029}' => Hidden::Separator,
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => Hidden::Variation,
        '\u{e0000}'..='\u{e007f}' => Hidden::Tag,
        '\u{e000}'..='\u{f8ff}'
        | '\u{f0000}'..='\u{10ffff}'
        | '\u{e0080}'..='\u{e00ff}'
        | '\u{e01f0}'..='\u{e0fff}' => Hidden::PrivateUse,
        _ => return None,
    })
}

/// Whether people do not see a character.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    hidden(c).is_some()
}

/// A text on one line, safe for terminals: hidden characters and line breaks written out, at most `chars` characters of it.
#[must_use]
pub fn shown(text: &str, chars: usize) -> String {
    let mut out = String::new();
    for (index, c) in text.chars().enumerate() {
        if index >= chars {
            out.push('…');
            break;
        }
        push_shown(&mut out, c, true);
    }
    out
}

/// A text safe for terminals, its lines kept.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_shown(&mut out, c, false));
    out
}

fn push_shown(out: &mut String, c: char, one_line: bool) {
    match c {
        '\n' if one_line => out.push_str("\\n"),
        '\t' if one_line => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        c if is_hidden(c) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
        c => out.push(c),
    }
}

/// Lower-case ASCII that reads like the text: letters of other scripts as those they look like, hidden characters and
/// asterisks left out, space collapsed; with the place of each byte in the text.
pub(crate) struct Plain {
    pub(crate) text: Vec<u8>,
    at: Vec<u32>,
}

impl Plain {
    pub(crate) fn of(text: &str) -> Self {
        let mut plain = Self { text: Vec::with_capacity(text.len()), at: Vec::with_capacity(text.len()) };
        for (at, c) in text.char_indices() {
            match c {
                '*' => {}
                c if c.is_whitespace() => plain.push(b' ', at),
                c if is_hidden(c) => {}
                c if c.is_ascii() => plain.push(c.to_ascii_lowercase() as u8, at),
                c => plain.push_foreign(c, at),
            }
        }
        plain
    }

    fn push_foreign(&mut self, c: char, at: usize) {
        let before = self.text.len();
        // Small letters first: a large I has the looks of a small L.
        for c in c.to_lowercase() {
            for like in unicode_security::skeleton(c.encode_utf8(&mut [0; 4])).filter(char::is_ascii) {
                self.push(like.to_ascii_lowercase() as u8, at);
            }
        }
        if self.text.len() == before {
            self.push(b'~', at);
        }
    }

    fn push(&mut self, byte: u8, at: usize) {
        if byte == b' ' && self.text.last() == Some(&b' ') {
            return;
        }
        self.text.push(byte);
        self.at.push(u32::try_from(at).unwrap_or(u32::MAX));
    }

    /// Some of the original text around a place in this one, safe for terminals.
    pub(crate) fn excerpt(&self, original: &str, from: usize, to: usize) -> String {
        const AROUND: usize = 24;
        const LONGEST: usize = 200;
        let place = |at: usize| self.at.get(at).map_or(original.len(), |at| *at as usize);
        let (mut start, mut end) = (place(from.saturating_sub(AROUND)), place(to.saturating_add(AROUND)));
        while !original.is_char_boundary(start) {
            start -= 1;
        }
        while !original.is_char_boundary(end) {
            end += 1;
        }
        shown(original.get(start..end).unwrap_or_default(), LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        assert_eq!(
            shown("a\u{1b}[31m\u{200b}\n\u{202e}\u{e0041}é😀", 100),
            "a\\u{1b}[31m\\u{200b}\\n\\u{202e}\\u{e0041}é😀"
        );
        assert_eq!(shown("abc", 2), "ab…");
        assert_eq!(visible("a\n\u{9b}b\r\n"), "a\n\\u{9b}b\\r\n");
    }

    #[test]
    fn look_alikes_and_hidden_characters_do_not_keep_words_from_being_read() {
        let plain = |text: &str| String::from_utf8(Plain::of(text).text).unwrap();
        assert_eq!(plain("Іgn\u{200b}оrе  **ALL**\n\nрrеvіоus"), "ignore all previous");
        assert_eq!(plain("don’t 日"), "don't ~");
    }

    #[test]
    fn an_excerpt_is_of_the_original() {
        let text = "Ünïcode \u{200b}before **IGNORE** this";
        let plain = Plain::of(text);
        let at = plain.text.windows(6).position(|window| window == b"ignore").unwrap();
        let excerpt = plain.excerpt(text, at, at + 6);
        assert!(excerpt.contains("\\u{200b}before **IGNORE**"), "{excerpt}");
    }
}
