//! The fuzz target of this crate over its seeds, and over seeds that were meddled with. `fuzz/run.sh` does it in earnest.

use portunus_core::testing::Meddler;
use portunus_disclose::fuzz;
use std::path::Path;

const WORDS: [&str; 12] = [
    "a@example.com",
    "4111111111111111",
    "DE89370400440532013000",
    "+49 30 5551234",
    "\\u0040",
    "\"",
    "{",
    "}",
    "[",
    "]",
    "\n",
    "-----BEGIN PRIVATE KEY-----",
];

#[test]
fn masks_and_cuts_keep_their_promises_for_meddled_seeds() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/mask");
    let mut paths: Vec<_> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(seeds.len() > 8);
    seeds.iter().for_each(|seed| fuzz::mask(seed));
    let mut meddler = Meddler::default();
    for _ in 0..2000 {
        fuzz::mask(&meddler.meddle(&seeds, &WORDS));
    }
}
