//! HTTPS to the authority: never plain, no redirects, bounded in bytes and time.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use portunus_core::limits;
use std::pin::Pin;
use std::sync::Arc;
use tokio::time::timeout;

/// The authority's client.
#[derive(Clone)]
pub(crate) struct BoundedClient(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

/// Why an exchange with the authority failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("no connection: {0}")]
    Connection(String),
    #[error("the answer broke off: {0}")]
    Broken(hyper::Error),
    #[error("the answer is longer than {} bytes", limits::ACME_ANSWER_BYTES)]
    TooLong,
    #[error("no answer within {} s", limits::ACME_TIMEOUT.as_secs())]
    TimedOut,
}

impl BoundedClient {
    pub(crate) fn new(tls: &Arc<rustls::ClientConfig>) -> Self {
        let https = HttpsConnectorBuilder::new().with_tls_config((**tls).clone());
        Self(Client::builder(TokioExecutor::new()).build(https.https_only().enable_http1().build()))
    }
}

impl HttpClient for BoundedClient {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = self.0.request(request);
        let exchange = async move {
            let answer = answer.await.map_err(|error| Failed::Connection(causes(&error)))?;
            let (parts, body) = answer.into_parts();
            let body = Full::new(read(body).await?);
            Ok(BytesResponse::from(http::Response::from_parts(parts, body)))
        };
        Box::pin(async move {
            let done = timeout(limits::ACME_TIMEOUT, exchange).await;
            done.unwrap_or(Err(Failed::TimedOut)).map_err(|failed| Error::Other(Box::new(failed)))
        })
    }
}

async fn read(mut body: Incoming) -> Result<Bytes, Failed> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Failed::Broken)?.into_data() else { continue };
        if whole.len().saturating_add(data.len()) > limits::ACME_ANSWER_BYTES {
            return Err(Failed::TooLong);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// An error with what caused it: the outermost text alone is only "client error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
