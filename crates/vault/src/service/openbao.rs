//! The transit engine of OpenBao or HashiCorp Vault: `encrypt` and `decrypt` of one of its keys. The key must be of an AEAD
//! type (the default `aes256-gcm96` is), because what is wrapped is bound to its context as associated data.

use super::{Exchange, KeyService, ServiceError, key_of, said, secret_file};
use async_trait::async_trait;
use data_encoding::BASE64;
use http::{HeaderValue, Method, Request};
use portunus_core::limits::WRAPPED_KEY_BYTES;
use portunus_core::secret::Secret;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// One key of one transit engine.
pub struct Transit {
    /// Such as `https://bao.internal:8200`.
    pub address: String,
    /// Where the engine is mounted; usually `transit`.
    pub mount: String,
    /// The key's name.
    pub key: String,
    /// The namespace, where there are some.
    pub namespace: Option<String>,
    /// The file with the token, read anew for each exchange: an agent may renew it.
    pub token_file: PathBuf,
    /// The way there.
    pub exchange: Arc<dyn Exchange>,
}

#[async_trait]
impl KeyService for Transit {
    async fn wrap(&self, context: &str, key: &[u8; 32]) -> Result<String, ServiceError> {
        let plain = Zeroizing::new(BASE64.encode(key));
        let body = json!({ "plaintext": *plain, "associated_data": BASE64.encode(context.as_bytes()) });
        let answer = self.ask("encrypt", &body).await?;
        let wrapped = answer.pointer("/data/ciphertext").and_then(Value::as_str);
        let usable = wrapped.filter(|text| !text.is_empty() && text.len() <= WRAPPED_KEY_BYTES);
        usable.map(str::to_owned).ok_or_else(|| self.unusable("no ciphertext"))
    }

    async fn unwrap(&self, context: &str, wrapped: &str) -> Result<Secret<[u8; 32]>, ServiceError> {
        let body = json!({ "ciphertext": wrapped, "associated_data": BASE64.encode(context.as_bytes()) });
        let mut answer = self.ask("decrypt", &body).await?;
        let plain = match answer.pointer_mut("/data/plaintext").map(Value::take) {
            Some(Value::String(text)) => Zeroizing::new(text),
            _ => return Err(self.unusable("no plaintext")),
        };
        key_of(&plain, |why| self.unusable(why))
    }
}

impl Transit {
    async fn ask(&self, what: &str, body: &Value) -> Result<Value, ServiceError> {
        let answer = self.exchange.exchange(self.request(what, body)?).await;
        let answer =
            answer.map_err(|why| ServiceError::Unreachable { address: self.address.clone(), why })?;
        let (status, bytes) = (answer.status(), Zeroizing::new(answer.into_body()));
        if !status.is_success() {
            let told = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
            let errors = told.get("errors").map(Value::to_string).unwrap_or_default();
            let (address, status) = (self.address.clone(), status.as_u16());
            return Err(ServiceError::Refused { address, status, said: said(&errors) });
        }
        serde_json::from_slice(&bytes).map_err(|_| self.unusable("not JSON"))
    }

    fn request(&self, what: &str, body: &Value) -> Result<Request<Vec<u8>>, ServiceError> {
        let Self { address, mount, key, .. } = self;
        let url = format!("{}/v1/{mount}/{what}/{key}", address.trim_end_matches('/'));
        let token = secret_file(&self.token_file)?;
        let bad = |what: &str| ServiceError::NotReady(format!("{what} cannot be part of a request"));
        let mut token = HeaderValue::from_str(token.expose()).map_err(|_| bad("the token"))?;
        token.set_sensitive(true);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&url)
            .header("content-type", "application/json")
            .header("x-vault-request", "true")
            .header("x-vault-token", token);
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        request.body(body.to_string().into_bytes()).map_err(|_| bad(&url))
    }

    fn unusable(&self, why: &'static str) -> ServiceError {
        ServiceError::Unusable { address: self.address.clone(), why }
    }
}
