//! The scripted MCP client of the story. It is given one URL and follows the discovery documents from there.

use super::http::Https;
use super::person::Person;
use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Method, StatusCode, header};
use portunus_core::secret::Secret;
use portunus_core::time::Rng;
use serde_json::{Value, json};
use url::Url;

const REDIRECT: &str = "http://127.0.0.1:7777/callback";
const VERSION: &str = "2026-07-28";

/// What discovery found.
pub(crate) struct Found {
    pub resource: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub registration_endpoint: String,
    pub issuer: String,
}

/// A client on its way from a bare URL to a token.
pub(crate) struct McpClient<'a> {
    pub https: &'a Https,
    pub url: &'a str,
    pub rng: &'a dyn Rng,
    pub token: Option<Secret<String>>,
    next_id: u64,
}

impl<'a> McpClient<'a> {
    pub(crate) fn new(https: &'a Https, url: &'a str, rng: &'a dyn Rng) -> Self {
        Self { https, url, rng, token: None, next_id: 1 }
    }

    /// 401 → protected resource metadata → authorization server metadata.
    pub(crate) async fn discover(&self) -> Result<Found, String> {
        let answer = self
            .https
            .send(Method::POST, self.url, &[("content-type", "application/json")], Bytes::new())
            .await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Err(format!("expected 401 without a token, got {}", answer.status));
        }
        let challenge =
            answer.headers.get(header::WWW_AUTHENTICATE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let metadata = challenge
            .split("resource_metadata=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .ok_or_else(|| format!("no resource_metadata in the challenge: {challenge}"))?;
        let resource = self.json(metadata).await?;
        let issuer = text(&resource["authorization_servers"][0])?;
        let server = self.json(&format!("{issuer}/.well-known/oauth-authorization-server")).await?;
        if server["issuer"] != resource["authorization_servers"][0] {
            return Err(String::from("the issuer does not name itself"));
        }
        Ok(Found {
            resource: text(&resource["resource"])?,
            authorization_endpoint: text(&server["authorization_endpoint"])?,
            token_endpoint: text(&server["token_endpoint"])?,
            registration_endpoint: text(&server["registration_endpoint"])?,
            issuer,
        })
    }

    /// Registers this client (RFC 7591).
    pub(crate) async fn register(&self, found: &Found) -> Result<String, String> {
        let body = json!({ "client_name": "Portunus story", "redirect_uris": [REDIRECT],
            "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"] });
        let headers = [("content-type", "application/json")];
        let answer = self
            .https
            .send(Method::POST, &found.registration_endpoint, &headers, body.to_string().into())
            .await?;
        let registered: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
        text(&registered["client_id"])
    }

    /// Sends the person to sign in and agree, and redeems the code that comes back.
    pub(crate) async fn sign_in(
        &mut self,
        found: &Found,
        client_id: &str,
        person: &Person<'_>,
    ) -> Result<(), String> {
        let verifier = self.random();
        let challenge = BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()).as_ref());
        let state = self.random();
        let mut start = Url::parse(&found.authorization_endpoint).map_err(|e| e.to_string())?;
        start.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", REDIRECT),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("resource", &found.resource),
            ("scope", "mcp"),
            ("state", &state),
        ]);
        let back = person.agree(start.as_str(), REDIRECT).await?;
        let parameter = |name: &str| back.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned());
        if parameter("state").as_deref() != Some(state.as_str())
            || parameter("iss").as_deref() != Some(found.issuer.as_str())
        {
            return Err(format!("state or iss does not match in {back}"));
        }
        let code = parameter("code").ok_or_else(|| format!("no code in {back}"))?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("client_id", client_id),
            ("code_verifier", &verifier),
            ("resource", &found.resource),
        ];
        let fields: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let answer = self.https.post_form(&found.token_endpoint, &fields).await?;
        let tokens: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
        self.token = Some(Secret::new(text(&tokens["access_token"]).map_err(|_| answer.text())?));
        Ok(())
    }

    /// One call of the modern era; the status and the whole JSON-RPC answer.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<(StatusCode, Value), String> {
        let id = self.next_id;
        self.next_id += 1;
        let mut params = params;
        params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "portunus-story", "version": env!("CARGO_PKG_VERSION") } });
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let authorization = format!("Bearer {}", self.token.as_ref().map_or("", |t| t.expose().as_str()));
        let mut headers = vec![
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", VERSION),
            ("mcp-method", method),
        ];
        if !name.is_empty() {
            headers.push(("mcp-name", &name));
        }
        let answer = self.https.send(Method::POST, self.url, &headers, body.to_string().into()).await?;
        let text = answer.text();
        // An event stream carries the answer in its last data line.
        let json = text.lines().rev().find_map(|line| line.strip_prefix("data:")).unwrap_or(&text);
        let value = serde_json::from_str(json).map_err(|e| format!("{}: {e}: {text}", answer.status))?;
        Ok((answer.status, value))
    }

    /// Calls a tool.
    pub(crate) async fn tool(&mut self, name: &str, arguments: Value) -> Result<(StatusCode, Value), String> {
        self.call("tools/call", json!({ "name": name, "arguments": arguments })).await
    }

    async fn json(&self, url: &str) -> Result<Value, String> {
        let answer = self.https.get(url).await?;
        serde_json::from_slice(&answer.body).map_err(|e| format!("{url}: {}: {e}", answer.status))
    }
    fn random(&self) -> String {
        let mut bytes = [0_u8; 32];
        self.rng.fill(&mut bytes);
        BASE64URL_NOPAD.encode(&bytes)
    }
}

fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("expected a text, got {value}"))
}
