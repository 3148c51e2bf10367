//! Tries a secret at an MCP server over HTTP: one request with it that asks for nothing but to be let in. It changes nothing
//! there, so it is only good for seeing whether a secret is dead.

use crate::http::{Http, address};
use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use portunus_core::document::{CredentialKind, TestOutcome};
use portunus_core::secret::Secret;
use portunus_vault::rotation::{Case, Created, Plan, Rotator, RotatorError, Verdict, Version};
use zeroize::Zeroizing;

/// The setting that names the server's URL.
pub const URL: &str = "url";
/// What is asked: a handshake that every MCP server knows, of the era that all still speak.
const QUESTION: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"portunus","version":"1"}}}"#;

/// Tries secrets.
#[derive(Clone)]
pub struct Probe(Http);

impl Probe {
    /// Over this client.
    #[must_use]
    pub const fn new(http: Http) -> Self {
        Self(http)
    }
}

#[async_trait]
impl Rotator for Probe {
    fn plan(&self, _case: &Case<'_>) -> Result<Plan, String> {
        Err(String::from("a probe changes no secrets"))
    }
    async fn create(&self, _case: &Case<'_>, _new: &Version<'_>) -> Result<Created, RotatorError> {
        Err(changes_nothing())
    }
    async fn verify(&self, _case: &Case<'_>, _new: &Version<'_>) -> Result<(), RotatorError> {
        Err(changes_nothing())
    }
    async fn disable(&self, _case: &Case<'_>, _old: &Version<'_>) -> Result<(), RotatorError> {
        Err(changes_nothing())
    }
    async fn delete(&self, _case: &Case<'_>, _old: &Version<'_>) -> Result<(), RotatorError> {
        Err(changes_nothing())
    }

    async fn verify_dead(&self, case: &Case<'_>, old: &Version<'_>) -> Result<Verdict, RotatorError> {
        let unverifiable =
            |detail: &str| Ok(Verdict { outcome: TestOutcome::Unverifiable, detail: detail.to_owned() });
        let (Some(url), Some(secret)) = (case.text(URL), old.secret) else {
            return unverifiable("there is no address to try it at");
        };
        let (url, host) = address(url).map_err(RotatorError::Wrong)?;
        if !case.credential.hosts.iter().any(|own| own.eq_ignore_ascii_case(&host)) {
            return unverifiable("its server is at a host that it must not be sent to");
        }
        let Some((name, value)) = shown(&case.credential.kind, old.account, secret) else {
            return unverifiable("it is not shown in a header; end it at its upstream by hand");
        };
        // Without it first: a server that lets everybody in says nothing about a secret.
        let open = self.0.send(request(&url, None)?).await?.status;
        let with = self.0.send(request(&url, Some((name, value)))?).await?.status;
        let detail = format!("{host} answers {} with it, {} without", with.as_u16(), open.as_u16());
        // 403 is no answer: a good secret may lack a scope (RFC 6750 section 3.1), and a firewall refuses whatever comes.
        let outcome = match (open, with) {
            (_, StatusCode::UNAUTHORIZED) => TestOutcome::Dead,
            (StatusCode::UNAUTHORIZED, with) if with.is_success() => TestOutcome::Alive,
            _ => TestOutcome::Unverifiable,
        };
        Ok(Verdict { outcome, detail })
    }
}

/// What is asked, at this URL or path.
pub(crate) fn question(target: &str) -> Result<Request<Full<Bytes>>, RotatorError> {
    Request::builder()
        .method(Method::POST)
        .uri(target)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .body(Full::new(Bytes::from_static(QUESTION.as_bytes())))
        .map_err(|error| RotatorError::Wrong(error.to_string()))
}

fn changes_nothing() -> RotatorError {
    RotatorError::Wrong(String::from("a probe changes nothing at an upstream"))
}

/// The header that a call would carry it in.
fn shown(
    kind: &CredentialKind,
    account: Option<&str>,
    secret: &Secret<Vec<u8>>,
) -> Option<(HeaderName, HeaderValue)> {
    let secret = secret.expose();
    let (name, text) = match kind {
        CredentialKind::Bearer => {
            (header::AUTHORIZATION, Zeroizing::new([b"Bearer ", secret.as_slice()].concat()))
        }
        CredentialKind::Header(name) => {
            (HeaderName::from_bytes(name.as_bytes()).ok()?, Zeroizing::new(secret.clone()))
        }
        CredentialKind::Basic(user) => {
            let user = account.unwrap_or(user);
            let pair = Zeroizing::new([user.as_bytes(), b":", secret.as_slice()].concat());
            let encoded = Zeroizing::new(BASE64.encode(&pair));
            (header::AUTHORIZATION, Zeroizing::new([b"Basic ", encoded.as_bytes()].concat()))
        }
        _ => return None,
    };
    let mut value = HeaderValue::from_bytes(&text).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

fn request(
    url: &url::Url,
    shown: Option<(HeaderName, HeaderValue)>,
) -> Result<Request<Full<Bytes>>, RotatorError> {
    let mut request = question(url.as_str())?;
    if let Some((name, value)) = shown {
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}
