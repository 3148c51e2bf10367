//! HTTP to upstreams' metadata and to authorization servers, and what runs renewals.

use crate::fetch::{Failed, PublicFetcher, target};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, header};
use portunus_connections::{Answered, Carrier, NoAnswer, Outgoing, Runtime, Sends};
use portunus_core::limits;
use std::sync::Arc;
use std::time::Duration;

/// Carries requests of connections: to hosts that the configuration names wherever they are, to all others only at public
/// addresses.
pub struct ConnectionCarrier {
    named: Arc<PublicFetcher>,
    public: Arc<PublicFetcher>,
}

impl ConnectionCarrier {
    /// With [`PublicFetcher::of_named_hosts`] and [`PublicFetcher::new`].
    #[must_use]
    pub const fn new(named: Arc<PublicFetcher>, public: Arc<PublicFetcher>) -> Self {
        Self { named, public }
    }
}

#[async_trait]
impl Carrier for ConnectionCarrier {
    async fn send(&self, outgoing: Outgoing) -> Result<Answered, NoAnswer> {
        let Outgoing { url, named, authorization, sends } = outgoing;
        let method = if matches!(sends, Sends::Nothing) { Method::GET } else { Method::POST };
        let mut request =
            Request::builder().method(method).uri(target(&url)).header(header::ACCEPT, "application/json");
        if let Some(authorization) = &authorization {
            request = request.header(header::AUTHORIZATION, authorization.expose());
        }
        let body = match &sends {
            Sends::Nothing => Bytes::new(),
            Sends::Form(form) => {
                request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                Bytes::copy_from_slice(form.expose().as_bytes())
            }
            Sends::Json(json) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::copy_from_slice(json.as_bytes())
            }
        };
        let fetcher = if named { &self.named } else { &self.public };
        let (longest, within) = (limits::CONNECTION_ANSWER_BYTES, limits::CONNECTION_TIMEOUT);
        let host = || url.host_str().unwrap_or_default().to_owned();
        match fetcher.carry(&url, request, body, longest, within).await {
            Ok((parts, body)) => {
                let lines = parts.headers.get_all(header::WWW_AUTHENTICATE).iter();
                let lines: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
                let challenge = (!lines.is_empty()).then(|| lines.join(", "));
                Ok(Answered { status: parts.status.as_u16(), challenge, body: body.to_vec() })
            }
            Err(Failed::Before(error)) => Err(NoAnswer::Unsent { host: host(), why: error.to_string() }),
            Err(Failed::After(error)) => Err(NoAnswer::Lost { host: host(), why: error.to_string() }),
        }
    }
}

/// Tasks and pauses by tokio.
pub struct TokioRuntime;

#[async_trait]
impl Runtime for TokioRuntime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
