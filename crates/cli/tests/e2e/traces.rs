//! One trace across client, edge, connector and tool, as an OpenTelemetry collector gets it.

use crate::app::{App, until};
use crate::http::message;
use crate::upstream::Upstream;
use serde_json::json;
use std::time::Duration;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_s_trace_goes_on_through_edge_connector_and_tool() {
    // Anything that takes a POST can stand in for a collector: what counts is what arrives.
    let collector = Upstream::start().await;
    let base = format!("http://{}", collector.host());
    let app = App::demo_in(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &base)]).await;
    let token = app.token("sales");
    // The first call of a server asks for its list, in the call's own trace.
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    assert_eq!(app.http().send(message(&app.mcp_url("sales"), &token, &list)).await.unwrap().status, 200);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "list_tables", "arguments": {}, "_meta": { "traceparent": PARENT } } });
    let answer = app.http().send(message(&app.mcp_url("sales"), &token, &call)).await.unwrap();
    assert_eq!(answer.status, 200);

    let spans = until("three spans of the client's trace", Duration::from_secs(30), || async {
        let sent: Vec<u8> = collector.seen().iter().flat_map(|seen| seen.body.to_vec()).collect();
        let trace = hex(&PARENT[3..35]);
        (sent.windows(16).filter(|window| *window == trace).count() == 3).then_some(sent)
    })
    .await;
    let has = |bytes: &[u8]| spans.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(b"tools/call list_tables") && has(b"connector") && has(b"tool"));
    assert!(has(&hex(&PARENT[36..52])), "the edge's span names the client's as its parent");
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
