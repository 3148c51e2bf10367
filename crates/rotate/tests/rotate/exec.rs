//! Plug-ins that are programs: the example that is shipped, and bad ones.

use crate::world::{First, Judge, World};
use async_trait::async_trait;
use portunus_core::digest::sha256;
use portunus_core::document::CredentialKind;
use portunus_rotate::exec::{Exec, check};
use portunus_rotate::plugin::{Plugin, Plugins};
use portunus_vault::rotation::Origin;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const FIRST: &str = "first-key-31d2";

/// The service that the example changes the keys of: a file of digests.
struct Keys(PathBuf);

impl Keys {
    fn read(&self) -> serde_json::Map<String, Value> {
        serde_json::from_slice(&std::fs::read(&self.0).unwrap()).unwrap()
    }
    fn first(&self) {
        let digest = sha256(&[FIRST.as_bytes()]).hex();
        std::fs::write(&self.0, json!({ "by hand": digest }).to_string()).unwrap();
    }
}

#[async_trait]
impl Judge for Keys {
    async fn works(&self, _account: Option<&str>, secret: &str) -> bool {
        let digest = sha256(&[secret.as_bytes()]).hex();
        self.read().values().any(|key| *key == digest)
    }
    async fn live(&self) -> usize {
        self.read().len()
    }
}

/// A copy that nobody else can change.
fn program(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("plug-in");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn example(directory: &Path) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/rotators/api-keys.py");
    program(directory, &std::fs::read_to_string(shipped).unwrap())
}

async fn world(program: PathBuf, origin: Origin, settings: Value, timeout: Duration) -> World {
    let exec = Exec { name: "api-keys".to_owned(), program, arguments: Vec::new(), guard: None, timeout };
    let plugins = Plugins([("api-keys".to_owned(), Plugin { carrier: exec, origin })].into());
    let first = First {
        kind: CredentialKind::Bearer,
        host: "api.example.com".to_owned(),
        secret: FIRST.to_owned(),
        method: "exec",
        settings,
        administrator: Some((String::new(), "admin-key-66aa".to_owned())),
        administrator_host: "api-keys.exec".to_owned(),
    };
    World::new(first, Arc::new(plugins)).await
}

fn directory() -> TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_plug_in_rotates_and_converges_wherever_it_is_killed() {
    for origin in [Origin::Ours, Origin::Theirs] {
        let directory = directory();
        let keys = Keys(directory.path().join("keys.json"));
        keys.first();
        let settings = json!({ "plugin": "api-keys", "admin": "admin", "file": keys.0 });
        let program = example(directory.path());
        let world = world(program, origin, settings, Duration::from_secs(20)).await;
        if origin == Origin::Theirs {
            world.kill_everywhere(&keys).await;
        } else {
            world.rotate(&world.engine()).await.unwrap().unwrap();
            world.check(&keys).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plug_in_that_fails_lies_floods_hangs_or_babbles_is_given_up_and_the_old_secret_stays() {
    let cases: &[(&str, &str)] = &[
        ("exit 3", "ended with exit status: 3"),
        ("echo '{\"ok\":true}'; exit 3", "ended with exit status: 3"),
        ("echo no json", "answer is not as agreed"),
        ("echo '{\"ok\":true,\"more\":1}'", "answer is not as agreed"),
        ("echo '{\"ok\":false,\"error\":\"closed on sundays\"}'", "closed on sundays"),
        ("echo '{\"ok\":true}'", "the upstream gave no secret"),
        ("echo '{\"ok\":true,\"secret\":\"two words and\\u0000\"}'", "the new secret is not usable"),
        ("yes | head -c 200000", "answered more than 65536 bytes"),
        ("cat >/dev/null; sleep 60 & sleep 60", "gave no answer within 1 s"),
    ];
    for (script, says) in cases {
        let directory = directory();
        let program = program(directory.path(), &format!("#!/bin/sh\n{script}\n"));
        let world =
            world(program, Origin::Theirs, json!({ "plugin": "api-keys" }), Duration::from_secs(1)).await;
        let begun = Instant::now();
        let engine = world.engine();
        engine.begin(&world.name, "ana", portunus_core::time::Clock::now(&*world.clock)).await.unwrap();
        let next = engine.step(&world.name, portunus_core::time::Clock::now(&*world.clock)).await.unwrap();
        let text = format!("{next:?}");
        assert!(text.contains(says), "{script}: {text}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{script}: {:?}", begun.elapsed());
        let credential = world.credential().await;
        assert_eq!(credential.in_use().unwrap().number, 1, "{script}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plug_in_gets_no_secret_but_in_its_question_and_nothing_of_our_environment() {
    let directory = directory();
    let seen = directory.path().join("seen");
    let script = format!(
        "#!/bin/sh\nexec >{seen} 2>&1\ncat >{seen}.question\necho \"$# $*\"; env; pwd; ls /proc/self/fd | tr '\\n' ' '; cat /proc/$$/cmdline | tr '\\0' ' '",
        seen = seen.display()
    );
    let program = program(directory.path(), &script);
    let world = world(
        program,
        Origin::Ours,
        json!({ "plugin": "api-keys", "admin": "admin", "region": "north" }),
        Duration::from_secs(5),
    )
    .await;
    let engine = world.engine();
    engine.begin(&world.name, "ana", portunus_core::time::Clock::now(&*world.clock)).await.unwrap();
    engine.step(&world.name, portunus_core::time::Clock::now(&*world.clock)).await.unwrap();
    let question: Value =
        serde_json::from_slice(&std::fs::read(seen.with_extension("question")).unwrap()).unwrap();
    assert_eq!(question["portunus_rotation"], 1);
    assert_eq!(question["step"], "create");
    assert_eq!(question["id"], "crm/2");
    assert_eq!(question["settings"], json!({ "region": "north" }), "only its own settings");
    assert_eq!(question["administrator"]["secret"], "admin-key-66aa");
    let new = question["version"]["secret"].as_str().unwrap();
    assert_eq!(new.len(), 43);
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.starts_with("0 \n"), "no arguments: {seen}");
    assert!(!seen.contains(new) && !seen.contains("admin-key-66aa"), "{seen}");
    let variables: Vec<&str> =
        seen.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    for variable in variables {
        assert!(["PATH", "LANG", "PWD", "SHLVL", "_", "OLDPWD"].contains(&variable), "{variable} in {seen}");
    }
    assert!(seen.contains("\n/\n"), "its directory is the root: {seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_a_plug_in_started_ends_with_its_time() {
    let directory = directory();
    let mark = directory.path().join("pid");
    let script = format!("#!/bin/sh\nsleep 300 &\necho $! >{}\nwait\n", mark.display());
    let program = program(directory.path(), &script);
    let world = world(program, Origin::Theirs, json!({ "plugin": "api-keys" }), Duration::from_secs(1)).await;
    let engine = world.engine();
    let now = || portunus_core::time::Clock::now(&*world.clock);
    engine.begin(&world.name, "ana", now()).await.unwrap();
    engine.step(&world.name, now()).await.unwrap();
    let pid = std::fs::read_to_string(mark).unwrap();
    let process = PathBuf::from(format!("/proc/{}", pid.trim()));
    let begun = Instant::now();
    // Its parent is gone: whoever adopts it reaps it soon.
    while std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z")) {
        assert!(begun.elapsed() < Duration::from_secs(10), "process {pid} lives");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_program_that_others_can_change_is_not_run() {
    let directory = directory();
    let path = program(directory.path(), "#!/bin/sh\n");
    check(&path).unwrap();
    let mode =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(&path, 0o775);
    assert!(check(&path).unwrap_err().to_string().contains("changed by others"));
    mode(&path, 0o755);
    mode(directory.path(), 0o777);
    assert!(check(&path).unwrap_err().to_string().contains("changed by others"));
    assert!(check(Path::new("plug-in")).unwrap_err().to_string().contains("absolute"));
    assert!(check(&directory.path().join("none")).unwrap_err().to_string().contains("cannot be used"));
}

#[tokio::test]
async fn a_plan_chooses_among_configured_plug_ins_only() {
    let directory = directory();
    let program = program(directory.path(), "#!/bin/sh\n");
    for (settings, says) in [
        (json!({}), "settings.plugin must name a plug-in: api-keys"),
        (json!({ "plugin": "/bin/sh" }), "there is no plug-in `/bin/sh`"),
    ] {
        let world = world(program.clone(), Origin::Ours, settings, Duration::from_secs(1)).await;
        let error = world.rotate(&world.engine()).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
