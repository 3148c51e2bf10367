//! A server behind a real sshd: its program logs in with a key that it never sees, under an authority of Portunus.

use super::{Caller, PERMIT, SOON, plain, supervision};
use crate::app::{App, pause, server_with, until};
use serde_json::json;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn run(program: &str, words: &[&str]) -> String {
    let output =
        Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// sshd for the user who runs the tests.
struct Sshd {
    dir: TempDir,
    port: u16,
    user: String,
    server: Option<Child>,
}

impl Sshd {
    fn prepare() -> Self {
        let dir = tempfile::Builder::new().prefix("portunus-ssh-").tempdir().unwrap();
        let this = Self {
            dir,
            port: crate::app::free_port(),
            user: run("id", &["-un"]).trim().to_owned(),
            server: None,
        };
        for name in ["host", "by-hand"] {
            run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &this.path(name)]);
        }
        let host = std::fs::read_to_string(this.path("host.pub")).unwrap();
        std::fs::write(this.path("known_hosts"), format!("[localhost]:{} {host}", this.port)).unwrap();
        std::fs::copy(this.path("by-hand.pub"), this.path("authorized_keys")).unwrap();
        this
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// With what the edge wrote for it.
    async fn start(&mut self, authorities: &Path) {
        let file = |name: &str| authorities.join(name).display().to_string();
        let configuration = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nTrustedUserCAKeys {}\nRevokedKeys {}\nAuthorizedKeysFile {}\n\
             PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nLogLevel VERBOSE\n",
            self.port,
            self.path("host"),
            file("ssh-ca.pub"),
            file("ssh-ca.krl"),
            self.path("authorized_keys"),
        );
        std::fs::write(self.path("sshd_config"), configuration).unwrap();
        // Where it is root, it wants this place, which a service manager would make.
        let _ = std::fs::create_dir_all("/run/sshd");
        let mut command = Command::new("/usr/sbin/sshd");
        command
            .args(["-D", "-e", "-f", &self.path("sshd_config")])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let log = std::fs::File::create(self.path("log")).unwrap();
        self.server = Some(command.stderr(log).spawn().expect("sshd; `make packages` installs it"));
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            pause().await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_logs_in_with_a_key_that_it_never_sees_through_rotation_and_revocation() {
    let mut sshd = Sshd::prepare();
    let mark = format!("mark-{}", sshd.port);
    let place = format!("localhost:{}", sshd.port);
    let mut command: Vec<String> =
        ["ssh", "-F", "none", "-T", "-l", &sshd.user, "-p", &sshd.port.to_string()]
            .map(str::to_owned)
            .to_vec();
    for option in
        ["BatchMode=yes", "IdentityFile=none", &format!("UserKnownHostsFile={}", sshd.path("known_hosts"))]
    {
        command.extend(["-o".to_owned(), option.to_owned()]);
    }
    command.push("localhost".to_owned());
    command.extend(plain(&[&mark]));
    let app = App::serve(&server_with("plain", &format!("command: {command:?}"), "plain-key"), PERMIT).await;
    sshd.start(&app.state().join("authorities")).await;
    let by_hand = sshd.path("by-hand");
    let known_hosts = format!("known_hosts={}", sshd.path("known_hosts"));
    let host = format!("host={place}");
    let words = ["cred", "add", "plain-key", "--ssh", &sshd.user, "--server", "plain", "--host", &place];
    let rest = ["--owner", "ana", "--purpose", "Questions", "--expires", "90d", "--from-file", &by_hand];
    let plan =
        ["--rotate", "ssh", "--set", &host, "--set", &known_hosts, "--set", "drain_seconds=0", "--json"];
    app.admin(&[&words[..], &rest, &plan].concat());

    let (http, url, port, token) = (app.http(), app.mcp_url("plain"), app.port, app.token("plain"));
    let mut caller = Caller { http, url, port, token, session: String::new() };
    caller.begin(&json!({})).await;
    caller.text("pid", &json!({})).await;
    let key = std::fs::read_to_string(&by_hand).unwrap();
    let secret = key.lines().nth(2).unwrap();
    let mut looked = 0;
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        if !String::from_utf8_lossy(&line).contains(&mark) {
            continue;
        }
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let text = String::from_utf8_lossy(&environment).into_owned() + &String::from_utf8_lossy(&line);
        looked += usize::from(text.contains("SSH_AUTH_SOCK"));
        assert!(!text.contains(secret), "a process has the key");
    }
    assert!(looked > 0, "the program has an agent");

    // Nobody else may log in with the key that was there before; then Portunus makes one of its own.
    std::fs::remove_file(sshd.path("authorized_keys")).unwrap();
    app.admin(&["cred", "rotate", "plain-key", "--wait", "--json"]);
    let shown = app.admin(&["cred", "show", "plain-key", "--json"]);
    assert_eq!((&shown["version"], &shown["tested"]["outcome"]), (&json!(2), &json!("dead")), "{shown}");
    let mut again = caller.clone();
    again.session = String::new();
    again.begin(&json!({})).await;
    again.text("pid", &json!({})).await;
    assert!(sshd.log().contains("plain-key/2"), "{}", sshd.log());

    let revoked = app.admin(&["cred", "revoke", "plain-key", "--json"]);
    let begun = Instant::now();
    assert_eq!(revoked["tested"]["outcome"], "dead", "{revoked}");
    let gone = || async { supervision::processes(&mark).is_empty().then_some(()) };
    until("its log-in has ended", SOON, gone).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(again.call("pid", &json!({})).await.error_code(), Some(-32012));
    let shown = app.log() + &app.records().iter().map(ToString::to_string).collect::<String>();
    assert!(!shown.contains(secret) && !shown.contains("PRIVATE KEY"));
}
