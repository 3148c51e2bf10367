//! The two ways to a secret, and no third one.

use std::path::{Path, PathBuf};

/// Where sealed credentials are opened: with a permit, for one step of a rotation, and to be sealed anew at once.
const DOORS: [&str; 3] = ["bind.rs", "rotation/door.rs", "vault.rs"];

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn secrets_are_unsealed_in_the_two_doors_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found: Vec<String> = sources(&source)
        .into_iter()
        .filter(|path| std::fs::read_to_string(path).unwrap().contains("sealing::open("))
        .map(|path| path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    let mut doors = DOORS.map(str::to_owned);
    doors.sort();
    assert_eq!(found, doors);
    // What is opened for a rotation stays within its module.
    let door = std::fs::read_to_string(source.join("rotation/door.rs")).unwrap();
    assert!(!door.contains("pub fn") && !door.contains("pub async fn") && !door.contains("pub(crate)"));
    assert!(std::fs::read_to_string(source.join("rotation/mod.rs")).unwrap().contains("\nmod door;"));
}
