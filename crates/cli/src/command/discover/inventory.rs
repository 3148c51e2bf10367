//! Everything that was found, under names that a person can type.

use super::fingerprint::{Fingerprinter, Named};
use crate::admin::AdminError;
use portunus_core::limits::DISCOVER_SHOWN_BYTES;
use portunus_core::secret::Secret;
use portunus_discover::recognise::Why;
use portunus_discover::{Binding, Client, Format, Reading, Transport};
use portunus_ledger::secret_shape;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Bytes of the shortest secret that is looked for in what is shown: of a shorter one every other word is full.
const VEILED_BYTES: usize = 6;
/// Shown in place of a secret that turns up in a name or a path.
const VEIL: &str = "[secret]";
/// Shown in place of a text that nobody would read.
const TOO_LONG: &str = "[too long]";

/// A file that was read.
pub(super) struct File {
    pub path: PathBuf,
    pub client: Client,
    pub format: Format,
    /// `user`, `project` or `given`.
    pub scope: &'static str,
    pub text: Secret<String>,
    pub reading: Reading,
}

/// A process or a path in a store of secrets: a place without a file.
pub(super) struct Elsewhere {
    /// `process` or `openbao`.
    pub source: &'static str,
    /// The id and name of a process, the path in the store.
    pub name: String,
    /// Of a process: its number.
    pub pid: Option<u32>,
    pub secrets: Vec<(String, Why, Secret<String>)>,
}

/// All that was found.
#[derive(Default)]
pub(super) struct Inventory {
    pub files: Vec<File>,
    pub elsewhere: Vec<Elsewhere>,
    pub problems: Vec<(String, String)>,
    names: BTreeMap<Key, Named>,
}

/// A secret by its place: the file or other place, and its number there; whether it is what the edge would hold.
type Key = (bool, usize, usize, bool);

/// A server as it is shown.
pub(super) struct ServerRow {
    pub id: String,
    pub file: usize,
    pub index: usize,
}

/// A secret as it is shown.
pub(super) struct SecretRow<'a> {
    pub id: String,
    /// In a file: which, and the number of the secret in it.
    pub file: Option<(usize, usize)>,
    pub elsewhere: Option<&'a Elsewhere>,
    pub server: Option<String>,
    pub at: &'a str,
    pub line: Option<usize>,
    pub why: Why,
    pub binding: Option<&'a Binding>,
    pub named: Named,
}

impl Inventory {
    pub(super) fn problem(&mut self, path: &Path, problem: &dyn std::fmt::Display) {
        self.problems.push((path.display().to_string(), problem.to_string()));
    }

    /// Asks for all fingerprints.
    pub(super) async fn name_secrets(&mut self, fingerprinter: &Fingerprinter) -> Result<(), AdminError> {
        let (mut keys, mut secrets) = (Vec::new(), Vec::new());
        for (file, found) in self
            .files
            .iter()
            .enumerate()
            .flat_map(|(i, f)| f.reading.found.iter().enumerate().map(move |found| (i, found)))
        {
            let (index, found) = found;
            keys.push((true, file, index, false));
            secrets.push(found.secret.clone());
            if let Some(binding) =
                found.binding.as_ref().filter(|b| b.secret.expose() != found.secret.expose())
            {
                keys.push((true, file, index, true));
                secrets.push(binding.secret.clone());
            }
        }
        for (place, elsewhere) in self.elsewhere.iter().enumerate() {
            for (index, (_, _, secret)) in elsewhere.secrets.iter().enumerate() {
                keys.push((false, place, index, false));
                secrets.push(secret.clone());
            }
        }
        self.names = keys.into_iter().zip(fingerprinter.name(&secrets).await?).collect();
        Ok(())
    }

    /// The name of a secret, and every credential that holds it, whole or as it would be bound.
    pub(super) fn named(&self, in_file: bool, place: usize, index: usize) -> Named {
        let mut named = self.names.get(&(in_file, place, index, false)).cloned().unwrap_or_default();
        if let Some(bound) = self.names.get(&(in_file, place, index, true)) {
            named.credentials.extend(bound.credentials.iter().cloned());
            named.credentials.sort();
            named.credentials.dedup();
        }
        named
    }

    /// The servers, each under `CLIENT/NAME`; those of one name are told apart by `#2` and so on.
    pub(super) fn servers(&self) -> Vec<ServerRow> {
        let mut ids = Ids::default();
        let all = self.files.iter().enumerate();
        all.flat_map(|(file, read)| {
            let servers = read.reading.servers.iter().enumerate();
            servers
                .map(|(index, server)| (file, index, format!("{}/{}", read.client.word(), server.name)))
                .collect::<Vec<_>>()
        })
        .map(|(file, index, id)| ServerRow { id: ids.take(id), file, index })
        .collect()
    }

    /// The secrets; one of no server is `CLIENT/PLACE`.
    pub(super) fn secrets(&self) -> Vec<SecretRow<'_>> {
        let servers: BTreeMap<(usize, usize), String> =
            self.servers().into_iter().map(|row| ((row.file, row.index), row.id)).collect();
        let mut ids = Ids::default();
        let mut rows = Vec::new();
        for (file, read) in self.files.iter().enumerate() {
            for (index, found) in read.reading.found.iter().enumerate() {
                let server = found.server.and_then(|server| servers.get(&(file, server)).cloned());
                let of = server.clone().unwrap_or_else(|| read.client.word().to_owned());
                rows.push(SecretRow {
                    id: ids.take(format!("{of}/{}", found.at)),
                    file: Some((file, index)),
                    elsewhere: None,
                    server,
                    at: &found.at,
                    line: Some(found.line),
                    why: found.why,
                    binding: found.binding.as_ref(),
                    named: self.named(true, file, index),
                });
            }
        }
        for (place, elsewhere) in self.elsewhere.iter().enumerate() {
            for (index, (at, why, _)) in elsewhere.secrets.iter().enumerate() {
                rows.push(SecretRow {
                    id: ids.take(format!("{}/{}/{at}", elsewhere.source, elsewhere.name)),
                    file: None,
                    elsewhere: Some(elsewhere),
                    server: None,
                    at,
                    line: None,
                    why: *why,
                    binding: None,
                    named: self.named(false, place, index),
                });
            }
        }
        rows
    }

    /// What takes secrets out of anything that is shown.
    pub(super) fn veil(&self) -> Veil {
        let of_files = self.files.iter().flat_map(|file| &file.reading.found).flat_map(|found| {
            [Some(&found.secret), found.binding.as_ref().map(|binding| &binding.secret)].into_iter().flatten()
        });
        let others =
            self.elsewhere.iter().flat_map(|elsewhere| elsewhere.secrets.iter().map(|(_, _, secret)| secret));
        let long_enough =
            |secret: &&Secret<String>| (VEILED_BYTES..=DISCOVER_SHOWN_BYTES).contains(&secret.expose().len());
        let secrets: BTreeSet<&str> =
            of_files.chain(others).filter(long_enough).map(|secret| secret.expose().as_str()).collect();
        // The longest first, so that none leaves a part of another.
        let kind = aho_corasick::MatchKind::LeftmostLongest;
        let veils = vec![VEIL; secrets.len()];
        Veil { secrets: aho_corasick::AhoCorasick::builder().match_kind(kind).build(secrets).ok(), veils }
    }
}

/// Names and paths are chosen by others: a secret may be in them, and so may what steers a terminal.
pub(super) struct Veil {
    /// `None`: they could not be put together, and nothing is shown.
    secrets: Option<aho_corasick::AhoCorasick>,
    /// One for each.
    veils: Vec<&'static str>,
}

impl Veil {
    /// The text as it may be shown.
    pub(super) fn over(&self, text: &str) -> String {
        let Some(secrets) = &self.secrets else { return VEIL.to_owned() };
        if text.len() > DISCOVER_SHOWN_BYTES {
            return TOO_LONG.to_owned();
        }
        let mut text = secrets.replace_all(text, &self.veils);
        let mut at = 0;
        while let Some(range) = secret_shape::find(text.as_bytes(), at) {
            let known =
                text.get(range.clone()).is_some_and(|found| secret_shape::has_known_start(found.as_bytes()));
            at = if known {
                let start = range.start;
                text.replace_range(range, VEIL);
                start + VEIL.len()
            } else {
                range.end.max(at + 1)
            };
        }
        text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
    }
}

/// Whether a character moves a cursor, or the order or visibility of others.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[derive(Default)]
struct Ids(BTreeMap<String, usize>);

impl Ids {
    fn take(&mut self, id: String) -> String {
        let count = self.0.entry(id.clone()).or_default();
        *count += 1;
        if *count == 1 { id } else { format!("{id}#{count}") }
    }
}

/// Where a server is, in words.
pub(super) fn target(transport: &Transport) -> String {
    match transport {
        Transport::Program(program) => program.clone(),
        Transport::Url { scheme, host } => format!("{scheme}://{host}"),
    }
}
