//! Names of other tools: taken over nearly, or spoken about.

use super::phrases::{self, Text};
use super::{Found, Severity, Subject, schema};
use crate::text;
use portunus_core::id::ServerName;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Names that are compared; further ones are left out.
const NAMES: usize = 50_000;
/// Letters from which two names that differ in one are compared, and up to which.
const NEAR: (usize, usize) = (5, 64);
/// Names that one name is compared with.
const CANDIDATES: usize = 64;
/// Letters around a name in which words that steer are looked for.
const AROUND: usize = 70;

/// The names of all tools of all servers, made ready for comparison.
#[derive(Debug, Default)]
pub struct Names {
    known: Vec<Name>,
    /// Places in `known` by the name in small letters.
    tools: HashMap<String, Vec<usize>>,
    servers: HashSet<String>,
    /// Hashes of each name's looks with up to one letter left out, and whose they are; sorted.
    near: Vec<(u64, usize)>,
}

#[derive(Debug)]
struct Name {
    server: ServerName,
    name: String,
    looks: Vec<char>,
}

/// How two names differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Likeness {
    /// Not at all, to the eye: other scripts, `l` and `1`, `rn` and `m`.
    Looks,
    /// In case and separators alone.
    Spelling,
    /// By one letter more, less or swapped, as in a slip of the pen.
    Slip,
    /// By an ending or a digit, or one letter for another: honest names do too.
    Letter,
}

impl Names {
    /// Of these tools.
    pub fn new<'a>(tools: impl IntoIterator<Item = (&'a ServerName, &'a str)>) -> Self {
        let mut names = Self::default();
        for (server, name) in tools.into_iter().take(NAMES) {
            let place = names.known.len();
            let looks = looks(name);
            names.servers.insert(server.to_string());
            names.tools.entry(name.to_lowercase()).or_default().push(place);
            names.near.extend(variants(&looks).into_iter().map(|hash| (hash, place)));
            names.known.push(Name { server: server.clone(), name: name.to_owned(), looks });
        }
        names.near.sort_unstable();
        names
    }

    fn candidates(&self, looks: &[char]) -> Vec<&Name> {
        let mut places = Vec::new();
        for hash in variants(looks) {
            let from = self.near.partition_point(|(other, _)| *other < hash);
            let same = self.near.iter().skip(from).take_while(|(other, _)| *other == hash);
            places.extend(same.take(CANDIDATES).map(|(_, place)| *place));
        }
        places.sort_unstable();
        places.dedup();
        places.into_iter().take(CANDIDATES).filter_map(|place| self.known.get(place)).collect()
    }
}

/// A name as the eye takes it in: small letters without separators, each as what it looks like.
fn looks(name: &str) -> Vec<char> {
    unicode_security::skeleton(&name.to_lowercase()).filter(|c| c.is_alphanumeric()).collect()
}

/// Hashes of the name and, when it is neither short nor long, of it with each letter left out.
fn variants(looks: &[char]) -> HashSet<u64> {
    let hash = |letters: &mut dyn Iterator<Item = &char>| {
        let mut hasher = DefaultHasher::new();
        letters.for_each(|letter| letter.hash(&mut hasher));
        hasher.finish()
    };
    let mut hashes = HashSet::from([hash(&mut looks.iter())]);
    if (NEAR.0..=NEAR.1).contains(&looks.len()) {
        for left_out in 0..looks.len() {
            let rest = looks.iter().enumerate().filter(|(index, _)| *index != left_out);
            hashes.insert(hash(&mut rest.map(|(_, letter)| letter)));
        }
    }
    hashes
}

/// A name that could be taken for another tool's.
pub(super) fn check_likeness(subject: &Subject<'_>, found: &mut Found) {
    let looks = looks(subject.name);
    for other in subject.names.candidates(&looks) {
        let own = other.server == *subject.server;
        if other.name == subject.name {
            if !own {
                let what = format!("the server {} has a tool of the same name", other.server);
                found.push("same-name", Severity::Notable, "/name", what, text::shown(subject.name, 80));
            }
            continue;
        }
        let Some(likeness) = likeness(subject.name, &looks, other) else { continue };
        let severity = match likeness {
            Likeness::Looks => Severity::Serious,
            Likeness::Slip if !own => Severity::Serious,
            Likeness::Letter if own => continue,
            Likeness::Slip | Likeness::Spelling | Likeness::Letter => Severity::Notable,
        };
        let what = format!("a name like that of {}/{}", other.server, text::shown(&other.name, 80));
        found.push("look-alike", severity, "/name", what, text::shown(subject.name, 80));
    }
}

fn likeness(name: &str, looks: &[char], other: &Name) -> Option<Likeness> {
    if looks == other.looks {
        let bare =
            |name: &str| name.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        return Some(if bare(name) == bare(&other.name) { Likeness::Spelling } else { Likeness::Looks });
    }
    let start = looks.iter().zip(&other.looks).take_while(|(left, right)| left == right).count();
    let end =
        looks.iter().rev().zip(other.looks.iter().rev()).take_while(|(left, right)| left == right).count();
    let (long, short) = (looks.len().max(other.looks.len()), looks.len().min(other.looks.len()));
    let rest = |looks: &[char]| {
        looks.get(start..looks.len().saturating_sub(end).max(start)).unwrap_or_default().to_vec()
    };
    match (long - short, short.saturating_sub(start.min(short))) {
        (1, _) if start + end >= short => {
            let longer = if looks.len() == long { looks } else { &other.looks };
            let added = longer.get(start).copied().unwrap_or_default();
            // Endings, plurals and versions are honest.
            let honest =
                start == short || start == 0 || added.is_ascii_digit() || is_plural(name, &other.name);
            Some(if honest { Likeness::Letter } else { Likeness::Slip })
        }
        (0, _) => match (rest(looks).as_slice(), rest(&other.looks).as_slice()) {
            ([a, b], [c, d]) if (a, b) == (d, c) => Some(Likeness::Slip),
            ([_], [_]) => Some(Likeness::Letter),
            _ => None,
        },
        _ => None,
    }
}

/// Whether two names differ in the plural of one word: `list_issue_tags`, `list_issues_tags`.
fn is_plural(name: &str, other: &str) -> bool {
    let (words, others) = (schema::words(name), schema::words(other));
    let same = |(word, other): (&String, &String)| {
        word == other
            || word.strip_suffix('s') == Some(other.as_str())
            || other.strip_suffix('s') == Some(word.as_str())
    };
    words.len() == others.len() && words.iter().zip(&others).all(same)
}

/// Tools and servers that a text speaks of. A server explains its own tools by each other; another server's are none of its
/// business.
pub(super) fn check_mentions(subject: &Subject<'_>, found: &mut Found, text: &Text<'_>) {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    let bytes = &text.plain.text;
    let mut at = 0;
    for token in bytes.split(|byte| !part(byte)) {
        let (from, to) = (at, at + token.len());
        at = to + 1;
        let Some(token) = std::str::from_utf8(token).ok().filter(|token| token.len() >= 3) else { continue };
        let trimmed = token.trim_end_matches(['.', '/', '-']);
        // `wiki.search`, `wiki/search`: the last part is the tool's name.
        let last = trimmed.rsplit(['.', '/']).next().unwrap_or(trimmed);
        check_mention(subject, found, text, [trimmed, last], (from, to));
    }
}

fn check_mention(
    subject: &Subject<'_>,
    found: &mut Found,
    text: &Text<'_>,
    tokens: [&str; 2],
    (from, to): (usize, usize),
) {
    let names = subject.names;
    let around = text.plain.text.get(from.saturating_sub(AROUND)..(to + AROUND).min(text.plain.text.len()));
    let around = around.unwrap_or_default();
    let excerpt = || text.plain.excerpt(text.original, from, to);
    for token in tokens {
        let Some(places) = names.tools.get(token) else { continue };
        let known = || places.iter().filter_map(|place| names.known.get(*place));
        if token == subject.name.to_lowercase() || known().any(|name| name.server == *subject.server) {
            return;
        }
        if !is_distinct(known().next().map_or(token, |name| &name.name)) && !is_called_tool(text, from, to) {
            continue;
        }
        let whose = known().next().map_or_else(String::new, |name| name.server.to_string());
        let what = format!("it speaks of a tool of the server {whose}");
        let severity = if phrases::steers(around) { Severity::Serious } else { Severity::Notable };
        return found.push("other-tool", severity, text.place, what, excerpt());
    }
    let [token, _] = tokens;
    if names.servers.contains(token) && token != subject.server.as_str() && is_called_server(text, to) {
        found.push("other-server", Severity::Notable, text.place, "it speaks of another server", excerpt());
    }
}

/// Whether a name is no ordinary word: `read_file`, `getUser`.
fn is_distinct(name: &str) -> bool {
    schema::words(name).len() > 1
}

/// `send` in quotes, or "the send tool".
fn is_called_tool(text: &Text<'_>, from: usize, to: usize) -> bool {
    let bytes = &text.plain.text;
    let quote = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b'`' | b'"' | b'\''));
    let quoted = quote(from.checked_sub(1).and_then(|at| bytes.get(at))) && quote(bytes.get(to));
    let after = bytes.get(to..).unwrap_or_default();
    quoted || [&b" tool"[..], b" function"].iter().any(|word| after.starts_with(word))
}

fn is_called_server(text: &Text<'_>, to: usize) -> bool {
    let after = text.plain.text.get(to..).unwrap_or_default();
    [&b" server"[..], b" mcp", b" tool"].iter().any(|word| after.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(name: &str, other: &str) -> Option<Likeness> {
        let server = ServerName::parse("other").unwrap();
        let names = Names::new([(&server, other)]);
        let looks = looks(name);
        names.candidates(&looks).into_iter().find_map(|other| likeness(name, &looks, other))
    }

    #[test]
    fn names_are_compared_as_the_eye_does() {
        for (name, other, likeness) in [
            ("rеad_file", "read_file", Some(Likeness::Looks)),
            ("read_fi1e", "read_file", Some(Likeness::Looks)),
            ("rnake_note", "make_note", Some(Likeness::Looks)),
            ("readFile", "read_file", Some(Likeness::Spelling)),
            ("READ-FILE", "read_file", Some(Likeness::Spelling)),
            ("send_mesage", "send_message", Some(Likeness::Slip)),
            ("send_meessage", "send_message", Some(Likeness::Slip)),
            ("send_messgae", "send_message", Some(Likeness::Slip)),
            ("read_files", "read_file", Some(Likeness::Letter)),
            ("list_issue_tags", "list_issues_tags", Some(Likeness::Letter)),
            ("get_file", "set_file", Some(Likeness::Letter)),
            ("search_nodes", "search_notes", Some(Likeness::Letter)),
            ("query2", "query3", Some(Likeness::Letter)),
            ("add", "and", None),
            ("read_file", "write_file", None),
            ("list_tables", "list_issues", None),
        ] {
            assert_eq!(compared(name, other), likeness, "{name} {other}");
            assert_eq!(compared(other, name), likeness, "{other} {name}");
        }
    }

    #[test]
    fn ten_thousand_alike_names_are_compared_in_no_quadratic_time() {
        let server = ServerName::parse("s").unwrap();
        let all: Vec<String> =
            (0..10_000).map(|index| format!("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{index}")).collect();
        let names = Names::new(all.iter().map(|name| (&server, name.as_str())));
        for name in &all {
            assert!(names.candidates(&looks(name)).len() <= CANDIDATES);
        }
    }
}
