//! What in a text is a secret. A name that announces one counts for what it names; a shape that only secrets have counts
//! anywhere. Both are the ledger's own recognisers, so that what is found is what would be redacted.

use crate::{reference, url};
use portunus_core::limits::DISCOVER_FOUND;
use portunus_ledger::secret_name::is_secret_name;
use portunus_ledger::secret_shape;
use serde::Serialize;
use std::ops::Range;

/// A secret in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// Its bytes.
    pub range: Range<usize>,
    /// How it is known to be one.
    pub why: Why,
}

/// How a secret was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// By the name of its member, variable, header or flag.
    Name,
    /// By its shape.
    Shape,
    /// As the password of a URL.
    UserInfo,
    /// As a parameter of a URL.
    Query,
    /// As everything in a store of secrets.
    Stored,
}

impl Why {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Shape => "shape",
            Self::UserInfo => "user info",
            Self::Query => "query",
            Self::Stored => "stored",
        }
    }
}

/// How much it takes to call something a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Where secrets are given to servers: names that often hold one count, and randomness alone does.
    Loose,
    /// Elsewhere, where identifiers and caches look random too: only what a maker's start or a plain name announces.
    Strict,
}

/// Secrets in one text.
const SPOTS: usize = DISCOVER_FOUND;
/// Schemes before a secret in a header.
const SCHEMES: [&str; 8] = ["bearer ", "basic ", "token ", "apikey ", "api-key ", "bot ", "key ", "digest "];
/// Last words of names that are about a secret, or about where it is, and are none.
const ABOUT: [&str; 24] = [
    "file",
    "path",
    "dir",
    "directory",
    "command",
    "cmd",
    "helper",
    "var",
    "env",
    "header",
    "prefix",
    "format",
    "mode",
    "enabled",
    "required",
    "provider",
    "host",
    "port",
    "store",
    "manager",
    "description",
    "label",
    "title",
    "placeholder",
];
/// Words with which a name may hold a secret, or something harmless.
const MAYBE: [&str; 7] = ["key", "pat", "dsn", "sas", "creds", "webhook", "license"];
/// Names of the ledger's recogniser that hold a secret only when the value looks like one.
const WEAK: [&str; 8] =
    ["auth", "authorization", "pin", "signature", "cookie", "cookies", "credentials", "pass"];
/// Values that name a way or a state, and nothing to sign in with.
const WORDS: [&str; 24] = [
    "null",
    "none",
    "nil",
    "true",
    "false",
    "undefined",
    "oauth",
    "oauth2",
    "bearer",
    "basic",
    "token",
    "required",
    "optional",
    "enabled",
    "disabled",
    "dynamic",
    "auto",
    "default",
    "string",
    "google_credentials",
    "keyring",
    "file",
    "env",
    "prompt",
];

/// How sure a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strength {
    Sure,
    Maybe,
}

/// The secrets in a value of this name; empty: it has none. In order, none in another.
#[must_use]
pub fn value(name: &str, text: &str, care: Care) -> Vec<Spot> {
    let mut spots = Vec::new();
    spots.extend(by_name(name, text, care).map(|range| Spot { range, why: Why::Name }));
    inside(text, care, &mut spots);
    spots.sort_by_key(|spot| spot.range.start);
    spots
}

/// Whether a number or word of this name is a secret: a PIN, a password in digits.
#[must_use]
pub fn is_secret_word(name: &str, word: &str) -> bool {
    strength(name) == Some(Strength::Sure)
        && word.len() >= 4
        && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// The bytes of the value behind a scheme such as `Bearer`, without blanks around.
#[must_use]
pub fn behind_scheme(text: &str) -> Range<usize> {
    let trimmed = text.trim_start();
    let scheme = SCHEMES
        .iter()
        .find(|scheme| trimmed.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let rest = trimmed.get(scheme.map_or(0, |scheme| scheme.len())..).unwrap_or_default().trim_start();
    let start = text.len() - rest.len();
    start..start + rest.trim_end().len()
}

fn by_name(name: &str, text: &str, care: Care) -> Option<Range<usize>> {
    let strength = strength(name)?;
    let range = behind_scheme(text);
    let secret = text.get(range.clone())?;
    if reference::is_hollow(secret)
        || WORDS.iter().any(|word| secret.eq_ignore_ascii_case(word))
        || url::is_url(secret)
    {
        return None;
    }
    // With a reference in it, what is left must be something by itself.
    let left = reference::rest(secret);
    let whole = left.len() == secret.len();
    let likely = is_likely(&left);
    let counts = match (care, strength) {
        (Care::Loose, Strength::Sure) => whole || likely,
        (Care::Loose, Strength::Maybe) => likely && !is_path(secret),
        (Care::Strict, Strength::Sure) => whole && secret.len() >= 6 && !secret.contains(char::is_whitespace),
        (Care::Strict, Strength::Maybe) => false,
    };
    if !counts {
        return None;
    }
    if whole {
        return Some(range);
    }
    default_in(text, &range)
}

/// The default of `${NAME:-default}` when that is all there is, else the whole.
fn default_in(text: &str, range: &Range<usize>) -> Option<Range<usize>> {
    let secret = text.get(range.clone())?;
    let references = reference::find(secret);
    match references.as_slice() {
        [one] if one.start == 0 && secret.ends_with('}') => Some(range.start + one.end..range.end - 1),
        _ => Some(range.clone()),
    }
}

fn strength(name: &str) -> Option<Strength> {
    let last = last_word(name);
    if ABOUT.contains(&last.as_str()) {
        return None;
    }
    if is_secret_name(name.as_bytes()) {
        // `Authorization` alone is sure, since what stands behind its scheme is judged.
        let weak = WEAK.contains(&last.as_str()) && !name.eq_ignore_ascii_case("authorization");
        return Some(if weak { Strength::Maybe } else { Strength::Sure });
    }
    let maybe = MAYBE.contains(&last.as_str()) || last.ends_with("key") || last.ends_with("token");
    maybe.then_some(Strength::Maybe)
}

/// The last word of a name in any spelling, in small letters, without digits.
fn last_word(name: &str) -> String {
    let name = name.trim_end_matches(|c: char| !c.is_ascii_alphabetic());
    let start = name
        .rfind(|c: char| !c.is_ascii_alphabetic())
        .map_or(0, |at| at + name.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
    let word = name.get(start..).unwrap_or_default();
    let capital = word.bytes().rposition(|byte| byte.is_ascii_uppercase()).unwrap_or(0);
    let camel = word.bytes().any(|byte| byte.is_ascii_lowercase());
    word.get(if camel { capital } else { 0 }..).unwrap_or_default().to_ascii_lowercase()
}

/// Whether a text could be a key: long enough, one word, and with a digit or both cases, or very long.
pub(crate) fn is_likely(text: &str) -> bool {
    let text = text.trim_end_matches('}');
    let has = |wanted: fn(&u8) -> bool| text.bytes().any(|byte| wanted(&byte));
    text.len() >= 8
        && !text.contains(char::is_whitespace)
        && (has(u8::is_ascii_digit)
            || (has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase))
            || text.len() >= 24)
}

fn is_path(text: &str) -> bool {
    let drive = text.get(1..3).is_some_and(|mark| mark == ":\\" || mark == ":/");
    drive || text.starts_with(['/', '~']) || text.starts_with("./") || text.starts_with("../")
}

/// Adds the secrets that a text holds by itself and that are in none of `spots`.
fn inside(text: &str, care: Care, spots: &mut Vec<Spot>) {
    let references = reference::find(text);
    url::spots(text, &references, spots);
    spots.sort_by_key(|spot| spot.range.start);
    let taken: Vec<Range<usize>> = spots.iter().map(|spot| spot.range.clone()).collect();
    let mut at = 0;
    while spots.len() < SPOTS
        && let Some(range) = secret_shape::find(text.as_bytes(), at)
    {
        at = range.end.max(at + 1);
        let range = inward(text, range);
        let Some(found) = text.get(range.clone()) else { continue };
        let known = secret_shape::has_known_start(found.as_bytes()) || found.starts_with("-----BEGIN");
        let announced = is_announced(text, range.start);
        let counts = known || announced || care == Care::Loose;
        // A command that a shell would run may hold one in plain text: `$(curl -H 'Authorization: …')`.
        let hollow = reference::is_hollow(found) || (!known && reference::covers(&references, &range));
        if counts && !hollow && !is_digest(text, &range) && !reference::covers(&taken, &range) {
            spots.push(Spot { range, why: Why::Shape });
        }
    }
}

/// The range on character borders.
fn inward(text: &str, range: Range<usize>) -> Range<usize> {
    let end = (range.start..=range.end.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let start = (range.start..=range.end).find(|at| text.is_char_boundary(*at));
    start.unwrap_or(range.start)..end.unwrap_or(range.start)
}

/// Whether a name with `=` or `:`, a scheme or a URL's `user:` stands right before.
fn is_announced(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default().trim_end_matches([' ', '"', '\'', '`', '\\']);
    let lower = before.get(before.len().saturating_sub(8)..).unwrap_or_default().to_ascii_lowercase();
    before.ends_with(['=', ':']) || lower.ends_with("bearer") || lower.ends_with("basic")
}

/// Whether it is the digest that an image, a commit or a file is pinned to.
fn is_digest(text: &str, range: &Range<usize>) -> bool {
    let before = text.get(..range.start).unwrap_or_default();
    let found = text.get(range.clone()).unwrap_or_default();
    let hexadecimal = found.bytes().all(|byte| byte.is_ascii_hexdigit());
    let marks = ["sha256:", "sha512:", "sha1:", "sha256-", "sha384-", "sha512-"];
    marks.iter().any(|mark| before.ends_with(mark) || found.starts_with(mark))
        || (hexadecimal && matches!(found.len(), 40 | 64) && before.ends_with(['@', '#']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(name: &str, text: &'a str, care: Care) -> Vec<&'a str> {
        value(name, text, care).into_iter().map(|spot| text.get(spot.range).unwrap()).collect()
    }

    #[test]
    fn a_name_makes_a_secret_of_any_value_that_is_one() {
        for (name, text, secret) in [
            ("GITHUB_TOKEN", "hunter2", "hunter2"),
            ("DB_PASSWORD", "changeme", "changeme"),
            ("Authorization", "Bearer abc", "abc"),
            ("authorization", "token a1b2", "a1b2"),
            ("X-Api-Key", "k-1234-5678", "k-1234-5678"),
            ("STRIPE_KEY", "abcd1234efgh", "abcd1234efgh"),
            ("apiKey", " x y ", "x y"),
            ("API_KEY", "${API_KEY:-fallback-77}", "fallback-77"),
            ("VAULT_SECRET_ID", "s", "s"),
        ] {
            assert_eq!(found(name, text, Care::Loose), [secret], "{name}={text}");
        }
    }

    #[test]
    fn a_secret_within_a_command_that_a_shell_would_run_is_none_the_less_plain() {
        let secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
        for text in [format!("$(curl -H 'Authorization: Bearer {secret}' x)"), format!("$(\"{secret};)")] {
            assert_eq!(found("TOKEN", &text, Care::Loose), [secret], "{text}");
            assert_eq!(found("x", &text, Care::Strict), [secret], "{text}");
        }
    }

    #[test]
    fn what_is_about_secrets_or_stands_for_one_is_none() {
        for (name, text) in [
            ("GITHUB_TOKEN", "${GITHUB_TOKEN}"),
            ("Authorization", "Bearer ${input:token}"),
            ("Authorization", "Bearer <your token>"),
            ("TOKEN_FILE", "/run/secrets/token"),
            ("apiKeyHelper", "/usr/local/bin/key.sh"),
            ("bearer_token_env_var", "GITHUB_TOKEN"),
            ("AUTH", "oauth"),
            ("PRIVATE_KEY_PATH", "/home/a/.ssh/id_ed25519"),
            ("KEY", "/home/ana/a1b2c3/key.pem"),
            ("API_URL", "https://api.example.com/v1"),
            ("TOKEN_URL", "https://id.example.com/oauth/token"),
            ("IMAGE", "ghcr.io/x/y@sha256:3f786850e387550fdab836ed7e6dc881de23001b9f2c1d2e3f4a5b6c7d8e9f00"),
            ("PACKAGE", "git+https://github.com/a/b@3f786850e387550fdab836ed7e6dc881de23001b"),
            ("SORT_KEY", "created"),
        ] {
            assert!(
                found(name, text, Care::Loose).is_empty(),
                "{name}={text}: {:?}",
                found(name, text, Care::Loose)
            );
        }
    }

    #[test]
    fn outside_of_servers_only_clear_cases_count() {
        assert_eq!(found("x", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", Care::Strict).len(), 1);
        assert_eq!(found("x.token", "abcdef", Care::Strict), ["abcdef"]);
        assert!(found("userID", "3f786850e387550fdab836ed7e6dc881de23001b", Care::Strict).is_empty());
        assert!(found("title", "the token is here", Care::Strict).is_empty());
        assert!(found("editor.token", "a b", Care::Strict).is_empty());
    }
}
