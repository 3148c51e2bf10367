//! The whole story of the README, played by the binary itself.

use crate::app::{BINARY, free_port};
use std::process::Command;

#[test]
fn the_demo_plays_its_story_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(BINARY)
        .args(["demo", "--once", "--listen", &format!("127.0.0.1:{}", free_port()), "--state"])
        .arg(dir.path().join("state"))
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let transcript = String::from_utf8_lossy(&output.stdout).to_lowercase();
    assert!(output.status.success(), "{transcript}\n{}", String::from_utf8_lossy(&output.stderr));
    for step in [
        "discover",
        "register",
        "sign in",
        "consent",
        "list_tables",
        "describe",
        "read_query",
        "mask",
        "approv",
        "refused",
        "revoke",
    ] {
        assert!(transcript.contains(step), "the transcript tells of {step:?}:\n{transcript}");
    }
    assert!(!transcript.contains('\u{1b}'), "NO_COLOR is honoured");
}
