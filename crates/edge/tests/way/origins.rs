//! Pages in browsers.

use crate::support::{World, json_answer};
use http_body_util::Full;
use serde_json::json;

const PAGE: &str = "https://page.test";

#[tokio::test]
async fn a_page_of_a_configured_origin_can_ask_first_and_read_every_answer() {
    let world = World::new().await;
    world.upstream_does(|_| Ok(json_answer(&json!({ "jsonrpc": "2.0", "id": 1, "result": {} }))));
    let asking = |origin: &str| {
        let request =
            http::Request::options("/sales/mcp").header("host", "edge.test").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request
            .header("access-control-request-headers", "authorization, content-type")
            .body(Full::default())
            .unwrap()
    };
    let allowed = world.handle(asking(PAGE)).await;
    assert_eq!(allowed.status(), 204, "without a token: browsers send none here");
    assert_eq!(allowed.headers()["access-control-allow-headers"], "authorization, content-type");
    let foreign = world.handle(asking("https://evil.test")).await;
    assert!(
        foreign.status().is_client_error() && !foreign.headers().contains_key("access-control-allow-origin")
    );

    let ping = || json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string().into_bytes().into();
    let mut request = world.request("POST", "/sales/mcp").header("origin", PAGE).body(ping()).unwrap();
    let answer = world.handle(request.clone()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], PAGE);
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    // Without the way to the sign-in a page could never get a token.
    request.headers_mut().remove("authorization");
    let challenge = world.handle(request).await;
    assert_eq!(challenge.status(), 401);
    assert_eq!(challenge.headers()["access-control-allow-origin"], PAGE);
    assert!(
        challenge.headers()["access-control-expose-headers"].to_str().unwrap().contains("www-authenticate")
    );

    let foreign =
        world.request("POST", "/sales/mcp").header("origin", "https://evil.test").body(ping()).unwrap();
    let foreign = world.handle(foreign).await;
    assert_eq!(foreign.status(), 403);
    assert!(!foreign.headers().contains_key("access-control-allow-origin"));
}
