//! Secrets among the words of a command line.

use crate::recognise::{Care, Spot, Why, behind_scheme, value};
use crate::reference;

/// Flags before a header.
const HEADER_FLAGS: [&str; 4] = ["-H", "--header", "--headers", "--http-header"];
/// Flags before the assignment of a variable.
const ENV_FLAGS: [&str; 4] = ["-e", "--env", "-E", "--environment"];
/// Flags before `user:password`.
const USER_FLAGS: [&str; 2] = ["-u", "--user"];

/// A secret in a word, and what the word says about its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InWord {
    pub spot: Spot,
    pub role: Role,
}

/// What a word of a command line does with its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is sent in this header.
    Header(String),
    /// It becomes this variable.
    Environment(String),
    /// It is given by this flag.
    Flag(String),
    /// It is in there somehow.
    Within,
}

/// The secrets in one word, given the one before it.
pub(crate) fn word(before: Option<&str>, text: &str, care: Care) -> Vec<InWord> {
    let before = before.unwrap_or_default();
    if HEADER_FLAGS.contains(&before) {
        return header(text, 0, care);
    }
    if ENV_FLAGS.contains(&before)
        && let Some((name, start)) = assigned(text)
    {
        return named(name, text, start, Role::Environment(name.to_owned()), care);
    }
    if USER_FLAGS.contains(&before)
        && let Some(colon) =
            text.find(':').filter(|colon| !reference::is_hollow(text.get(colon + 1..).unwrap_or_default()))
        && !text.contains("://")
    {
        let spot = Spot { range: colon + 1..text.len(), why: Why::Name };
        return vec![InWord { spot, role: Role::Flag(before.to_owned()) }];
    }
    if text.starts_with('-')
        && let Some((flag, start)) = assigned(text)
    {
        if HEADER_FLAGS.contains(&flag) {
            return header(text, start, care);
        }
        if ENV_FLAGS.contains(&flag)
            && let Some((name, inner)) = assigned(text.get(start..).unwrap_or_default())
        {
            return named(name, text, start + inner, Role::Environment(name.to_owned()), care);
        }
        return named(flag, text, start, Role::Flag(flag.to_owned()), care);
    }
    if let Some((name, start)) = assigned(text) {
        // In capitals it is a variable; `Server=…;Password=…` is something else.
        let variable = !name.contains(|c: char| c.is_ascii_lowercase() || c == '-');
        let role = if variable { Role::Environment(name.to_owned()) } else { Role::Flag(name.to_owned()) };
        return named(name, text, start, role, care);
    }
    if before.starts_with('-') && !before.contains('=') && !text.starts_with("--") {
        let found = named(before, text, 0, Role::Flag(before.to_owned()), care);
        if !found.is_empty() {
            return found;
        }
    }
    within(value("", text, care))
}

/// The name in `NAME=value` and `--flag=value`, and where the value begins.
fn assigned(text: &str) -> Option<(&str, usize)> {
    let (name, _) = text.split_once('=')?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (!name.is_empty() && name.bytes().all(fits)).then_some((name, name.len() + 1))
}

/// The secrets of `Name: value` from `start` on.
fn header(text: &str, start: usize, care: Care) -> Vec<InWord> {
    let rest = text.get(start..).unwrap_or_default();
    let Some((name, _)) = rest.split_once(':').or_else(|| rest.split_once('=')) else {
        return within(value("", text, care));
    };
    let trimmed = name.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    named(trimmed, text, start + name.len() + 1, Role::Header(trimmed.to_owned()), care)
}

fn named(name: &str, text: &str, start: usize, role: Role, care: Care) -> Vec<InWord> {
    let rest = text.get(start..).unwrap_or_default();
    let spots = value(name.trim_start_matches('-'), rest, care).into_iter();
    spots
        .map(|spot| {
            let range = spot.range.start + start..spot.range.end + start;
            // Only what is all of the value can be given in another way.
            let whole = rest.get(behind_scheme(rest)) == text.get(range.clone())
                || matches!(role, Role::Environment(_));
            let role = if whole { role.clone() } else { Role::Within };
            InWord { spot: Spot { range, why: spot.why }, role }
        })
        .collect()
}

fn within(spots: Vec<Spot>) -> Vec<InWord> {
    spots.into_iter().map(|spot| InWord { spot, role: Role::Within }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_give_a_secret_on_a_command_line_is_known() {
        let flag = |name: &str| Role::Flag(name.to_owned());
        for (before, text, secret, role) in [
            ("", "--api-key=abc", "abc", flag("--api-key")),
            ("--api-key", "abc", "abc", flag("--api-key")),
            ("-H", "Authorization: Bearer abc", "abc", Role::Header("Authorization".to_owned())),
            ("--header", "X-Api-Key:abcd-1234", "abcd-1234", Role::Header("X-Api-Key".to_owned())),
            ("", "--header=Authorization: Bearer abc", "abc", Role::Header("Authorization".to_owned())),
            ("-e", "GITHUB_TOKEN=abc", "abc", Role::Environment("GITHUB_TOKEN".to_owned())),
            ("", "--env=GITHUB_TOKEN=abc", "abc", Role::Environment("GITHUB_TOKEN".to_owned())),
            ("", "API_KEY=abc", "abc", Role::Environment("API_KEY".to_owned())),
            ("-u", "ana:hunter2", "hunter2", flag("-u")),
            ("", "postgres://ana:hunter2@db/x", "hunter2", Role::Within),
            ("--db", "Server=x;Password=hunter2", "hunter2", Role::Within),
            ("-c", "TOKEN=abc123 npx server", "abc123", Role::Within),
            ("", "kQ3xZp9Lm2Vt7Rw5Yb8Nc4Hd", "kQ3xZp9Lm2Vt7Rw5Yb8Nc4Hd", Role::Within),
        ] {
            let found = word(Some(before), text, Care::Loose);
            let shown: Vec<&str> = found.iter().map(|f| text.get(f.spot.range.clone()).unwrap()).collect();
            assert!(shown.iter().any(|shown| shown.contains(secret)), "{before} {text}: {found:?}");
            if before != "-c" && before != "--db" {
                assert_eq!((shown.as_slice(), &found[0].role), (&[secret][..], &role), "{before} {text}");
            }
        }
        for (before, text) in [
            ("-y", "@modelcontextprotocol/server-github"),
            ("--api-key", "${API_KEY}"),
            ("--header", "Authorization:${AUTH_HEADER}"),
            ("-e", "GITHUB_TOKEN"),
            ("--token-file", "/run/token"),
            ("--directory", "/home/ana/projects/a1b2"),
            ("--api-key", "--verbose"),
        ] {
            assert!(word(Some(before), text, Care::Loose).is_empty(), "{before} {text}");
        }
    }
}
