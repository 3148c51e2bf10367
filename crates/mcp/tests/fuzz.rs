//! The fuzz targets of this crate over their seeds, and over seeds that were meddled with. `fuzz/run.sh` does it in earnest.
#![cfg(test)]

use portunus_core::testing::Meddler;
use portunus_mcp::fuzz;
use std::path::Path;

const WORDS: [&str; 14] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\ud800",
    "\\u0041",
    "\"id\":1,",
    "\"_meta\":{}",
    "1e400",
    "data: ",
    "\n",
    "\r",
    "\u{feff}",
];

fn smoke(target: &str, inputs: usize, body: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut paths: Vec<_> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(seeds.len() > 8, "seeds of {target}");
    seeds.iter().for_each(|seed| body(seed));
    let mut meddler = Meddler::default();
    for _ in 0..inputs {
        body(&meddler.meddle(&seeds, &WORDS));
    }
}

#[test]
fn the_json_scan_keeps_its_promises_for_meddled_seeds() {
    smoke("json_scan", 2000, fuzz::json_scan);
}

#[test]
fn envelopes_keep_their_promises_for_meddled_seeds() {
    smoke("envelope", 2000, fuzz::envelope);
}

#[test]
fn event_streams_keep_their_promises_for_meddled_seeds() {
    smoke("sse", 2000, fuzz::sse);
}
