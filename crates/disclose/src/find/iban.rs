//! International bank account numbers: a country's length and the check digits of ISO 7064 (mod 97-10).

use super::{before, byte};
use std::ops::Range;

/// Lengths by country (SWIFT's IBAN registry).
const LENGTHS: &str = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18\
FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22\
MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24\
TR26UA29VA22VG24XK20YE30";

/// The account number whose check digits start at `at`.
pub(super) fn find(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    // The country may stand apart from the check digits by one sign.
    let country = if before(bytes, at).is_ascii_alphabetic() {
        at
    } else {
        at.checked_sub(1).filter(|_| is_separator(before(bytes, at)))?
    };
    let start = country.checked_sub(2)?;
    let letters = bytes.get(start..country).filter(|letters| letters.iter().all(u8::is_ascii_alphabetic))?;
    let apart = before(bytes, start);
    if apart.is_ascii_alphanumeric() && !bytes.get(..start)?.to_ascii_lowercase_tail().eq(b"iban") {
        return None;
    }
    let length = length_of(letters)?;
    let mut code = Code::default();
    for letter in letters {
        code.push(*letter);
    }
    let mut next = at;
    while code.length < length {
        let mut skipped = 0;
        while is_separator(byte(bytes, next)) && next < bytes.len() && skipped < 3 {
            next += 1;
            skipped += 1;
        }
        let character = *bytes.get(next).filter(|character| character.is_ascii_alphanumeric())?;
        // Both check digits are digits.
        if code.length < 4 && !character.is_ascii_digit() {
            return None;
        }
        code.push(character);
        next += 1;
    }
    (!byte(bytes, next).is_ascii_alphanumeric() && code.is_valid()).then_some(start..next)
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/' | b'_' | b'\t')
}

fn length_of(country: &[u8]) -> Option<usize> {
    LENGTHS.as_bytes().chunks_exact(4).find_map(|entry| {
        let (name, length) = entry.split_at_checked(2)?;
        let [tens, ones] = length else { return None };
        name.eq_ignore_ascii_case(country).then(|| usize::from(tens - b'0') * 10 + usize::from(ones - b'0'))
    })
}

/// The last four bytes in lower case.
trait Tail {
    fn to_ascii_lowercase_tail(&self) -> [u8; 4];
}

impl Tail for [u8] {
    fn to_ascii_lowercase_tail(&self) -> [u8; 4] {
        let mut tail = self.last_chunk::<4>().copied().unwrap_or_default();
        tail.make_ascii_lowercase();
        tail
    }
}

/// The remainder by 97, with the first four characters last.
#[derive(Default)]
struct Code {
    length: usize,
    front: u32,
    rest: u32,
}

impl Code {
    fn push(&mut self, character: u8) {
        let value = char::from(character).to_digit(36).unwrap_or_default();
        let sum = if self.length < 4 { &mut self.front } else { &mut self.rest };
        *sum = if value > 9 { (*sum * 100 + value) % 97 } else { (*sum * 10 + value) % 97 };
        self.length += 1;
    }

    /// The front is two letters and two digits: six digits.
    fn is_valid(&self) -> bool {
        (u64::from(self.rest) * 1_000_000 + u64::from(self.front)) % 97 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let at = text.bytes().position(|byte| byte.is_ascii_digit()).unwrap();
        find(text.as_bytes(), at).map(|range| &text[range])
    }

    #[test]
    fn the_registrys_examples_are_found_in_their_spellings() {
        for iban in [
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "gb29-nwbk-6016-1331-9268-19",
            "FR14 2004 1010 0505 0001 3M02 606",
            "NO93 8601 1117 947",
            "MT84MALT011000012345MTLCAST001S",
            "CH 93 0076 2011 6238 5295 7",
        ] {
            assert_eq!(found(iban), Some(iban));
        }
        assert_eq!(found("IBANDE89370400440532013000."), Some("DE89370400440532013000"));
        for other in [
            "DE89370400440532013001",
            "XX89370400440532013000",
            "ADE89370400440532013000",
            "DE8937040044053201300a",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
