//! Characters that people do not see, where no script needs them.

use super::{EXCERPT, Found, Severity};
use crate::text::{self, Hidden};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use unicode_security::MixedScript;

/// Code points that one flag names.
const NAMED: usize = 8;

pub(super) fn check(found: &mut Found, place: &str, content: &str) {
    if content.is_ascii() && !content.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return;
    }
    let mut classes: BTreeMap<Hidden, Vec<(usize, char)>> = BTreeMap::new();
    let chars: Vec<char> = content.chars().collect();
    let rtl =
        chars.iter().any(|c| matches!(u32::from(*c), 0x590..=0x8ff | 0xfb1d..=0xfdff | 0xfe70..=0xfeff));
    let mut skip = 0;
    for (index, c) in chars.iter().enumerate() {
        let Some(class) = text::hidden(*c) else { continue };
        if index < skip {
            continue;
        }
        let before = index.checked_sub(1).and_then(|before| chars.get(before)).copied();
        let after = chars.get(index + 1).copied();
        let honest = match class {
            Hidden::Joiner => joins(before, after),
            Hidden::DirectionMark => rtl,
            Hidden::Variation => before.is_some_and(|before| is_varied(before, *c)),
            Hidden::Tag => {
                skip = index + flag_length(before, chars.get(index..).unwrap_or_default());
                skip > index
            }
            Hidden::ZeroWidth if *c == '\u{feff}' => false,
            _ => false,
        };
        if !honest {
            classes.entry(class).or_default().push((index, *c));
        }
    }
    for (class, places) in classes {
        flag(found, place, class, &places, content);
    }
}

fn flag(found: &mut Found, place: &str, class: Hidden, places: &[(usize, char)], content: &str) {
    let mut what = format!("{} {}:", places.len(), class.word());
    for (index, c) in places.iter().take(NAMED) {
        let _ = write!(what, " U+{:04X} at {index}", u32::from(*c));
    }
    if places.len() > NAMED {
        what.push_str(" …");
    }
    let smuggled: String = places.iter().filter_map(|(_, c)| smuggled(*c)).collect();
    let excerpt = if smuggled.is_empty() {
        let first = places.first().map_or(0, |(index, _)| index.saturating_sub(24));
        text::shown(&content.chars().skip(first).collect::<String>(), 80)
    } else {
        format!("it says: {}", text::shown(&smuggled, EXCERPT))
    };
    let code = match class {
        Hidden::Control => "control-characters",
        _ => "hidden-characters",
    };
    let severity =
        if places.iter().all(|(_, c)| *c == '\u{ad}') { Severity::Notable } else { Severity::Serious };
    found.push(code, severity, place, what, excerpt);
}

/// What tag characters and rows of variation selectors spell.
fn smuggled(c: char) -> Option<char> {
    let byte = match u32::from(c) {
        code @ 0xe0020..=0xe007e => u8::try_from(code - 0xe0000).ok()?,
        // Bytes as variation selectors: 1 to 16 are 0 to 15, 17 to 256 the rest.
        code @ 0xe0100..=0xe01ef => u8::try_from(code - 0xe0100 + 16).ok()?,
        _ => return None,
    };
    (byte.is_ascii_graphic() || byte == b' ').then(|| char::from(byte))
}

fn is_pictograph(c: char) -> bool {
    matches!(u32::from(c), 0xa9 | 0xae | 0x203c | 0x2049 | 0x2100..=0x214f | 0x2190..=0x21ff | 0x2300..=0x27bf | 0x2900..=0x2bff | 0x3030 | 0x303d | 0x3297 | 0x3299 | 0x1f000..=0x1faff)
}

/// Joiners belong between parts of emoji, and between letters of the scripts that have them.
fn joins(before: Option<char>, after: Option<char>) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return false };
    let letter =
        |c: char| matches!(u32::from(c), 0x600..=0x8ff | 0x900..=0xdff | 0x1780..=0x18af | 0xfb50..=0xfdff);
    let picture = |c: char| is_pictograph(c) || c == '\u{fe0f}' || matches!(c, '\u{1f3fb}'..='\u{1f3ff}');
    (letter(before) && letter(after)) || (picture(before) && picture(after))
}

/// One selector behind a character that has variants.
fn is_varied(before: char, selector: char) -> bool {
    match selector {
        '\u{fe0e}' | '\u{fe0f}' => is_pictograph(before) || matches!(before, '0'..='9' | '#' | '*'),
        '\u{e0100}'..='\u{e01ef}' | '\u{fe00}'..='\u{fe02}' => {
            matches!(u32::from(before), 0x3400..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff)
        }
        _ => false,
    }
}

/// Characters of a subdivision's flag (England, Scotland, Wales) after its black flag; 0 for anything else.
fn flag_length(before: Option<char>, rest: &[char]) -> usize {
    let tags: String =
        rest.iter().map_while(|c| char::from_u32(u32::from(*c).checked_sub(0xe0000)?)).take(6).collect();
    match (before, tags.as_str()) {
        (Some('\u{1f3f4}'), "gbeng\u{7f}" | "gbsct\u{7f}" | "gbwls\u{7f}") => 6,
        _ => 0,
    }
}

/// A name in which scripts are mixed, or that is not ASCII.
pub(super) fn check_name(found: &mut Found, name: &str) {
    if name.is_ascii() {
        return;
    }
    let (severity, what) = if name.is_single_script() {
        (Severity::Notable, "a name outside ASCII")
    } else {
        (Severity::Serious, "a name that mixes scripts")
    };
    found.push("foreign-name", severity, "/name", what, text::shown(name, EXCERPT));
}
