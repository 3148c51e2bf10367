//! Numbers by which states know people: each by its published form and check digits. Forms that other numbers share count
//! only where the value is called such a number.

use super::card::luhn;
use super::context::Context;
use super::run::Run;
use super::{before, byte};
use std::ops::Range;

/// The number that starts with a group, or with the letters before it.
pub(super) fn find(run: &Run<'_>, group: usize, context: &Context<'_>) -> Option<Range<usize>> {
    let start = run.start_of(group);
    let named = || context.says_national_id(start);
    lettered(run, group).or_else(|| french(run.bytes, start)).or_else(|| {
        if run.digits() < 9 || before(run.bytes, start).is_ascii_alphanumeric() || run.is_fraction(group) {
            return None;
        }
        [9, 10, 11, 12, 13, 17, 18].into_iter().find_map(|length| {
            let last = run.last_of(group, length)?;
            let digits = run.digits_of(group..last + 1);
            of_length(run, group, last, digits, &named)
        })
    })
}

/// A number of digits only.
fn of_length(
    run: &Run<'_>,
    group: usize,
    last: usize,
    digits: &[u8],
    named: &dyn Fn() -> bool,
) -> Option<Range<usize>> {
    let count = last - group + 1;
    let widths = |widths: &[usize]| count == widths.len() && run.has_widths(group, widths);
    let one = count == 1;
    let range = run.range(group, last);
    let after = byte(run.bytes, range.end);
    if digits.len() == 17 {
        let x = after.eq_ignore_ascii_case(&b'x') && !byte(run.bytes, range.end + 1).is_ascii_alphanumeric();
        return (one && x && chinese(digits, 10)).then_some(range.start..range.end + 1);
    }
    if after.is_ascii_alphanumeric() {
        return None;
    }
    let valid = match digits.len() {
        9 => {
            let us = us_ssn(digits);
            let apart = widths(&[3, 2, 4]) && run.separator(group) == run.separator(group + 1);
            (us && apart && run.separator(group) != b"." && run.separator(group) != b"/")
                || (widths(&[4, 2, 3]) && dutch(digits) && run.separator(group) == b".")
                || ((one || apart || widths(&[3, 3, 3])) && (us || dutch(digits) || luhn(digits)) && named())
        }
        10 => {
            let swedish = is_date(digits, 2, 4) && luhn(digits);
            (widths(&[6, 4]) && swedish && matches!(run.separator(group), b"-" | b"+"))
                || ((one || widths(&[6, 4])) && (swedish || is_day_month(digits)) && named())
        }
        11 => eleven(digits, one, &widths, named),
        12 => {
            let own = digits.get(2..).unwrap_or_default();
            let century = matches!(digits, [1, 9, ..] | [2, 0, 0 | 1, ..]);
            let swedish = century && is_date(own, 2, 4) && luhn(own);
            (widths(&[8, 4]) && swedish && matches!(run.separator(group), b"-" | b"+"))
                || (widths(&[4, 4, 4]) && indian(digits) && matches!(run.separator(group), b" " | b"-"))
                || (one && (swedish || indian(digits)) && named())
        }
        13 => (one || widths(&[3, 4, 4, 2])) && digits.starts_with(&[7, 5, 6]) && ean(digits),
        18 => one && digits.split_last().is_some_and(|(check, rest)| chinese(rest, *check)),
        _ => false,
    };
    valid.then_some(range)
}

fn eleven(digits: &[u8], one: bool, widths: &dyn Fn(&[usize]) -> bool, named: &dyn Fn() -> bool) -> bool {
    ((one || widths(&[2, 3, 3, 3])) && german(digits))
        || (one && polish(digits))
        || ((one || widths(&[6, 5])) && norwegian(digits))
        || ((one || widths(&[2, 2, 2, 3, 2]) || widths(&[6, 3, 2])) && belgian(digits))
        || ((widths(&[3, 3, 3, 2]) || (one && named())) && brazilian(digits))
}

/// Numbers with letters: Spain, Italy, the United Kingdom, Finland.
fn lettered(run: &Run<'_>, group: usize) -> Option<Range<usize>> {
    let (bytes, start, end) = (run.bytes, run.start_of(group), run.end_of(group));
    let width = run.width(group);
    if !(2..=8).contains(&width) {
        return None;
    }
    let alone = |from: usize, to: usize| {
        !before(bytes, from).is_ascii_alphanumeric() && !byte(bytes, to).is_ascii_alphanumeric()
    };
    match width {
        7 | 8 => spanish(run, group).filter(|range| alone(range.start, range.end)),
        6 if matches!(byte(bytes, end).to_ascii_uppercase(), b'-' | b'+' | b'A'..=b'F' | b'U'..=b'Y') => {
            finnish(bytes, start).filter(|range| alone(range.start, range.end))
        }
        2 | 6 => italian(bytes, start)
            .filter(|range| alone(range.start, range.end))
            .or_else(|| british(run, group).filter(|range| alone(range.start, range.end))),
        _ => None,
    }
    .or_else(|| {
        if width == 6 { british(run, group).filter(|range| alone(range.start, range.end)) } else { None }
    })
}

/// DNI: eight digits and a letter; NIE: X, Y or Z, seven digits and a letter (Real Decreto 1553/2005).
fn spanish(run: &Run<'_>, group: usize) -> Option<Range<usize>> {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let (bytes, mut start, end) = (run.bytes, run.start_of(group), run.end_of(group));
    let value =
        run.digits_of(group..group + 1).iter().fold(0_usize, |value, digit| value * 10 + usize::from(*digit));
    let value = if run.width(group) == 7 {
        start = start.checked_sub(1 + usize::from(before(bytes, start) == b'-'))?;
        let first = b"XYZ".iter().position(|letter| byte(bytes, start).eq_ignore_ascii_case(letter))?;
        first * 10_000_000 + value
    } else {
        value
    };
    let at = end + usize::from(byte(bytes, end) == b'-');
    let letter = LETTERS.get(value % 23)?;
    byte(bytes, at).eq_ignore_ascii_case(letter).then_some(start..at + 1)
}

/// Codice fiscale: sixteen characters, the last a check (Decreto ministeriale 23 December 1976). `start` is that of the
/// year's two digits.
fn italian(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let mut first = start;
    let mut characters = [0_u8; 16];
    // Before the year: six letters, in two threes with a space or in one piece; then two, letter, two, letter, three, letter.
    for slot in characters.iter_mut().take(6).rev() {
        first -= usize::from(before(bytes, first) == b' ');
        let letter = before(bytes, first).to_ascii_uppercase();
        *slot = Some(letter).filter(u8::is_ascii_uppercase)?;
        first = first.checked_sub(1)?;
    }
    let mut at = start;
    for (index, slot) in characters.iter_mut().enumerate().skip(6) {
        at += usize::from(byte(bytes, at) == b' ' && matches!(index, 8 | 11 | 15));
        let character = byte(bytes, at).to_ascii_uppercase();
        let letter = matches!(index, 8 | 11 | 15);
        // Where two people would get the same code, digits become these letters.
        let digit = character.is_ascii_digit() || b"LMNPQRSTUV".contains(&character);
        let fits = if letter { character.is_ascii_uppercase() } else { digit };
        *slot = Some(character).filter(|_| fits)?;
        at += 1;
    }
    let (check, rest) = characters.split_last()?;
    let sum: u32 = rest
        .iter()
        .enumerate()
        .map(|(index, character)| {
            let value = char::from(*character).to_digit(36).unwrap_or_default();
            let value = if value > 9 { value - 10 } else { value };
            if index.is_multiple_of(2) { ODD.get(value as usize).copied().unwrap_or_default() } else { value }
        })
        .sum();
    (u32::from(check - b'A') == sum % 26).then_some(first..at)
}

/// National Insurance number: two letters, six digits, a letter A to D (HMRC manual NIM39110).
fn british(run: &Run<'_>, group: usize) -> Option<Range<usize>> {
    let bytes = run.bytes;
    let last = run.last_of(group, 6)?;
    let pieces = last == group || run.has_widths(group, &[2, 2, 2]);
    let start = run.start_of(group);
    let letters_end = start - usize::from(matches!(before(bytes, start), b' ' | b'-'));
    let first = letters_end.checked_sub(2)?;
    let letters = bytes.get(first..letters_end)?.to_ascii_uppercase();
    let [one, two] = letters.as_slice() else { return None };
    let prefix = one.is_ascii_uppercase()
        && two.is_ascii_uppercase()
        && !b"DFIQUV".contains(one)
        && !b"DFIOQUV".contains(two)
        && ![b"BG", b"GB", b"NK", b"KN", b"TN", b"NT", b"ZZ"].iter().any(|known| known.as_slice() == letters);
    let end = run.end_of(last);
    let at = end + usize::from(matches!(byte(bytes, end), b' ' | b'-'));
    let suffix = matches!(byte(bytes, at).to_ascii_uppercase(), b'A'..=b'D');
    (pieces && prefix && suffix).then_some(first..at + 1)
}

/// Henkilötunnus: DDMMYY, a sign for the century, three digits, a check character.
fn finnish(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    const CHECKS: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";
    let day = bytes.get(start..start + 6)?;
    let own = bytes.get(start + 7..start + 10)?;
    let value = day.iter().chain(own).try_fold(0_usize, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + usize::from(digit - b'0'))
    })?;
    let digits: Vec<u8> = day.iter().map(|digit| digit - b'0').collect();
    let check = CHECKS.get(value % 31)?;
    (is_date(&digits, 2, 0) && byte(bytes, start + 10).eq_ignore_ascii_case(check))
        .then_some(start..start + 11)
}

/// Numéro d'inscription au répertoire: sex, year, month, place (Corsica's with a letter), order, and 97 minus the rest mod 97.
fn french(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    if !matches!(byte(bytes, start), b'1' | b'2') || before(bytes, start).is_ascii_alphanumeric() {
        return None;
    }
    let mut characters = [0_u8; 15];
    let mut at = start;
    for (index, slot) in characters.iter_mut().enumerate() {
        if index > 0 {
            at += usize::from(matches!(byte(bytes, at), b' ' | b'.' | b'-'));
        }
        let character = byte(bytes, at).to_ascii_uppercase();
        let corsica = index == 6 && matches!(character, b'A' | b'B');
        *slot = Some(character).filter(|_| character.is_ascii_digit() || corsica)?;
        at += 1;
    }
    if byte(bytes, at).is_ascii_alphanumeric() {
        return None;
    }
    let corsica = match characters.get(6) {
        Some(b'A') => 1_000_000_u64,
        Some(b'B') => 2_000_000,
        _ => 0,
    };
    let digit = |character: &u8| u64::from(char::from(*character).to_digit(10).unwrap_or_default());
    let (number, check) = characters.split_at_checked(13)?;
    let value = number.iter().fold(0, |value, character| value * 10 + digit(character)) - corsica;
    let check = check.iter().fold(0, |value, character| value * 10 + digit(character));
    let month = characters.get(3..5)?.iter().fold(0, |value, character| value * 10 + digit(character));
    (check == 97 - value % 97 && matches!(month, 1..=12 | 20..=42 | 50..=99)).then_some(start..at)
}

/// Area, group and serial that are given out (SSA, RM 10201.030).
fn us_ssn(digits: &[u8]) -> bool {
    !matches!(digits, [0, 0, 0, ..] | [6, 6, 6, ..] | [9, ..] | [_, _, _, 0, 0, ..])
        && !digits.ends_with(&[0, 0, 0, 0])
        && digits.iter().any(|digit| Some(digit) != digits.first())
}

/// Burgerservicenummer: the eleven test.
fn dutch(digits: &[u8]) -> bool {
    weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2, -1]) % 11 == 0 && digits.iter().any(|digit| *digit != 0)
}

/// Steuerliche Identifikationsnummer: ISO 7064 mod 11,10; of the first ten digits one is there twice or three times.
fn german(digits: &[u8]) -> bool {
    let Some((check, rest)) = digits.split_last() else { return false };
    let mut counts = [0_u8; 10];
    for digit in rest {
        if let Some(count) = counts.get_mut(usize::from(*digit)) {
            *count += 1;
        }
    }
    let repeated =
        counts.iter().filter(|count| **count > 1).count() == 1 && counts.iter().all(|count| *count < 4);
    let product = rest.iter().fold(10_u32, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    repeated && rest.first() != Some(&0) && u32::from(*check) == (11 - product) % 10
}

/// PESEL: a birth date whose month tells the century, and a weighted sum. Those born in 1900 to 2039.
fn polish(digits: &[u8]) -> bool {
    let month = two(digits, 2);
    let born = matches!(month, 1..=12) || (matches!(month, 21..=32) && two(digits, 0) < 40);
    born && matches!(two(digits, 4), 1..=31) && weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]) % 10 == 0
}

/// Fødselsnummer: DDMMYY (day + 40 for those without residence), two check digits.
fn norwegian(digits: &[u8]) -> bool {
    matches!(two(digits, 0), 1..=31 | 41..=71)
        && matches!(two(digits, 2), 1..=12)
        && weighted(digits, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]) % 11 == 0
        && weighted(digits, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]) % 11 == 0
}

/// Rijksregisternummer: YYMMDD, three digits, and 97 minus the rest mod 97; from 2000 on with a 2 before them.
fn belgian(digits: &[u8]) -> bool {
    let number = digits.iter().take(9).fold(0_u64, |value, digit| value * 10 + u64::from(*digit));
    let check = u64::from(two(digits, 9));
    is_date(digits, 2, 4) && (check == 97 - number % 97 || check == 97 - (2_000_000_000 + number) % 97)
}

/// CPF: two check digits.
fn brazilian(digits: &[u8]) -> bool {
    let check = |length: usize| {
        let sum: u32 = digits
            .iter()
            .take(length)
            .zip((2..=length as u32 + 1).rev())
            .map(|(d, w)| u32::from(*d) * w)
            .sum();
        sum * 10 % 11 % 10
    };
    digits.iter().any(|digit| Some(digit) != digits.first())
        && digits.get(9).is_some_and(|digit| u32::from(*digit) == check(9))
        && digits.get(10).is_some_and(|digit| u32::from(*digit) == check(10))
}

/// Resident identity number (GB 11643): place, YYYYMMDD, three digits, and a check up to ten (`X`).
fn chinese(digits: &[u8], check: u8) -> bool {
    let century = matches!(digits.get(6..8), Some([1, 9] | [2, 0]));
    let sum = weighted(digits, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    century && is_date(digits.get(8..).unwrap_or_default(), 2, 4) && (12 - sum % 11) % 11 == i32::from(check)
}

/// Aadhaar: the Verhoeff check digit; the first digit is 2 or more.
fn indian(digits: &[u8]) -> bool {
    const PERMUTE: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let multiply = |left: u8, right: u8| match (left < 5, right < 5) {
        (true, true) => (left + right) % 5,
        (true, false) => (left + right - 5) % 5 + 5,
        (false, true) => (left + 5 - right) % 5 + 5,
        (false, false) => (left + 5 - right) % 5,
    };
    let mut check = 0;
    for (index, digit) in digits.iter().rev().enumerate() {
        let mut value = *digit;
        for _ in 0..index % 8 {
            value = PERMUTE.get(usize::from(value)).copied().unwrap_or_default();
        }
        check = multiply(check, value);
    }
    check == 0 && digits.first().is_some_and(|digit| *digit > 1)
}

/// The check digit of EAN-13.
fn ean(digits: &[u8]) -> bool {
    weighted(digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]) % 10 == 0
}

fn weighted(digits: &[u8], weights: &[i32]) -> i32 {
    digits.iter().zip(weights).map(|(digit, weight)| i32::from(*digit) * weight).sum()
}

fn two(digits: &[u8], at: usize) -> u8 {
    digits.get(at..at + 2).and_then(|pair| Some(pair.first()? * 10 + pair.get(1)?)).unwrap_or(99)
}

fn is_date(digits: &[u8], month: usize, day: usize) -> bool {
    matches!(two(digits, month), 1..=12) && matches!(two(digits, day), 1..=31)
}

fn is_day_month(digits: &[u8]) -> bool {
    is_date(digits, 2, 0)
}
