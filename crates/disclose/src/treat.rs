//! What stands in the place of a value. Nothing of it is found again by a later screening: no digits, no `@`, no token.

use crate::class::{BUILT_IN, Treatment};
use crate::find::{CARD, EMAIL, IBAN, PHONE, SECRET};
use aws_lc_rs::hmac;
use portunus_core::secret::Secret;

/// Letters of a token (80 bits) and of a hash (96 bits), four bits each.
const TOKEN_LETTERS: usize = 20;
const HASH_LETTERS: usize = 24;

/// The keys of tokens and hashes.
pub(crate) struct Keys {
    token: hmac::Key,
    hash: hmac::Key,
}

impl Keys {
    pub(crate) fn new(key: &Secret<[u8; 32]>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
        let derived = |purpose: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, purpose).as_ref());
        Self { token: derived(b"portunus disclose token"), hash: derived(b"portunus disclose hash") }
    }
}

/// What replaces a value, given as it was read. `name` is its class's.
pub(crate) fn replacement(
    treatment: Treatment,
    class: usize,
    name: &str,
    value: &str,
    keys: Option<&Keys>,
) -> String {
    let mask = || format!("[{name}]");
    match (treatment, keys) {
        (Treatment::Drop, _) => String::new(),
        (Treatment::Partial, _) => partial(class, value).unwrap_or_else(mask),
        (Treatment::Hash, Some(keys)) => {
            format!("[{name}:{}]", digest(&keys.hash, class, name, value, HASH_LETTERS))
        }
        (Treatment::Token, Some(keys)) => {
            format!("{name}_{}", digest(&keys.token, class, name, value, TOKEN_LETTERS))
        }
        // Without a key there is nothing to compare by.
        (Treatment::Mask | Treatment::Hash | Treatment::Token, _) => mask(),
    }
}

/// Whether a text is what stands in the place of a value of a built-in class.
pub(crate) fn is_replacement(text: &[u8]) -> bool {
    let letters = |rest: &[u8], count: usize| rest.len() == count && rest.iter().all(u8::is_ascii_lowercase);
    let inside = text.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    BUILT_IN.iter().map(|class| class.name().as_bytes()).any(|name| match inside {
        Some(inside) => match inside.strip_prefix(name) {
            Some([]) => true,
            Some([b':', rest @ ..]) => letters(rest, HASH_LETTERS),
            _ => false,
        },
        None => matches!(text.strip_prefix(name), Some([b'_', rest @ ..]) if letters(rest, TOKEN_LETTERS)),
    })
}

fn partial(class: usize, value: &str) -> Option<String> {
    match class {
        EMAIL => value.rsplit_once('@').map(|(_, domain)| format!("***@{domain}")),
        PHONE | IBAN | CARD => {
            let signs: Vec<char> = value.chars().filter(char::is_ascii_alphanumeric).collect();
            let last = signs.last_chunk::<4>()?;
            Some(format!("***{}", last.iter().collect::<String>()))
        }
        _ => None,
    }
}

fn digest(key: &hmac::Key, class: usize, name: &str, value: &str, letters: usize) -> String {
    const ALPHABET: &[u8; 16] = b"abcdefghjkmnpqrs";
    let mut context = hmac::Context::with_key(key);
    context.update(name.as_bytes());
    context.update(&[0]);
    context.update(canonical(class, value).as_bytes());
    let tag = context.sign();
    let nibbles = tag.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles
        .take(letters)
        .filter_map(|nibble| ALPHABET.get(usize::from(nibble)))
        .map(|letter| char::from(*letter))
        .collect()
}

/// One form for all spellings of a value.
fn canonical(class: usize, value: &str) -> String {
    match class {
        EMAIL => value.to_lowercase(),
        PHONE => {
            let digits: String = value.chars().filter(char::is_ascii_digit).collect();
            let international =
                value.contains('+').then_some(digits.as_str()).or_else(|| digits.strip_prefix("00"));
            // `+49 (0)30` and `+49 30` are one number.
            let trunk = value.contains("(0)");
            international.map_or(digits.clone(), |number| {
                let number = if trunk { number.replacen('0', "", 1) } else { number.to_owned() };
                format!("+{number}")
            })
        }
        SECRET => value.to_owned(),
        class if class < BUILT_IN.len() => {
            value.chars().filter(char::is_ascii_alphanumeric).map(|sign| sign.to_ascii_uppercase()).collect()
        }
        _ => value.to_owned(),
    }
}
