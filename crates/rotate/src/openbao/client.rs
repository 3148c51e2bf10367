//! Requests to an OpenBao: JSON with the administrator's token, within bounds.

use crate::http::{Http, address};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use portunus_vault::rotation::{Case, RotatorError};
use serde_json::Value;
use url::Url;

/// Where an OpenBao is, and what is used there.
pub(super) struct Place<'a> {
    url: Url,
    host: String,
    namespace: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// From a plan's settings.
    pub(super) fn read(case: &'a Case<'_>) -> Result<Self, String> {
        let text = case.text("address").ok_or("settings.address must be the URL of the OpenBao")?;
        let (url, host) = address(text)?;
        if url.path() != "/" || url.query().is_some() {
            return Err(String::from("settings.address must have no path and no query"));
        }
        let namespace = case.text("namespace");
        if namespace.is_some_and(|name| !is_path(name)) {
            return Err(String::from("settings.namespace is not valid"));
        }
        let administrator = case.administrator.ok_or(ADMIN)?;
        administrator.for_host(&host).map_err(|error| error.to_string())?;
        Ok(Self { url, host, namespace })
    }
}

const ADMIN: &str = "settings.admin must name a credential of the kind `rotator` that holds a token";

/// A path below `/v1/`: nothing that would lead out of it, or begin a query.
pub(super) fn is_path(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= 512
        && path.split('/').all(|part| {
            !part.is_empty()
                && part.bytes().any(|b| b != b'.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.@".contains(&b))
        })
}

/// A setting that is a path.
pub(super) fn path<'a>(case: &'a Case<'_>, key: &str, example: &str) -> Result<&'a str, String> {
    let found = case.text(key).ok_or_else(|| format!("settings.{key} must be a path such as {example}"))?;
    if is_path(found) {
        Ok(found)
    } else {
        Err(format!("settings.{key} `{found}` is not a path such as {example}"))
    }
}

/// Asks. `Ok` is any answer; its JSON is null when it has none.
pub(super) async fn ask(
    http: &Http,
    case: &Case<'_>,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<(StatusCode, Value), RotatorError> {
    let place = Place::read(case).map_err(RotatorError::Wrong)?;
    let administrator = case.administrator.ok_or_else(|| RotatorError::Wrong(ADMIN.to_owned()))?;
    let (_, token) = administrator.for_host(&place.host)?;
    let wrong = |why: &str| RotatorError::Wrong(format!("{}: {why}", place.host));
    let mut token = HeaderValue::from_bytes(token.expose()).map_err(|_| wrong("the token is not usable"))?;
    token.set_sensitive(true);
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| wrong("no such method"))?;
    let uri = format!("{}v1/{path}", place.url);
    let mut request = Request::builder().method(method).uri(uri).header("x-vault-token", token);
    request = request.header("x-vault-request", "true").header("content-type", "application/json");
    if let Some(namespace) = place.namespace {
        request = request.header("x-vault-namespace", namespace);
    }
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let request = request.body(Full::new(body)).map_err(|_| wrong("the request could not be written"))?;
    let answer = http.send(request).await?;
    let value = serde_json::from_slice(answer.body.expose()).unwrap_or(Value::Null);
    Ok((answer.status, value))
}

/// The error that an answer is: its own words, which never quote a secret of ours.
pub(super) fn refused(what: &str, status: StatusCode, answer: &Value) -> RotatorError {
    let words = answer.get("errors").and_then(Value::as_array);
    let words: Vec<&str> = words.into_iter().flatten().filter_map(Value::as_str).collect();
    let text = format!("{what}: OpenBao answered {status}: {}", words.join("; "));
    if status == StatusCode::FORBIDDEN || status == StatusCode::NOT_FOUND {
        RotatorError::Wrong(text)
    } else {
        RotatorError::Later(text)
    }
}
