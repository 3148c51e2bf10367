//! Finding values in plain text. All offsets are of the folded text, which is what every finder reads. Linear: each finder
//! looks a bounded number of bytes around each place that it starts from.

mod card;
mod context;
mod email;
mod iban;
mod national;
mod phone;
mod run;
mod secret;

pub(crate) use context::is_secret_key;
pub(crate) use secret::{PEM_START, end_of_private_key, opens_private_key, rest_of_private_key};

use crate::veil::Wanted;
use context::Context;
use run::Run;
use std::ops::Range;

pub(crate) const EMAIL: usize = 0;
pub(crate) const PHONE: usize = 1;
pub(crate) const IBAN: usize = 2;
pub(crate) const CARD: usize = 3;
pub(crate) const NATIONAL_ID: usize = 4;
pub(crate) const SECRET: usize = 5;

/// A value, and the index of its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) range: Range<usize>,
    pub(crate) class: usize,
}

/// What a look at each byte tells about a text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traits {
    /// ASCII digits, counted.
    pub(crate) digits: usize,
    /// There is an `@`.
    pub(crate) at: bool,
    /// Something may stand for another character.
    pub(crate) folds: bool,
}

/// Fewest digits of anything that is found by its digits: a National Insurance number has six.
pub(crate) const FEWEST_DIGITS: usize = 6;

impl Traits {
    /// Written so that the compiler makes it SIMD.
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut all = Self::default();
        for chunk in bytes.chunks(128) {
            let (mut digits, mut at, mut folds) = (0_u8, 0_u8, 0_u8);
            for byte in chunk {
                digits += u8::from(byte.wrapping_sub(b'0') < 10);
                at |= u8::from(*byte == b'@');
                folds |= u8::from(*byte >= 0x80)
                    | u8::from(*byte == b'\\')
                    | u8::from(*byte == b'&')
                    | u8::from(*byte == b'%');
            }
            all.digits += usize::from(digits);
            all.at |= at != 0;
            all.folds |= folds != 0;
        }
        all
    }
}

/// Every value in `text`, in no particular order; values of one class do not overlap. `key` is the name of the member that
/// the text is the value of.
pub(crate) fn find(text: &str, traits: Traits, key: Option<&str>, wanted: &Wanted) -> Vec<Found> {
    let mut found = Vec::new();
    if traits.at && wanted.has(EMAIL) {
        email::find(text, &mut found);
    }
    if traits.digits >= FEWEST_DIGITS && wanted.has_digits() {
        numbers(text, &Context { text, key }, wanted, &mut found);
    }
    if wanted.has(SECRET) {
        secret::find(text, key, &mut found);
    }
    for (class, pattern) in wanted.patterns() {
        found.extend(pattern.find_iter(text).map(|hit| Found { range: hit.range(), class }));
    }
    found
}

/// Everything that has digits: walks from group of digits to group of digits.
fn numbers(text: &str, context: &Context<'_>, wanted: &Wanted, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    // Where values of each class that were found end.
    let mut ends = [0; 6];
    let mut at = 0;
    while let Some(offset) = bytes.get(at..).and_then(|rest| rest.iter().position(u8::is_ascii_digit)) {
        let run = Run::read(bytes, at + offset);
        at = run.end();
        if run.digits() < 2 {
            continue;
        }
        for group in 0..run.groups() {
            let mut take = |class: usize, hit: Option<Range<usize>>| {
                if let (Some(range), Some(end)) = (hit, ends.get_mut(class))
                    && range.start >= *end
                {
                    *end = range.end;
                    found.push(Found { range, class });
                }
            };
            if wanted.has(CARD) {
                take(CARD, card::find(&run, group, context));
            }
            if wanted.has(PHONE) {
                take(PHONE, phone::find(&run, group, context));
            }
            if wanted.has(IBAN) {
                take(IBAN, iban::find(bytes, run.start_of(group)));
            }
            if wanted.has(NATIONAL_ID) {
                take(NATIONAL_ID, national::find(&run, group, context));
            }
        }
    }
}

/// The byte before `at`; 0 at the start.
fn before(bytes: &[u8], at: usize) -> u8 {
    at.checked_sub(1).and_then(|index| bytes.get(index)).copied().unwrap_or_default()
}

/// The byte at `at`; 0 at the end.
fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}
