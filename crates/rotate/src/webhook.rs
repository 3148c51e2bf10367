//! Plug-ins that are asked over HTTPS: a `POST` of the question, the administrator's credential as a bearer token, the answer
//! in the body of a `200`.

use crate::http::Http;
use crate::plugin::Carrier;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use portunus_core::secret::Secret;
use portunus_vault::rotation::{Administrator, RotatorError};
use std::time::Duration;
use url::Url;
use zeroize::Zeroizing;

/// A service that answers questions.
#[derive(Clone)]
pub struct Webhook {
    /// Where it is asked.
    pub url: Url,
    /// Its host as a credential names it: `name[:port]`.
    pub host: String,
    /// How.
    pub http: Http,
    /// Longest time for one answer.
    pub timeout: Duration,
}

#[async_trait]
impl Carrier for Webhook {
    async fn ask(
        &self,
        question: &Secret<Vec<u8>>,
        administrator: Option<&Administrator>,
    ) -> Result<Secret<Vec<u8>>, RotatorError> {
        let wrong = |why: &str| RotatorError::Wrong(format!("{} {why}", self.host));
        let administrator = administrator.ok_or_else(|| {
            wrong("is asked with a credential only: name one of the kind `rotator` in settings.admin")
        })?;
        let (_, secret) = administrator.for_host(&self.host)?;
        let value = Zeroizing::new([b"Bearer ".as_slice(), secret.expose()].concat());
        let mut value =
            HeaderValue::from_bytes(&value).map_err(|_| wrong("cannot be given this credential"))?;
        value.set_sensitive(true);
        let request = Request::post(self.url.as_str())
            .header(header::AUTHORIZATION, value)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Full::new(Bytes::copy_from_slice(question.expose())))
            .map_err(|_| wrong("cannot be asked: its URL is not valid"))?;
        let answer = self.http.send_within(request, self.timeout).await?;
        match answer.status {
            StatusCode::OK => Ok(answer.body),
            status => Err(RotatorError::Later(format!("{} answered {status}", self.host))),
        }
    }

    /// The credential goes into a header, for this host only; not into the question.
    fn host(&self) -> Option<String> {
        None
    }
}
