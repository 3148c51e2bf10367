//! Whether arguments fit a tool's input schema (JSON Schema). Nothing outside the schema is looked up; what it can cost to
//! check is known before, and its patterns are matched within bounds.

mod cost;

use cost::Cost;
use jsonschema::{PatternOptions, Validator};
use portunus_core::limits;
use serde_json::Value;

/// Steps back that one pattern may take over one text; further ones refuse.
const BACKTRACKS: usize = 10_000;

/// A tool's input schema, compiled.
#[derive(Debug)]
pub(crate) enum Fit {
    /// It has none, or none that is known.
    Anything,
    Schema(Box<Validator>, Cost),
    /// It cannot be used, for this reason: no arguments fit.
    Nothing(String),
}

impl Fit {
    pub(crate) fn of_schema(schema: Option<&str>) -> Self {
        let Some(schema) = schema else { return Self::Anything };
        if schema.len() > limits::INPUT_SCHEMA_BYTES {
            return Self::Nothing(format!("it is longer than {} bytes", limits::INPUT_SCHEMA_BYTES));
        }
        let value = match serde_json::from_str::<Value>(schema) {
            Ok(value) => value,
            Err(error) => return Self::Nothing(error.to_string()),
        };
        let Some(cost) = Cost::of(&value) else {
            return Self::Nothing("it unfolds into too many parts".to_owned());
        };
        // Look-around, which libraries write for e-mail addresses, takes steps back: only so many.
        let patterns = PatternOptions::fancy_regex().backtrack_limit(BACKTRACKS);
        match jsonschema::options().with_pattern_options(patterns).build(&value) {
            Ok(validator) => Self::Schema(Box::new(validator), cost),
            Err(error) => Self::Nothing(short(&error.to_string())),
        }
    }

    /// Why the schema cannot be used.
    pub(crate) fn problem(&self) -> Option<&str> {
        match self {
            Self::Nothing(why) => Some(why),
            Self::Anything | Self::Schema(..) => None,
        }
    }

    /// Whether the raw arguments fit.
    ///
    /// # Errors
    /// What is wrong, without any of the arguments' values.
    pub(crate) fn check(&self, arguments: Option<&[u8]>) -> Result<(), String> {
        let (validator, cost) = match self {
            Self::Anything => return Ok(()),
            Self::Nothing(why) => return Err(format!("The tool's input schema cannot be used: {why}.")),
            Self::Schema(validator, cost) => (validator, cost),
        };
        let arguments = arguments.unwrap_or(b"{}");
        if cost.depth.is_some_and(|most| cost::depth(arguments) > most) {
            return Err(format!("{} They are nested too deeply.", crate::decision::ARGUMENTS_REASON));
        }
        let value: Value =
            serde_json::from_slice(arguments).map_err(|_| crate::decision::ARGUMENTS_REASON.to_owned())?;
        let Err(error) = validator.validate(&value) else { return Ok(()) };
        let place = error.instance_path().to_string();
        let place =
            if place.is_empty() { "the arguments".to_owned() } else { format!("`{}`", short(&place)) };
        let what = short(&error.masked().to_string());
        Err(format!("{} At {place}: {what}.", crate::decision::ARGUMENTS_REASON))
    }
}

/// The beginning of a text that others have written, on one line.
fn short(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    plain.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &str, arguments: &str) -> Result<(), String> {
        Fit::of_schema(Some(schema)).check(Some(arguments.as_bytes()))
    }

    #[test]
    fn arguments_must_fit_the_schema_and_errors_hold_no_values() {
        let schema = r##"{"type":"object","required":["sql"],"additionalProperties":false,
            "properties":{"sql":{"type":"string","maxLength":20},"limit":{"$ref":"#/$defs/count"}},
            "$defs":{"count":{"type":"integer","minimum":1,"maximum":100}}}"##;
        assert_eq!(check(schema, r#"{"sql":"SELECT 1","limit":100}"#), Ok(()));
        for (arguments, words) in [
            ("{}", "sql"),
            (r#"{"sql":5}"#, "/sql"),
            (r#"{"sql":"hunter2-hunter2-hunter2"}"#, "/sql"),
            (r#"{"sql":"x","limit":0}"#, "/limit"),
            (r#"{"sql":"x","limit":101}"#, "/limit"),
            (r#"{"sql":"x","extra":1}"#, "the arguments"),
            ("[]", "the arguments"),
        ] {
            let why = check(schema, arguments).unwrap_err();
            assert!(why.contains(words) && !why.contains("hunter2"), "{arguments}: {why}");
        }
        assert!(Fit::of_schema(Some(schema)).check(None).is_err());
    }

    #[test]
    fn a_schema_that_refers_elsewhere_or_makes_no_sense_fits_nothing() {
        for schema in [
            r#"{"$ref":"http://127.0.0.1:1/schema.json"}"#,
            r#"{"$ref":"https://example.com/schema.json"}"#,
            r#"{"$ref":"file:///etc/passwd"}"#,
            r#"{"type":"nonsense"}"#,
            r#"{"type":"object","properties":{"a":{"pattern":"("}}}"#,
            "{",
        ] {
            let fit = Fit::of_schema(Some(schema));
            assert!(fit.problem().is_some() && fit.check(Some(b"{}")).is_err(), "{schema}");
        }
    }

    #[test]
    fn patterns_with_look_around_are_kept_within_bounds() {
        let email = r#"{"type":"object","properties":{"to":{"type":"string","pattern":"^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_.]+)@[a-z.]+$"}}}"#;
        assert_eq!(check(email, r#"{"to":"ana@example.com"}"#), Ok(()));
        assert!(check(email, r#"{"to":".ana@example.com"}"#).is_err());
        let slow =
            r#"{"type":"object","properties":{"a":{"type":"string","pattern":"^(?=(a+)+$)(a|aa)+b"}}}"#;
        assert!(check(slow, &format!(r#"{{"a":"{}c"}}"#, "a".repeat(5_000))).is_err());
    }

    #[test]
    fn a_pattern_that_backtracks_elsewhere_takes_no_time_here() {
        let schema = r#"{"type":"object","properties":{"a":{"type":"string","pattern":"^(a+)+$"}}}"#;
        let arguments = format!(r#"{{"a":"{}b"}}"#, "a".repeat(50_000));
        assert!(check(schema, &arguments).is_err());
    }
}
