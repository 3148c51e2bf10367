//! JSON arguments as Cedar values, so that nothing is silently lost:
//!
//! - a number that is whole is a Long, any other a decimal of at most four places; what fits neither is opaque, and so is
//!   `null`. An opaque value is equal to nothing that a policy can write; whatever else is done with one is an error, and
//!   an error refuses;
//! - a value that is not of the type which the tool's own schema declares refuses as soon as any policy looks at arguments.

use crate::names::{TYPES, uid};
use crate::shape::Shape;
use cedar_policy::RestrictedExpression;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads a whole JSON object.
///
/// # Errors
/// When it is not exactly one JSON object without repeated keys, or does not fit the shape.
pub(crate) fn read(json: &[u8], shape: &Shape) -> Result<RestrictedExpression, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = deserializer.deserialize_map(Typed(shape))?;
    deserializer.end()?;
    Ok(value)
}

/// Reads a value of this shape.
struct Typed<'s>(&'s Shape);

impl<'de> DeserializeSeed<'de> for Typed<'_> {
    type Value = RestrictedExpression;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Typed<'_> {
    type Value = RestrictedExpression;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Shape::Any => "a value",
            Shape::Bool => "a boolean",
            Shape::Long => "a whole number",
            Shape::Decimal => "a number",
            Shape::Text => "a text",
            Shape::List(_) => "a list",
            Shape::Record(_) => "an object",
        })
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(opaque("null"))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        match self.0 {
            Shape::Any | Shape::Bool => Ok(RestrictedExpression::new_bool(value)),
            _ => Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        match self.0 {
            Shape::Any | Shape::Text => Ok(RestrictedExpression::new_string(value.to_owned())),
            _ => Err(E::invalid_type(serde::de::Unexpected::Other("a text"), &self)),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        match self.0 {
            Shape::Any | Shape::Long => Ok(RestrictedExpression::new_long(value)),
            Shape::Decimal => Ok(decimal(&format!("{value}.0"))),
            _ => Err(E::invalid_type(serde::de::Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => match self.0 {
                Shape::Any | Shape::Long | Shape::Decimal => Ok(opaque(&value.to_string())),
                _ => Err(E::invalid_type(serde::de::Unexpected::Unsigned(value), &self)),
            },
        }
    }

    /// A float counts as the number that every reader of 64-bit floats sees, so that `5.0`, `5e0` and `5` are one.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        let whole = value.fract() == 0.0;
        #[expect(clippy::cast_possible_truncation, reason = "whole and inside the range of i64")]
        if whole && value.abs() < 9.0e18 {
            return self.visit_i64(value as i64);
        }
        match self.0 {
            Shape::Any | Shape::Decimal => {
                Ok(if whole { opaque(&value.to_string()) } else { decimal(&value.to_string()) })
            }
            Shape::Long if whole => Ok(opaque(&value.to_string())),
            _ => Err(E::invalid_type(serde::de::Unexpected::Float(value), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let inner = match self.0 {
            Shape::Any => &Shape::Any,
            Shape::List(inner) => inner,
            _ => return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self)),
        };
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(Typed(inner))? {
            values.push(value);
        }
        Ok(RestrictedExpression::new_set(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let known = match self.0 {
            Shape::Any => None,
            Shape::Record(known) => Some(known),
            _ => return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self)),
        };
        let mut values = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            let shape = known.and_then(|known| known.get(&name)).map_or(&Shape::Any, |(shape, _)| shape);
            values.push((name, members.next_value_seed(Typed(shape))?));
        }
        RestrictedExpression::new_record(values).map_err(|_| A::Error::custom("a repeated key"))
    }
}

/// A value that Cedar cannot hold.
fn opaque(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(uid(&TYPES.opaque, text))
}

/// A Cedar decimal, when the plain decimal notation fits: at most four places, and 64 bits in all.
fn decimal(text: &str) -> RestrictedExpression {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.trim_start_matches('-').len();
    // 922337203685477.5807 is the greatest.
    let fits = (1..=4).contains(&fraction.len())
        && (digits < 15 || (digits == 15 && whole.trim_start_matches('-') < "922337203685477"));
    if fits { RestrictedExpression::new_decimal(text) } else { opaque(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedar_policy::{Context, EvalResult};
    use proptest::prelude::*;

    fn value(json: &str, shape: Shape) -> Result<String, String> {
        let members = [("x".to_owned(), (shape, false))].into();
        let arguments = read(format!("{{\"x\":{json}}}").as_bytes(), &Shape::Record(members));
        let pair = ("a".to_owned(), arguments.map_err(|e| e.to_string())?);
        let context = Context::from_pairs([pair]).map_err(|e| e.to_string())?;
        match context.get("a") {
            Some(EvalResult::Record(record)) => Ok(record.get("x").unwrap().to_string()),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn every_kind_of_value_has_one_meaning() {
        for (json, natural) in [
            ("true", "true"),
            ("5", "5"),
            ("5.0", "5"),
            ("5e0", "5"),
            ("-0.0", "0"),
            ("5.000000000000000000001", "5"),
            ("1e18", "1000000000000000000"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "Opaque::\"9223372036854775808\""),
            ("0.1", "decimal(\"0.1\")"),
            ("-12.3456", "decimal(\"-12.3456\")"),
            ("0.12345", "Opaque::\"0.12345\""),
            ("null", "Opaque::\"null\""),
            ("\"a\\u0062\"", "\"ab\""),
            ("[1,1,2]", "[1,2]"),
            (
                "{\"__entity\":{\"type\":\"User\",\"id\":\"root\"}}",
                "{\"__entity\":{\"id\":\"root\",\"type\":\"User\"}}",
            ),
        ] {
            let shown = value(json, Shape::Any).unwrap();
            assert_eq!(shown.replace(", ", ",").replace(": ", ":"), natural, "{json}");
        }
        assert_eq!(value("5", Shape::Decimal).unwrap(), "decimal(\"5.0\")");
        assert_eq!(value("9e14", Shape::Decimal).unwrap(), "decimal(\"900000000000000.0\")");
        assert!(value("922337203685478.5", Shape::Decimal).unwrap().starts_with("Opaque"));
        assert!(value("1e300", Shape::Long).unwrap().starts_with("Opaque"));
        assert_eq!(value("null", Shape::Text).unwrap(), "Opaque::\"null\"");
    }

    #[test]
    fn what_the_tools_own_schema_does_not_allow_is_refused() {
        let texts = Shape::List(Box::new(Shape::Text));
        for (json, shape) in [
            ("[\"staff\"]", Shape::Text),
            ("1", Shape::Text),
            ("\"1\"", Shape::Long),
            ("5.5", Shape::Long),
            ("true", Shape::Long),
            ("0", Shape::Bool),
            ("\"a\"", texts.clone()),
            ("[1]", texts),
            ("[]", Shape::Record([].into())),
            ("{\"a\":1,\"a\":2}", Shape::Any),
            ("1e400", Shape::Any),
            ("1 2", Shape::Any),
        ] {
            assert!(value(json, shape).is_err(), "{json}");
        }
        for whole in ["[]", "1", "", "{}{}", "{\"a\":1", "{\"a\":1,\"\\u0061\":2}", "\u{feff}{}"] {
            assert!(read(whole.as_bytes(), &Shape::Record([].into())).is_err(), "{whole}");
        }
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(value(&deep, Shape::Any).is_err());
    }

    proptest! {
        #[test]
        fn a_decimal_that_is_made_is_one_that_cedar_takes(number in any::<f64>().prop_filter("finite", |f| f.is_finite())) {
            prop_assert!(value(&serde_json::to_string(&number).unwrap(), Shape::Decimal).is_ok());
            prop_assert!(value(&serde_json::to_string(&number).unwrap(), Shape::Any).is_ok());
        }

        #[test]
        fn a_whole_number_is_made_of_every_integer(number in any::<i64>()) {
            prop_assert_eq!(value(&number.to_string(), Shape::Long).unwrap(), number.to_string());
            prop_assert!(value(&number.to_string(), Shape::Decimal).is_ok());
        }
    }
}
