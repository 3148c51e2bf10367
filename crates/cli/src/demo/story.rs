//! `demo --once`: the whole story with a scripted client, every step checked, with timings.

use super::client::{Found, McpClient};
use super::http::Https;
use super::person::Person;
use crate::admin::AdminClient;
use crate::system::SystemRng;
use http::StatusCode;
use serde_json::{Value, json};
use std::time::Instant;

/// What the story needs to know of the running demo.
pub(crate) struct Setting<'a> {
    pub mcp_url: &'a str,
    pub ca_file: &'a std::path::Path,
    pub user: &'a str,
    pub password: &'a str,
    pub admin: AdminClient,
}

/// One step of the transcript.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Step {
    pub name: &'static str,
    pub ok: bool,
    pub saw: String,
    pub millis: f64,
}

struct Teller {
    steps: Vec<Step>,
    quiet: bool,
}

impl Teller {
    async fn step<T>(
        &mut self,
        name: &'static str,
        doing: impl Future<Output = Result<(T, String), String>>,
    ) -> Result<T, ()> {
        let started = Instant::now();
        let outcome = doing.await;
        let millis = started.elapsed().as_secs_f64() * 1000.0;
        let (ok, saw, value) = match outcome {
            Ok((value, saw)) => (true, saw, Some(value)),
            Err(why) => (false, why, None),
        };
        if !self.quiet {
            println!("{} {name:<34} {millis:>7.1} ms  {saw}", if ok { "✓" } else { "✗" });
        }
        self.steps.push(Step { name, ok, saw, millis });
        value.ok_or(())
    }
}

/// Plays it; the steps up to the first that failed, or all of them.
pub(crate) async fn play(setting: &Setting<'_>, quiet: bool) -> Vec<Step> {
    let mut teller = Teller { steps: Vec::new(), quiet };
    // A failed step ends the story; it is the last one of the transcript.
    let _ = tell(setting, &mut teller).await;
    teller.steps
}

async fn tell(setting: &Setting<'_>, teller: &mut Teller) -> Result<(), ()> {
    let rng = SystemRng;
    let https = teller
        .step("trust the local CA", async { Ok((Https::new(setting.ca_file)?, String::new())) })
        .await?;
    let mut client = McpClient::new(&https, setting.mcp_url, &rng);
    sign_in(setting, teller, &https, &mut client).await?;
    look(teller, &mut client).await?;
    change(setting, teller, &mut client).await?;
    end(setting, teller, &mut client).await
}

async fn sign_in(
    setting: &Setting<'_>,
    teller: &mut Teller,
    https: &Https,
    client: &mut McpClient<'_>,
) -> Result<(), ()> {
    let found: Found = teller
        .step("discover", async {
            let found = client.discover().await?;
            let saw = format!("401 → resource metadata → {}", found.issuer);
            Ok((found, saw))
        })
        .await?;
    let client_id = teller
        .step("register", async {
            let id = client.register(&found).await?;
            Ok((id.clone(), id))
        })
        .await?;
    let new_password = format!("{}-changed", setting.password);
    let person =
        Person { https, user: setting.user, password: setting.password, new_password: &new_password };
    teller
        .step("sign in and consent", async {
            client.sign_in(&found, &client_id, &person).await?;
            Ok(((), format!("{} agreed; code redeemed for a token for {}", setting.user, found.resource)))
        })
        .await
}

async fn look(teller: &mut Teller, client: &mut McpClient<'_>) -> Result<(), ()> {
    teller
        .step("discover the server", async {
            let result = expect_result(client.call("server/discover", json!({})).await?)?;
            Ok(((), format!("supports {}", result["supportedVersions"])))
        })
        .await?;
    teller
        .step("list tools", async {
            let result = expect_result(client.call("tools/list", json!({})).await?)?;
            let names: Vec<_> =
                result["tools"].as_array().into_iter().flatten().filter_map(|t| t["name"].as_str()).collect();
            let wanted = ["list_tables", "describe_table", "read_query", "write_query"];
            let all = wanted.iter().all(|name| names.contains(name));
            check(all && result["cacheScope"] == "private", &result)?;
            Ok(((), names.join(", ")))
        })
        .await?;
    teller
        .step("list tables", async {
            let result = expect_tool(client.tool("list_tables", json!({})).await?)?;
            check(result.to_string().contains("customers"), &result)?;
            Ok(((), first_words(&result)))
        })
        .await?;
    teller
        .step("describe customers", async {
            let result = expect_tool(client.tool("describe_table", json!({ "table": "customers" })).await?)?;
            check(result.to_string().contains("email"), &result)?;
            Ok(((), first_words(&result)))
        })
        .await?;
    teller
        .step("query", async {
            let sql = "SELECT count(*) AS orders FROM orders";
            let result = expect_tool(client.tool("read_query", json!({ "sql": sql })).await?)?;
            let orders = result["structuredContent"]["rows"][0][0].as_i64().unwrap_or_default();
            check(orders > 1000, &result)?;
            Ok(((), format!("{orders} orders")))
        })
        .await?;
    teller
        .step("a masked column stays hidden", async {
            let sql = "SELECT name, salary AS harmless FROM staff LIMIT 3";
            let result = expect_tool(client.tool("read_query", json!({ "sql": sql })).await?)?;
            let rows = result["structuredContent"]["rows"].as_array().cloned().unwrap_or_default();
            let hidden = rows.len() == 3 && rows.iter().all(|row| row[1].is_null() && row[0].is_string());
            check(hidden, &result)?;
            Ok(((), String::from("names are there, salaries are not")))
        })
        .await
}

async fn change(setting: &Setting<'_>, teller: &mut Teller, client: &mut McpClient<'_>) -> Result<(), ()> {
    let write = json!({ "sql": "UPDATE products SET in_stock = in_stock + 1 WHERE id = 1" });
    let approval = teller
        .step("a write asks for approval", async {
            let error = expect_refusal(client.tool("write_query", write.clone()).await?)?;
            let id = error["data"]["approval"].as_str().ok_or_else(|| error.to_string())?.to_owned();
            Ok((id, error["message"].as_str().unwrap_or_default().to_owned()))
        })
        .await?;
    teller
        .step("a person allows it", async {
            setting
                .admin
                .post(&format!("/approvals/{approval}/allow"), &json!({}))
                .await
                .map_err(|e| e.to_string())?;
            Ok(((), approval.clone()))
        })
        .await?;
    teller
        .step("the approved write", async {
            let result = expect_tool(client.tool("write_query", write.clone()).await?)?;
            Ok(((), first_words(&result)))
        })
        .await?;
    teller
        .step("the approval is used up", async {
            let error = expect_refusal(client.tool("write_query", write.clone()).await?)?;
            check(error["data"]["approval"].as_str().is_some_and(|id| id != approval), &error)?;
            Ok(((), String::from("the same write must be approved anew")))
        })
        .await?;
    teller
        .step("a DROP is refused", async {
            let error =
                expect_refusal(client.tool("write_query", json!({ "sql": "DROP TABLE customers" })).await?)?;
            check(error["data"].get("approval").is_none(), &error)?;
            Ok(((), error["message"].as_str().unwrap_or_default().to_owned()))
        })
        .await
}

async fn end(setting: &Setting<'_>, teller: &mut Teller, client: &mut McpClient<'_>) -> Result<(), ()> {
    teller
        .step("revoke", async {
            let answer = setting
                .admin
                .post("/kill", &json!({ "user": setting.user }))
                .await
                .map_err(|e| e.to_string())?;
            check(answer["revoked"].as_u64().is_some_and(|n| n >= 1), &answer)?;
            Ok(((), format!("{} grant(s) of {}", answer["revoked"], setting.user)))
        })
        .await?;
    teller
        .step("refused again", async {
            let (status, _) = client.tool("list_tables", json!({})).await?;
            if status == StatusCode::UNAUTHORIZED {
                Ok(((), String::from("401: the token is worth nothing now")))
            } else {
                Err(format!("expected 401, got {status}"))
            }
        })
        .await
}

fn expect_result((status, answer): (StatusCode, Value)) -> Result<Value, String> {
    match answer.get("result") {
        Some(result) if status.is_success() => Ok(result.clone()),
        _ => Err(format!("{status}: {answer}")),
    }
}

fn expect_tool(answer: (StatusCode, Value)) -> Result<Value, String> {
    let result = expect_result(answer)?;
    if result["isError"] == true { Err(result.to_string()) } else { Ok(result) }
}

fn expect_refusal((status, answer): (StatusCode, Value)) -> Result<Value, String> {
    answer.get("error").cloned().ok_or_else(|| format!("expected a refusal, got {status}: {answer}"))
}

fn check(holds: bool, saw: &Value) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("unexpected: {saw}")) }
}

fn first_words(result: &Value) -> String {
    let text = result["content"][0]["text"].as_str().unwrap_or_default();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.chars().take(90).collect()
}
