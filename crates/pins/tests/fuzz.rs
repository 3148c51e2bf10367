//! The fuzz target of this crate over its seeds, and over seeds that were meddled with. `fuzz/run.sh` does it in earnest.
#![cfg(test)]

use portunus_core::testing::Meddler;
use portunus_pins::{Lock, fuzz};
use std::path::Path;

const WORDS: [&str; 14] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\u200b",
    "\u{200b}",
    "\n",
    "\"digest\": ",
    "\"widgets\": {}",
    "null",
    "ui://",
    "<<<<<<< ",
    "1e2",
];

#[test]
fn lockfiles_keep_their_promises_for_meddled_seeds() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/lockfile");
    let mut paths: Vec<_> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let good = seeds.iter().filter(|seed| Lock::parse(str::from_utf8(seed).unwrap()).is_ok());
    assert!(seeds.len() > 8 && good.count() > 4, "seeds of lockfile");
    seeds.iter().for_each(|seed| fuzz::lockfile(seed));
    let mut meddler = Meddler::default();
    for _ in 0..2000 {
        fuzz::lockfile(&meddler.meddle(&seeds, &WORDS));
    }
}
