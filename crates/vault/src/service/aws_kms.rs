//! AWS KMS: `Encrypt` and `Decrypt` with a symmetric key of its own. The encryption context binds what is wrapped to what it
//! is, and shows in CloudTrail.

use super::sigv4::{self, AccessKeys, Scope};
use super::{Exchange, KeyService, ServiceError, key_of, said};
use async_trait::async_trait;
use data_encoding::BASE64;
use http::{Method, Request, Uri};
use portunus_core::limits::WRAPPED_KEY_BYTES;
use portunus_core::secret::Secret;
use portunus_core::time::Clock;
use serde_json::{Value, json};
use std::sync::Arc;
use zeroize::Zeroizing;

/// One KMS key.
pub struct Kms {
    /// Key id, ARN or alias.
    pub key_id: String,
    /// Such as `eu-central-1`.
    pub region: String,
    /// Such as `https://kms.eu-central-1.amazonaws.com`.
    pub endpoint: String,
    /// Who asks.
    pub keys: Arc<dyn AccessKeySource>,
    /// The way there.
    pub exchange: Arc<dyn Exchange>,
    /// Signatures are good for minutes.
    pub clock: Arc<dyn Clock>,
}

/// Where access keys come from; asked anew for each exchange, as they may be temporary.
#[async_trait]
pub trait AccessKeySource: Send + Sync {
    /// The keys as they are now.
    async fn keys(&self) -> Result<AccessKeys, ServiceError>;
}

#[async_trait]
impl KeyService for Kms {
    async fn wrap(&self, context: &str, key: &[u8; 32]) -> Result<String, ServiceError> {
        let plain = Zeroizing::new(BASE64.encode(key));
        let body =
            json!({ "KeyId": self.key_id, "Plaintext": *plain, "EncryptionContext": { "purpose": context } });
        let answer = self.ask("Encrypt", &body).await?;
        let wrapped = answer.get("CiphertextBlob").and_then(Value::as_str);
        let usable = wrapped.filter(|text| !text.is_empty() && text.len() <= WRAPPED_KEY_BYTES);
        usable.map(str::to_owned).ok_or_else(|| self.unusable("no CiphertextBlob"))
    }

    async fn unwrap(&self, context: &str, wrapped: &str) -> Result<Secret<[u8; 32]>, ServiceError> {
        // With the key named, KMS refuses what another key of the account has wrapped.
        let body = json!({ "KeyId": self.key_id, "CiphertextBlob": wrapped, "EncryptionContext": { "purpose": context } });
        let mut answer = self.ask("Decrypt", &body).await?;
        let plain = match answer.get_mut("Plaintext").map(Value::take) {
            Some(Value::String(text)) => Zeroizing::new(text),
            _ => return Err(self.unusable("no Plaintext")),
        };
        key_of(&plain, |why| self.unusable(why))
    }
}

impl Kms {
    async fn ask(&self, operation: &str, body: &Value) -> Result<Value, ServiceError> {
        let keys = self.keys.keys().await?;
        let bad = |what: &str| ServiceError::NotReady(format!("{}: {what}", self.endpoint));
        let uri: Uri = self.endpoint.parse().map_err(|_| bad("is no URL"))?;
        let host = uri.authority().ok_or_else(|| bad("names no host"))?.to_string();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/", self.endpoint.trim_end_matches('/')))
            .header("host", host)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("TrentService.{operation}"))
            .body(body.to_string().into_bytes())
            .map_err(|_| bad("cannot be part of a request"))?;
        let scope = Scope { region: &self.region, service: "kms" };
        sigv4::sign(&mut request, &keys, scope, self.clock.now()).map_err(bad)?;
        let answer = self.exchange.exchange(request).await;
        let answer =
            answer.map_err(|why| ServiceError::Unreachable { address: self.endpoint.clone(), why })?;
        let (status, bytes) = (answer.status(), Zeroizing::new(answer.into_body()));
        if !status.is_success() {
            let told = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
            let text =
                |keys: [&str; 2]| keys.iter().find_map(|key| told.get(key)?.as_str()).unwrap_or_default();
            let words = format!("{} {}", text(["__type", "code"]), text(["message", "Message"]));
            let (address, status) = (self.endpoint.clone(), status.as_u16());
            return Err(ServiceError::Refused { address, status, said: said(words.trim()) });
        }
        serde_json::from_slice(&bytes).map_err(|_| self.unusable("not JSON"))
    }

    fn unusable(&self, why: &'static str) -> ServiceError {
        ServiceError::Unusable { address: self.endpoint.clone(), why }
    }
}
