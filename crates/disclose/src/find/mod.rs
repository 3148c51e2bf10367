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
pub use secret::tokens;
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
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let (mut digits, mut all) = (0, 0);
        for byte in bytes {
            let traits = TRAITS.get(usize::from(*byte)).copied().unwrap_or_default();
            digits += usize::from(traits & DIGIT);
            all |= traits;
        }
        Self { digits, at: all & AT != 0, folds: all & FOLDS != 0 }
    }
}

const DIGIT: u8 = 1;
const AT: u8 = 2;
const FOLDS: u8 = 4;

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, where an index out of bounds is an error"
)]
const TRAITS: [u8; 256] = {
    let mut traits = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        traits[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'@' => AT,
            b'\\' | b'&' | b'%' | 0x80.. => FOLDS,
            _ => 0,
        };
        byte += 1;
    }
    traits
};

/// Every value in `text`, in no particular order; values of one class do not overlap. `key` is the name of the member that
/// the text is the value of.
pub(crate) fn find(text: &str, traits: Traits, key: Option<&str>, wanted: &Wanted) -> Vec<Found> {
    let mut found = Vec::new();
    if traits.at && wanted.has(EMAIL) {
        email::find(text, &mut found);
    }
    if traits.digits >= FEWEST_DIGITS && wanted.has_digits() {
        numbers(text, &Context::new(text, key), wanted, &mut found);
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
    let mut run = Run::new(bytes);
    // Where values of each class that were found end.
    let mut ends = [0; 6];
    let mut at = 0;
    while let Some(offset) = bytes.get(at..).and_then(|rest| rest.iter().position(u8::is_ascii_digit)) {
        let start = at + offset;
        if byte(bytes, start + 1).is_ascii_alphabetic() {
            at = start + 1;
            continue;
        }
        run.read(start);
        at = run.end();
        // With so few digits in a row only what starts with letters is a value.
        let groups = match run.digits() {
            0..FEWEST_DIGITS => usize::from(run.digits() > 1 && follows_letter(bytes, start)),
            _ => run.groups(),
        };
        for group in 0..groups {
            let mut take = |class: usize, find: &dyn Fn() -> Option<Range<usize>>| {
                if wanted.has(class)
                    && let (Some(range), Some(end)) = (find(), ends.get_mut(class))
                    && range.start >= *end
                {
                    *end = range.end;
                    found.push(Found { range, class });
                }
            };
            take(CARD, &|| card::find(&run, group, context));
            take(PHONE, &|| phone::find(&run, group, context));
            take(IBAN, &|| iban::find(bytes, run.start_of(group)));
            take(NATIONAL_ID, &|| national::find(&run, group, context));
        }
    }
}

/// Whether a letter is just before `at`, or before one sign.
fn follows_letter(bytes: &[u8], at: usize) -> bool {
    before(bytes, at).is_ascii_alphabetic()
        || at.checked_sub(1).is_some_and(|sign| before(bytes, sign).is_ascii_alphabetic())
}

/// The byte before `at`; 0 at the start.
fn before(bytes: &[u8], at: usize) -> u8 {
    at.checked_sub(1).and_then(|index| bytes.get(index)).copied().unwrap_or_default()
}

/// The byte at `at`; 0 at the end.
fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}
