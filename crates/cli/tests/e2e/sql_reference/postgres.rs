//! `@modelcontextprotocol/server-postgres`, which opens a transaction that reads only and then runs any text in it, also one
//! that ends the transaction first; as the database's superuser.

use super::corpus;
use super::{Outcome, Stage, Tally, ask};
use crate::app::{free_port, until};
use crate::clients;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TOOLS: &str = "{ query: { groups: [read], sql: { argument: sql, dialect: postgres } } }";

/// Analytical statements that the edge refuses, though they only read.
const FALSE_REFUSALS: &[&str] = &[];

#[tokio::test]
async fn nothing_that_is_asked_of_the_reference_server_for_postgresql_changes_its_database() {
    if clients::skipped() {
        return;
    }
    let begun = Instant::now();
    let (hostile, analytical) =
        (corpus::read("postgres-hostile", 200), corpus::read("postgres-analytical", 100));
    let database = Postgres::start(&analytical.setup).await;
    let script =
        clients::directory().join("node_modules/@modelcontextprotocol/server-postgres/dist/index.js");
    let command =
        [clients::node().to_str().unwrap().to_owned(), script.to_str().unwrap().to_owned(), database.url()];
    let stage = Stage::set(&command, TOOLS).await;
    let before = database.dump();

    let mut tally = Tally::default();
    for statement in &hostile.statements {
        tally.count(statement, ask(&stage.guarded, "query", "sql", &statement.sql).await);
    }
    tally.print("hostile");
    assert!(tally.passed.is_empty() && tally.failed.is_empty(), "reached the server: {tally:#?}");
    assert!(database.dump() == before, "the cluster is as it was");

    let mut tally = Tally::default();
    for statement in &analytical.statements {
        tally.count(statement, ask(&stage.guarded, "query", "sql", &statement.sql).await);
    }
    tally.print("analytical");
    assert_eq!(tally.refused, FALSE_REFUSALS, "refused by mistake");
    assert_eq!(tally.failed, [""; 0], "refused by PostgreSQL itself");
    assert!(database.dump() == before, "the cluster is as it was");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());

    // Without the guard the published way around the read-only transaction works.
    let bypass = "COMMIT; DROP TABLE order_lines CASCADE";
    assert_eq!(ask(&stage.guarded, "query", "sql", bypass).await, Outcome::Refused);
    ask(&stage.open, "query", "sql", bypass).await;
    assert!(database.dump() != before, "{bypass} changes something where nothing guards");
    stage.app.verify();
}

/// A PostgreSQL of its own; ended and removed when dropped.
struct Postgres {
    server: Child,
    port: u16,
    directory: TempDir,
}

impl Postgres {
    /// With what this SQL makes in it.
    async fn start(setup: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("portunus-postgres-").tempdir().unwrap();
        let data = directory.path().join("data");
        if is_root() {
            // PostgreSQL does not run as root.
            std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::create_dir(&data).unwrap();
            assert!(Command::new("chown").arg("postgres:").arg(&data).status().unwrap().success());
        }
        let data = data.to_str().unwrap();
        let mut made = unprivileged(
            "initdb",
            &["--pgdata", data, "--username=shop", "--auth=trust", "--no-sync", "--locale=C.UTF-8"],
        );
        succeed(made.stdout(Stdio::null()));
        let port = free_port();
        let words = ["-D", data, "-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c"];
        let sockets = format!("unix_socket_directories={data}");
        let more =
            [sockets.as_str(), "-c", "fsync=off", "-c", "autovacuum=off", "-c", "statement_timeout=10s"];
        let mut server = unprivileged("postgres", &[words.as_slice(), more.as_slice()].concat());
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let server = server.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let started = Self { server, port, directory };
        let port = port.to_string();
        let words = ["--host=127.0.0.1", "--username=shop", "--dbname=postgres", "--port", &port];
        until("PostgreSQL answers", Duration::from_secs(30), || {
            let status = Command::new(binary("pg_isready")).args(words).stdout(Stdio::null()).status();
            std::future::ready(status.unwrap().success().then_some(()))
        })
        .await;
        let script = started.directory.path().join("setup.sql");
        std::fs::write(&script, setup).unwrap();
        let mut fill = Command::new(binary("psql"));
        fill.args(words).args(["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--file"]).arg(script);
        succeed(fill.stdout(Stdio::null()));
        started
    }

    fn url(&self) -> String {
        format!("postgresql://shop@127.0.0.1:{}/postgres", self.port)
    }

    /// Everything that the cluster holds, as SQL, and the names of the files beside it.
    fn dump(&self) -> String {
        let port = self.port.to_string();
        let words = ["--host=127.0.0.1", "--username=shop", "--port", &port];
        let output = Command::new(binary("pg_dumpall")).args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut files: Vec<_> =
            std::fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        // Some releases put a random word around each dump.
        let text = String::from_utf8(output.stdout).unwrap();
        let lines =
            text.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
        lines.collect::<Vec<_>>().join("\n") + &format!("{files:?}")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT ends it with all its processes at once.
        let _ = Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
    }
}

/// A program of PostgreSQL's; the newest release that is installed.
fn binary(name: &str) -> PathBuf {
    let releases = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> =
        releases.map(|entry| entry.unwrap().path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| panic!("no {name} of PostgreSQL; run make packages"))
}

/// The same as somebody who is not root.
fn unprivileged(name: &str, words: &[&str]) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=QUIT"]);
        command.arg(binary(name));
        command
    } else {
        Command::new(binary(name))
    };
    command.args(words).stdin(Stdio::null()).current_dir("/");
    command
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

fn succeed(command: &mut Command) {
    let output =
        command.stderr(Stdio::piped()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
