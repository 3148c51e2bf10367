//! Every parsing case of the JSON test suite, as a call's argument through the running edge: a clear verdict each, and what
//! is forwarded is read the same by serde's, Python's and Node's parsers.

use crate::app::{App, server_at};
use crate::bad_input::PERMIT_ALL;
use crate::clients;
use crate::http::post;
use crate::upstream::Upstream;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PYTHON: &str = "import json,sys\nfor line in sys.stdin:\n  print(json.dumps(json.loads(bytes.fromhex(line)), \
                      sort_keys=True, ensure_ascii=True, separators=(',',':')))";
const NODE: &str = "require('readline').createInterface({input:process.stdin}).on('line', l => {\
                    const sort = v => Array.isArray(v) ? v.map(sort) : v && typeof v === 'object' ? \
                    Object.fromEntries(Object.keys(v).sort().map(k => [k, sort(v[k])])) : v;\
                    console.log(JSON.stringify(sort(JSON.parse(Buffer.from(l, 'hex').toString('utf8')))))})";

#[tokio::test]
async fn each_case_of_the_json_test_suite_gets_a_clear_verdict_and_one_reading() {
    let Some(cases) = cases() else {
        eprintln!("SKIPPED: no json-test-suite; set PORTUNUS_TEST_DATA to the directory that holds it");
        return;
    };
    let upstream = Upstream::start().await;
    let app = App::serve(&server_at("recorder", &upstream.url), PERMIT_ALL).await;
    let (url, token, http) = (app.mcp_url("recorder"), app.token("recorder"), app.http());
    let mut accepted = Vec::new();
    for (name, text) in &cases {
        let mut body =
            br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"value":"#
                .to_vec();
        body.extend_from_slice(text);
        body.extend_from_slice(b"}}}");
        let reply = http.send(post(&url, &token, body.clone().into())).await.unwrap();
        match reply.status {
            200 => accepted.push(body),
            400 => assert!(reply.error_code().is_some(), "{name}: {}", reply.text()),
            // A case of 100,000 brackets and the like.
            413 => {}
            status => panic!("{name}: {status} {}", reply.text()),
        }
        // Wrapped in a message, a case that is several values or a fragment can still not become a valid one.
        assert!(!(name.starts_with("n_") && reply.status == 200), "{name} was accepted");
    }
    let forwarded: Vec<Vec<u8>> = upstream.calls().iter().map(|seen| seen.body.to_vec()).collect();
    assert_eq!(forwarded, accepted, "exactly what was accepted was sent, byte for byte");
    assert!(accepted.len() > 60, "only {} were accepted", accepted.len());
    same_reading(&accepted);
}

/// Compares through one language's numbers: each parser's own values, printed again and read by serde as numbers.
fn same_reading(documents: &[Vec<u8>]) {
    let hex: String = documents.iter().map(|body| data_encoding::HEXLOWER.encode(body) + "\n").collect();
    let python = run(Command::new("python3").args(["-c", PYTHON]), &hex);
    let node = run(Command::new(clients::node()).args(["-e", NODE]), &hex);
    for ((body, python), node) in documents.iter().zip(python.lines()).zip(node.lines()) {
        let ours: Value = serde_json::from_slice(body).unwrap();
        for (name, theirs) in [("Python", python), ("Node", node)] {
            let theirs: Value = serde_json::from_str(theirs).unwrap();
            assert!(same(&ours, &theirs), "{name} reads {} as {theirs}", String::from_utf8_lossy(body));
        }
    }
    assert_eq!(python.lines().count(), documents.len());
    assert_eq!(node.lines().count(), documents.len());
}

/// Equal as values; 1 and 1.0 are one number, as they are to JavaScript.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn run(command: &mut Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn cases() -> Option<Vec<(String, Vec<u8>)>> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let data = std::env::var_os("PORTUNUS_TEST_DATA").map_or(default, PathBuf::from);
    let mut cases: Vec<_> = std::fs::read_dir(data.join("json-test-suite/test_parsing"))
        .ok()?
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    cases.sort();
    Some(cases)
}
