//! Let's Encrypt's test authority, Debian's `pebble`, with its failure injection on.

use crate::app::{free_port, until};
use crate::http::Http;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A running authority; killed when dropped.
pub(crate) struct Pebble {
    child: Option<Child>,
    dir: TempDir,
    port: u16,
    management: u16,
    environment: Vec<(&'static str, &'static str)>,
}

/// Where it validates, and what it issues.
pub(crate) struct Ports {
    /// Of http-01; real authorities use 80.
    pub(crate) http: u16,
    /// Of tls-alpn-01; real authorities use 443.
    pub(crate) tls: u16,
    /// Seconds that its certificates live.
    pub(crate) validity: u64,
}

/// One in six good nonces is refused, authorizations are reused or not as chance has it, validations come some time after
/// they are asked for.
pub(crate) const FAILURES: &[(&str, &str)] =
    &[("PEBBLE_WFE_NONCEREJECT", "15"), ("PEBBLE_AUTHZREUSE", "50"), ("PEBBLE_VA_SLEEPTIME", "2")];

impl Pebble {
    /// Prepares one; nothing runs yet.
    pub(crate) fn new(ports: &Ports, environment: &[(&'static str, &'static str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), certificate.pem()).unwrap();
        std::fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
        let (port, management) = (free_port(), free_port());
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": dir.path().join("ca.pem"),
            "privateKey": dir.path().join("key.pem"),
            "httpPort": ports.http,
            "tlsPort": ports.tls,
            "certificateValidityPeriod": ports.validity,
        } });
        std::fs::write(dir.path().join("pebble.json"), config.to_string()).unwrap();
        Self { child: None, dir, port, management, environment: environment.to_vec() }
    }

    pub(crate) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// The certificate of its own HTTPS.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub(crate) fn http(&self) -> Http {
        Http::trusting(&std::fs::read(self.ca_file()).unwrap())
    }

    /// `tls: { acme: … }` that uses it.
    pub(crate) fn tls(&self, more: &str) -> String {
        let (directory, ca) = (self.directory(), self.ca_file());
        format!("{{ acme: {{ email: ops@example.com, directory: {directory:?}, ca: {ca:?}{more} }} }}")
    }

    /// Starts it, or starts it anew: it forgets accounts and its own keys between two runs.
    pub(crate) async fn start(&mut self) {
        self.stop();
        let log = std::fs::File::create(self.dir.path().join("pebble.log")).unwrap();
        let child = Command::new("pebble")
            .arg("-config")
            .arg(self.dir.path().join("pebble.json"))
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("Debian's package pebble is installed (`make packages`)"));
        let (http, directory) = (self.http(), self.directory());
        let ready = || async { http.get(&directory).await.ok().filter(|reply| reply.status == 200) };
        until("pebble answers", Duration::from_secs(30), ready).await;
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A client that trusts what it has issued since its last start, and nothing else.
    pub(crate) async fn client(&self) -> Http {
        let root = self.http().get(&format!("https://localhost:{}/roots/0", self.management)).await.unwrap();
        Http::trusting(&root.body)
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("pebble.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the end of pebble's log");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
