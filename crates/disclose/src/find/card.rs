//! Payment cards: 12 to 19 digits with the Luhn check digit (ISO/IEC 7812-1, annex B) in the number ranges of the schemes.

use super::context::Context;
use super::run::Run;
use std::ops::Range;

/// The card that starts with a group.
pub(super) fn find(run: &Run<'_>, group: usize, context: &Context<'_>) -> Option<Range<usize>> {
    if run.digits() < 12 || run.is_fraction(group) {
        return None;
    }
    // The longest first: 16 digits within 19 are not the card.
    for length in (12..=19).rev() {
        let Some(last) = run.last_of(group, length) else { continue };
        let digits = run.digits_of(group..last + 1);
        if is_layout(run, group, last)
            && run.stands_alone(group, last)
            && luhn(digits)
            && (is_scheme(digits) || (is_rare_scheme(digits) && context.says_card(run.start_of(group))))
        {
            return Some(run.range(group, last));
        }
    }
    None
}

/// How people write cards: in one piece, in fours, as American Express and Diners do, or in equal pieces.
fn is_layout(run: &Run<'_>, first: usize, last: usize) -> bool {
    let count = last - first + 1;
    let width = run.width(first);
    count == 1
        || run.has_widths(first, &[4, 6, 5]) && count == 3
        || run.has_widths(first, &[4, 6, 4]) && count == 3
        || (first..last).all(|group| run.width(group) == width) && run.width(last) <= width
}

/// Number ranges in which other numbers with a right check digit are rare enough.
fn is_scheme(digits: &[u8]) -> bool {
    let prefix = prefix(digits);
    match digits.len() {
        16 => {
            matches!(prefix, 4000..5000 | 5100..5600 | 2221..2721 | 3528..3590 | 6011 | 6440..6600 | 2200..2205)
                || matches!(prefix, 6200..6300 | 8100..8172 | 6360..6390 | 5018 | 5020 | 5038 | 5893 | 6304)
                || matches!(prefix, 6759 | 6761..6764 | 9792 | 6060..6090)
        }
        15 => matches!(prefix, 3400..3500 | 3700..3800),
        14 => matches!(prefix, 3000..3060 | 3600..3700 | 3800..4000),
        17..=19 => matches!(
            prefix,
            4000..5000 | 6200..6300 | 3528..3590 | 6440..6600 | 6011 | 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..6764
        ),
        _ => false,
    }
}

/// Ranges in which trade item numbers and others are more frequent than cards.
fn is_rare_scheme(digits: &[u8]) -> bool {
    match digits.len() {
        12 | 13 => matches!(prefix(digits), 4000..5000 | 5000..5100 | 5600..7000),
        14..=19 => matches!(prefix(digits), 2000..7000),
        _ => false,
    }
}

fn prefix(digits: &[u8]) -> u32 {
    digits.iter().take(4).fold(0, |value, digit| value * 10 + u32::from(*digit))
}

/// The check digit of ISO/IEC 7812-1; never for one digit repeated.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let value = u32::from(*digit) << (index & 1);
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| Some(digit) != digits.first())
}
