//! Secrets of a kind that nothing else has are put into a running edge, which is then searched from outside: what it answered,
//! logged, traced and stored, and its memory, byte by byte.

use super::{add, add_for, echo};
use crate::app::{App, server_at, server_with, until};
use crate::bad_input::PERMIT_ALL;
use crate::http::{Reply, call, post};
use crate::upstream::Upstream;
use crate::upstreams::{Caller, plain};
use bytes::Bytes;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

/// One for each place that a secret is put into, of letters whose base64 has no `+` or `/`.
const BEARER: &str = "kanarienvogelEinsNirgendsSonst";
const ROTATED: &str = "kanarienvogelZweiNirgendsSonst";
const HEADER: &str = "kanarienvogelDreiNirgendsSonst";
const PASSWORD: &str = "kanarienvogelVierNirgendsSonst";
const QUERY: &str = "kanarienvogelFunfNirgendsSonst";
const VARIABLE: &str = "kanarienvogelSechNirgendsSonst";
/// Two connections' idle time and a sweep after it, on a slow machine.
const IDLE: Duration = Duration::from_secs(90);

/// What to search for: each secret, and its base64 at every offset.
fn needles() -> Vec<(String, Vec<u8>)> {
    let mut needles = Vec::new();
    for secret in [BEARER, ROTATED, HEADER, PASSWORD, QUERY, VARIABLE] {
        needles.push((secret.to_owned(), secret.as_bytes().to_vec()));
        for shift in 0..3_usize {
            let shifted = ["?".repeat(shift).as_str(), secret].concat();
            let text = data_encoding::BASE64.encode(shifted.as_bytes());
            // Without the first and last characters, which depend on what is around.
            let inner = &text[4..36];
            needles.push((format!("base64 of {secret} at {shift}"), inner.as_bytes().to_vec()));
        }
    }
    needles
}

/// Those that are there. `grep` is fast also in a build of the tests that is not.
fn found_in(haystack: &[u8]) -> Vec<String> {
    search(Stdio::piped(), haystack)
}

fn search(input: Stdio, haystack: &[u8]) -> Vec<String> {
    let needles = needles();
    let mut command = Command::new("grep");
    command.args(["-z", "-a", "-o", "-F"]).env("LC_ALL", "C");
    for (_, needle) in &needles {
        command.arg("-e").arg(std::str::from_utf8(needle).unwrap());
    }
    let mut child = command.stdin(input).stdout(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.map(|mut input| input.write_all(haystack).unwrap()));
        child.wait_with_output().unwrap()
    });
    assert!(output.status.code().is_some_and(|code| code <= 1));
    let found = needles.into_iter().filter(|(_, needle)| contains(&output.stdout, needle));
    found.map(|(name, _)| name).collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|part| part == needle)
}

fn clean(what: &str, haystack: &[u8]) {
    let found = found_in(haystack);
    assert!(found.is_empty(), "{what} has {found:?}");
}

/// Bytes of a page.
const PAGE: u64 = 4096;

/// All memory that the process can write to, as far as there is any behind the addresses.
pub(super) fn memory(pid: u32) -> Vec<u8> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).expect("a test may look at its own child");
    let pages = File::open(format!("/proc/{pid}/pagemap")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line.split_whitespace().next().unwrap().split_once('-').unwrap();
        let number = |text: &str| u64::from_str_radix(text, 16).unwrap() / PAGE;
        let (start, end) = (number(start), number(end));
        let mut entries = vec![0; usize::try_from((end - start) * 8).unwrap()];
        if pages.read_exact_at(&mut entries, start * 8).is_err() {
            continue;
        }
        for (page, entry) in (start..end).zip(entries.chunks_exact(8)) {
            // In memory, or swapped out.
            if entry[7] & 0b1100_0000 != 0 {
                let mut part = [0; PAGE as usize];
                if memory.read_exact_at(&mut part, page * PAGE).is_ok() {
                    all.extend_from_slice(&part);
                }
            }
        }
    }
    all
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_in_no_answer_log_trace_file_or_memory_once_its_calls_are_over() {
    let (upstream, collector) = (Upstream::start().await, Upstream::start().await);
    let server = server_with("wiki", &format!("url: {:?}", upstream.url), "wiki-token");
    let program = server_with("program", &format!("command: {:?}", plain(&[])), "variable");
    let traces = format!("http://{}", collector.host());
    let environment = [
        ("PORTUNUS_CORE_DUMPS", "allow"),
        ("PORTUNUS_LOG", "trace"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", traces.as_str()),
    ];
    let mut app = App::serve_as(&(server + &program), PERMIT_ALL, |_, text| text, &environment).await;
    let token = app.token("wiki");
    let mut answers = Vec::new();
    // Errors before there is a credential, with one for another host, and from requests that are none.
    answers.push(echo(&app, &token).await);
    add(&app, "wiki-token", "elsewhere.example.com", BEARER, &[]);
    answers.push(echo(&app, &token).await);
    assert!(answers.iter().all(|answer| answer.error_code().is_some()));
    app.admin(&["cred", "revoke", "wiki-token", "--json"]);
    add(&app, "second-token", &upstream.host(), BEARER, &[]);
    rename(&app, "wiki-token", "second-token");
    answers
        .extend(until_carried(&app, &token, &upstream, "authorization", &format!("Bearer {BEARER}")).await);
    let body = Bytes::from_static(b"{\"jsonrpc\":\"2.0\",");
    answers.push(app.http().send(post(&app.mcp_url("wiki"), &token, body)).await.unwrap());
    for _ in 0..5 {
        answers.push(echo(&app, &token).await);
    }
    add(&app, "second-token", &upstream.host(), ROTATED, &["--replace"]);
    answers
        .extend(until_carried(&app, &token, &upstream, "authorization", &format!("Bearer {ROTATED}")).await);
    let basic = format!("Basic {}", data_encoding::BASE64.encode(format!("reader:{PASSWORD}").as_bytes()));
    add(&app, "basic", &upstream.host(), PASSWORD, &["--basic", "reader"]);
    rename(&app, "second-token", "basic");
    answers.extend(until_carried(&app, &token, &upstream, "authorization", &basic).await);
    add(&app, "in-query", &upstream.host(), QUERY, &["--query", "key"]);
    rename(&app, "basic", "in-query");
    let asked = || async {
        echo(&app, &token).await;
        (upstream.calls().last()?.query == format!("key={QUERY}")).then_some(())
    };
    until("a call carries the secret in its query", Duration::from_secs(20), asked).await;
    answers.push(in_a_program(&app).await);
    add(&app, "third-token", &upstream.host(), HEADER, &["--header", "x-api-key"]);
    rename(&app, "in-query", "third-token");
    answers.extend(until_carried(&app, &token, &upstream, "x-api-key", HEADER).await);

    // The search finds what is there: while a call is on its way, its secret is.
    let waiting = tokio::spawn(app.http_call_that_waits(&token));
    let calls = upstream.calls().len();
    let there = || async { (upstream.calls().len() > calls).then_some(()) };
    until("the call has arrived", Duration::from_secs(20), there).await;
    let during = found_in(&memory(app.pid()));
    assert!(during.contains(&HEADER.to_owned()), "{during:?}");
    upstream.release();
    answers.push(waiting.await.unwrap());
    let output =
        app.command(&["cred", "rewrap", "--new-key-file", app.state().join("2.key").to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let all = memory(app.pid());
    eprintln!("right after the calls, {} bytes of memory have {:?}", all.len(), found_in(&all));
    let gone = || async { found_in(&memory(app.pid())).is_empty().then_some(()) };
    until("idle connections are closed, and with them the last secret is gone", IDLE, gone).await;

    nowhere(&app, &collector, &answers);
    if let Some(core) = core_dump(&mut app).await {
        assert!(core.metadata().unwrap().len() > 1 << 20, "the dump is of the whole process");
        assert_eq!(search(core.into(), &[]), Vec::<String>::new(), "in the core dump");
    }
}

/// Neither in answers nor in what is told, logged, traced or stored.
fn nowhere(app: &App, collector: &Upstream, answers: &[Reply]) {
    for answer in answers {
        clean("an answer", format!("{:?} {}", answer.headers, answer.text()).as_bytes());
    }
    for words in
        [&["cred", "list", "--json"][..], &["cred", "show", "third-token"], &["audit", "tail", "--json"]]
    {
        clean(&format!("{words:?}"), &app.command(words).stdout);
    }
    assert!(app.log().contains("TRACE"), "the log is as verbose as it can be");
    let sent: Vec<u8> = collector.seen().iter().flat_map(|seen| seen.body.to_vec()).collect();
    assert!(contains(&sent, b"tools/call"), "spans were exported");
    clean("a trace", &sent);
    let all = files(app.dir());
    for name in ["portunus.db", "portunus.db-wal", "portunus.db-shm", "portunus.log"] {
        assert!(all.iter().any(|path| path.ends_with(name)), "{name} is among {all:?}");
    }
    for path in all {
        clean(&path.display().to_string(), &std::fs::read(&path).unwrap_or_default());
    }
}

/// A call of a program that has its secret in its environment, and ends after it.
async fn in_a_program(app: &App) -> Reply {
    add_for(app, "program", "variable", "db.internal:5432", VARIABLE, &["--env", "PGPASSWORD"]);
    let (http, url) = (app.http(), app.mcp_url("program"));
    let mut caller =
        Caller { http, url, port: app.port, token: app.token("program"), session: String::new() };
    caller.begin(&json!({})).await;
    let reply = caller.call("identity", &json!({})).await;
    assert!(
        reply.text().contains(&portunus_core::digest::sha256(&[VARIABLE.as_bytes()]).hex()),
        "{}",
        reply.text()
    );
    app.admin(&["cred", "revoke", "variable", "--json"]);
    reply
}

/// Gives the server another credential in the configuration.
fn rename(app: &App, from: &str, to: &str) {
    let text = std::fs::read_to_string(app.config_file()).unwrap();
    assert!(text.contains(from));
    std::fs::write(app.config_file(), text.replace(from, to)).unwrap();
}

/// Calls until a call carries this; the answers.
async fn until_carried(app: &App, token: &str, upstream: &Upstream, header: &str, value: &str) -> Vec<Reply> {
    let answers = Mutex::new(Vec::new());
    let carried = || async {
        let answer = echo(app, token).await;
        answers.lock().unwrap().push(answer);
        (upstream.calls().last()?.headers.get(header)? == value).then_some(())
    };
    until("a call carries the secret", Duration::from_secs(20), carried).await;
    answers.into_inner().unwrap()
}

impl App {
    fn http_call_that_waits(&self, token: &str) -> impl Future<Output = Reply> + use<> {
        let (http, request) = (self.http(), call(&self.mcp_url("wiki"), token, "wait", &json!({})));
        async move { http.send(request).await.unwrap() }
    }
}

/// Where the system would write a core dump of this process, if it writes one to a file beside it.
fn core_file(pid: u32) -> Option<PathBuf> {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").ok()?;
    let numbered = std::fs::read_to_string("/proc/sys/kernel/core_uses_pid").ok()?;
    let directory = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    match (pattern.trim(), numbered.trim()) {
        ("core", "0") => Some(directory.join("core")),
        ("core", _) => Some(directory.join(format!("core.{pid}"))),
        _ => None,
    }
}

/// Aborts the edge; the dump that the system writes of it, if it does.
async fn core_dump(app: &mut App) -> Option<File> {
    let pid = app.pid().to_string();
    let path = core_file(app.pid())?;
    let raised = Command::new("prlimit").args(["--pid", &pid, "--core=unlimited:unlimited"]).status();
    if !raised.is_ok_and(|status| status.success()) {
        return None;
    }
    assert!(Command::new("kill").args(["-ABRT", &pid]).status().unwrap().success());
    app.ended(Duration::from_secs(60)).await;
    let dump = File::open(&path).ok();
    let _ = std::fs::remove_file(&path);
    eprintln!("a core dump: {}", dump.is_some());
    dump
}

#[tokio::test]
async fn an_edge_leaves_no_core_dump() {
    let mut app = App::serve(&server_at("wiki", "http://127.0.0.1:9/mcp"), PERMIT_ALL).await;
    let pid = app.pid();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(line.split_whitespace().rev().skip(1).take(2).collect::<Vec<_>>(), ["0", "0"], "{line}");
    // Not even where somebody raises the limit: the process says that it is not to be dumped.
    if let Some(path) = core_file(pid) {
        let _ = std::fs::remove_file(&path);
        assert!(core_dump(&mut app).await.is_none(), "{}", path.display());
    }
}
