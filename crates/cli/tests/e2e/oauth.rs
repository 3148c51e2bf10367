//! An OAuth client and the person beside it, step by step, so that a test can do any step wrongly.

use crate::app::{App, Person};
use crate::http::{Http, Reply};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::Request;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use url::Url;

pub(crate) const REDIRECT: &str = "http://127.0.0.1:43119/callback";
/// What the person changes a one-time password to.
const OWN_PASSWORD: &str = "correct horse battery staple 9";
const VERIFIER: &str = "the-verifier-of-this-test-is-long-enough-for-rfc-7636";

pub(crate) struct Client {
    pub(crate) http: Http,
    pub(crate) id: String,
    pub(crate) resource: String,
    pub(crate) metadata: Value,
}

impl Client {
    /// Finds everything from the MCP address alone, as RFC 9728 and RFC 8414 say, and registers (RFC 7591).
    pub(crate) async fn discover(app: &App, server: &str) -> Self {
        let http = app.http();
        let unauthorized = http.post_json(&app.mcp_url(server), &json!({})).await;
        assert_eq!(unauthorized.status, 401, "{}", unauthorized.text());
        let challenge = unauthorized.header("www-authenticate").unwrap();
        let resource_metadata = quoted(challenge, "resource_metadata");
        let resource = http.get(&resource_metadata).await.unwrap().json();
        assert_eq!(resource["resource"], app.mcp_url(server));
        let issuer = resource["authorization_servers"][0].as_str().unwrap();
        let metadata =
            http.get(&format!("{issuer}/.well-known/oauth-authorization-server")).await.unwrap().json();
        assert_eq!(metadata["issuer"], issuer);
        let mut client = Self { http, id: String::new(), resource: app.mcp_url(server), metadata };
        let registered = client.register(&[REDIRECT]).await;
        assert_eq!(registered.status, 201, "{}", registered.text());
        registered.json()["client_id"].as_str().unwrap().clone_into(&mut client.id);
        client
    }

    pub(crate) fn endpoint(&self, name: &str) -> String {
        self.metadata[format!("{name}_endpoint")].as_str().unwrap().to_owned()
    }

    pub(crate) async fn register(&self, redirects: &[&str]) -> Reply {
        let body = json!({
            "client_name": "End-to-end test",
            "redirect_uris": redirects,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        self.http.post_json(&self.endpoint("registration"), &body).await
    }

    /// The address to send the person to; `changes` replaces parameters.
    pub(crate) fn authorization(&self, changes: &[(&str, &str)]) -> String {
        let challenge = portunus_core::digest::sha256(&[VERIFIER.as_bytes()]);
        let mut parameters = BTreeMap::from([
            ("response_type", "code".to_owned()),
            ("client_id", self.id.clone()),
            ("redirect_uri", REDIRECT.to_owned()),
            ("code_challenge", BASE64URL_NOPAD.encode(&challenge.0)),
            ("code_challenge_method", "S256".to_owned()),
            ("state", "kept-by-the-client".to_owned()),
            ("resource", self.resource.clone()),
        ]);
        for (name, value) in changes {
            parameters.insert(name, (*value).to_owned());
        }
        Url::parse_with_params(&self.endpoint("authorization"), parameters).unwrap().into()
    }

    /// The person signs in and agrees; the authorization code comes back.
    pub(crate) async fn code(&self, person: &mut Person) -> String {
        let back = visit(&self.http, &self.authorization(&[]), person, true).await;
        let query: BTreeMap<_, _> = back.query_pairs().into_owned().collect();
        assert_eq!(query.get("state").map(String::as_str), Some("kept-by-the-client"), "{back}");
        assert_eq!(
            query.get("iss").map(String::as_str),
            self.metadata["issuer"].as_str(),
            "RFC 9207: {back}"
        );
        query.get("code").unwrap_or_else(|| panic!("no code in {back}")).clone()
    }

    /// Exchanges a code; `changes` replaces parameters.
    pub(crate) async fn exchange(&self, code: &str, changes: &[(&str, &str)]) -> Reply {
        let mut fields = BTreeMap::from([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("client_id", self.id.as_str()),
            ("code_verifier", VERIFIER),
            ("resource", self.resource.as_str()),
        ]);
        fields.extend(changes.iter().copied());
        self.http.post_form(&self.endpoint("token"), &fields.into_iter().collect::<Vec<_>>()).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Reply {
        let fields =
            [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", self.id.as_str())];
        self.http.post_form(&self.endpoint("token"), &fields).await
    }

    pub(crate) async fn revoke(&self, token: &str) -> Reply {
        self.http
            .post_form(&self.endpoint("revocation"), &[("token", token), ("client_id", self.id.as_str())])
            .await
    }

    /// The whole way: code and exchange.
    pub(crate) async fn tokens(&self, person: &mut Person) -> Tokens {
        let code = self.code(person).await;
        Tokens::of(&self.exchange(&code, &[]).await)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    pub(crate) fn of(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let json = reply.json();
        let text =
            |name: &str| json[name].as_str().unwrap_or_else(|| panic!("no {name} in {json}")).to_owned();
        let tokens = Self { access: text("access_token"), refresh: text("refresh_token") };
        assert!(tokens.access.starts_with("ptn_at_") && tokens.refresh.starts_with("ptn_rt_"), "{tokens:?}");
        tokens
    }
}

/// Plays the person on the real pages until the browser is sent away from the edge.
pub(crate) async fn visit(http: &Http, url: &str, person: &mut Person, agree: bool) -> Url {
    let origin = Url::parse(url).unwrap().origin();
    let mut cookies = BTreeMap::new();
    let mut request = Request::get(url).body(Bytes::new()).unwrap();
    for _ in 0..12 {
        let here = Url::parse(&request.uri().to_string()).unwrap();
        let reply = browse(http, request, &mut cookies).await;
        if let Some(location) = reply.header("location") {
            let next = here.join(location).unwrap();
            if next.origin() != origin {
                return next;
            }
            request = Request::get(next.as_str()).body(Bytes::new()).unwrap();
            continue;
        }
        let page = reply.text();
        assert!(reply.status < 500, "{here} answered {}: {page}", reply.status);
        request = fill_in(&page, &here, person, agree);
    }
    panic!("still at {} after 12 pages", request.uri());
}

/// Signs a person in who has chosen a password already; the Cookie header of the browser afterwards.
pub(crate) async fn sign_in(http: &Http, issuer: &str, person: &Person) -> String {
    let (mut cookies, mut person) = (BTreeMap::new(), person.clone());
    let here = Url::parse(&format!("{issuer}/console/")).unwrap();
    let page = browse(http, Request::get(here.as_str()).body(Bytes::new()).unwrap(), &mut cookies).await;
    let reply = browse(http, fill_in(&page.text(), &here, &mut person, true), &mut cookies).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

async fn browse(http: &Http, mut request: Request<Bytes>, cookies: &mut BTreeMap<String, String>) -> Reply {
    if !cookies.is_empty() {
        let line =
            cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        request.headers_mut().insert("cookie", line.parse().unwrap());
    }
    let reply = http.send(request).await.unwrap();
    for line in reply.headers.get_all("set-cookie") {
        let (name, rest) = line.to_str().unwrap().split_once('=').unwrap();
        let value = rest.split(';').next().unwrap();
        if value.is_empty() {
            cookies.remove(name);
        } else {
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }
    reply
}

fn fill_in(page: &str, here: &Url, person: &mut Person, agree: bool) -> Request<Bytes> {
    let wanted = if agree { "allow" } else { "deny" };
    let forms = forms(page);
    let secret = |form: &&Form| form.fields.iter().any(|field| field["type"] == "password");
    let chosen = |form: &&Form| form.buttons.iter().any(|button| button["value"] == wanted);
    let form = forms.iter().find(secret).or_else(|| forms.iter().find(chosen));
    let form = form.unwrap_or_else(|| panic!("no form to fill in at {here}: {page}"));
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    let mut changed = false;
    for field in form.fields.iter().filter(|field| !field["name"].is_empty()) {
        let fresh = field["autocomplete"] == "new-password";
        changed |= fresh;
        let value = match field["type"].as_str() {
            "hidden" => &field["value"],
            "password" if fresh => OWN_PASSWORD,
            "password" => &person.password,
            _ => &person.user,
        };
        body.append_pair(&field["name"], value);
    }
    if let Some(button) = form.buttons.iter().find(|button| button["value"] == wanted) {
        body.append_pair(&button["name"], &button["value"]);
    }
    let body = body.finish();
    if changed {
        OWN_PASSWORD.clone_into(&mut person.password);
    }
    let action = here.join(&form.action).unwrap();
    Request::post(action.as_str())
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", here.origin().ascii_serialization())
        .body(body.into())
        .unwrap()
}

pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) fields: Vec<Attributes>,
    buttons: Vec<Attributes>,
}

/// A tag's attributes; a missing one reads as the empty string.
#[derive(Default)]
pub(crate) struct Attributes(BTreeMap<String, String>);

impl std::ops::Index<&str> for Attributes {
    type Output = String;
    fn index(&self, name: &str) -> &String {
        static EMPTY: String = String::new();
        self.0.get(name).unwrap_or(&EMPTY)
    }
}

pub(crate) fn forms(page: &str) -> Vec<Form> {
    page.split("<form").skip(1).map(form).collect()
}

fn form(text: &str) -> Form {
    let text = text.split("</form").next().unwrap();
    let tags = |name: &str| text.split(name).skip(1).map(attributes).collect();
    Form { action: attributes(text)["action"].clone(), fields: tags("<input"), buttons: tags("<button") }
}

/// Reads `name="value"` pairs (quoted, as askama's templates are written) up to the tag's end.
fn attributes(text: &str) -> Attributes {
    let mut found = BTreeMap::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(end) = rest.find(|c: char| c == '=' || c == '>' || c.is_whitespace()) else { break };
        let (name, after) = rest.split_at(end);
        let Some(value) = after.strip_prefix("=\"") else {
            found.insert(name.to_owned(), String::new());
            match after.strip_prefix(char::is_whitespace) {
                Some(after) => rest = after,
                None => break,
            }
            continue;
        };
        let (value, after) = value.split_once('"').unwrap();
        found.insert(name.to_owned(), decode(value));
        rest = after;
    }
    Attributes(found)
}

fn decode(text: &str) -> String {
    let named = text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&#x27;", "'");
    let mut decoded = String::new();
    let mut rest = named.as_str();
    while let Some((before, after)) = rest.split_once("&#") {
        decoded.push_str(before);
        let (number, after) = after.split_once(';').unwrap();
        decoded.push(number.parse().ok().and_then(char::from_u32).unwrap());
        rest = after;
    }
    decoded.push_str(rest);
    decoded.replace("&amp;", "&")
}

fn quoted(header: &str, name: &str) -> String {
    let (_, rest) =
        header.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in {header}"));
    rest.split('"').next().unwrap().to_owned()
}
