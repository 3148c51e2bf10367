//! The arrows between the crates, and the length of the way of a request, are what ARCHITECTURE.md says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What each crate may depend on among the crates of the workspace.
const ARROWS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("mcp", &["core"]),
    ("policy", &["core"]),
    ("oauth", &["core"]),
    ("prove", &["core", "policy"]),
    ("pins", &["core", "mcp"]),
    ("ledger", &["core"]),
    ("disclose", &["core", "mcp"]),
    ("governance", &["core"]),
    ("discover", &["core", "ledger"]),
    ("vault", &["core", "policy"]),
    ("store", &["core"]),
    ("tunnel", &["core", "mcp"]),
    ("sqlite", &["core", "mcp"]),
    ("ssh", &["core"]),
    ("stdio", &["core", "mcp", "ssh"]),
    ("acme", &["core", "vault"]),
    ("rotate", &["core", "vault", "ssh"]),
    ("connections", &["core", "policy", "oauth", "vault"]),
    ("edge", &["core", "mcp", "policy", "oauth", "ledger", "vault", "pins", "disclose", "connections"]),
    ("web", &["core", "oauth", "policy", "ledger", "vault", "governance", "connections"]),
    (
        "cli",
        &[
            "core",
            "mcp",
            "policy",
            "oauth",
            "ledger",
            "vault",
            "store",
            "tunnel",
            "sqlite",
            "stdio",
            "ssh",
            "edge",
            "web",
            "acme",
            "rotate",
            "pins",
            "disclose",
            "prove",
            "governance",
            "discover",
            "connections",
        ],
    ),
];

/// What the pure crates must not use: sockets, runtimes, files of their own.
const IMPURE: &[&str] = &["tokio", "hyper", "hyper-util", "axum", "rusqlite", "rustls", "notify"];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names in a manifest's `[dependencies]`.
fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(crates().join(name).join("Cargo.toml")).unwrap();
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let names = section.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    names.map(|line| line.split(['.', ' ', '=']).next().unwrap().to_owned()).collect()
}

#[test]
fn crates_depend_only_where_an_arrow_is_drawn() {
    let found: BTreeSet<String> =
        std::fs::read_dir(crates()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let drawn: BTreeSet<String> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, drawn, "every crate is in the table");
    for (name, allowed) in ARROWS {
        for dependency in dependencies(name) {
            if let Some(ours) = dependency.strip_prefix("portunus-") {
                assert!(allowed.contains(&ours), "{name} must not depend on {ours}");
            }
        }
    }
}

#[test]
fn pure_crates_have_no_runtime_and_no_sockets() {
    for name in ["core", "mcp", "policy", "oauth", "ledger", "disclose", "discover", "pins", "connections"] {
        for dependency in dependencies(name) {
            assert!(!IMPURE.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn the_way_of_a_request_is_one_file_of_at_most_200_lines() {
    let text = std::fs::read_to_string(crates().join("edge/src/request.rs")).unwrap();
    assert!(text.lines().count() <= 200, "{} lines", text.lines().count());
}
