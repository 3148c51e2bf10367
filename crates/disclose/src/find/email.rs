//! E-mail addresses: the dot-atom form of RFC 5322 section 3.4.1 and RFC 6531 (letters beyond ASCII), quoted local parts,
//! and addresses at an IPv4 literal.

use super::{EMAIL, Found, before, byte};

/// Characters to each side of an `@` that are looked at.
const SIDE_BYTES: usize = 320;

pub(super) fn find(text: &str, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let mut last_end = 0;
    for at in memchr::memchr_iter(b'@', bytes) {
        if at < last_end {
            continue;
        }
        // Most signs of this kind are seen to be none of an address by what touches them.
        let (last, next) = (before(bytes, at), byte(bytes, at + 1));
        let quoted = last == b'"';
        if !(quoted || is_local(last)) || !(is_domain(next) || next == b'[') {
            continue;
        }
        let is_near = |c: char| {
            if c.is_ascii() {
                quoted || u8::try_from(c).is_ok_and(|c| is_local(c) || matches!(c, b'\'' | b'='))
            } else {
                !is_sign(c)
            }
        };
        // Signs beyond ASCII, such as typographic quotes, are no part of an address; letters are.
        let Some(left) = text.get(last_end..at) else { continue };
        let floor = at
            - left
                .chars()
                .rev()
                .take(SIDE_BYTES)
                .take_while(|c| is_near(*c))
                .map(char::len_utf8)
                .sum::<usize>();
        let right = text.get(at + 1..).unwrap_or_default();
        let ceiling: usize =
            right.chars().take(SIDE_BYTES).take_while(|c| is_part(*c)).map(char::len_utf8).sum();
        let ceiling = right.get(..ceiling).map_or(0, glued);
        // A sentence without spaces before an address of ASCII.
        let host = right.as_bytes().get(..ceiling).unwrap_or_default();
        let top = host.rsplit(|byte| *byte == b'.').find(|label| !label.is_empty());
        let mut near = left.char_indices().rev().take(SIDE_BYTES).take_while(|(_, c)| is_near(*c));
        let floor = match near.find(|(_, c)| is_unspaced(*c)) {
            Some((place, last))
                if top.is_some_and(<[u8]>::is_ascii) && place + last.len_utf8() < left.len() =>
            {
                floor.max(at - left.len() + place + last.len_utf8())
            }
            _ => floor,
        };
        let Some(start) = local_start(bytes, at, floor) else { continue };
        let Some(end) = domain_end(bytes.get(..at + 1 + ceiling).unwrap_or_default(), at + 1) else {
            continue;
        };
        if is_no_address(bytes, start, at, end) {
            continue;
        }
        found.push(Found { range: start..end, class: EMAIL });
        last_end = end;
    }
}

/// Where the local part begins that ends at `at`; not before `floor`.
fn local_start(bytes: &[u8], at: usize, floor: usize) -> Option<usize> {
    if before(bytes, at) == b'"' {
        let inside = bytes.get(floor..at - 1)?;
        let open = inside.iter().rposition(|byte| matches!(byte, b'"' | b'\n'))?;
        return (inside.get(open) == Some(&b'"') && floor + open + 2 < at).then_some(floor + open);
    }
    let mut start = at;
    while start > floor {
        let byte = before(bytes, start);
        let apostrophe = byte == b'\'' && start < at && before(bytes, start - 1).is_ascii_alphabetic();
        if !(is_local(byte) || apostrophe) {
            break;
        }
        start -= 1;
    }
    // `bounce+ana=example.org@lists.example` carries an address within the address.
    if start < at && before(bytes, start) == b'=' {
        let mut more = start - 1;
        while more > floor && is_local(before(bytes, more)) {
            more -= 1;
        }
        if bytes.get(more..start)?.contains(&b'+') {
            start = more;
        }
    }
    // Not in the middle of a character.
    while start < at && bytes.get(start).is_some_and(|byte| (0x80..0xC0).contains(byte) || *byte == b'.') {
        start += 1;
    }
    let local = bytes.get(start..at)?;
    local.iter().any(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80 || *byte == b'_').then_some(start)
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte >= 0x80
        || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'%' | b'~' | b'!' | b'#' | b'$' | b'^')
}

/// Where the domain ends that begins at `start`: labels with dots between them, the last one of letters.
fn domain_end(bytes: &[u8], start: usize) -> Option<usize> {
    if byte(bytes, start) == b'[' {
        let inside = bytes.get(start + 1..)?;
        let length = inside.iter().take(16).position(|byte| !(byte.is_ascii_digit() || *byte == b'.'))?;
        return (length >= 7 && inside.get(length) == Some(&b']')).then_some(start + length + 2);
    }
    let rest = bytes.get(start..)?;
    let length = rest.iter().position(|byte| !is_domain(*byte)).unwrap_or(rest.len());
    let mut domain = rest.get(..length)?;
    // The longest part that is a domain: `ana@example.com.` and `ana@example.com-2`.
    loop {
        let kept = domain.iter().rposition(|byte| !matches!(byte, b'.' | b'-')).map_or(0, |last| last + 1);
        domain = domain.get(..kept)?;
        let dot = domain.iter().rposition(|byte| *byte == b'.')?;
        let top = domain.get(dot + 1..)?;
        if dot > 0 && is_top(top) && domain.first() != Some(&b'-') {
            return Some(start + domain.len());
        }
        // A top-level domain with something glued to it: `example.com-2` is the domain and a number, in `example.com2`
        // nobody knows, so all of it counts.
        let letters = top.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let host = domain.get(..dot)?;
        if letters >= 2 && host.iter().any(u8::is_ascii_alphabetic) {
            match top.get(letters) {
                Some(b'-') => return Some(start + dot + 1 + letters),
                Some(b'0'..=b'9') => return Some(start + domain.len()),
                _ => {}
            }
        }
        domain = domain.get(..dot)?;
    }
}

/// How much of what follows an `@` is its domain and no sentence glued to it: `example.com谢谢`, `example.com.谢谢` (whose full
/// stop was an ideographic one). All of it when its labels are all of one script.
fn glued(right: &str) -> usize {
    let (mut start, mut tops) = (0, 0);
    for (index, label) in right.split('.').enumerate() {
        let ascii = label.find(is_unspaced).unwrap_or(label.len());
        let head = label.get(..ascii).unwrap_or_default();
        let top = index > 0 && head.len() >= 2 && head.bytes().all(|byte| byte.is_ascii_alphabetic());
        if ascii < label.len() {
            if top {
                return start + ascii;
            }
            if ascii == 0 && tops > 0 {
                return start - 1;
            }
        }
        tops += usize::from(top);
        start += label.len() + 1;
    }
    right.len()
}

/// Letters of scripts whose sentences have no spaces, or glue their particles to a word: Thai to Khmer, Chinese, Japanese,
/// Korean.
fn is_unspaced(character: char) -> bool {
    matches!(
        character,
        '\u{e00}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{2fff}' | '\u{3005}'..='\u{a4cf}'
            | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
    )
}

/// Beyond ASCII, what is neither a letter nor goes with one.
fn is_sign(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{bf}' | '\u{2000}'..='\u{2bff}' | '\u{3000}'..='\u{303f}' | '\u{1f000}'..='\u{1faff}'
    )
}

/// What a domain or an address literal is made of.
fn is_part(character: char) -> bool {
    match character {
        '.' | '-' | '[' | ']' => true,
        _ => character.is_ascii_alphanumeric() || (!character.is_ascii() && !is_sign(character)),
    }
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'.' | b'-')
}

fn is_top(label: &[u8]) -> bool {
    let letters = |label: &[u8]| label.iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
    (label.len() >= 2 && letters(label))
        || label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"xn--"))
}

/// What has the shape and is something else: `git@host.example:path`, `icon@2x.png`.
fn is_no_address(bytes: &[u8], start: usize, at: usize, end: usize) -> bool {
    let (local, domain) =
        (bytes.get(start..at).unwrap_or_default(), bytes.get(at + 1..end).unwrap_or_default());
    (local == b"git" && byte(bytes, end) == b':')
        || matches!(domain, [b'1'..=b'4', b'x', b'.', rest @ ..] if rest.len() <= 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        find(text, &mut found);
        found.into_iter().map(|found| &text[found.range]).collect()
    }

    #[test]
    fn addresses_are_found_whatever_stands_around_them() {
        for address in [
            "ana@example.com",
            "a@b.co",
            "Ana.Lopez+tag@sub.example.co.uk",
            "josé@exämple.de",
            "o'brien@example.ie",
            "x_y-z@xn--exmple-cua.com",
            "\"ana b\"@example.com",
            "ana@[192.0.2.10]",
            "_@example.org",
            "bounce+ana=example.org@lists.example.com",
            "用户@例子.公司",
            "1@2.com",
        ] {
            for text in [
                address.to_owned(),
                format!("({address})"),
                format!("<{address}>"),
                format!("mailto:{address}?subject=x"),
                format!("write to {address}."),
                format!("|{address}|"),
                format!("email={address}&x=1"),
                format!("{address},"),
                format!("'{address}'"),
                format!("**{address}**"),
                format!("\\\"{address}\\\""),
                format!("„{address}“—so"),
            ] {
                assert_eq!(all(&text), [address], "{text}");
            }
        }
        assert_eq!(all("a@example.com;b@example.org"), ["a@example.com", "b@example.org"]);
    }

    #[test]
    fn sentences_without_spaces_are_no_part_of_an_address() {
        for (text, address) in [
            ("请把报告发到ana@example.com谢谢您的配合", "ana@example.com"),
            ("请把报告发到ana@example.com.谢谢", "ana@example.com"),
            ("发到12345@mail.example.cn,谢谢", "12345@mail.example.cn"),
            ("ส่งรายงานไปที่ana.b@example.co.thขอบคุณ", "ana.b@example.co.th"),
            ("報告はana@example.comまで", "ana@example.com"),
            ("ana@example.com으로 보내세요", "ana@example.com"),
            ("用户@例子.公司", "用户@例子.公司"),
            ("用户@example.com", "用户@example.com"),
            ("ana@例子.公司", "ana@例子.公司"),
            ("иван1@пример.рф", "иван1@пример.рф"),
            ("josé99@exämple9.de", "josé99@exämple9.de"),
        ] {
            assert_eq!(all(text), [address], "{text}");
        }
    }

    #[test]
    fn other_uses_of_the_sign_stay() {
        for text in [
            "@user",
            "lodash@4.17.21",
            "@scope/pkg@1.2.3",
            "user@localhost",
            "git@github.com:a/b",
            "icon@2x.png",
            "a @ b.c",
            "@app.route",
            "3 @ 4.50",
            "image@sha256:abc",
            "***@example.com",
            "[email]@",
            "@",
            "a@",
            "a@b.",
            "x@-a.com",
        ] {
            assert!(all(text).is_empty(), "{text}");
        }
    }
}
