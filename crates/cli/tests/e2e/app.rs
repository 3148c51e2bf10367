//! One running Portunus with a directory of its own: start, kill, restart, administer.

use crate::http::Http;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_portunus");
const START: Duration = Duration::from_secs(60);

/// A running edge. Dropping it kills the process and removes the directory; a failing test prints the log's end first.
pub(crate) struct App {
    child: Child,
    words: Vec<String>,
    /// `https://localhost:PORT`.
    pub(crate) url: String,
    pub(crate) port: u16,
    pub(crate) admin_port: u16,
    /// Who may sign in, and with what (the one-time password until it was changed).
    pub(crate) person: Person,
    dir: TempDir,
}

#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl App {
    /// `portunus demo`: server `sales` with the sample shop behind a real connector.
    pub(crate) async fn demo() -> Self {
        Self::demo_in(&[]).await
    }

    /// The same with these environment variables.
    pub(crate) async fn demo_in(environment: &[(&str, &str)]) -> Self {
        let dir = directory();
        let (port, admin_port) = (free_port(), free_port());
        let state = dir.path().join("state");
        let words = [
            "demo",
            "--state",
            state.to_str().unwrap(),
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--admin-listen",
            &format!("127.0.0.1:{admin_port}"),
            "--json",
        ];
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut child = spawn(&words, dir.path(), Stdio::piped(), environment);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("the demo's first line is not JSON: {line:?}\n{}", log(dir.path())));
        let text = |key: &str| ready[key].as_str().unwrap_or_else(|| panic!("no {key} in {line}")).to_owned();
        assert_eq!(Path::new(&text("state")).canonicalize().unwrap(), state.canonicalize().unwrap());
        let person = Person { user: text("user"), password: text("password") };
        Self { child, words, url: text("issuer"), port, admin_port, person, dir }
    }

    /// `portunus serve` with these servers (YAML list items) and this policy; adds the user `ana`.
    pub(crate) async fn serve(servers: &str, policy: &str) -> Self {
        Self::serve_as(servers, policy, |_, configuration| configuration, &[]).await
    }

    /// The same with an edited configuration, whose directory can be filled first, and these environment variables.
    pub(crate) async fn serve_as(
        servers: &str,
        policy: &str,
        edit: impl FnOnce(&Path, String) -> String,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut app = Self::prepare(free_port(), servers, policy, edit, environment);
        app.ready().await;
        app.add_person();
        app
    }

    /// The same on this port, without waiting until it is ready.
    pub(crate) fn start(
        port: u16,
        servers: &str,
        policy: &str,
        edit: impl FnOnce(String) -> String,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::prepare(port, servers, policy, |_, configuration| edit(configuration), environment)
    }

    fn prepare(
        port: u16,
        servers: &str,
        policy: &str,
        edit: impl FnOnce(&Path, String) -> String,
        environment: &[(&str, &str)],
    ) -> Self {
        let dir = directory();
        let admin_port = free_port();
        let policies = dir.path().join("policies");
        std::fs::create_dir(&policies).unwrap();
        std::fs::write(policies.join("test.cedar"), policy).unwrap();
        let config = dir.path().join("portunus.yaml");
        std::fs::write(&config, edit(dir.path(), configuration(port, admin_port, servers))).unwrap();
        let words = vec!["serve".to_owned(), "-c".to_owned(), config.to_str().unwrap().to_owned()];
        let child = spawn(&words, dir.path(), Stdio::null(), environment);
        let url = format!("https://localhost:{port}");
        let person = Person { user: "ana".to_owned(), password: String::new() };
        Self { child, words, url, port, admin_port, person, dir }
    }

    /// Adds the user `ana`.
    pub(crate) fn add_person(&mut self) {
        let added = self.admin(&["user", "add", "ana", "--json"]);
        added["password"]
            .as_str()
            .unwrap_or_else(|| panic!("no password in {added}"))
            .clone_into(&mut self.person.password);
    }

    /// Waits until `/readyz` answers so.
    pub(crate) async fn until_status(&self, status: u16, text: &str) {
        let url = format!("http://127.0.0.1:{}/readyz", self.admin_port);
        let said = || async {
            let reply = Http::plain().get(&url).await.ok()?;
            (reply.status == status && reply.text().contains(text)).then_some(())
        };
        until(&format!("/readyz says {status} {text}"), START, said).await;
    }

    /// Waits until `/readyz` says yes.
    pub(crate) async fn ready(&mut self) {
        let url = format!("http://127.0.0.1:{}/readyz", self.admin_port);
        let begun = Instant::now();
        loop {
            if let Ok(reply) = Http::plain().get(&url).await
                && reply.status == 200
            {
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("portunus ended with {status}:\n{}", self.log());
            }
            assert!(begun.elapsed() < START, "not ready after {START:?}:\n{}", self.log());
            pause().await;
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, without waiting.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn ended(&mut self, within: Duration) -> std::process::ExitStatus {
        let child = &mut self.child;
        until("the process ends", within, || std::future::ready(child.try_wait().unwrap())).await
    }

    /// Starts it again with the same state and ports.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.words, self.dir.path(), Stdio::null(), &[]);
        self.ready().await;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.state().join("ca.pem")
    }

    pub(crate) fn policy_file(&self) -> PathBuf {
        self.dir.path().join("policies/test.cedar")
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.path().join("portunus.yaml")
    }

    pub(crate) fn log(&self) -> String {
        log(self.dir.path())
    }

    pub(crate) fn mcp_url(&self, server: &str) -> String {
        format!("{}/{server}/mcp", self.url)
    }

    /// A client that trusts this edge's own CA and nothing else.
    pub(crate) fn http(&self) -> Http {
        Http::trusting(&std::fs::read(self.ca_file()).unwrap())
    }

    /// An administrative command that must succeed; its JSON.
    pub(crate) fn admin(&self, words: &[&str]) -> Value {
        let output = self.command(words);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{words:?} failed: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?} printed {text:?}: {error}"))
    }

    /// Any command, with this edge's state directory.
    pub(crate) fn command(&self, words: &[&str]) -> Output {
        Command::new(BINARY)
            .args(words)
            .env("PORTUNUS_STATE", self.state())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// An access token without a browser.
    pub(crate) fn token(&self, server: &str) -> String {
        let user = self.person.user.as_str();
        let issued =
            self.admin(&["token", "issue", "--server", server, "--as", user, "--ttl", "10m", "--json"]);
        issued["access_token"].as_str().unwrap_or_else(|| panic!("no token in {issued}")).to_owned()
    }

    /// A file with a fresh join token for a server.
    pub(crate) fn join_token(&self, server: &str) -> PathBuf {
        let issued = self.admin(&["join", "issue", "--server", server, "--json"]);
        let file = self.dir.path().join(format!("join-{}", free_port()));
        std::fs::write(&file, issued["join_token"].as_str().unwrap()).unwrap();
        file
    }

    /// The records of the ledger, oldest first.
    pub(crate) fn records(&self) -> Vec<Value> {
        let output = self.command(&["audit", "tail", "-n", "1000000", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `audit verify` finds nothing wrong.
    pub(crate) fn verify(&self) {
        let output = self.command(&["audit", "verify"]);
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "audit verify: {text}");
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the end of Portunus' log");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// A `portunus connect` of its own; killed when dropped.
pub(crate) struct Connector {
    pub(crate) child: Child,
    pub(crate) state: PathBuf,
}

impl Connector {
    /// Connects `server` to an HTTP upstream; joins with a fresh token unless `state` already holds a certificate.
    pub(crate) fn to(app: &App, server: &str, upstream: &str, state: &str) -> Self {
        Self::with(app, server, state, &["--to", upstream])
    }

    /// The same for anything that can be served; `words` come last.
    pub(crate) fn with(app: &App, server: &str, state: &str, words: &[&str]) -> Self {
        let state = app.dir().join(state);
        let mut command = Command::new(BINARY);
        command.args(["connect", "--gateway", &app.url, "--name", server, "--plain"]);
        command.arg("--ca-file").arg(app.ca_file()).arg("--state").arg(&state);
        if !state.exists() {
            command.arg("--token-file").arg(app.join_token(server));
        }
        command.args(words);
        let output = || append(&app.dir().join("connectors.log"));
        let child = command.stdin(Stdio::null()).stdout(output()).stderr(output()).spawn().unwrap();
        Self { child, state }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Repeats until the condition holds, or fails naming it.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> F,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(begun.elapsed() < within, "waited {within:?} in vain until {what}");
        pause().await;
    }
}

/// Between two looks at a condition.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

pub(crate) fn free_port() -> u16 {
    let probe = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    probe.local_addr().unwrap().port()
}

/// YAML of a published server at an HTTP upstream that needs no credential.
pub(crate) fn server_at(name: &str, url: &str) -> String {
    server_with(name, &format!("url: {url:?}"), "none")
}

/// YAML of a published server with this place and this credential.
pub(crate) fn server_with(name: &str, place: &str, credential: &str) -> String {
    format!("{}    upstream: {{ {place} }}\n    credential: {credential}\n", server(name))
}

/// YAML of a published server behind connectors.
pub(crate) fn server_behind_tunnel(name: &str) -> String {
    format!("{}    upstream: tunnel\n", server(name))
}

/// YAML of a published server that is a program without a credential; `more` are further keys of its upstream, each after a comma.
pub(crate) fn server_of_program(name: &str, command: &[String], more: &str) -> String {
    server_with(name, &format!("command: {command:?}{more}"), "none")
}

fn server(name: &str) -> String {
    format!(
        "  - name: {name}\n    owner: ana@example.com\n    purpose: Tests\n    environment: test\n    actors: [assistant, autonomous]\n"
    )
}

fn configuration(port: u16, admin_port: u16, servers: &str) -> String {
    format!(
        "public_url: https://localhost:{port}\n\
         listen: {{ https: \"127.0.0.1:{port}\", admin: \"127.0.0.1:{admin_port}\" }}\n\
         tls: {{ local_ca: true }}\n\
         store: sqlite:state/portunus.db\n\
         sealing_key: {{ file: state/sealing.key }}\n\
         login: {{ local: true }}\n\
         policies: ./policies\n\
         servers:\n{servers}"
    )
}

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("portunus-e2e-").tempdir().unwrap()
}

fn spawn(words: &[impl AsRef<OsStr>], dir: &Path, stdout: Stdio, environment: &[(&str, &str)]) -> Child {
    let mut command = Command::new(BINARY);
    command
        .args(words)
        .env("NO_COLOR", "1")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(stdout);
    command.stderr(append(&dir.join("portunus.log"))).spawn().unwrap()
}

fn append(path: &Path) -> std::fs::File {
    std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap()
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("portunus.log")).unwrap_or_default()
}
