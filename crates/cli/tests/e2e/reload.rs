//! Editing policies and configuration under a running edge.

use crate::app::{App, server_at, until};
use crate::bad_input::PERMIT_ALL;
use crate::http::call;
use crate::upstream::Upstream;
use serde_json::json;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(15);
const FORBID_ECHO: &str = r#"
@id("test-permit")
permit(principal, action in Action::"call", resource);
@id("no-shouting") @reason("Nobody may shout.")
forbid(principal, action == Action::"recorder/echo", resource) when { context.arguments has text && context.arguments.text == "HEY" };
"#;

#[tokio::test]
async fn an_edited_policy_takes_effect_and_a_broken_one_changes_nothing_and_says_why() {
    let upstream = Upstream::start().await;
    let app = App::serve(&server_at("recorder", &upstream.url), PERMIT_ALL).await;
    let (http, url, token) = (app.http(), app.mcp_url("recorder"), app.token("recorder"));
    let shout = || async { http.send(call(&url, &token, "echo", &json!({ "text": "HEY" }))).await.unwrap() };
    assert_eq!(shout().await.error_code(), None);

    std::fs::write(app.policy_file(), FORBID_ECHO).unwrap();
    let refused = || async { Some(shout().await).filter(|reply| reply.error_code() == Some(-32010)) };
    let reply = until("the new policy refuses", SOON, refused).await;
    let error = &reply.json()["error"];
    assert!(error["message"].as_str().unwrap().contains("Nobody may shout."), "{error}");
    assert!(error["data"]["decision"].is_string(), "{error}");

    std::fs::write(
        app.policy_file(),
        format!("{FORBID_ECHO}\npermit(principal, action, resource) when {{ nonsense"),
    )
    .unwrap();
    let told = || async { app.log().contains("test.cedar:").then_some(()) };
    until("the log names the broken file and line", SOON, told).await;
    assert_eq!(shout().await.error_code(), Some(-32010), "the last good policy stays");
    let calm = http.send(call(&url, &token, "echo", &json!({ "text": "hey" }))).await.unwrap();
    assert_eq!(calm.error_code(), None);

    std::fs::write(app.policy_file(), PERMIT_ALL).unwrap();
    let allowed = || async { shout().await.error_code().is_none().then_some(()) };
    until("a mended file takes effect", SOON, allowed).await;
}

#[tokio::test]
async fn a_server_added_to_the_configuration_appears_and_a_broken_file_changes_nothing() {
    let upstream = Upstream::start().await;
    let app = App::serve(&server_at("recorder", &upstream.url), PERMIT_ALL).await;
    let http = app.http();
    let config = std::fs::read_to_string(app.config_file()).unwrap();

    std::fs::write(app.config_file(), format!("{config}   purpse: typing error\n")).unwrap();
    let told = || async { app.log().contains("portunus.yaml:").then_some(()) };
    until("the log names the broken file and line", SOON, told).await;
    let served =
        http.send(call(&app.mcp_url("recorder"), &app.token("recorder"), "echo", &json!({}))).await.unwrap();
    assert_eq!(served.error_code(), None);

    std::fs::write(app.config_file(), config + &server_at("second", &upstream.url)).unwrap();
    let url = app.mcp_url("second");
    let published = || async { (http.post_json(&url, &json!({})).await.status == 401).then_some(()) };
    until("the new server is published", SOON, published).await;
    let served = http.send(call(&url, &app.token("second"), "echo", &json!({}))).await.unwrap();
    assert_eq!(served.error_code(), None, "{}", served.text());
}

/// Prints how long it takes from the save of a policy file to the first call that is decided by it; with `--no-capture` it is
/// seen. Figures fail nothing: `docs/benchmarks.md`.
#[tokio::test]
async fn how_soon_a_saved_policy_decides() {
    let upstream = Upstream::start().await;
    let app = App::serve(&server_at("recorder", &upstream.url), PERMIT_ALL).await;
    let (http, url, token) = (app.http(), app.mcp_url("recorder"), app.token("recorder"));
    let refused = || async {
        let reply = http.send(call(&url, &token, "echo", &json!({ "text": "HEY" }))).await.unwrap();
        reply.error_code() == Some(-32010)
    };
    for policies in [1, 100] {
        let more: String = (0..policies)
            .map(|n| format!("permit(principal in Group::\"g{n}\", action in Action::\"read\", resource);\n"))
            .collect();
        let mut took = Vec::new();
        for round in 0..6 {
            let (text, goal) = if round % 2 == 0 { (FORBID_ECHO, true) } else { (PERMIT_ALL, false) };
            let saved = std::time::Instant::now();
            std::fs::write(app.policy_file(), format!("{text}{more}")).unwrap();
            while refused().await != goal {
                assert!(saved.elapsed() < SOON, "the saved policy does not decide");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            took.push(saved.elapsed().as_millis());
        }
        took.sort_unstable();
        println!("{policies} more policies: median {} ms, slowest {} ms (goal 100 ms)", took[3], took[5]);
    }
}
