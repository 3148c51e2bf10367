//! Text as a reader sees it: other spellings of ASCII characters become ASCII, invisible characters vanish.
//!
//! Folded are full-width and other decimal digits, full-width letters and signs, typographic spaces, dashes and dots,
//! zero-width characters, HTML entities, percent-encoding, and the escapes of JSON and source text (`\u0040`, `\n`) in
//! whatever number of backslashes. Only what is *found* is read this way; what is released stays as it was.

use crate::mapped::Mapped;

/// What one character becomes.
enum Fold {
    Same,
    To(char),
    Gone,
}

/// Where the ten decimal digits of each script start (general category Nd, Unicode 17.0, `DerivedGeneralCategory.txt`);
/// those of Latin letters are handled by themselves.
#[rustfmt::skip]
const ZEROS: [u32; 70] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
    0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0x104A0, 0x10D30, 0x10D40, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0,
    0x11450, 0x114D0, 0x11650, 0x116C0, 0x116D0, 0x116DA, 0x11730, 0x118E0, 0x11950, 0x11BF0, 0x11C50, 0x11D50,
    0x11DA0, 0x11DE0, 0x11F50, 0x16130, 0x16A60, 0x16AC0, 0x16B50, 0x16D70, 0x1CCF0, 0x1E140, 0x1E2F0, 0x1E4F0,
    0x1E5F1, 0x1E950, 0x1FBF0,
];

/// The folded text; `None` when nothing would change.
pub(crate) fn fold(text: &str) -> Option<Mapped> {
    let bytes = text.as_bytes();
    let mut folded: Option<Mapped> = None;
    let (mut at, mut copied) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        let (length, fold) = match byte {
            b'\\' => escape(bytes, at),
            b'&' => entity(text, at),
            b'%' => percent(bytes, at),
            0..0x80 => (1, Fold::Same),
            _ => wide(text, at),
        };
        let character = match fold {
            Fold::Same => {
                at += length;
                continue;
            }
            Fold::To(character) => Some(character),
            Fold::Gone => None,
        };
        let out = folded.get_or_insert_with(|| Mapped::with_capacity(bytes.len()));
        out.push_same(text.get(copied..at).unwrap_or_default());
        at += length;
        copied = at;
        out.push_other(character, at - length, at);
    }
    let mut out = folded?;
    out.push_same(text.get(copied..).unwrap_or_default());
    Some(out)
}

/// The character that starts at `at` and is not ASCII.
fn wide(text: &str, at: usize) -> (usize, Fold) {
    match text.get(at..).and_then(|rest| rest.chars().next()) {
        Some(character) => (character.len_utf8(), character_fold(character)),
        None => (1, Fold::Same),
    }
}

fn character_fold(character: char) -> Fold {
    let code = u32::from(character);
    let plain = |byte: u32| char::from_u32(byte).map_or(Fold::Same, Fold::To);
    match code {
        0xC0..=0x2FF => Fold::Same,
        // Soft hyphen, joiners, direction marks, fillers, variation selectors, tags.
        0xAD
        | 0x34F
        | 0x61C
        | 0x115F
        | 0x1160
        | 0x17B4
        | 0x17B5
        | 0x180B..=0x180F
        | 0x200B..=0x200F
        | 0x202A..=0x202E
        | 0x2060..=0x206F
        | 0x3164
        | 0xFE00..=0xFE0F
        | 0xFEFF
        | 0xFFA0
        | 0xE0000..=0xE0FFF => Fold::Gone,
        0xA0 | 0x1680 | 0x2000..=0x200A | 0x202F | 0x205F | 0x3000 => Fold::To(' '),
        0x2010..=0x2015 | 0x2212 | 0x2043 | 0xFE58 | 0xFE63 => Fold::To('-'),
        0xB7 | 0x2024 | 0x2027 | 0x2219 | 0x22C5 | 0x3002 | 0xFE52 | 0xFF61 => Fold::To('.'),
        0x2044 | 0x2215 => Fold::To('/'),
        0xFE6B => Fold::To('@'),
        0xFF01..=0xFF5E => plain(code - 0xFF01 + 0x21),
        0x2080..=0x2089 => plain(code - 0x2080 + 0x30),
        0x1D7CE..=0x1D7FF => plain((code - 0x1D7CE) % 10 + 0x30),
        _ => match ZEROS.partition_point(|zero| *zero <= code).checked_sub(1).and_then(|at| ZEROS.get(at)) {
            Some(zero) if code - zero < 10 => plain(code - zero + 0x30),
            _ => Fold::Same,
        },
    }
}

/// The escape whose first backslash is at `at`, with all backslashes before its letter.
fn escape(bytes: &[u8], at: usize) -> (usize, Fold) {
    let rest = bytes.get(at..).unwrap_or_default();
    let slashes = rest.iter().take_while(|byte| **byte == b'\\').count();
    let digits =
        |count: usize| rest.get(slashes + 1..slashes + 1 + count).and_then(|digits| number(digits, 16));
    let (length, code) = match rest.get(slashes) {
        Some(b'n' | b'r' | b't' | b'b' | b'f') => return (slashes + 1, Fold::To('\n')),
        Some(b'u') => (slashes + 5, digits(4)),
        Some(b'x') => (slashes + 3, digits(2)),
        _ => return (slashes, Fold::Same),
    };
    match code.and_then(char::from_u32) {
        Some(character) => (length, decoded(character)),
        None => (slashes, Fold::Same),
    }
}

/// The HTML entity whose `&` is at `at` (HTML Living Standard, section 13.5).
fn entity(text: &str, at: usize) -> (usize, Fold) {
    const NAMES: [(&str, char); 13] = [
        ("commat", '@'),
        ("period", '.'),
        ("nbsp", ' '),
        ("plus", '+'),
        ("hyphen", '-'),
        ("dash", '-'),
        ("lowbar", '_'),
        ("colon", ':'),
        ("sol", '/'),
        ("shy", '\u{AD}'),
        ("zwnj", '\u{200C}'),
        ("zwj", '\u{200D}'),
        ("lpar", '('),
    ];
    let same = (1, Fold::Same);
    let Some(rest) = text.get(at + 1..) else { return same };
    let Some(length) = rest.bytes().take(12).position(|byte| !(byte.is_ascii_alphanumeric() || byte == b'#'))
    else {
        return same;
    };
    let name = rest.get(..length).unwrap_or_default();
    let closed = usize::from(rest.as_bytes().get(length) == Some(&b';'));
    let code = match name.strip_prefix('#').map(str::as_bytes) {
        Some([b'x' | b'X', digits @ ..]) => number(digits, 16),
        Some(digits) => number(digits, 10),
        None => NAMES.iter().find(|(known, _)| *known == name && closed == 1).map(|(_, to)| u32::from(*to)),
    };
    match code.and_then(char::from_u32) {
        Some(character) => (1 + length + closed, decoded(character)),
        None => same,
    }
}

/// The character whose percent-encoded bytes (RFC 3986, section 2.1) start at `at`, encoded once more (`%2540`) or not.
/// Controls are read as white space.
fn percent(bytes: &[u8], at: usize) -> (usize, Fold) {
    let same = (1, Fold::Same);
    let Some((first, mut end)) = percent_byte(bytes, at) else { return same };
    let mut encoded = [first, 0, 0, 0];
    let length = match first {
        b'\t' | b' ' => return (end - at, Fold::To(' ')),
        0..b' ' | 0x7F => return (end - at, Fold::To('\n')),
        b'!'..0x7F => 1,
        0xC2..0xE0 => 2,
        0xE0..0xF0 => 3,
        0xF0..0xF5 => 4,
        _ => return same,
    };
    for slot in encoded.iter_mut().take(length).skip(1) {
        let Some((byte, next)) = percent_byte(bytes, end) else { return same };
        (*slot, end) = (byte, next);
    }
    let character = encoded.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()?.chars().next());
    character.map_or(same, |character| (end - at, decoded(character)))
}

/// The byte that is encoded at `at`, and the offset behind it.
fn percent_byte(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let rest = bytes.get(at..)?.strip_prefix(b"%")?;
    let again = rest.chunks_exact(2).take_while(|pair| *pair == b"25").count() * 2;
    let code = number(rest.get(again..again + 2)?, 16)?;
    Some((u8::try_from(code).ok()?, at + again + 3))
}

/// A character that stood there in an encoding, folded too.
fn decoded(character: char) -> Fold {
    match character_fold(character) {
        Fold::Same => Fold::To(character),
        fold => fold,
    }
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0_u32, |value, digit| {
        value.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_a_character_are_read_as_it_is_seen() {
        for (text, read) in [
            ("ana＠example．com", "ana@example.com"),
            ("ana&#64;example&period;com", "ana@example.com"),
            ("ana&#x40;example.com", "ana@example.com"),
            ("ana&commat;example.com", "ana@example.com"),
            (r"ana\u0040example.com", "ana@example.com"),
            (r"ana\\\u0040example.com", "ana@example.com"),
            ("ana%40example.com", "ana@example.com"),
            ("ana%2540example.com", "ana@example.com"),
            ("４１１１\u{a0}1111", "4111 1111"),
            ("41\u{200b}11\u{feff}1", "41111"),
            ("٤١١١ ۴۱ ४१ ৪১ ๔๑ 𝟜𝟙", "4111 41 41 41 41 41"),
            ("DE89\u{2011}3704\u{202f}1", "DE89-3704 1"),
            (r"a\nana@x.yz", "a\nana@x.yz"),
            ("a%0A4111%0D%0A1%091%20%00x", "a\n4111\n\n1 1 \nx"),
            ("x%C2%A041%25C2%25A011%EF%BC%91%C3%BC", "x 41 111ü"),
        ] {
            assert_eq!(fold(text).unwrap().text, read, "{text}");
        }
        for same in
            ["plain", "Grüße, Łódź", "AT&T; 100% of it", "a\\c", "&;", "%", "\\", "&#;", "\\u12", "%4"]
        {
            assert!(fold(same).is_none(), "{same}");
        }
    }

    #[test]
    fn the_decimal_digits_of_every_script_are_digits() {
        let digits = regex::Regex::new(r"^\d$").unwrap();
        let (mut seen, mut next) = (0, 0);
        for character in ('\u{80}'..=char::MAX).filter(|c| digits.is_match(c.encode_utf8(&mut [0; 4]))) {
            // They come in tens, in order.
            let read = fold(&character.to_string()).unwrap().text;
            assert_eq!(read, (next % 10).to_string(), "{:x}", u32::from(character));
            next += 1;
            seen += 1;
        }
        assert!(seen >= 700, "{seen}");
    }

    #[test]
    fn what_is_found_in_folded_text_is_found_in_the_original() {
        let text = "x\u{200b}ａb&#64;c\u{200b}y";
        let folded = fold(text).unwrap();
        assert_eq!(folded.text, "xab@cy");
        for (from, to, original) in
            [(1, 5, "ａb&#64;c"), (0, 1, "x"), (5, 6, "y"), (3, 4, "&#64;"), (0, 6, text), (1, 2, "ａ")]
        {
            assert_eq!(&text[folded.original(&(from..to))], original, "{from}..{to}");
        }
    }
}
