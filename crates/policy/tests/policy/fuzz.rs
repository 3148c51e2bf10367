//! The fuzz targets of this crate over their seeds, and over seeds that were meddled with. `fuzz/run.sh` does it in earnest.

use portunus_core::testing::Meddler;
use portunus_policy::fuzz;
use std::path::Path;

fn smoke(target: &str, inputs: usize, words: &[&str], body: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut paths: Vec<_> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(seeds.len() > 8, "seeds of {target}");
    seeds.iter().for_each(|seed| body(seed));
    let mut meddler = Meddler::default();
    for _ in 0..inputs {
        body(&meddler.meddle(&seeds, words));
    }
}

#[test]
fn sql_facts_keep_their_promises_for_meddled_seeds() {
    let words = [
        "SELECT ", " FROM ", "(", ")", ";", "'", "\"", "--", "/*", "*/", "\n", "$$", "E'", "\\", "WITH ",
        " UNION ",
    ];
    smoke("sql_facts", 2000, &words, fuzz::sql_facts);
}

// Each input loads the policies up to three times, which takes a while.
#[test]
fn loading_policies_keeps_its_promises_for_meddled_seeds() {
    let words = [
        "permit ", "forbid ", "(", ")", ";", "\"", "when {", "}", "//", "context", " has ", " && ", "@id(",
        "\n",
    ];
    smoke("policy_load", 200, &words, fuzz::policy_load);
}
