//! The planted corpus: every secret in it is found, and nothing else is; every entry can go to the edge, and then all other
//! bytes are as they were.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use portunus_discover::place::{self, Os, Place};
use portunus_discover::rewrite::{self, RewriteError};
use portunus_discover::tree;
use portunus_discover::{Format, Reading, read};
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Deserialize)]
struct Planted {
    home: String,
    file: String,
    os: String,
    servers: Vec<String>,
    secrets: Vec<Secret>,
}

#[derive(Deserialize)]
struct Secret {
    at: String,
    value: String,
}

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn planted() -> Vec<Planted> {
    serde_json::from_slice(&std::fs::read(corpus().join("manifest.json")).unwrap()).unwrap()
}

impl Planted {
    /// The place that the file is in, as it is looked for.
    fn place(&self) -> Place {
        let os = match self.os.as_str() {
            "mac" => Os::Mac,
            "windows" => Os::Windows,
            _ => Os::Linux,
        };
        let (places, path) = match self.file.strip_prefix("project/") {
            Some(path) => (place::of_project(), path),
            None => (place::of_user(os), self.file.as_str()),
        };
        let fits = |place: &Place| {
            let (parts, given): (Vec<_>, Vec<_>) =
                (place.path.split('/').collect(), path.split('/').collect());
            parts.len() == given.len()
                && parts.iter().zip(given).all(|(part, given)| {
                    part.strip_prefix('*').map_or(*part == given, |end| given.ends_with(end))
                })
        };
        places.into_iter().find(fits).unwrap_or_else(|| panic!("{} is in no known place", self.file))
    }

    fn text(&self) -> String {
        std::fs::read_to_string(corpus().join(&self.home).join(&self.file)).unwrap()
    }

    fn reading(&self) -> Reading {
        let place = self.place();
        read(place.client, place.format, &self.text())
    }
}

#[test]
fn every_planted_secret_is_found_where_it_was_planted_and_nothing_else_is() {
    let all = planted();
    let with_secrets = all.iter().filter(|planted| !planted.secrets.is_empty()).count();
    assert!(with_secrets >= 40, "{with_secrets}");
    let mut wrong = Vec::new();
    for planted in &all {
        let reading = planted.reading();
        let found: Vec<(&str, &str)> =
            reading.found.iter().map(|f| (f.at.as_str(), f.secret.expose().as_str())).collect();
        for secret in &planted.secrets {
            // A path or a cookie is found with what is around it.
            let same =
                |value: &str| value == secret.value || secret.value.contains(value) && value.len() > 20;
            if !found.iter().any(|(at, value)| *at == secret.at && same(value)) {
                wrong.push(format!(
                    "{}/{}: {} {} is not among {found:?}",
                    planted.home, planted.file, secret.at, secret.value
                ));
            }
        }
        if found.len() != planted.secrets.len() {
            wrong.push(format!(
                "{}/{}: {} planted, found {found:?}",
                planted.home,
                planted.file,
                planted.secrets.len()
            ));
        }
        let mut names: Vec<&str> = reading.servers.iter().map(|server| server.name.as_str()).collect();
        let mut wanted: Vec<&str> = planted.servers.iter().map(String::as_str).collect();
        names.sort_unstable();
        wanted.sort_unstable();
        if names != wanted {
            wrong.push(format!("{}/{}: servers {names:?} instead of {wanted:?}", planted.home, planted.file));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn spans_and_lines_lead_to_the_secrets() {
    for planted in planted() {
        let text = planted.text();
        for found in planted.reading().found {
            let there = &text[found.span.clone()];
            let line = tree::line_of(&text, found.span.start);
            assert_eq!(line, found.line, "{}", planted.home);
            if !there.contains('\\') {
                assert!(there.contains(found.secret.expose().as_str()), "{} {}", planted.home, found.at);
            }
        }
    }
}

#[test]
fn every_entry_of_the_corpus_can_go_to_the_edge_and_leaves_all_other_bytes() {
    let url = "https://tools.example.com/x/mcp";
    let mut rewritten = 0;
    for planted in planted() {
        let (place, text, reading) = (planted.place(), planted.text(), planted.reading());
        for server in &reading.servers {
            let edited = rewrite::entry(place.client, place.format, &text, server, &reading.found, url);
            let edited = match edited {
                Ok(edited) => edited,
                Err(RewriteError::Twice(_)) if planted.home == "46" => continue,
                Err(error) => panic!("{} {}: {error}", planted.home, server.name),
            };
            rewritten += 1;
            let again = read(place.client, place.format, &edited);
            // The secrets of this server are gone, those of others are where they were.
            let others = |reading: &Reading| -> Vec<(String, String)> {
                let of_server =
                    |index: Option<usize>| index.is_some_and(|i| reading.servers[i].path == server.path);
                let rest = reading.found.iter().filter(|found| !of_server(found.server));
                rest.map(|f| (f.path.join("."), f.secret.expose().clone())).collect()
            };
            assert_eq!(others(&reading), others(&again), "{} {}: {edited}", planted.home, server.name);
            assert!(
                again
                    .found
                    .iter()
                    .all(|found| found.server.is_none_or(|i| again.servers[i].path != server.path))
            );
            assert_eq!(again.servers.len(), reading.servers.len(), "{edited}");
            assert!(edited.contains(url));
            assert_eq!(rewrite::revert(&text, &edited, &edited).as_deref(), Some(text.as_str()));
            assert_others_stand(&planted, &text, &edited, &server.path, place.format);
        }
    }
    assert!(rewritten >= 40, "{rewritten}");
}

/// What stands before and after the entry is the same, byte for byte.
fn assert_others_stand(planted: &Planted, text: &str, edited: &str, path: &[String], format: Format) {
    let (before, after) = (tree::parse(format, text).unwrap(), tree::parse(format, edited).unwrap());
    assert!(before.same_but(&after, path), "{}", planted.home);
    if format == Format::Json {
        let (old, new) = (before.at(path).unwrap(), after.at(path).unwrap());
        assert_eq!(text[..old.span.start], edited[..new.span.start], "{}", planted.home);
        assert_eq!(text[old.span.end..], edited[new.span.end..], "{}", planted.home);
    }
}

#[test]
fn a_value_of_an_environment_file_is_taken_out_alone() {
    for planted in planted().iter().filter(|planted| planted.place().format == Format::Dotenv) {
        let (place, text) = (planted.place(), planted.text());
        for found in planted.reading().found.iter().filter(|found| found.binding.is_some()) {
            let edited = rewrite::without(place.format, &text, found).unwrap();
            let expected = [&text[..found.span.start], &text[found.span.end..]].concat();
            assert_eq!(edited, expected);
            assert!(!edited.contains(found.secret.expose().as_str()));
        }
    }
}
