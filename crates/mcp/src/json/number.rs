//! Numbers: the grammar of RFC 8259, within what every parser reads alike.

use super::error::{JsonError, JsonErrorKind};
use portunus_core::limits;

/// 2^53 − 1: the last integer that a 64-bit float tells from its neighbours.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
/// With no more integer digits than this and no exponent, a number is within a 64-bit float.
const SAFE_INTEGER_DIGITS: usize = 308;

/// The offset behind the number that starts at `start`.
#[inline]
pub(super) fn end(text: &str, start: usize) -> Result<usize, JsonError> {
    let bytes = text.as_bytes();
    let int_start = start + usize::from(bytes.get(start) == Some(&b'-'));
    let int_end = digits(bytes, int_start)?;
    if bytes.get(int_start) == Some(&b'0') && int_end > int_start + 1 {
        return Err(JsonError::new(int_start, JsonErrorKind::Expected("a number without leading zeros")));
    }
    let mut at = int_end;
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    let exponent = matches!(bytes.get(at), Some(b'e' | b'E'));
    if exponent {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits(bytes, at + 1 + sign)?;
    }
    if at == int_end {
        integer(text, int_start, int_end)?;
        return Ok(at);
    }
    if at - start > limits::NUMBER_BYTES {
        return Err(JsonError::new(start, JsonErrorKind::NumberLength));
    }
    if exponent || int_end - int_start > SAFE_INTEGER_DIGITS {
        let value = text.get(start..at).and_then(|number| number.parse::<f64>().ok());
        if !value.is_some_and(f64::is_finite) {
            return Err(JsonError::new(start, JsonErrorKind::FloatRange));
        }
    }
    Ok(at)
}

fn integer(text: &str, start: usize, end: usize) -> Result<(), JsonError> {
    if end - start <= 15 {
        return Ok(());
    }
    let value =
        text.get(start..end).filter(|digits| digits.len() == 16).and_then(|digits| digits.parse().ok());
    match value {
        Some(0..=MAX_SAFE_INTEGER) => Ok(()),
        _ => Err(JsonError::new(start, JsonErrorKind::IntegerRange)),
    }
}

/// The offset behind one or more digits.
fn digits(bytes: &[u8], start: usize) -> Result<usize, JsonError> {
    let mut at = start;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    match (at > start, at < bytes.len()) {
        (true, _) => Ok(at),
        (false, true) => Err(JsonError::new(at, JsonErrorKind::Expected("a digit"))),
        (false, false) => Err(JsonError::new(at, JsonErrorKind::Truncated)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(number: &str) -> Result<usize, JsonErrorKind> {
        end(number, 0).map_err(|error| error.kind)
    }

    #[test]
    fn integers_are_accepted_exactly_within_what_a_float_holds() {
        for number in ["0", "-0", "9007199254740991", "-9007199254740991", "999999999999999"] {
            assert_eq!(verdict(number), Ok(number.len()), "{number}");
        }
        let huge = "1".repeat(5000);
        for number in ["9007199254740992", "-9007199254740992", "18446744073709551616", &huge] {
            assert_eq!(verdict(number), Err(JsonErrorKind::IntegerRange), "{number}");
        }
    }

    #[test]
    fn fractions_are_accepted_exactly_within_the_range_of_a_float() {
        let wide = format!("{}.5", "9".repeat(308));
        for number in ["1e308", "1.7976931348623157e308", "-1e-999999999999", "0e999999999999", "0.1", &wide]
        {
            assert_eq!(verdict(number), Ok(number.len()), "{number}");
        }
        let wider = format!("{}.5", "9".repeat(309));
        for number in ["1e309", "-1e309", "1.8e308", "1e99999999999999999999", &wider] {
            assert_eq!(verdict(number), Err(JsonErrorKind::FloatRange), "{number}");
        }
        assert_eq!(verdict(&format!("0.{}", "1".repeat(1023))), Err(JsonErrorKind::NumberLength));
    }
}
