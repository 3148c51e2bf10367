//! What a connector serves: the built-in SQL server, and any service with its calls traced.

use data_encoding::BASE64URL_NOPAD;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::Service;
use portunus_core::dialer::Body;
use portunus_core::id::ServerName;
use portunus_core::time::Clock;
use portunus_core::trace::{Span, SpanKind, Spans, TraceContext};
use portunus_sqlite::http::HttpService;
use portunus_sqlite::{Options, SqlServer};
use portunus_tunnel::wire::GatewayInfo;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use crate::system::{SystemClock, SystemRng};

/// Finishes a span for each request, a child of the one named in its `traceparent`.
#[derive(Clone)]
pub(crate) struct Traced<S> {
    inner: S,
    name: &'static str,
    spans: Option<Arc<dyn Spans>>,
}

impl<S> Traced<S> {
    pub(crate) fn new(inner: S, name: &'static str, spans: Option<Arc<dyn Spans>>) -> Self {
        Self { inner, name, spans }
    }
}

impl<S> Service<Request<Incoming>> for Traced<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let Some(spans) = self.spans.clone() else { return Box::pin(self.inner.call(request)) };
        let header = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        let parent = header.and_then(TraceContext::parse);
        let context =
            parent.map_or_else(|| TraceContext::start(&SystemRng), |parent| parent.child(&SystemRng));
        if let Ok(value) = HeaderValue::try_from(context.to_string()) {
            request.headers_mut().insert("traceparent", value);
        }
        let (name, start, started) = (self.name.to_owned(), SystemClock.now(), Instant::now());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let failed = answer.as_ref().map_or(true, |answer| answer.status().is_server_error());
            let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            let parent = parent.map(|parent| parent.span);
            let attributes = Vec::new();
            spans.finish(Span {
                context,
                parent,
                name,
                kind: SpanKind::Server,
                start,
                micros,
                failed,
                attributes,
            });
            answer
        })
    }
}

/// The built-in SQL server behind a connector: it answers only to assertions of the edge that the connector belongs to.
#[derive(Clone)]
pub(crate) struct Sql(HttpService);

impl Sql {
    pub(crate) fn open(options: Options, name: &ServerName, gateway: &GatewayInfo) -> Result<Self, String> {
        let key = BASE64URL_NOPAD.decode(gateway.assertion_key.as_bytes());
        let key = key.map_err(|_| String::from("the edge gave no usable assertion key: enrol again"))?;
        let server = SqlServer::open(options).map_err(|e| e.to_string())?;
        let server = server.with_assertion_key(&key, name.as_str(), Arc::new(SystemClock));
        Ok(Self(server.map_err(|e| e.to_string())?.http_service()))
    }
}

impl Service<Request<Incoming>> for Sql {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut service = self.0.clone();
        Box::pin(async move {
            let answer = tower::Service::call(&mut service, request).await?;
            Ok(answer.map(|body| Body::new(body.map_err(|never| match never {}))))
        })
    }
}
