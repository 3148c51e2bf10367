//! Telephone numbers: international ones (E.164) behind `+` or `00`; North American ones; national ones with a trunk zero
//! in groups; and any number that is called a telephone number.

use super::before;
use super::context::Context;
use super::run::Run;
use std::ops::Range;

/// Digits of an international number, with its country code (E.164 section 6).
const MOST_DIGITS: usize = 15;
const FEWEST_DIGITS: usize = 10;
/// Fewest digits of a number that is called a telephone number.
const FEWEST_NAMED: usize = 7;

/// The number that starts with a group.
pub(super) fn find(run: &Run<'_>, group: usize, context: &Context<'_>) -> Option<Range<usize>> {
    if let Some(start) = plus(run, group) {
        return international(run, group, 0, context).map(|last| start..run.end_of(last));
    }
    if before(run.bytes, run.start_of(group)).is_ascii_alphanumeric() || run.digits() < FEWEST_NAMED {
        return None;
    }
    let last = zero_zero(run, group, context)
        .or_else(|| north_american(run, group))
        .or_else(|| national(run, group))
        .or_else(|| named(run, group, context))?;
    let start = run.start_of(group);
    let opened = before(run.bytes, start) == b'(' && run.separator(group).contains(&b')');
    Some(start - usize::from(opened)..run.end_of(last))
}

/// Where the `+` before a group is: `+49`, `+(49`, `(+49`, `+ 49`.
fn plus(run: &Run<'_>, group: usize) -> Option<usize> {
    let start = run.start_of(group);
    let at = [start.checked_sub(1), start.checked_sub(2)]
        .into_iter()
        .flatten()
        .find(|at| run.bytes.get(*at) == Some(&b'+'))?;
    let between = run.bytes.get(at + 1..start)?;
    (matches!(between, [] | [b'(' | b' ']) && !before(run.bytes, at).is_ascii_alphanumeric()).then_some(at)
}

/// The last group of an international number whose country code starts `skipped` digits into a group.
fn international(run: &Run<'_>, group: usize, skipped: usize, context: &Context<'_>) -> Option<usize> {
    let digits = run.digits_of(group..run.groups()).get(skipped..)?;
    let first = *digits.first().filter(|digit| **digit != 0)?;
    if first == 1 {
        // North America: eleven digits, neither area nor exchange starting with 0 or 1.
        let valid = digits.get(1).is_some_and(|digit| *digit > 1);
        return run.last_of(group, 11 + skipped).filter(|last| valid && ends(run, *last));
    }
    let short = matches!(digits, [3, 7, 6, ..] | [2, 9, 8 | 9, ..]);
    let fewest = if short { 9 } else { FEWEST_DIGITS };
    let (last, sum) = longest(run, group, MOST_DIGITS + skipped)?;
    let enough = sum - skipped >= fewest || (sum - skipped >= 8 && context.says_phone(run.start_of(group)));
    enough.then_some(last)
}

/// The last group with which the number has at most `most` digits and ends properly, and how many digits those are.
fn longest(run: &Run<'_>, group: usize, most: usize) -> Option<(usize, usize)> {
    let (mut sum, mut found) = (0, None);
    for last in group..run.groups() {
        if last > group && run.separator(last - 1).iter().any(|byte| matches!(byte, b'\t' | b'_')) {
            break;
        }
        sum += run.width(last);
        if sum > most {
            break;
        }
        if ends(run, last) {
            found = Some((last, sum));
        }
    }
    found
}

fn ends(run: &Run<'_>, last: usize) -> bool {
    !super::byte(run.bytes, run.end_of(last)).is_ascii_alphanumeric()
}

/// `0049 30 …`
fn zero_zero(run: &Run<'_>, group: usize, context: &Context<'_>) -> Option<usize> {
    let digits = run.digits_of(group..run.groups());
    if !matches!(digits, [0, 0, 1..=9, ..]) || run.width(group) < 2 || run.is_fraction(group) {
        return None;
    }
    let last = international(run, group, 2, context)?;
    (run.digits_of(group..last + 1).len() >= 12).then_some(last)
}

/// `(NXX) NXX-XXXX`, with or without a `1` before it; also `NXX-NXX-XXXX` with one separator.
fn north_american(run: &Run<'_>, group: usize) -> Option<usize> {
    let area =
        if run.width(group) == 1 && run.digits_of(group..group + 1) == [1] { group + 1 } else { group };
    if !run.has_widths(area, &[3, 3, 4]) {
        return None;
    }
    let digits = run.digits_of(area..area + 3);
    let valid =
        digits.first().is_some_and(|digit| *digit > 1) && digits.get(3).is_some_and(|digit| *digit > 1);
    let (first, second) = (run.separator(area), run.separator(area + 1));
    let separated =
        first == second || first.contains(&b')') || matches!((first, second), ([b'/' | b' '], [b'-' | b'.']));
    // Part of something longer, such as an address in dots.
    let alone = group.checked_sub(1).is_none_or(|earlier| run.separator(earlier) != first);
    (valid && separated && alone && ends(run, area + 2)).then_some(area + 2)
}

/// `030 1234567`, `0151/234-5678`, `01 23 45 67 89`, `(020) 7946 0958`.
fn national(run: &Run<'_>, group: usize) -> Option<usize> {
    let digits = run.digits_of(group..run.groups());
    if !matches!(digits, [0, 1..=9, ..]) || !(2..=6).contains(&run.width(group)) {
        return None;
    }
    if run.has_widths(group, &[3, 2, 4]) {
        // The form of a social security number.
        return None;
    }
    let tied = group.checked_sub(1).is_some_and(|earlier| !run.separator(earlier).contains(&b' '));
    let (last, sum) = longest(run, group, 12)?;
    let widths = || (group..=last).map(|group| run.width(group));
    let count = last - group + 1;
    let fits = (9..=12).contains(&sum) && (2..=6).contains(&count) && widths().all(|width| width >= 2);
    let pairs = widths().all(|width| width == 2);
    let date = run.width(group) == 2
        && run.width(group + 1) == 2
        && run.separator(group) != b" "
        && !run.separator(group).contains(&b')')
        && !(pairs && sum == 10);
    let wide = |group: usize| {
        matches!(run.separator(group), b" " | b"-" | b"/" | b"." | b") " | b")" | b" / " | b" - " | b")-")
    };
    (fits && !date && !tied && !run.is_fraction(group) && (group..last).all(wide)).then_some(last)
}

/// Any number that its name, or the word before it, calls a telephone number.
fn named(run: &Run<'_>, group: usize, context: &Context<'_>) -> Option<usize> {
    let (last, sum) = longest(run, group, MOST_DIGITS)?;
    let date = run.has_widths(group, &[4, 2, 2]) || run.has_widths(group, &[2, 2, 4]);
    (sum >= FEWEST_NAMED && !date && !run.is_fraction(group) && context.says_phone(run.start_of(group)))
        .then_some(last)
}
