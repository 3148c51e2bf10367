//! What nobody registered is refused where it is seen, and noted by fingerprint or name.

use crate::support::{World, json_answer, result};
use http::HeaderValue;
use portunus_core::document::{Observed, ObservedKind};
use portunus_core::limits;
use portunus_core::store::list_all;
use serde_json::json;

const TOKEN: &str = "ghp_0123456789abcdefghij0123456789abcdef";

async fn seen(world: &World) -> Vec<Observed> {
    world.edge.observed.write(&*world.store).await.unwrap();
    list_all::<Observed>(&*world.store, None).await.unwrap().into_iter().map(|entry| entry.value).collect()
}

#[tokio::test]
async fn a_secret_in_arguments_goes_nowhere_however_it_is_written_and_is_named_by_its_fingerprint() {
    let world = World::new().await;
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----";
    let arguments = [
        json!({ "q": TOKEN }),
        json!({ "deep": [{ "er": format!("curl -H 'Authorization: token {TOKEN}' x") }] }),
        json!({ TOKEN: 1 }),
        json!({ "q": key }),
        json!({ "q": "AKIAIOSFODNN7EXAMPLE" }),
    ];
    for arguments in &arguments {
        let answer = world.call("look", arguments.clone()).await;
        assert_eq!(answer.code(), -32010, "{}", answer.body);
        assert!(!answer.body.to_string().contains(TOKEN), "{}", answer.body);
    }
    // Escaped, so that the text has it nowhere.
    let escaped = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"look","arguments":{{"q":"\u0067{}"}}}}}}"#,
        &TOKEN[1..]
    );
    let request =
        world.request("POST", "/sales/mcp").body(http_body_util::Full::new(escaped.into())).unwrap();
    assert_eq!(crate::support::Answer::read(world.handle(request).await).await.code(), -32010);
    // Beside the arguments.
    let params = json!({ "name": "look", "arguments": {}, "_meta": { "acme/key": TOKEN } });
    let beside =
        world.message(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })).await;
    assert_eq!(beside.code(), -32010, "{}", beside.body);
    assert_eq!(world.sent(), 0);

    let seen = seen(&world).await;
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen.iter().all(|seen| seen.refused && seen.kind == ObservedKind::Credential));
    let token = world.edge.vault.fingerprint(TOKEN.as_bytes());
    let of_token = seen.iter().find(|seen| seen.name == token).unwrap();
    assert_eq!((of_token.kind, of_token.refused, of_token.count), (ObservedKind::Credential, true, 5));
    let records = format!("{:?}", world.ledger.records());
    assert!(!records.contains(TOKEN) && !format!("{seen:?}").contains("ghp_"), "{records}");
}

#[tokio::test]
async fn a_tool_that_takes_secrets_gets_them_and_they_are_noted_all_the_same() {
    let world = World::new().await;
    let asked = world.call("change", json!({ "password": TOKEN })).await;
    assert!(asked.body["result"].is_object(), "{}", asked.body);
    let seen = seen(&world).await;
    assert_eq!((seen.len(), seen[0].refused, seen[0].tool.as_str()), (1, false, "change"));
}

/// Forms that people and programs really write, each of which hid the secret once.
#[tokio::test]
async fn a_secret_is_seen_in_text_within_text_in_addresses_and_outside_of_the_arguments() {
    let world = World::new().await;
    let within = json!({ "body": json!({ "text": format!("line\n{TOKEN}") }).to_string() });
    for arguments in [
        within,
        json!({ "url": format!("https://h.example/?q=token%3D{TOKEN}&x=1") }),
        json!({ "url": format!("https://h.example/{TOKEN}/path") }),
        json!({ "q": "The key is AKIAIOSFODNN7EXAMPLE." }),
    ] {
        assert_eq!(world.call("look", arguments.clone()).await.code(), -32010, "{arguments}");
    }
    for meta in [json!({ "vscode.requestId": TOKEN }), json!({ "progressToken": TOKEN })] {
        let params = json!({ "name": "look", "arguments": {}, "_meta": meta });
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        assert_eq!(world.message(call).await.code(), -32010, "{meta}");
    }
    let read = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": { "uri": format!("notes://{TOKEN}") } });
    assert_eq!(world.message(read).await.code(), -32010);
    assert_eq!(world.sent(), 0);
    let seen = seen(&world).await;
    assert_eq!(seen.len(), 2, "one token is one, whatever stands behind it: {seen:?}");
}

/// Whoever got a secret through cannot talk it away by sending it again where it is refused, nor hide it behind others.
#[tokio::test]
async fn what_was_let_through_stays_so() {
    let world = World::new().await;
    for n in 0..limits::OBSERVED_PER_USER {
        world.call("look", json!({ "q": format!("ghp_{n:036}") })).await;
    }
    assert_eq!(seen(&world).await.len(), limits::OBSERVED_PER_USER);
    assert!(world.call("change", json!({ "password": TOKEN })).await.body["result"].is_object());
    world.call("look", json!({ "q": TOKEN })).await;
    let token = world.edge.vault.fingerprint(TOKEN.as_bytes());
    let seen = seen(&world).await;
    let through = seen.iter().find(|seen| seen.name == token).unwrap();
    assert_eq!((through.refused, through.tool.as_str(), through.count), (false, "change", 2));
}

#[tokio::test]
async fn what_only_looks_like_a_secret_goes_on() {
    let world = World::new().await;
    for text in [
        "eyJvZmZzZXQiOjEwLCJwYWdlIjoic2Vjb25kIn0=",
        "sk-learn-ensemble",
        "d41d8cd98f00b204e9800998ecf8427e",
        "3f2a90c1-7be1-4d53-9a46-08a3a6c3c0de",
        "my password is in the safe",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "https://maps.example/js?key=AIzaSyA1234567890abcdefghijklmnopqrstu",
        "https://b.s3.example/x?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260101%2Feu%2Fs3%2Faws4_request",
    ] {
        let answer = world.call("look", json!({ "q": text })).await;
        assert!(answer.body["result"].is_object(), "{text}: {}", answer.body);
    }
    assert!(seen(&world).await.is_empty());
}

#[tokio::test]
async fn a_tool_that_is_not_in_the_lockfile_and_a_host_that_a_server_points_at_are_noted() {
    let world = World::pinned("").await;
    assert_eq!(world.call("backdoor", json!({})).await.code(), -32010);
    let seen_first = seen(&world).await;
    assert!(
        seen_first.iter().any(|seen| seen.kind == ObservedKind::Tool && seen.name == "backdoor"),
        "{seen_first:?}"
    );

    let world = World::new().await;
    world.upstream_does(|_| {
        let mut answer = result("");
        *answer.status_mut() = http::StatusCode::TEMPORARY_REDIRECT;
        answer
            .headers_mut()
            .insert("location", HeaderValue::from_static("https://elsewhere.test/mcp?token=x"));
        Ok(answer)
    });
    assert_eq!(world.call("look", json!({})).await.code(), -32014);
    let seen = seen(&world).await;
    assert_eq!(
        (seen.len(), seen[0].kind, seen[0].name.as_str()),
        (1, ObservedKind::Host, "elsewhere.test:443")
    );
}

#[tokio::test]
async fn one_user_fills_no_more_than_a_share_of_what_is_noted() {
    let world = World::new().await;
    world.upstream_does(|_| Ok(json_answer(&json!({}))));
    for n in 0..limits::OBSERVED_PER_USER + 10 {
        let token = format!("ghp_{n:036}");
        assert_eq!(world.call("look", json!({ "q": token })).await.code(), -32010);
    }
    assert_eq!(seen(&world).await.len(), limits::OBSERVED_PER_USER);
}
