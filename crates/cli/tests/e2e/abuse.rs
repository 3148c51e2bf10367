//! HTTP abuse: requests that two parsers read differently in front of three servers with parsers of their own, frames for
//! nothing, crowds of slow connections. `bench/abuse.py` has the long versions.

use crate::app::{App, free_port, server_at, until};
use crate::bad_input::PERMIT_ALL;
use crate::clients::{directory, node, skipped};
use crate::http::{Http, call};
use crate::upstream::Upstream;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SOON: Duration = Duration::from_secs(30);

/// A server that was started for one test; killed when dropped.
struct Process(Child);

impl Process {
    fn start(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Self {
        let mut command = Command::new(&program);
        let child =
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(
            child.unwrap_or_else(|error| panic!("{:?}: {error} (`make packages clients`)", program.as_ref())),
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// nginx or HAProxy in front of a recorder, or Node.js by itself; each counts what its own parser finds.
struct Judge {
    name: &'static str,
    port: u16,
    log: std::path::PathBuf,
    _process: Process,
    _behind: Option<Upstream>,
}

impl Judge {
    async fn nginx(dir: &Path) -> Self {
        let (behind, port) = (Upstream::start().await, free_port());
        let log = dir.join("nginx.log");
        let text = format!(
            "daemon off; pid {pid}; error_log /dev/null; worker_processes 1;\nevents {{ worker_connections 512; }}\n\
             http {{ log_format all '{{\"line\":\"$request\",\"length\":\"$http_content_length\",\"coding\":\"$http_transfer_encoding\"}}';\n\
             access_log {log} all; client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};\n\
             uwsgi_temp_path {dir}; scgi_temp_path {dir};\n\
             server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{host}; }} }} }}\n",
            pid = dir.join("nginx.pid").display(),
            log = log.display(),
            dir = dir.display(),
            host = behind.host(),
        );
        let config = dir.join("nginx.conf");
        std::fs::write(&config, text).unwrap();
        let process = Process::start("/usr/sbin/nginx", &["-c", config.to_str().unwrap(), "-e", "/dev/null"]);
        Self { name: "nginx", port, log, _process: process, _behind: Some(behind) }
    }

    async fn haproxy(dir: &Path) -> Self {
        let (behind, port, sink) = (Upstream::start().await, free_port(), dir.join("haproxy.sock"));
        let log = dir.join("haproxy.log");
        let socket = std::os::unix::net::UnixDatagram::bind(&sink).unwrap();
        let file = log.clone();
        std::fs::write(&log, "").unwrap();
        std::thread::spawn(move || {
            let mut line = [0; 8192];
            while let Ok(length) = socket.recv(&mut line) {
                let text = String::from_utf8_lossy(&line[..length]).into_owned();
                let json = text.find('{').map(|start| text[start..].trim_end().to_owned());
                let mut out = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
                std::io::Write::write_all(&mut out, format!("{}\n", json.unwrap_or_default()).as_bytes())
                    .unwrap();
            }
        });
        let text = format!(
            "global\n log {sink} format raw local0\n\
             defaults\n mode http\n option dontlognull\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n log global\n\
             frontend f\n bind 127.0.0.1:{port}\n\
             log-format '{{\"line\":%{{+Q}}r,\"length\":\"%[capture.req.hdr(0)]\",\"coding\":\"%[capture.req.hdr(1)]\"}}'\n\
             capture request header Content-Length len 64\n capture request header Transfer-Encoding len 64\n\
             default_backend b\nbackend b\n server s {host}\n",
            sink = sink.display(),
            host = behind.host(),
        );
        let config = dir.join("haproxy.cfg");
        std::fs::write(&config, text).unwrap();
        let process = Process::start("/usr/sbin/haproxy", &["-db", "-f", config.to_str().unwrap()]);
        Self { name: "haproxy", port, log, _process: process, _behind: Some(behind) }
    }

    fn node(dir: &Path) -> Self {
        let (port, log) = (free_port(), dir.join("node.log"));
        let script = directory().join("recorder.mjs");
        let arguments = [script.to_str().unwrap(), &port.to_string(), log.to_str().unwrap()];
        Self {
            name: "node",
            port,
            log: log.clone(),
            _process: Process::start(node(), &arguments),
            _behind: None,
        }
    }

    async fn ready(&self) {
        let listening = || async { tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.ok() };
        until("the judge listens", SOON, listening).await;
    }

    /// What its parser took for requests.
    fn seen(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// What the vectors are made of: a request, and another one hidden in what two parsers read differently.
struct Parts {
    line: String,
    start: String,
    common: String,
    good: String,
    inner: String,
}

type Vectors = Vec<(String, Vec<u8>)>;

fn vectors(server: &str, host: &str, token: &str) -> Vectors {
    let body = |tool: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}"#
        )
    };
    let common = format!(
        "Authorization: Bearer {token}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n"
    );
    let (good, hidden) = (body("echo"), body("hidden"));
    let line = format!("POST /{server}/mcp HTTP/1.1\r\n");
    let start = format!("{line}Host: {host}\r\n{common}");
    let inner = format!("{start}Content-Length: {}\r\n\r\n{hidden}", hidden.len());
    let parts = Parts { line, start, common, good, inner };
    let mut all = codings(&parts);
    all.extend(lengths(&parts));
    all.extend(chunks(&parts));
    all.extend(heads(&parts, server, host));
    let Parts { start, common, good, inner, .. } = parts;
    all.push((
        String::from("a GET with a body"),
        format!(
            "GET /{server}/mcp HTTP/1.1\r\nHost: {host}\r\n{common}Content-Length: {}\r\n\r\n{inner}",
            inner.len()
        )
        .into_bytes(),
    ));
    all.push((
        String::from("two good requests in a row"),
        format!("{start}Content-Length: {}\r\n\r\n{good}{inner}", good.len()).into_bytes(),
    ));
    all
}

/// Content-Length against Transfer-Encoding, in both orders, and codings that some parsers take for chunked.
fn codings(parts: &Parts) -> Vectors {
    let Parts { start, good, inner, .. } = parts;
    let chunked = |text: &str| format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
    let mut all = Vectors::new();
    let mut add = |name: &str, bytes: String| all.push((name.to_owned(), bytes.into_bytes()));
    for coding in [
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: Chunked",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;a=b",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding:\x0bchunked",
        "Transfer-Encoding:\r\n chunked",
        "X: y\nTransfer-Encoding: chunked",
        " Transfer-Encoding: chunked",
        "Transfer_Encoding: chunked",
        "Transfer-Encoding\0: chunked",
    ] {
        add(
            &format!("length before {coding:?}"),
            format!("{start}Content-Length: {}\r\n{coding}\r\n\r\n0\r\n\r\n{inner}", 5 + inner.len()),
        );
        add(
            &format!("{coding:?} before a length"),
            format!("{start}{coding}\r\nContent-Length: 4\r\n\r\n{}{inner}", chunked(good)),
        );
    }
    all
}

/// Lengths that are not one plain number.
fn lengths(parts: &Parts) -> Vectors {
    let Parts { start, good, inner, .. } = parts;
    let (n, whole) = (good.len(), good.len() + inner.len());
    let mut all = Vectors::new();
    let mut add = |name: &str, bytes: String| all.push((name.to_owned(), bytes.into_bytes()));
    for length in [
        format!("Content-Length: {n}\r\nContent-Length: {whole}"),
        format!("Content-Length: {whole}\r\nContent-Length: {n}"),
        format!("Content-Length: {n}\r\nContent-Length: {n}"),
        format!("Content-Length: {n}, {n}"),
        format!("Content-Length: {n}, {whole}"),
        format!("Content-Length: +{n}"),
        format!("Content-Length: -{n}"),
        format!("Content-Length: 0x{n:x}"),
        format!("Content-Length: {n} "),
        format!("Content-Length: {n}.0"),
        format!("Content-Length: 0{n}"),
        format!("Content-Length : {n}"),
        format!("Content-Length: {n}\x0b"),
        format!("Content-Length:\r\n {n}"),
        format!("Content_Length: {n}"),
        String::from("Content-Length: 18446744073709551617"),
        String::from("Content-Length:"),
    ] {
        add(&format!("{length:?}"), format!("{start}{length}\r\n\r\n{good}{inner}"));
    }
    all
}

/// Chunks that end elsewhere for another parser.
fn chunks(parts: &Parts) -> Vectors {
    let Parts { start, good, inner, .. } = parts;
    let n = good.len();
    let mut all = Vectors::new();
    let mut add = |name: &str, bytes: String| all.push((name.to_owned(), bytes.into_bytes()));
    for (name, chunks) in [
        ("an extension", format!("{n:x};a=b\r\n{good}\r\n0\r\n\r\n{inner}")),
        ("an extension with a newline", format!("{n:x};\n{good}\r\n0\r\n\r\n{inner}")),
        ("a size with a sign", format!("+{n:x}\r\n{good}\r\n0\r\n\r\n{inner}")),
        ("a size in 0x", format!("0x{n:x}\r\n{good}\r\n0\r\n\r\n{inner}")),
        ("a size that overflows", format!("1000000000000000{n:x}\r\n{good}\r\n0\r\n\r\n{inner}")),
        ("no CRLF after a chunk", format!("{n:x}\r\n{good}0\r\n\r\n{inner}")),
        ("a bare LF after the size", format!("{n:x}\n{good}\r\n0\r\n\r\n{inner}")),
        ("a length in a trailer", format!("{n:x}\r\n{good}\r\n0\r\nContent-Length: 500\r\n\r\n{inner}")),
        ("a Host in a trailer", format!("{n:x}\r\n{good}\r\n0\r\nHost: evil.test\r\n\r\n{inner}")),
    ] {
        add(&format!("chunks: {name}"), format!("{start}Transfer-Encoding: chunked\r\n\r\n{chunks}"));
    }
    all
}

/// Heads that say two things.
fn heads(parts: &Parts, server: &str, host: &str) -> Vectors {
    let Parts { line, common, good, inner, .. } = parts;
    let n = good.len();
    let mut all = Vectors::new();
    let mut add = |name: &str, bytes: String| all.push((name.to_owned(), bytes.into_bytes()));
    let rest = format!("{common}Content-Length: {n}\r\n\r\n{good}{inner}");
    for (name, head) in [
        ("two hosts", format!("{line}Host: {host}\r\nHost: evil.test\r\n")),
        ("no host", line.clone()),
        ("a folded line", format!("{line}Host: {host}\r\nX: a\r\n b\r\n")),
        ("a bare LF", format!("{line}Host: {host}\nX: a\r\n")),
        ("a bare CR", format!("{line}Host: {host}\r\nX: a\rContent-Length: 0\r\n")),
        ("a NUL", format!("{line}Host: {host}\r\nX: a\0b\r\n")),
        ("a target with a space", format!("POST /{server}/mcp /x HTTP/1.1\r\nHost: {host}\r\n")),
        (
            "another host in the target",
            format!("POST http://evil.test/{server}/mcp HTTP/1.1\r\nHost: {host}\r\n"),
        ),
        (
            "HTTP/1.0 with keep-alive",
            format!("POST /{server}/mcp HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n"),
        ),
        ("HTTP/0.9", format!("POST /{server}/mcp\r\nHost: {host}\r\n")),
        (
            "an upgrade",
            format!(
                "{line}Host: {host}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
            ),
        ),
        ("a length named in Connection", format!("{line}Host: {host}\r\nConnection: Content-Length\r\n")),
        ("an unknown expectation", format!("{line}Host: {host}\r\nExpect: 200-ok\r\n")),
        ("a fragment", format!("POST /{server}/mcp#x HTTP/1.1\r\nHost: {host}\r\n")),
    ] {
        add(name, format!("{head}{rest}"));
    }
    all
}

/// Sends the bytes, reads what comes for a while.
async fn sent(http: Http, port: u16, bytes: Vec<u8>) {
    let Ok(mut stream) = http.tls(port, &[b"http/1.1"]).await else { return };
    let _ = stream.write_all(&bytes).await;
    let mut answer = vec![0; 16 * 1024];
    while let Ok(Ok(1..)) = tokio::time::timeout(Duration::from_millis(1500), stream.read(&mut answer)).await
    {
    }
}

#[tokio::test]
async fn nothing_that_two_parsers_read_differently_reaches_nginx_haproxy_or_node() {
    if skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let judges = [Judge::nginx(dir.path()).await, Judge::haproxy(dir.path()).await, Judge::node(dir.path())];
    let mut servers = String::new();
    for judge in &judges {
        judge.ready().await;
        servers.push_str(&server_at(judge.name, &format!("http://127.0.0.1:{}/mcp", judge.port)));
        // They list nothing that could be pinned.
        servers.push_str("    pinned: false\n");
    }
    let app = App::serve(&servers, PERMIT_ALL).await;
    let http = app.http();
    for judge in &judges {
        let (token, host) = (app.token(judge.name), format!("localhost:{}", app.port));
        let vectors = vectors(judge.name, &host, &token);
        assert!(vectors.len() >= 60, "{}", vectors.len());
        let mut sending = tokio::task::JoinSet::new();
        for (_, bytes) in vectors {
            sending.spawn(sent(http.clone(), app.port, bytes));
        }
        sending.join_all().await;
        let served = http.send(call(&app.mcp_url(judge.name), &token, "echo", &json!({}))).await.unwrap();
        assert_eq!(served.status, 200, "{}: {}", judge.name, served.text());
    }
    let records = app.records();
    for judge in &judges {
        let admitted =
            records.iter().filter(|r| r["server"] == judge.name && r["verdict"] == "permit").count();
        // nginx and HAProxy write their log after the answer.
        let written = || async { (judge.seen().len() >= admitted).then_some(()) };
        until("the judge has logged what it saw", SOON, written).await;
        let seen = judge.seen();
        assert_eq!(seen.len(), admitted, "{}: {seen:#?}", judge.name);
        for request in seen {
            let line = request["line"].as_str().unwrap();
            assert_eq!(line, "POST /mcp HTTP/1.1", "{}", judge.name);
            let text = |key: &str| request[key].as_str().unwrap_or_default().trim_matches('-').to_owned();
            let (length, coding) = (text("length"), text("coding"));
            let clear = coding.is_empty() && !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
            assert!(clear, "{}: length {length:?}, coding {coding:?}", judge.name);
        }
    }
}

#[tokio::test]
async fn frames_for_nothing_end_their_connection_and_cost_others_nothing() {
    if skipped() {
        return;
    }
    let upstream = Upstream::start().await;
    let app = App::serve(&server_at("recorder", &upstream.url), PERMIT_ALL).await;
    let mut command = Command::new(directory().join(".venv/bin/python"));
    command
        .arg(directory().join("floods.py"))
        .arg("2")
        .env("PORTUNUS_URL", app.mcp_url("recorder"))
        .env("PORTUNUS_TOKEN", app.token("recorder"))
        .env("PORTUNUS_PID", app.pid().to_string())
        .env("SSL_CERT_FILE", app.ca_file());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_crowd_of_slow_connections_is_cut_in_time_while_others_are_served() {
    let upstream = Upstream::start().await;
    let app = App::serve(&server_at("recorder", &upstream.url), PERMIT_ALL).await;
    let (http, url, token) = (app.http(), app.mcp_url("recorder"), app.token("recorder"));
    let header = format!("POST /recorder/mcp HTTP/1.1\r\nHost: localhost:{}\r\n", app.port);
    let body = format!(
        "{header}Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    let mut slow = tokio::task::JoinSet::new();
    for start in [header, body, String::new()].into_iter().cycle().take(300) {
        let (http, port) = (http.clone(), app.port);
        slow.spawn(async move {
            let mut stream = http.tls(port, &[b"http/1.1"]).await.unwrap();
            stream.write_all(start.as_bytes()).await.unwrap();
            let begun = Instant::now();
            let mut dripping = tokio::time::interval(Duration::from_secs(3));
            let mut answer = vec![0; 4096];
            loop {
                tokio::select! {
                    read = stream.read(&mut answer) => if matches!(read, Ok(0) | Err(_)) { return begun.elapsed() },
                    _ = dripping.tick(), if !start.is_empty() => drop(stream.write_all(b"x").await),
                }
                assert!(begun.elapsed() < Duration::from_secs(60), "never cut");
            }
        });
    }
    for _ in 0..5 {
        let served = http.send(call(&url, &token, "echo", &json!({}))).await.unwrap();
        assert_eq!(served.status, 200);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // Headers: 10 s in all. Bodies: 30 s in all, however regularly they drip.
    let longest = slow.join_all().await.into_iter().max().unwrap();
    assert!(longest < Duration::from_secs(34), "cut after {longest:?}");
}
