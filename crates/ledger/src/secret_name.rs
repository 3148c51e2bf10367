//! Names that announce a secret, in every spelling in use.

use crate::secret_shape::{same, skip, tail};

/// Words that alone make a name the name of a secret.
const WORDS: [&[u8]; 25] = [
    b"password",
    b"passwords",
    b"passwd",
    b"pwd",
    b"passphrase",
    b"passcode",
    b"pass",
    b"secret",
    b"secrets",
    b"token",
    b"apikey",
    b"authorization",
    b"auth",
    b"credential",
    b"credentials",
    b"cookie",
    b"cookies",
    b"bearer",
    b"pin",
    b"otp",
    b"totp",
    b"cvv",
    b"cvc",
    b"jwt",
    b"signature",
];
/// Words that make the word `key` after them a secret.
const KEY_KINDS: [&[u8]; 9] =
    [b"api", b"access", b"private", b"signing", b"encryption", b"auth", b"account", b"master", b"shared"];
/// Ends of words written together: `dbpassword`, `accesstoken`.
const WORD_ENDS: [&[u8]; 7] =
    [b"password", b"passwd", b"passphrase", b"secret", b"token", b"apikey", b"secretkey"];
/// Last words that say the name is about a secret and not one itself: `token_type`.
const ABOUT: [&[u8]; 15] = [
    b"type",
    b"name",
    b"count",
    b"limit",
    b"url",
    b"uri",
    b"endpoint",
    b"method",
    b"policy",
    b"ttl",
    b"expiry",
    b"length",
    b"budget",
    b"usage",
    b"budgets",
];
/// Bytes at the end of a name that are looked at.
const NAME_BYTES: usize = 128;

/// Whether a member or variable of this name holds a secret: `password`, `apiKey`, `X-Auth-Token`, `--db_passwd`.
#[must_use]
pub fn is_secret_name(name: &[u8]) -> bool {
    let (mut secret, mut before, mut last): (bool, &[u8], &[u8]) = (false, b"", b"");
    for word in Words(tail(name, NAME_BYTES)) {
        let ends = |end: &&[u8]| word.len() >= end.len() && same(tail(word, end.len()), end);
        secret |= WORDS.iter().any(|known| same(word, known))
            || WORD_ENDS.iter().any(ends)
            || (same(word, b"key") && KEY_KINDS.iter().any(|kind| same(before, kind)));
        (before, last) = (word, word);
    }
    secret && !ABOUT.iter().any(|about| same(last, about))
}

/// The words of a name: `dbPassword`, `DB_PASSWORD` and `db-password` all have two.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = skip(self.0, 0, |byte| !byte.is_ascii_alphabetic());
        let rest = self.0.get(start..).filter(|rest| !rest.is_empty())?;
        let uppers = skip(rest, 0, |byte| byte.is_ascii_uppercase());
        let lowers = skip(rest, uppers, |byte| byte.is_ascii_lowercase());
        // `APIKey`: the last capital of several belongs to the next word.
        let length = if uppers > 1 && lowers > 0 { uppers - 1 } else { uppers + lowers };
        let (word, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_announce_a_secret_are_known_in_every_spelling() {
        for name in [
            "password",
            "Password",
            "dbPassword",
            "DB_PASSWORD",
            "db-password",
            "user.password",
            "dbpassword",
            "token",
            "access_token",
            "accessToken",
            "accesstoken",
            "X-Auth-Token",
            "apiKey",
            "API_KEY",
            "APIKey",
            "apikey",
            "api key",
            "client_secret",
            "Authorization",
            "--token",
            "private_key",
            "AccountKey",
            "password2",
            "aws_secret_access_key",
            "refresh_token",
            "cookie",
            "passphrase",
            "pin",
        ] {
            assert!(is_secret_name(name.as_bytes()), "{name}");
        }
        for name in [
            "",
            "key",
            "primary_key",
            "max_tokens",
            "tokens",
            "token_type",
            "password_length",
            "author",
            "secretary",
            "pinned",
            "compass",
            "query",
            "sort_key",
            "customer_id",
            "keyboard",
            "passenger",
            "tokenize",
        ] {
            assert!(!is_secret_name(name.as_bytes()), "{name}");
        }
    }
}
