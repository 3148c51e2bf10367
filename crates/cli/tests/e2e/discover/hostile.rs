//! Configurations that somebody prepared: nothing of them steers, stops or fools the search.

use super::{discover, found, home, said, write};
use serde_json::json;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const GOOD: &str =
    "{\"mcpServers\":{\"good\":{\"command\":\"good-mcp\",\"env\":{\"GOOD_TOKEN\":\"good-secret-1\"}}}}";

/// The search still ends soon, and finds what is elsewhere.
fn still_searches(home: &Path, problem: &str) {
    let begun = Instant::now();
    let all = found(home, &[]);
    assert!(all["secrets"].to_string().contains("env.GOOD_TOKEN"), "{all:#}");
    assert!(all["problems"].to_string().contains(problem), "{problem}: {all:#}");
    assert!(begun.elapsed().as_secs() < 60);
}

#[test]
fn huge_deep_binary_and_endless_files_do_not_stop_the_search() {
    let home = home(".codeium/mcp_config.json", GOOD);
    let cursor = home.path().join(".cursor/mcp.json");
    std::fs::create_dir(home.path().join(".cursor")).unwrap();
    std::fs::File::create(&cursor).unwrap().set_len(1 << 30).unwrap();
    still_searches(home.path(), "it is larger than 8 MiB");
    std::fs::write(&cursor, "[".repeat(1 << 20)).unwrap();
    still_searches(home.path(), "it was searched as plain text");
    std::fs::write(&cursor, b"\xff\xfe{\x00}\x00").unwrap();
    still_searches(home.path(), "it is not UTF-8");
    std::fs::remove_file(&cursor).unwrap();
    assert!(Command::new("mkfifo").arg(&cursor).status().unwrap().success());
    still_searches(home.path(), "it is not a regular file");
    std::fs::remove_file(&cursor).unwrap();
    symlink("/dev/zero", &cursor).unwrap();
    still_searches(home.path(), "it is not a regular file");
    std::fs::remove_file(&cursor).unwrap();
    symlink(&cursor, &cursor).unwrap();
    still_searches(home.path(), "mcp.json");
}

#[test]
fn names_that_steer_a_terminal_or_hold_the_secret_are_printed_without_either() {
    let secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    let name = format!("\u{1b}[2J\u{202e}{secret}\u{7}");
    let text = json!({ "mcpServers": {
        name.as_str(): { "command": format!("/bin/{secret}"), "env": { name.as_str(): secret, "B_TOKEN": "plain-secret-2" } },
        "plain-secret-2": { "url": "https://plain-secret-2.example.com/mcp" },
    } });
    let home = home(".cursor/mcp.json", &text.to_string());
    for words in [&[][..], &["--json"]] {
        let output = discover(home.path(), words);
        let printed = said(&output);
        assert!(output.status.success() && printed.contains("[secret]"), "{printed}");
        for bad in [secret, "plain-secret-2", "\u{1b}", "\u{202e}", "\u{7}", "\\u001b"] {
            assert!(!printed.contains(bad), "{bad:?}: {printed}");
        }
    }
}

#[test]
fn a_link_out_of_the_home_is_read_and_never_written() {
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "mcp.json", GOOD);
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".cursor")).unwrap();
    symlink(outside.path().join("mcp.json"), home.path().join(".cursor/mcp.json")).unwrap();
    let all = found(home.path(), &[]);
    assert_eq!(all["servers"][0]["id"], "cursor/good", "{all:#}");
    let words = ["--import", "cursor/good", "--owner", "a@example.com", "--expires", "9d"];
    let output = discover(home.path(), &words);
    assert!(!output.status.success());
    assert_eq!(std::fs::read_to_string(outside.path().join("mcp.json")).unwrap(), GOOD);
}

#[test]
fn a_backup_that_others_could_have_written_is_not_put_back() {
    use std::os::unix::fs::PermissionsExt;
    let home = home(".cursor/mcp.json", GOOD);
    let directory = home.path().join(".local/state/portunus/discover/20260101-000000-aaaaaaaa");
    std::fs::create_dir_all(&directory).unwrap();
    let file = home.path().join(".cursor/mcp.json");
    let what = json!({ "file": file, "import": "x", "server": "x", "credential": null, "before": "x", "after": "y" });
    std::fs::write(directory.join("what.json"), what.to_string()).unwrap();
    std::fs::write(directory.join("before"), "evil").unwrap();
    std::fs::write(directory.join("after"), GOOD).unwrap();
    for (mode, why) in [(0o755, "yours alone"), (0o700, "is not what was kept")] {
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = discover(home.path(), &["--undo", "20260101-000000-aaaaaaaa"]);
        assert!(!output.status.success() && said(&output).contains(why), "{}", said(&output));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), GOOD);
    }
    for name in ["../../x", "/tmp", "", "a/b"] {
        assert!(!discover(home.path(), &["--undo", name]).status.success(), "{name}");
        assert!(!discover(home.path(), &["--forget", name]).status.success(), "{name}");
    }
}
