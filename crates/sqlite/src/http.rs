//! The server over streamable HTTP, at `/mcp`: both protocol eras, without sessions, answers as plain JSON.

use crate::assertion;
use crate::handler::Handler;
use crate::limits;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use portunus_core::assertion::{AssertionError, Verifier};
use portunus_core::dialer::{Body, DialError, Dialer};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::Service;

/// The path at which the server answers.
pub const PATH: &str = "/mcp";

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// A tower service; cheap to clone. Without an assertion key it takes requests for loopback hosts only, and none that a
/// web page of another origin sent; with one it takes only requests that carry a valid assertion.
#[derive(Clone)]
pub struct HttpService {
    inner: StreamableHttpService<Handler, NeverSessionManager>,
    verifier: Option<Verifier>,
}

impl HttpService {
    pub(crate) fn new(handler: Handler, verifier: Option<Verifier>) -> Self {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(limits::REQUEST_BYTES)
            .enforce_origin_validation();
        // A signed request is known to come from the gateway, whatever name it was sent to.
        let config = if verifier.is_some() { config.disable_allowed_hosts() } else { config };
        let sessions = Arc::new(NeverSessionManager::default());
        let inner = StreamableHttpService::new(move || Ok(handler.clone()), sessions, config);
        Self { inner, verifier }
    }

    async fn answer<B>(mut self, mut request: Request<B>) -> Answer
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send + 'static,
        B::Error: Display,
    {
        if request.uri().path() != PATH {
            return plain(StatusCode::NOT_FOUND, "there is nothing here; the MCP endpoint is /mcp\n");
        }
        if let Some(verifier) = &self.verifier {
            match assertion::verify(verifier, request.headers()) {
                Ok(verified) => request.extensions_mut().insert(verified),
                Err(error) => return refuse(error),
            };
            request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
        }
        match self.inner.call(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    }
}

impl<B> Service<Request<B>> for HttpService
where
    B: http_body::Body + Send + 'static,
    B::Data: Send + 'static,
    B::Error: Display,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}

/// In the same process, without a socket.
#[async_trait::async_trait]
impl Dialer for HttpService {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, DialError> {
        let answer = self.clone().answer(request).await;
        Ok(answer.map(|body| Body::new(body.map_err(|never| match never {}))))
    }
}

fn refuse(error: AssertionError) -> Answer {
    tracing::warn!(reason = %error, "request refused");
    plain(StatusCode::UNAUTHORIZED, format!("{error}\n"))
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
