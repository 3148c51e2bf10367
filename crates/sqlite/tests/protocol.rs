//! The server as clients meet it: both protocol eras, its assertions, its schemas, its widget.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use http_body_util::BodyExt;
use portunus_core::dialer::{Dialer, full};
use rmcp::model::{CallToolRequestParams, ProtocolVersion, ReadResourceRequestParams};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::{Value, json};
use support::{AUDIENCE, NOW, Shop, call_message, claims, post, sign, signer};

fn eras() -> [ClientLifecycleMode; 2] {
    [
        ClientLifecycleMode::Initialize,
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] },
    ]
}

/// Serves over a Unix socket and connects rmcp's own client to it.
async fn connect(shop: &Shop, write: bool, era: ClientLifecycleMode) -> RunningService<RoleClient, ()> {
    let mut options = shop.options();
    options.write = write;
    let service = shop.serve(options).service;
    let number = std::fs::read_dir(shop.directory.path()).unwrap().count();
    let socket = shop.file(&format!("mcp-{number}.sock"));
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper_util::service::TowerToHyperService::new(service.clone());
            let stream = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
        }
    });
    let transport =
        StreamableHttpClientTransport::from_unix_socket(socket.to_str().unwrap(), "http://localhost/mcp");
    ().serve_with_lifecycle(transport, era).await.unwrap()
}

fn call(tool: &'static str, arguments: Value) -> CallToolRequestParams {
    CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone())
}

#[tokio::test]
async fn a_client_of_either_era_lists_describes_queries_and_writes() {
    for era in eras() {
        let shop = Shop::sample();
        let client = connect(&shop, true, era.clone()).await;
        let tools = client.list_all_tools().await.unwrap();
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(
            names,
            ["list_tables", "describe_table", "read_query", "explain_query", "write_query"],
            "{era:?}"
        );
        let rows = client
            .call_tool(call("read_query", json!({ "sql": "SELECT count(*) FROM staff" })))
            .await
            .unwrap();
        assert_eq!(rows.structured_content.unwrap()["rows"], json!([[64]]));
        let wrong =
            client.call_tool(call("read_query", json!({ "sql": "SELECT nme FROM staff" }))).await.unwrap();
        assert_eq!(wrong.is_error, Some(true));
        let sql = "UPDATE staff SET city = 'Porto' WHERE id = 1";
        let changed = client.call_tool(call("write_query", json!({ "sql": sql }))).await.unwrap();
        assert_eq!(changed.structured_content.unwrap()["rows_changed"], 1);
        assert!(client.call_tool(call("drop_everything", json!({}))).await.is_err());
        client.cancel().await.unwrap();
    }
}

#[tokio::test]
async fn tools_say_truly_what_they_do_and_write_query_is_there_only_when_asked_for() {
    let shop = Shop::sample();
    let client = connect(&shop, true, ClientLifecycleMode::Initialize).await;
    for tool in client.list_all_tools().await.unwrap() {
        let annotations = tool.annotations.clone().unwrap();
        let writes = tool.name == "write_query";
        assert_eq!(annotations.read_only_hint, Some(!writes), "{}", tool.name);
        assert_eq!(annotations.destructive_hint, Some(writes), "{}", tool.name);
        assert_eq!(annotations.idempotent_hint, Some(!writes), "{}", tool.name);
        assert_eq!(annotations.open_world_hint, Some(false), "{}", tool.name);
        assert!(tool.title.is_some() && tool.description.unwrap().len() > 60);
        assert_eq!(tool.input_schema["additionalProperties"], false);
    }
    let reader = connect(&shop, false, ClientLifecycleMode::Initialize).await;
    assert!(reader.list_all_tools().await.unwrap().iter().all(|tool| tool.name != "write_query"));
    let sql = json!({ "sql": "DELETE FROM staff" });
    assert!(reader.call_tool(call("write_query", sql)).await.is_err());
}

#[tokio::test]
async fn every_result_fits_its_output_schema() {
    let shop = Shop::sample();
    let client = connect(&shop, true, ClientLifecycleMode::Initialize).await;
    for tool in client.list_all_tools().await.unwrap() {
        let schema = Value::Object(tool.output_schema.unwrap().as_ref().clone());
        assert_eq!(schema["type"], "object");
        let validator = jsonschema::validator_for(&schema).unwrap();
        let calls = match tool.name.as_ref() {
            "list_tables" => vec![json!({})],
            "describe_table" => vec![json!({ "table": "orders" }), json!({ "table": "monthly_revenue" })],
            "write_query" => vec![
                json!({ "sql": "UPDATE staff SET city = 'Rome' WHERE id < 4 RETURNING id, x'00', NULL, 1.5" }),
                json!({ "sql": "DELETE FROM order_lines WHERE order_id = 1" }),
            ],
            _ => vec![
                json!({ "sql": "SELECT *, x'01', NULL, 1.5 FROM customers" }),
                json!({ "sql": "SELECT 1 WHERE 0" }),
            ],
        };
        for arguments in calls {
            let result = client.call_tool(call("x", arguments.clone()).clone_for(&tool.name)).await.unwrap();
            assert_eq!(result.is_error, Some(false), "{result:?}");
            let structured = result.structured_content.unwrap();
            assert!(validator.is_valid(&structured), "{}: {structured}", tool.name);
            assert!(!validator.is_valid(&json!({ "unknown": true })), "{}", tool.name);
        }
    }
}

/// The same call of another tool.
trait CloneFor {
    fn clone_for(&self, tool: &str) -> CallToolRequestParams;
}
impl CloneFor for CallToolRequestParams {
    fn clone_for(&self, tool: &str) -> CallToolRequestParams {
        CallToolRequestParams::new(tool.to_owned()).with_arguments(self.arguments.clone().unwrap_or_default())
    }
}

#[tokio::test]
async fn the_result_widget_is_found_through_the_tool_and_can_be_read() {
    let shop = Shop::sample();
    for era in eras() {
        let client = connect(&shop, false, era).await;
        let tools = client.list_all_tools().await.unwrap();
        let meta =
            serde_json::to_value(tools.iter().find(|tool| tool.name == "read_query")).unwrap()["_meta"]
                .clone();
        assert_eq!(meta["ui"]["resourceUri"], "ui://portunus/result");
        assert_eq!(meta["openai/outputTemplate"], "ui://portunus/result");
        let listed = client.list_all_resources().await.unwrap();
        assert_eq!(listed[0].uri, "ui://portunus/result");
        let read =
            client.read_resource(ReadResourceRequestParams::new("ui://portunus/result")).await.unwrap();
        let contents = serde_json::to_value(&read.contents[0]).unwrap();
        assert_eq!(contents["mimeType"], "text/html;profile=mcp-app");
        assert!(contents["text"].as_str().unwrap().starts_with("<!doctype html>"));
        assert!(client.read_resource(ReadResourceRequestParams::new("file:///etc/passwd")).await.is_err());
    }
}

#[tokio::test]
async fn a_request_without_a_valid_assertion_is_refused() {
    let shop = Shop::sample();
    let service = shop.masked(json!({ "default": true })).service;
    let mask = json!({ "default": true, "exceptions": ["staff.salary"] });
    let header = json!({ "alg": "EdDSA", "typ": "JWT" });
    let good = claims("read_query", &mask);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        sign(&signer(), &header, &claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        sign(&signer(), &header, &claims)
    };
    let message = || call_message("read_query", json!({ "sql": "SELECT salary FROM staff WHERE id = 1" }));
    let (status, answer) = post(&service, Some(&sign(&signer(), &header, &good)), message()).await;
    assert_eq!((status, &answer["result"]["structuredContent"]["rows"]), (200, &json!([[null]])), "{answer}");

    let other = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    let signed = sign(&signer(), &header, &good);
    let unsigned = signed.rsplit_once('.').unwrap().0.to_owned();
    for (what, assertion) in [
        ("none", None),
        ("empty", Some(String::new())),
        ("not a token", Some("x.y.z".into())),
        ("another key", Some(sign(&other, &header, &good))),
        ("no signature", Some(format!("{unsigned}."))),
        ("algorithm none", Some(sign(&signer(), &json!({ "alg": "none" }), &good))),
        ("algorithm HS256", Some(sign(&signer(), &json!({ "alg": "HS256" }), &good))),
        ("another audience", Some(with("aud", json!("payroll")))),
        ("audiences without ours", Some(with("aud", json!(["a", "b"])))),
        ("no audience", Some(without("aud"))),
        ("no expiry", Some(without("exp"))),
        ("expired", Some(with("exp", json!(NOW - 6)))),
        ("too long a life", Some(with("exp", json!(NOW + 66)))),
        ("not yet valid", Some(with("nbf", json!(NOW + 30)))),
        ("mask of another form", Some(with("mask", json!({ "default": true, "except": ["a.b"] })))),
        ("mask that is not a mask", Some(with("mask", json!("all")))),
        ("too long", Some("a".repeat(40_000))),
    ] {
        let (status, answer) = post(&service, assertion.as_deref(), message()).await;
        assert_eq!(status, 401, "{what}: {answer}");
    }
    let (_, answer) = post(&service, Some(&with("tool", json!("list_tables"))), message()).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("another tool"), "{answer}");
    let (_, answer) = post(&service, Some(&without("tool")), message()).await;
    assert!(answer["error"].is_object(), "{answer}");
    let (_, answer) = post(&service, Some(&without("mask")), message()).await;
    assert_eq!(answer["result"]["isError"], true, "without a mask nothing is disclosed: {answer}");
    let (status, _) = post(&service, Some(&with("aud", json!([AUDIENCE, "other"]))), message()).await;
    assert_eq!(status, 200);
    let (status, _) = post(&service, Some(&with("exp", json!(NOW - 4))), message()).await;
    assert_eq!(status, 200, "within the leeway for clocks");
}

#[tokio::test]
async fn two_assertions_are_as_good_as_none() {
    let shop = Shop::sample();
    let service = shop.masked(json!({ "default": true })).service;
    let assertion =
        sign(&signer(), &json!({ "alg": "EdDSA" }), &claims("read_query", &json!({ "default": true })));
    let request = http::Request::post("/mcp")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("portunus-assertion", &assertion)
        .header("portunus-assertion", &assertion);
    let body = full(call_message("read_query", json!({ "sql": "SELECT 1" })).to_string().into());
    let answer = service.send(request.body(body).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn a_server_alone_takes_no_request_from_a_web_page_or_under_a_foreign_name() {
    let shop = Shop::sample();
    let service = shop.open().service;
    for (path, host, origin, expected) in [
        ("/mcp", "localhost", None, 200),
        ("/mcp", "127.0.0.1:8080", None, 200),
        ("/mcp", "evil.example", None, 403),
        ("/mcp", "localhost", Some("https://evil.example"), 403),
        ("/mcp", "localhost", Some("null"), 403),
        ("/", "localhost", None, 404),
        ("/mcp/", "localhost", None, 404),
    ] {
        let mut request = http::Request::post(path)
            .header("host", host)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let body = full(call_message("read_query", json!({ "sql": "SELECT 1" })).to_string().into());
        let answer = service.send(request.body(body).unwrap()).await.unwrap();
        assert_eq!(answer.status(), expected, "{path} {host} {origin:?}");
    }
    let get = http::Request::get("/mcp").header("host", "localhost").header("accept", "text/event-stream");
    assert_eq!(service.send(get.body(full(Default::default())).unwrap()).await.unwrap().status(), 405);
    let huge = http::Request::post("/mcp")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    let answer = service.send(huge.body(full(vec![b' '; 2 << 20].into())).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 413);
    let _ = answer.into_body().collect().await.unwrap();
}

#[test]
fn what_cannot_be_opened_says_why() {
    use portunus_sqlite::{OpenError, Options, SqlServer};
    let shop = Shop::of("CREATE TABLE t (x)");
    let missing = SqlServer::open(Options::new(shop.file("missing.db"))).err().unwrap();
    assert!(matches!(missing, OpenError::File { .. }), "{missing}");
    std::fs::write(
        shop.file("text.db"),
        "this is no database, whatever its name may say; it is only text ".repeat(20),
    )
    .unwrap();
    let text = SqlServer::open(Options::new(shop.file("text.db"))).err().unwrap();
    assert!(text.to_string().contains("not a database"), "{text}");
    assert!(SqlServer::open(Options::new("file:x.db?mode=rwc")).is_err());
    assert!(!shop.file("x.db").exists());
    let mut options = shop.options();
    options.max_rows = 0;
    assert!(matches!(SqlServer::open(options), Err(OpenError::Zero("max_rows"))));
}
