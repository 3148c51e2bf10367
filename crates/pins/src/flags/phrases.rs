//! What a text tells the model to do, instead of saying what the tool does.

mod table;

use super::{Found, Severity};
use crate::text::Plain;
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use std::sync::LazyLock;
use table::PHRASES;

/// One string of a definition.
pub(super) struct Text<'a> {
    pub(super) place: &'a str,
    pub(super) original: &'a str,
    pub(super) plain: &'a Plain,
    /// It is an address by its nature, so that one in it says nothing.
    pub(super) is_address: bool,
}

/// Addresses that say nothing.
const HARMLESS: &str = r"^https?://([a-z0-9-]+\.)*(example\.(com|org|net)|example|localhost|127\.0\.0\.1|0\.0\.0\.0|192\.168\.[0-9.]+|10\.[0-9.]+|json-schema\.org|schema\.org|www\.w3\.org|tools\.ietf\.org|www\.rfc-editor\.org)([:/?#]|$)";
const ADDRESS: &str = r"\bhttps?://[a-z0-9._~-]+(:[0-9]+)?[^ )>\x22'`]*";
const STEERING: &str = r"\b(instead of|rather than|in place of|before|after|when|whenever|must|always|never|do not|don'?t|replaces?|overrides?|ignore|prefer|deprecated|disabled|broken|unsafe|no longer|change|modify|redirect|bcc|requires?)\b";

static RULES: LazyLock<Rules> = LazyLock::new(Rules::new);

/// The phrases, compiled. A pattern that does not compile is missing, which a test sees.
struct Rules {
    any: Option<RegexSet>,
    each: Vec<Option<Regex>>,
    harmless: Option<Regex>,
    address: Option<Regex>,
    steering: Option<Regex>,
}

impl Rules {
    fn new() -> Self {
        let one = |pattern: &str| {
            RegexBuilder::new(pattern)
                .unicode(false)
                .dot_matches_new_line(true)
                .size_limit(16 << 20)
                .build()
                .ok()
        };
        let set = RegexSetBuilder::new(PHRASES.iter().map(|phrase| phrase.pattern))
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(64 << 20)
            .build();
        Self {
            any: set.ok(),
            each: PHRASES.iter().map(|phrase| one(phrase.pattern)).collect(),
            harmless: one(HARMLESS),
            address: one(ADDRESS),
            steering: one(STEERING),
        }
    }
}

/// Whether words tell to use something, or not to.
pub(super) fn steers(plain: &[u8]) -> bool {
    RULES.steering.as_ref().is_none_or(|steering| steering.is_match(plain))
}

pub(super) fn check(found: &mut Found, text: &Text<'_>) {
    let plain = &text.plain.text;
    let matched = RULES.any.as_ref().map(|any| any.matches(plain));
    for index in matched.iter().flatten() {
        let (Some(phrase), Some(Some(pattern))) = (PHRASES.get(index), RULES.each.get(index)) else {
            continue;
        };
        // Without a place there is still the flag.
        let place = pattern.find(plain).map_or(0..plain.len(), |at| at.range());
        let excerpt = text.plain.excerpt(text.original, place.start, place.end);
        if text.is_address && phrase.code == "collector-address" {
            continue;
        }
        if phrase.pattern.contains("{3}[0-9]{1,3}") && all_harmless(plain) {
            continue;
        }
        found.push(phrase.code, phrase.severity, text.place, phrase.what, excerpt);
    }
    if !text.is_address {
        check_addresses(found, text);
    }
}

fn is_harmless(address: &[u8]) -> bool {
    RULES.harmless.as_ref().is_some_and(|harmless| harmless.is_match(address))
}

fn all_harmless(plain: &[u8]) -> bool {
    let addresses = RULES.address.as_ref();
    addresses.is_some_and(|address| address.find_iter(plain).all(|found| is_harmless(found.as_bytes())))
}

fn check_addresses(found: &mut Found, text: &Text<'_>) {
    let Some(address) = &RULES.address else { return };
    let foreign = address.find_iter(&text.plain.text).find(|address| !is_harmless(address.as_bytes()));
    if let Some(address) = foreign {
        let excerpt = text.plain.excerpt(text.original, address.start(), address.end());
        found.push("address", Severity::Notable, text.place, "an address on the web", excerpt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_compiles() {
        let rules = Rules::new();
        assert!(
            rules.any.is_some()
                && rules.harmless.is_some()
                && rules.address.is_some()
                && rules.steering.is_some()
        );
        for (phrase, pattern) in PHRASES.iter().zip(&rules.each) {
            assert!(pattern.is_some(), "{}", phrase.pattern);
        }
    }

    fn strings(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::String(text) => found.push(text.clone()),
            serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
            serde_json::Value::Object(members) => members.values().for_each(|member| strings(member, found)),
            _ => {}
        }
    }

    #[test]
    fn every_phrase_has_an_attack() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/definitions/hostile.json");
        let mut texts = Vec::new();
        strings(&serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap(), &mut texts);
        let texts: Vec<_> = texts.iter().map(|text| Plain::of(text).text).collect();
        for (phrase, pattern) in PHRASES.iter().zip(&Rules::new().each) {
            let pattern = pattern.as_ref().unwrap();
            assert!(texts.iter().any(|text| pattern.is_match(text)), "{}", phrase.pattern);
        }
    }
}
