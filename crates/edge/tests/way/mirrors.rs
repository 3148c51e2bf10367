//! `Mcp-Param-*` headers against the schemas of the server's own tools.

use crate::support::{Answer, World, json_answer, result};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use portunus_core::dialer::Body;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

type Sent = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

/// An upstream whose tool `look` mirrors its argument `region`; what it was sent is kept.
fn annotated(world: &World) -> Sent {
    let sent = Sent::default();
    let kept = sent.clone();
    world.upstream_does(move |request| {
        let (head, body) = request.into_parts();
        let body = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap().to_bytes();
        let message: Value = serde_json::from_slice(&body).unwrap();
        let answer = if message["method"] == "tools/list" { tools(&message) } else { result("done") };
        kept.lock().unwrap().push((head.headers, message));
        Ok(answer)
    });
    sent
}

/// Two pages, so that the second must be asked for too.
fn tools(message: &Value) -> Response<Body> {
    let tool = |name: &str, schema: Value| json!({ "name": name, "inputSchema": schema });
    let region = json!({ "type": "object", "properties": { "region": { "type": "string", "x-mcp-header": "Region" } } });
    let result = match message["params"]["cursor"].as_str() {
        None => json!({ "tools": [tool("change", json!({ "type": "object" }))], "nextCursor": "2" }),
        Some(_) => json!({ "tools": [tool("look", region)] }),
    };
    json_answer(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
}

async fn call(world: &World, tool: &str, arguments: &Value, headers: &[(&str, &str)]) -> Answer {
    let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} });
    let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let mut request =
        world.request("POST", "/sales/mcp").header("mcp-method", "tools/call").header("mcp-name", tool);
    request.headers_mut().unwrap().insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::read(world.handle(request.body(body.to_string().into_bytes().into()).unwrap()).await).await
}

fn methods(sent: &Sent) -> Vec<String> {
    sent.lock().unwrap().iter().map(|(_, message)| message["method"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_edge_asks_for_the_schema_it_has_not_seen_and_then_knows_it() {
    let world = World::new().await;
    let sent = annotated(&world);
    let eu = json!({ "region": "eu" });
    let answer = call(&world, "look", &eu, &[("mcp-param-region", "eu")]).await;
    assert_eq!(answer.body["result"]["content"][0]["text"], "done", "{}", answer.body);
    assert_eq!(methods(&sent), ["tools/list", "tools/list", "tools/call"]);
    assert_eq!(sent.lock().unwrap()[2].0["mcp-param-region"], "eu");
    assert_eq!(world.ends().len(), 3, "its own questions are recorded too");

    call(&world, "look", &eu, &[("mcp-param-region", "eu")]).await;
    assert_eq!(methods(&sent).len(), 4, "and not asked again");
}

#[tokio::test]
async fn a_header_that_says_something_else_than_its_argument_is_refused() {
    let world = World::new().await;
    let sent = annotated(&world);
    let arguments = json!({ "region": "eu", "note": "us" });
    for headers in [&[("mcp-param-region", "us")][..], &[]] {
        let answer = call(&world, "look", &arguments, headers).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, -32020), "{headers:?}");
    }
    let unknown = call(&world, "no-such-tool", &arguments, &[("mcp-param-region", "eu")]).await;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (400, -32020));
    assert!(!methods(&sent).contains(&"tools/call".to_owned()));
}

#[tokio::test]
async fn a_header_that_mirrors_nothing_does_not_go_upstream() {
    let world = World::new().await;
    let sent = annotated(&world);
    call(&world, "look", &json!({}), &[("mcp-param-tenant", "other")]).await;
    let calls = sent.lock().unwrap();
    let (headers, message) = calls.last().unwrap();
    assert_eq!(message["method"], "tools/call");
    assert!(!headers.contains_key("mcp-param-tenant"));
}

#[tokio::test]
async fn mirrors_of_arguments_are_refused_outside_modern_tool_calls() {
    let world = World::new().await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look", "arguments": { "region": "eu" } } });
    let request = world.request("POST", "/sales/mcp").header("mcp-param-region", "eu");
    let answer = world.handle(request.body(body.to_string().into_bytes().into()).unwrap()).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(world.sent(), 0);
}
