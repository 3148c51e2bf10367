//! A PostgreSQL of its own, on a private port; ended and removed when dropped.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_postgres::{Client, Config, Error, NoTls};

pub(crate) const ADMIN: &str = "portunus_admin";
pub(crate) const PASSWORD: &str = "admin-password-2b7e";

pub(crate) struct Database {
    server: Child,
    pub(crate) port: u16,
    directory: TempDir,
}

impl Database {
    /// Everybody logs in with a password. `ADMIN` may make roles and end sessions, and is no superuser.
    pub(crate) async fn start(setup: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("portunus-rotate-").tempdir().unwrap();
        let data = directory.path().join("data");
        let password = directory.path().join("password");
        std::fs::write(&password, "super-password-0c11\n").unwrap();
        if is_root() {
            // PostgreSQL does not run as root.
            std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::create_dir(&data).unwrap();
            for path in [&data, &password] {
                assert!(Command::new("chown").arg("postgres:").arg(path).status().unwrap().success());
            }
        }
        let (data, password) = (data.to_str().unwrap(), password.to_str().unwrap());
        let mut made = unprivileged(
            "initdb",
            &[
                "--pgdata",
                data,
                "--username=super",
                "--auth=scram-sha-256",
                "--pwfile",
                password,
                "--no-sync",
                "--locale=C.UTF-8",
            ],
        );
        let output = made.stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (numbered, sockets) = (port.to_string(), format!("unix_socket_directories={data}"));
        let words = [
            "-D",
            data,
            "-p",
            &numbered,
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            &sockets,
            "-c",
            "fsync=off",
            "-c",
            "autovacuum=off",
            "-c",
            "log_statement=all",
            "-c",
            "max_connections=60",
        ];
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let server = unprivileged("postgres", &words).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let database = Self { server, port, directory };
        let begun = Instant::now();
        let client = loop {
            match database.log_in("super", "super-password-0c11").await {
                Ok(client) => break client,
                Err(error) => {
                    assert!(begun.elapsed() < Duration::from_secs(30), "{error}: {}", database.log())
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let administrator = format!(
            "CREATE ROLE {ADMIN} LOGIN CREATEROLE PASSWORD '{PASSWORD}'; GRANT pg_signal_backend TO {ADMIN};"
        );
        client.batch_execute(&format!("{administrator}{setup}")).await.unwrap();
        database
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) async fn log_in(&self, role: &str, password: &str) -> Result<Client, Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(role).password(password).dbname("postgres");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub(crate) async fn superuser(&self) -> Client {
        self.log_in("super", "super-password-0c11").await.unwrap()
    }

    /// Everything that the server has logged, every statement among it.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

impl Drop for Database {
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
