//! URLs with a CA of their own that ask for a certificate: a real nginx, before the server that records.

use super::SOON;
use crate::app::{App, Connector, pause, server_at, server_behind_tunnel, server_with, until};
use crate::bad_input::PERMIT_ALL;
use crate::http::{Reply, call};
use crate::upstream::Upstream;
use serde_json::json;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// nginx with a certificate of `server-ca.pem` that demands one of `client-ca.pem`.
struct Nginx {
    child: Child,
    dir: TempDir,
    url: String,
}

impl Nginx {
    async fn before(upstream: &Upstream) -> Self {
        let dir = tempfile::Builder::new().prefix("portunus-nginx-").tempdir().unwrap();
        for ca in ["server-ca", "client-ca", "other-ca"] {
            authority(dir.path(), ca);
        }
        certificate(dir.path(), "server", "server-ca", "subjectAltName=DNS:localhost,IP:127.0.0.1");
        certificate(dir.path(), "client", "client-ca", "subjectAltName=DNS:edge");
        certificate(dir.path(), "stranger", "other-ca", "subjectAltName=DNS:edge");
        let port = crate::app::free_port();
        let to = upstream.url.trim_end_matches("/mcp");
        let configuration = format!(
            "daemon off; worker_processes 1; pid nginx.pid; error_log error.log;\n\
             events {{}}\n\
             http {{\n\
               access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
               server {{\n\
                 listen 127.0.0.1:{port} ssl;\n\
                 ssl_certificate server.pem; ssl_certificate_key server.key;\n\
                 ssl_client_certificate client-ca.pem; ssl_verify_client on;\n\
                 location / {{ proxy_pass {to}; proxy_set_header x-client $ssl_client_s_dn; }}\n\
               }}\n\
             }}\n"
        );
        std::fs::write(dir.path().join("nginx.conf"), configuration).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(dir.path()).args(["-e", "error.log", "-c", "nginx.conf"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("nginx; `make packages` installs it");
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            pause().await;
        }
        Self { child, dir, url: format!("https://localhost:{port}/mcp") }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker ends with it.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn openssl(dir: &Path, words: &[&str]) {
    let output = Command::new("openssl").current_dir(dir).args(words).output().expect("openssl");
    assert!(output.status.success(), "openssl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn authority(dir: &Path, name: &str) {
    let (key, pem, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
    let new =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    openssl(dir, &[&new[..], &["-keyout", &key, "-out", &pem, "-subj", &subject]].concat());
}

fn certificate(dir: &Path, name: &str, ca: &str, extension: &str) {
    let (key, pem, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
    let (ca_pem, ca_key) = (format!("{ca}.pem"), format!("{ca}.key"));
    let new =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let signed = [
        "-CA",
        &ca_pem,
        "-CAkey",
        &ca_key,
        "-addext",
        extension,
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    openssl(dir, &[&new[..], &["-keyout", &key, "-out", &pem, "-subj", &subject], &signed[..]].concat());
}

/// YAML of the server `wiki` with these further keys of its upstream.
fn wiki(url: &str, more: &str) -> String {
    // Not pinned, so that only a change of the file makes it read again.
    server_at("wiki", url).replace(" }\n", &format!("{more} }}\n    pinned: false\n"))
}

async fn ask(app: &App) -> Reply {
    app.http().send(call(&app.mcp_url("wiki"), &app.token("wiki"), "echo", &json!({}))).await.unwrap()
}

#[tokio::test]
async fn an_upstream_with_its_own_ca_that_wants_a_certificate_is_reached_with_both_only() {
    let upstream = Upstream::start().await;
    let nginx = Nginx::before(&upstream).await;
    let keys = |ca: &str, client: &str| {
        let ca = format!(", ca: {:?}", nginx.text(ca));
        let (cert, key) = (nginx.text(&format!("{client}.pem")), nginx.text(&format!("{client}.key")));
        if client.is_empty() { ca } else { format!("{ca}, client_cert: {cert:?}, client_key: {key:?}") }
    };
    let app = App::serve(&wiki(&nginx.url, &keys("server-ca.pem", "client")), PERMIT_ALL).await;
    let good = ask(&app).await;
    assert_eq!(good.error_code(), None, "{}", good.text());
    assert_eq!(upstream.calls()[0].headers["x-client"], "CN=client");

    let config = std::fs::read_to_string(app.config_file()).unwrap();
    let with = |keys: &str| {
        let start = config.find(", ca:").unwrap();
        let end = start + config[start..].find(" }").unwrap();
        format!("{}{keys}{}", &config[..start], &config[end..])
    };
    let reloads = || app.log().matches("reloaded").count();
    for (wrong, what) in [
        (keys("other-ca.pem", "client"), "another CA"),
        (String::new(), "the system's CAs"),
        (keys("server-ca.pem", ""), "no certificate"),
        (keys("server-ca.pem", "stranger"), "somebody else's certificate"),
    ] {
        let before = reloads();
        std::fs::write(app.config_file(), with(&wrong)).unwrap();
        until("it is read again", SOON, || async { (reloads() > before).then_some(()) }).await;
        let refused = ask(&app).await;
        // nginx tells of a missing certificate in HTTP; what it says is no MCP, and no call reached the server.
        let served = refused.status == 200 && refused.error_code().is_none();
        assert!(!served, "{what}: {} {}", refused.status, refused.text());
        assert_eq!(upstream.calls().len(), 1, "{what}");
    }

    std::fs::write(app.config_file(), with(&keys("server-ca.pem", "client"))).unwrap();
    let works = || async { (ask(&app).await.error_code().is_none()).then_some(()) };
    until("it is reached again", SOON, works).await;
    std::fs::write(nginx.file("client.pem"), "no certificate").unwrap();
    let told = || async {
        (app.log().contains("client.pem: ") && app.log().contains("reload refused")).then_some(())
    };
    until("a file that cannot be used is named", SOON, told).await;
    assert_eq!(ask(&app).await.error_code(), None, "and the one before stays in force");
}

#[tokio::test]
async fn a_credential_is_shown_as_a_certificate_and_its_next_version_takes_over() {
    let upstream = Upstream::start().await;
    let nginx = Nginx::before(&upstream).await;
    certificate(nginx.dir.path(), "second", "client-ca", "subjectAltName=DNS:edge");
    let place = format!("url: {:?}, ca: {:?}", nginx.url, nginx.text("server-ca.pem"));
    let app = App::serve(&server_with("wiki", &place, "wiki-certificate"), PERMIT_ALL).await;
    let host = nginx.url.trim_start_matches("https://").trim_end_matches("/mcp").to_owned();
    let add = |file: &str, more: &[&str]| {
        let pem = std::fs::read_to_string(nginx.file(&format!("{file}.pem"))).unwrap();
        let key = std::fs::read_to_string(nginx.file(&format!("{file}.key"))).unwrap();
        std::fs::write(nginx.file("both"), pem + &key).unwrap();
        let both = nginx.text("both");
        let words = [
            "cred",
            "add",
            "wiki-certificate",
            "--client-certificate",
            "--server",
            "wiki",
            "--host",
            &host,
            "--owner",
            "ana@example.com",
            "--purpose",
            "Notes",
            "--expires",
            "90d",
            "--from-file",
            &both,
            "--json",
        ];
        app.admin(&[&words[..], more].concat())
    };
    assert_eq!(ask(&app).await.error_code(), Some(-32012), "no credential, no call");
    add("client", &[]);
    for _ in 0..3 {
        let good = ask(&app).await;
        assert_eq!(good.error_code(), None, "{}", good.text());
    }
    add("second", &["--replace"]);
    let good = ask(&app).await;
    assert_eq!(good.error_code(), None, "{}", good.text());
    let shown: Vec<_> = upstream.calls().iter().map(|seen| seen.headers["x-client"].clone()).collect();
    assert_eq!(shown, ["CN=client", "CN=client", "CN=client", "CN=second"]);

    add("stranger", &["--replace"]);
    let refused = ask(&app).await;
    assert!(refused.status != 200 || refused.error_code().is_some(), "{}", refused.text());
    assert_eq!(upstream.calls().len(), 4, "no connection of an older version is used for it");
}

/// Connections that nginx has open on its port.
fn open_connections(nginx: &Nginx) -> usize {
    let port: u16 = nginx.url.trim_end_matches("/mcp").rsplit(':').next().unwrap().parse().unwrap();
    let (local, established) = (format!("0100007F:{port:04X}"), "01");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let lines = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    lines.filter(|fields| fields[1] == local && fields[3] == established).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_with_a_revoked_certificate_are_closed_and_a_neighbour_s_stay_open() {
    let upstream = Upstream::start().await;
    let nginx = Nginx::before(&upstream).await;
    let place = format!("url: {:?}, ca: {:?}", nginx.url, nginx.text("server-ca.pem"));
    let server = |name: &str| server_with(name, &place, &format!("{name}-certificate"));
    let app = App::serve(&(server("wiki") + &server("notes")), PERMIT_ALL).await;
    let host = nginx.url.trim_start_matches("https://").trim_end_matches("/mcp").to_owned();
    let text = |name: &str| std::fs::read_to_string(nginx.file(name)).unwrap();
    std::fs::write(nginx.file("both"), text("client.pem") + &text("client.key")).unwrap();
    let both = nginx.text("both");
    for name in ["wiki", "notes"] {
        let credential = format!("{name}-certificate");
        let words = ["cred", "add", &credential, "--client-certificate", "--server", name, "--host", &host];
        let rest =
            ["--owner", "ana", "--purpose", "Notes", "--expires", "90d", "--from-file", &both, "--json"];
        app.admin(&[&words[..], &rest].concat());
    }
    let ask = async |name: &str| {
        let request = call(&app.mcp_url(name), &app.token(name), "echo", &json!({}));
        app.http().send(request).await.unwrap().error_code()
    };
    assert_eq!((ask("wiki").await, ask("notes").await), (None, None));
    let idle = || async { (open_connections(&nginx) == 2).then_some(()) };
    until("both are kept open", SOON, idle).await;
    app.admin(&["cred", "revoke", "wiki-certificate", "--json"]);
    let revoked = std::time::Instant::now();
    let closed = || async { (open_connections(&nginx) == 1).then_some(()) };
    until("the connection with the revoked certificate is closed", SOON, closed).await;
    assert!(revoked.elapsed() < std::time::Duration::from_secs(1), "{:?}", revoked.elapsed());
    assert_eq!((ask("wiki").await, ask("notes").await), (Some(-32012), None));
    assert_eq!(open_connections(&nginx), 1, "over the connection that it had");
}

#[tokio::test]
async fn a_connector_reaches_such_an_upstream_too() {
    let upstream = Upstream::start().await;
    let nginx = Nginx::before(&upstream).await;
    let app = App::serve(&server_behind_tunnel("wiki"), PERMIT_ALL).await;
    let (ca, cert, key) = (nginx.text("server-ca.pem"), nginx.text("client.pem"), nginx.text("client.key"));
    let bare = Connector::with(&app, "wiki", "one", &["--to", &nginx.url, "--ca", &ca]);
    let connected = || async { app.log().contains("link up").then_some(()) };
    until("it is connected", SOON, connected).await;
    ask(&app).await;
    assert_eq!(upstream.calls().len(), 0, "no certificate, no call");
    drop(bare);
    let _connector = Connector::with(
        &app,
        "wiki",
        "one",
        &["--to", &nginx.url, "--ca", &ca, "--client-cert", &cert, "--client-key", &key],
    );
    let works = || async {
        let reply = ask(&app).await;
        (reply.status == 200 && reply.error_code().is_none()).then_some(())
    };
    until("the call gets through", SOON, works).await;
    assert_eq!(upstream.calls()[0].headers["x-client"], "CN=client");
}
