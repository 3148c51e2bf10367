//! A call's arguments as they are recorded: secret-shaped values replaced by digests, so that the ledger tells who did
//! what without becoming a store of secrets.
//!
//! The digests are keyed (HMAC-SHA-256) with a key that stays in the ledger's directory: whoever reads the records can
//! see that the same secret was used twice, but cannot find a short one by trying.

use crate::secret_name::is_secret_name;
use crate::secret_shape::find;
use aws_lc_rs::hmac;
use portunus_core::digest::Digest;
use portunus_core::limits::RECORDED_ARGUMENT_BYTES;
use portunus_core::secret::Secret;
use std::borrow::Cow;

/// What a digest in the place of a value starts with.
pub const MARK: &str = "hmac-sha256:";
/// Bytes of a digest that is shown in the place of a value.
const MARK_BYTES: usize = 16;

/// Arguments as they are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// Keyed digest of the exact bytes.
    pub digest: Digest,
    /// The redacted JSON text; `None` when it is longer than [`RECORDED_ARGUMENT_BYTES`] or not JSON.
    pub text: Option<String>,
}

/// Redacts with one ledger's key.
#[derive(Clone)]
pub struct Redactor {
    whole: hmac::Key,
    value: hmac::Key,
}

impl Redactor {
    /// With the key of [`crate::keys::Keys`].
    #[must_use]
    pub fn new(key: &Secret<[u8; 32]>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
        let derived = |purpose: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, purpose).as_ref());
        Self { whole: derived(b"portunus arguments"), value: derived(b"portunus redacted value") }
    }

    /// The arguments of a call, given as the JSON bytes that are forwarded. Linear; ordinary arguments take about a
    /// microsecond.
    #[must_use]
    pub fn arguments(&self, raw: &[u8]) -> Redacted {
        let text = if raw.len() > RECORDED_ARGUMENT_BYTES { None } else { std::str::from_utf8(raw).ok() };
        let text = text.and_then(|text| Walk::new(self, text).run());
        // Digests are longer than what they replace.
        let text = text.filter(|text| text.len() <= RECORDED_ARGUMENT_BYTES);
        Redacted { digest: self.digest(raw), text }
    }

    /// The digest that [`Redactor::arguments`] gives for these bytes, by which a call with known arguments is found.
    #[must_use]
    pub fn digest(&self, raw: &[u8]) -> Digest {
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(hmac::sign(&self.whole, raw).as_ref()) {
            *to = *from;
        }
        Digest(digest)
    }

    /// Plain text, such as a reason, with its secrets replaced.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let bytes = text.as_bytes();
        let (mut out, mut copied) = (String::new(), 0);
        while let Some(range) = find(bytes, copied) {
            // Secrets start and end at ASCII characters, so both cuts are between characters.
            let (Some(before), Some(secret)) = (text.get(copied..range.start), text.get(range.clone()))
            else {
                return Cow::Owned(self.mark(bytes));
            };
            out.push_str(before);
            out.push_str(&self.mark(secret.as_bytes()));
            copied = range.end;
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        Cow::Owned(out)
    }

    fn mark(&self, value: &[u8]) -> String {
        let tag = hmac::sign(&self.value, value);
        let shown = tag.as_ref().get(..MARK_BYTES).unwrap_or_default();
        format!("{MARK}{}", data_encoding::HEXLOWER.encode(shown))
    }
}

/// One pass over a JSON text: strings are looked into, everything else is copied as it is.
struct Walk<'a> {
    redactor: &'a Redactor,
    text: &'a str,
    at: usize,
    out: String,
    copied: usize,
}

impl<'a> Walk<'a> {
    fn new(redactor: &'a Redactor, text: &'a str) -> Self {
        Self { redactor, text, at: 0, out: String::with_capacity(text.len() + 64), copied: 0 }
    }

    /// The redacted text; `None` when the text is not JSON as far as that matters here.
    fn run(mut self) -> Option<String> {
        while let Some(start) = self.next_quote() {
            let quoted = self.string(start)?;
            let colon = self.after_blanks(self.at);
            if self.byte(colon) != Some(b':') {
                self.scrub(start, quoted)?;
                continue;
            }
            if is_secret_name(decoded(quoted)?.as_bytes()) {
                let value = self.after_blanks(colon + 1);
                self.hide_value(value)?;
            } else {
                self.scrub(start, quoted)?;
            }
        }
        self.out.push_str(self.text.get(self.copied..)?);
        Some(self.out)
    }

    /// Replaces the secrets within the string that starts at `start`.
    fn scrub(&mut self, start: usize, quoted: &'a str) -> Option<()> {
        let decoded = decoded(quoted)?;
        match self.redactor.text(&decoded) {
            Cow::Borrowed(_) => Some(()),
            Cow::Owned(scrubbed) => self.replace(start, &serde_json::to_string(&scrubbed).ok()?),
        }
    }

    /// Replaces the whole value that starts at `start`, unless it is empty, `null`, `true` or `false`.
    fn hide_value(&mut self, start: usize) -> Option<()> {
        let mark = match self.byte(start)? {
            b'"' => {
                let quoted = self.string(start)?;
                let decoded = decoded(quoted)?;
                if decoded.is_empty() {
                    return Some(());
                }
                self.redactor.mark(decoded.as_bytes())
            }
            b'{' | b'[' => self.redactor.mark(self.nested(start)?.as_bytes()),
            b'-' | b'0'..=b'9' => self.redactor.mark(self.number(start)?.as_bytes()),
            _ => return Some(()),
        };
        self.replace(start, &format!("\"{mark}\""))
    }

    /// Puts `replacement` in the place of what stands between `start` and the present position.
    fn replace(&mut self, start: usize, replacement: &str) -> Option<()> {
        self.out.push_str(self.text.get(self.copied..start)?);
        self.out.push_str(replacement);
        self.copied = self.at;
        Some(())
    }

    fn next_quote(&self) -> Option<usize> {
        self.text
            .as_bytes()
            .get(self.at..)?
            .iter()
            .position(|byte| *byte == b'"')
            .map(|found| self.at + found)
    }

    /// The string at `start` with its quotes; moves behind it.
    fn string(&mut self, start: usize) -> Option<&'a str> {
        let mut escaped = false;
        let rest = self.text.as_bytes().get(start + 1..)?;
        let length = rest.iter().position(|byte| match (escaped, *byte) {
            (true, _) => {
                escaped = false;
                false
            }
            (false, b'\\') => {
                escaped = true;
                false
            }
            (false, byte) => byte == b'"',
        })?;
        self.at = start + length + 2;
        self.text.get(start..self.at)
    }

    /// The array or object at `start`; moves behind it.
    fn nested(&mut self, start: usize) -> Option<&'a str> {
        let mut depth = 0_usize;
        self.at = start;
        loop {
            match self.byte(self.at)? {
                b'"' => {
                    self.string(self.at)?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return self.text.get(start..self.at);
            }
        }
    }

    /// The number at `start`; moves behind it.
    fn number(&mut self, start: usize) -> Option<&'a str> {
        let rest = self.text.as_bytes().get(start..)?;
        let digits = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        self.at = start + rest.iter().position(|byte| !digits(byte)).unwrap_or(rest.len());
        self.text.get(start..self.at)
    }

    fn after_blanks(&self, start: usize) -> usize {
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        start + rest.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(rest.len())
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }
}

/// What a JSON string with its quotes says.
fn decoded(quoted: &str) -> Option<Cow<'_, str>> {
    if quoted.as_bytes().contains(&b'\\') {
        serde_json::from_str(quoted).ok().map(Cow::Owned)
    } else {
        quoted.get(1..quoted.len() - 1).map(Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn redactor() -> Redactor {
        Redactor::new(&Secret::new([1; 32]))
    }

    fn redacted(raw: &str) -> Value {
        serde_json::from_str(&redactor().arguments(raw.as_bytes()).text.unwrap()).unwrap()
    }

    #[test]
    fn values_under_secret_names_are_replaced_whatever_their_type() {
        let shown = redacted(
            r#" { "user" : "ana", "password" : "hunter2", "pin": -1234, "credentials": {"a": ["}", 1], "b": "\"]"},
                 "token": null, "secret": "", "max_tokens": 100, "pass\u0077ord": "x", "n": {"api_key": "\u0061"} } "#,
        );
        for (pointer, hidden) in [
            ("/user", false),
            ("/password", true),
            ("/pin", true),
            ("/credentials", true),
            ("/token", false),
            ("/secret", false),
            ("/max_tokens", false),
            ("/n/api_key", true),
        ] {
            let value = shown.pointer(pointer).unwrap();
            let marked = value.as_str().is_some_and(|text| text.starts_with(MARK));
            assert_eq!(marked, hidden, "{pointer}: {value}");
        }
        assert!(!shown.to_string().contains("hunter2"));
    }

    #[test]
    fn a_secret_within_sql_is_replaced_and_the_rest_stays() {
        let shown = redacted(
            r#"{"sql":"SELECT *\nFROM \"keys\" WHERE k = 'ghp_16C7e42F292c6912E7710c838347Ae178B4a' LIMIT 3"}"#,
        );
        let sql = shown["sql"].as_str().unwrap();
        assert!(
            sql.starts_with("SELECT *\nFROM \"keys\" WHERE k = 'hmac-sha256:") && sql.ends_with("' LIMIT 3"),
            "{sql}"
        );
        let shown = redacted(r#"{"sql":"ALTER USER ana\nPASSWORD\t'hunter2'"}"#);
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
    }

    #[test]
    fn ordinary_arguments_are_recorded_byte_for_byte() {
        let raw =
            r#"{ "sql" : "SELECT \"id\" FROM orders WHERE total > 1.50e3",	"limit":10, "tags":["a","b"] }"#;
        assert_eq!(redactor().arguments(raw.as_bytes()).text.as_deref(), Some(raw));
    }

    #[test]
    fn the_same_secret_has_the_same_digest_wherever_it_stands_and_another_under_another_key() {
        let secret = "sk-Ab12Cd34Ef56Gh78";
        let raw = json!({"password": secret, "note": format!("use {secret} please")}).to_string();
        let shown = redacted(&raw);
        let mark = shown["password"].as_str().unwrap();
        assert_eq!(shown["note"], format!("use {mark} please"));
        let other = Redactor::new(&Secret::new([2; 32])).arguments(raw.as_bytes());
        assert!(!other.text.unwrap().contains(mark));
        assert_ne!(other.digest, redactor().arguments(raw.as_bytes()).digest);
    }

    #[test]
    fn the_digest_of_arguments_cannot_be_guessed_without_the_key() {
        let raw = br#"{"password":"1234"}"#;
        assert_ne!(redactor().arguments(raw).digest, portunus_core::digest::sha256(&[raw]));
    }

    #[test]
    fn long_or_broken_arguments_are_recorded_by_digest_only() {
        let long = format!("{{\"a\":\"{}\"}}", "b ".repeat(RECORDED_ARGUMENT_BYTES / 2));
        let growing = format!("[{}]", vec!["{\"pin\":1}"; 800].join(","));
        for raw in [
            long.as_bytes(),
            growing.as_bytes(),
            b"{\"a",
            b"{\"a\\",
            b"{\"token\":",
            b"{\"token\":[",
            b"\xff",
            b"{\"a\":\"\\ud800\"}",
            b"{\"token\":]",
            b"{\"token\":[}}",
        ] {
            let shown = redactor().arguments(raw);
            assert!(
                shown.text.is_none_or(|text| !text.contains("token\":[")),
                "{}",
                String::from_utf8_lossy(raw)
            );
        }
    }

    fn tree() -> impl Strategy<Value = Value> {
        let text =
            prop_oneof![".*", "[a-z =:'\"\\\\]{0,20}", "(password|sk-|://|--token|-----BEGIN )[ -~]{0,30}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.clone().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            let name = prop_oneof![text.clone(), Just("token".to_owned()), Just("q".to_owned())];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn redacted_json_is_still_json(value in tree(), pretty in any::<bool>()) {
            let raw = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            if let Some(text) = redactor().arguments(raw.unwrap().as_bytes()).text {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            }
        }

        #[test]
        fn a_planted_token_never_survives(
            before in "[ -~]{0,40}[ ,;('\n]", secret in "ghp_[A-Za-z0-9]{35}1", after in "([ ,;)'\n][ -~]{0,40})?",
        ) {
            let raw = json!({"a": [format!("{before}{secret}{after}")]}).to_string();
            let text = redactor().arguments(raw.as_bytes()).text.unwrap();
            prop_assert!(!text.contains(&secret[..12]), "{}", text);
        }

        #[test]
        fn any_bytes_are_taken_without_harm(raw in prop::collection::vec(any::<u8>(), 0..200)) {
            let first = redactor().arguments(&raw);
            prop_assert_eq!(first, redactor().arguments(&raw));
        }
    }
}
