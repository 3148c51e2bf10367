//! What stands before a value and says what it is: the name of its member, or a word.

use super::before;
use crate::treat::is_replacement;
use std::cell::OnceCell;

/// The text that is searched, and the name of the member that it is the value of.
pub(super) struct Context<'a> {
    text: &'a str,
    key: Option<&'a str>,
    /// Whether the key says telephone number, card, national id; known once somebody asked.
    key_says: [OnceCell<bool>; 3],
}

/// Bytes before a value that are looked at for words.
const LABEL_BYTES: usize = 40;

const PHONE: [&str; 14] = [
    "phone",
    "tel",
    "mobile",
    "mobil",
    "cell",
    "fax",
    "msisdn",
    "whatsapp",
    "telefon",
    "handy",
    "telephone",
    "movil",
    "telefono",
    "rufnummer",
];
const CARD: [&str; 9] =
    ["card", "pan", "visa", "mastercard", "maestro", "amex", "kreditkarte", "creditcard", "debitcard"];
const NATIONAL: [&str; 22] = [
    "ssn",
    "sin",
    "bsn",
    "burgerservicenummer",
    "nino",
    "pesel",
    "steuerid",
    "idnr",
    "taxid",
    "personnummer",
    "cpr",
    "cpf",
    "aadhaar",
    "nationalid",
    "socialsecurity",
    "dni",
    "nie",
    "nir",
    "fodselsnummer",
    "hetu",
    "ahv",
    "identifikationsnummer",
];
/// Words that only together say what a value is.
const NATIONAL_PAIRS: [(&str, &str); 9] = [
    ("tax", "id"),
    ("tax", "number"),
    ("tax", "no"),
    ("national", "id"),
    ("national", "number"),
    ("social", "security"),
    ("national", "insurance"),
    ("identity", "number"),
    ("steuer", "id"),
];
/// Words in a member's name that make something else of the value: `card_id`, `phone_count`, `last_fax_at`.
const OTHERWISE: [&str; 12] =
    ["id", "count", "date", "time", "at", "total", "amount", "price", "hash", "year", "duration", "index"];

impl<'a> Context<'a> {
    pub(super) fn new(text: &'a str, key: Option<&'a str>) -> Self {
        Self { text, key, key_says: Default::default() }
    }

    pub(super) fn says_phone(&self, at: usize) -> bool {
        let [known, ..] = &self.key_says;
        self.says(at, |words| has_word(words, &PHONE), known, true)
    }

    pub(super) fn says_card(&self, at: usize) -> bool {
        let [_, known, _] = &self.key_says;
        self.says(at, |words| has_word(words, &CARD), known, true)
    }

    pub(super) fn says_national_id(&self, at: usize) -> bool {
        let [.., known] = &self.key_says;
        let pair = |words: &[u8]| {
            NATIONAL_PAIRS
                .iter()
                .any(|(first, second)| has_word(words, &[first]) && has_word(words, &[second]))
        };
        self.says(at, |words| has_word(words, &NATIONAL) || pair(words), known, false)
    }

    /// Whether the member's name says so (unless something stands there in the place of a value), or the last words before `at` in its line do.
    fn says(&self, at: usize, say: impl Fn(&[u8]) -> bool, known: &OnceCell<bool>, otherwise: bool) -> bool {
        let key_says = || {
            let Some(key) = self.key.map(str::as_bytes) else { return false };
            let stands_for_another = key.starts_with(b"[") || is_replacement(key);
            say(key) && !stands_for_another && !(otherwise && has_word(key, &OTHERWISE))
        };
        if *known.get_or_init(key_says) {
            return true;
        }
        let label = self.text.as_bytes().get(at.saturating_sub(LABEL_BYTES)..at).unwrap_or_default();
        // Not what stands in the place of another value.
        let line = label.rsplit(|byte| matches!(byte, b'\n' | b';' | b',' | b']')).next().unwrap_or_default();
        // Three words back.
        let mut start = line.len();
        for _ in 0..3 {
            let part = line.get(..start).unwrap_or_default();
            let end = part.iter().rposition(u8::is_ascii_alphabetic).map_or(0, |last| last + 1);
            let part = part.get(..end).unwrap_or_default();
            let is_word = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
            let word = part.iter().rposition(|byte| !is_word(byte)).map_or(0, |last| last + 1);
            if is_replacement(part.get(word..).unwrap_or_default()) {
                break;
            }
            start = word;
        }
        say(line.get(start..).unwrap_or_default())
    }
}

/// Whether a name such as `home_phone`, `phoneNumber`, `SSN`, `tax-id` has one of the words.
fn has_word(key: &[u8], words: &[&str]) -> bool {
    let mut start = 0;
    while start < key.len() {
        let rest = key.get(start..).unwrap_or_default();
        let first = rest.first().copied().unwrap_or_default();
        if !first.is_ascii_alphabetic() {
            start += 1;
            continue;
        }
        let upper = rest.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        let lower = rest.iter().skip(upper).take_while(|byte| byte.is_ascii_lowercase()).count();
        // `phoneNumber` is two words, `SSN` is one, `Phone` is one.
        let length = (upper + lower).max(1);
        let word = rest.get(..length).unwrap_or_default();
        // A plural is the same word.
        let singular = word.strip_suffix(b"s").unwrap_or(word);
        let known = |known: &&str| {
            known.as_bytes().eq_ignore_ascii_case(word) || known.as_bytes().eq_ignore_ascii_case(singular)
        };
        if words.iter().any(known) {
            return true;
        }
        start += length;
    }
    false
}

/// How the names of members end whose values are secrets.
const SECRET_ENDS: [&str; 22] = [
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "pwd",
    "secret",
    "secretkey",
    "apikey",
    "privatekey",
    "accesskey",
    "signingkey",
    "encryptionkey",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "authtoken",
    "apitoken",
    "sessiontoken",
    "bearertoken",
    "secretaccesskey",
    "clientsecret",
    "connectionstring",
];

/// Whether the value of a member of this name is a secret whatever it looks like.
pub(crate) fn is_secret_key(key: &str) -> bool {
    if !key.as_bytes().last().is_some_and(|last| ends_secret_key(*last)) {
        return false;
    }
    let letters = || key.bytes().rev().filter(|byte| !matches!(byte, b'_' | b'-' | b' ' | b'.'));
    let two = letters().nth(1).unwrap_or_default().to_ascii_lowercase();
    // Most keys are told apart by two letters.
    matches!(two, b'r' | b'w' | b's' | b'e' | b'n')
        && SECRET_ENDS.iter().any(|end| {
            let mut name = letters();
            end.bytes().rev().all(|wanted| name.next().is_some_and(|byte| byte.eq_ignore_ascii_case(&wanted)))
        })
}

/// Whether one of [`SECRET_ENDS`] ends like this.
pub(super) const fn ends_secret_key(last: u8) -> bool {
    matches!(last.to_ascii_lowercase(), b'd' | b'e' | b't' | b'y' | b'n' | b'g')
}

/// The word that ends just before `at`.
pub(super) fn word_before(bytes: &[u8], at: usize) -> &[u8] {
    let mut start = at;
    while before(bytes, start).is_ascii_alphabetic() && at - start < 32 {
        start -= 1;
    }
    bytes.get(start..at).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_members_say_what_their_values_are() {
        for key in ["phone", "home_phone", "phoneNumber", "Tel.", "mobile-no", "customerPhones", "FAX"] {
            assert!(has_word(key.as_bytes(), &PHONE), "{key}");
        }
        for key in ["hotel", "telemetry", "cellar", "caller_count", "", "id", "phonetic"] {
            assert!(!has_word(key.as_bytes(), &PHONE), "{key}");
        }
        for key in
            ["password", "db_password", "apiKey", "API-KEY", "clientSecret", "aws_secret_access_key", "Pwd"]
        {
            assert!(is_secret_key(key), "{key}");
        }
        for key in
            ["key", "max_tokens", "token", "primary_key", "passwords_changed", "next_page_token", "secretary"]
        {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn words_before_a_value_say_what_it_is() {
        let says = |text: &str| Context::new(text, None).says_phone(text.len());
        assert!(says("Tel.: ") && says("my mobile number is ") && says("phone="));
        assert!(!says("phone of somebody who was not there ") && !says("phone\n") && !says(""));
    }
}
