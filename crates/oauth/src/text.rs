//! Cleaning text that strangers wrote, before people read it.

/// `text` without control, formatting (bidirectional overrides, zero-width), private-use and blank-looking characters,
/// with runs of white space made one space, and at most `longest` characters; `None` if nothing is left.
#[must_use]
pub fn clean(text: &str, longest: usize) -> Option<String> {
    let mut cleaned = String::new();
    let mut marks = 0;
    for c in text.chars().filter(|c| !is_deceptive(*c)) {
        marks = if is_combining(c) { marks + 1 } else { 0 };
        if marks > 2 {
            continue; // stacks of marks draw over the lines around them
        }
        if !c.is_whitespace() {
            cleaned.push(c);
        } else if !cleaned.is_empty() && !cleaned.ends_with(' ') {
            cleaned.push(' ');
        }
    }
    let cleaned: String = cleaned.chars().take(longest).collect();
    let cleaned = cleaned.trim_end();
    (!cleaned.is_empty()).then(|| cleaned.to_owned())
}

/// `text` as it is, but with every character that cannot be seen, or that moves others about, written out as
/// `\u{…}`: for eyes that must judge exactly what is there.
#[must_use]
pub fn reveal(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) || matches!(c, '\r' | '\u{2028}' | '\u{2029}') {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

fn is_combining(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}')
}

/// Unicode's control, format, private-use and unassigned-ignorable characters, and the letters that look like nothing.
fn is_deceptive(c: char) -> bool {
    let is_space = matches!(c, '\t' | '\n' | '\r');
    (c.is_control() && !is_space)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{8e2}' | '\u{600}'..='\u{605}'
            | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{e000}'..='\u{f8ff}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::{clean, reveal};

    #[test]
    fn what_is_shown_cannot_pretend_to_be_something_else() {
        assert_eq!(clean("ChatGPT", 80).as_deref(), Some("ChatGPT"));
        assert_eq!(clean("  Café \t\n\u{2028} Zürich 東京 ", 80).as_deref(), Some("Café Zürich 東京"));
        assert_eq!(clean("abc\u{202e}gpj.exe", 80).as_deref(), Some("abcgpj.exe"));
        assert_eq!(clean("Claude\u{200b}\u{feff}\u{e0041}", 80).as_deref(), Some("Claude"));
        assert_eq!(clean(&format!("Z{}", "\u{335}".repeat(50)), 80).unwrap().chars().count(), 3);
        assert_eq!(clean(&"x".repeat(500), 80).unwrap().len(), 80);
        assert_eq!(reveal("a\u{202e}b\n\tc\u{200b}é\r"), "a\\u{202e}b\n\tc\\u{200b}é\\u{d}");
        for empty in ["", " \u{3164} ", "\u{0}\u{7f}\u{85}", "\u{2066}\u{2069}"] {
            assert_eq!(clean(empty, 80), None, "{empty:?}");
        }
    }
}
