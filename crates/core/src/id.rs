//! Names and identifiers. Each is parsed once where it enters and is then known to be well formed.

use crate::time::{Rng, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{shown}` is not valid: {rule}")]
pub struct InvalidName {
    what: &'static str,
    shown: String,
    rule: &'static str,
}

/// A text newtype whose only way in is a checked parse.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $check:expr) => {
        name!($(#[$doc])* $type, $what, $rule, $check, $check);
    };
    // `$written` is for text that our own side wrote: stored documents, configuration, commands.
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:literal, $check:expr, $written:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(std::sync::Arc<str>);

        impl $type {
            /// Parses the text.
            ///
            /// # Errors
            /// When the text breaks the rule the error states.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                Self::checked(text, $check)
            }
            fn checked(text: &str, check: fn(&str) -> bool) -> Result<Self, InvalidName> {
                if check(text) {
                    Ok(Self(text.into()))
                } else {
                    let shown = text.chars().take(80).flat_map(char::escape_debug).collect();
                    Err(InvalidName { what: $what, shown, rule: $rule })
                }
            }
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::checked(&text, $written)
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }
        impl std::str::FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::checked(text, $written)
            }
        }
    };
}

name!(
    /// A published server's name: it is a path segment, a DNS label and part of policy action names.
    ServerName,
    "server name",
    "1 to 63 of a-z, 0-9 and `-`, starting with a letter, not ending with `-`",
    |t| is_label(t, 63)
);
name!(
    /// A user's name as they type it at sign-in (an e-mail address or a short name), or `workload:NAME`. [`UserName::parse`]
    /// takes people's names only, so that nobody can become a workload by choosing a name; what Portunus itself or its
    /// administrator wrote (`FromStr`, stored documents) may be either.
    UserName,
    "user name",
    "1 to 254 of a-z, A-Z, 0-9 and `@ . _ + -`",
    is_person,
    |t| is_person(t) || t.strip_prefix(WORKLOAD).is_some_and(|name| is_label(name, 63))
);
name!(
    /// The name of a workload: a service or job with an identity of its own.
    WorkloadName,
    "workload name",
    "1 to 63 of a-z, 0-9 and `-`, starting with a letter, not ending with `-`",
    |t| is_label(t, 63)
);
name!(
    /// A group's name.
    GroupName,
    "group name",
    "1 to 128 visible ASCII characters without quotes or backslash",
    |t| is_visible(t, 128)
);
name!(
    /// An OAuth `client_id` (RFC 6749 section 2.2): a registered id, or the https URL of a client metadata document.
    ClientId,
    "client id",
    "1 to 2048 visible ASCII characters without quotes or backslash",
    |t| is_visible(t, 2048)
);
name!(
    /// A credential's name.
    CredentialName,
    "credential name",
    "1 to 63 of a-z, 0-9 and `-`, starting with a letter, not ending with `-`",
    |t| is_label(t, 63)
);
name!(
    /// An identifier made by Portunus: a short prefix, `_`, and 26 characters that sort by time (see [`mint`]).
    Id,
    "identifier",
    "a prefix, `_` and 26 of 0-9 and a-z",
    |t| t.split_once('_').is_some_and(|(prefix, rest)| {
        !prefix.is_empty()
            && prefix.len() <= 8
            && prefix.bytes().all(|b| b.is_ascii_lowercase())
            && rest.len() == 26
            && rest.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
    })
);

/// Makes a fresh identifier: 48 bits of milliseconds and 80 random bits in lower-case Crockford base 32, so that ids
/// sort by time and cannot be guessed.
///
/// Prefixes in use: `dec` decision, `grt` grant, `apr` approval, `cli` registered client, `con` connector, `lnk` link.
#[must_use]
pub fn mint(prefix: &str, now: Timestamp, rng: &dyn Rng) -> Id {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut random = [0_u8; 10];
    rng.fill(&mut random);
    let mut bits = u128::from(now.as_millis()) << 80;
    for (index, byte) in random.iter().enumerate() {
        bits |= u128::from(*byte) << (72 - 8 * index);
    }
    let mut text = String::with_capacity(prefix.len() + 27);
    text.push_str(prefix);
    text.push('_');
    for position in (0..26).rev() {
        let five = (bits >> (5 * position)) & 31;
        text.push(char::from(ALPHABET.get(five as usize).copied().unwrap_or(b'0')));
    }
    Id(text.into())
}

/// What a workload's name begins with where it stands for a user; no person's name can hold a colon.
const WORKLOAD: &str = "workload:";

impl UserName {
    /// The principal that a workload is.
    #[must_use]
    pub fn of_workload(name: &WorkloadName) -> Self {
        Self(format!("{WORKLOAD}{name}").into())
    }
    /// The workload's own name, if this is not a person.
    #[must_use]
    pub fn workload(&self) -> Option<&str> {
        self.as_str().strip_prefix(WORKLOAD)
    }
}

fn is_person(text: &str) -> bool {
    (1..=254).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"@._+-".contains(&b))
}

fn is_label(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_visible(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zero;
    impl Rng for Zero {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xff);
        }
    }

    #[test]
    fn names_refuse_what_would_be_read_differently_elsewhere() {
        assert!(ServerName::parse("sales-2").is_ok());
        for bad in ["", "Sales", "-a", "a-", "a/b", "a.b", "é", &"a".repeat(64)] {
            assert!(ServerName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(UserName::parse("ana@example.com").is_ok());
        assert!(UserName::parse("ana\n").is_err());
    }

    #[test]
    fn a_person_cannot_take_the_name_of_a_workload() {
        let workload = UserName::of_workload(&WorkloadName::parse("ci-build").unwrap());
        assert_eq!((workload.as_str(), workload.workload()), ("workload:ci-build", Some("ci-build")));
        assert!(UserName::parse(workload.as_str()).is_err());
        assert_eq!(UserName::try_from(workload.to_string()), Ok(workload));
        assert!(UserName::try_from("workload:a:b".to_owned()).is_err());
        assert_eq!(UserName::parse("workload").unwrap().workload(), None);
    }

    #[test]
    fn minted_ids_parse_and_sort_by_time() {
        let early = mint("dec", Timestamp::from_millis(1), &Zero);
        let late = mint("dec", Timestamp::from_millis(2), &Zero);
        assert!(early < late);
        assert_eq!(Id::parse(early.as_str()), Ok(early));
    }
}
