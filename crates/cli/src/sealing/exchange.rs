//! HTTP to a key service: `https` (or `http` to this machine), one connection an exchange, no redirects, bounded in bytes and
//! time. Its address is an operator's word, so it may be private.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use portunus_core::limits::{KEY_SERVICE_ANSWER_BYTES, KEY_SERVICE_TIMEOUT};
use portunus_vault::service::Exchange;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// See the module's description.
pub(crate) struct HttpExchange(TlsConnector);

impl HttpExchange {
    /// Trusts the certificates that `tls` trusts.
    pub(crate) fn new(tls: &rustls::ClientConfig) -> Self {
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(TlsConnector::from(Arc::new(tls)))
    }

    async fn carry(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, String> {
        let uri = request.uri().clone();
        let host = uri.host().ok_or("no host")?.trim_matches(['[', ']']).to_owned();
        let plain = uri.scheme_str() == Some("http");
        let port = uri.port_u16().unwrap_or(if plain { 80 } else { 443 });
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|error| error.to_string())?;
        if plain {
            // A name that means this machine today could mean another tomorrow.
            let local = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
            return if local { over(stream, &uri, request).await } else { Err(String::from("not https")) };
        }
        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
        let stream = self.0.connect(name, stream).await.map_err(|error| error.to_string())?;
        over(stream, &uri, request).await
    }
}

#[async_trait]
impl Exchange for HttpExchange {
    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, String> {
        let carried = tokio::time::timeout(KEY_SERVICE_TIMEOUT, self.carry(request)).await;
        carried.unwrap_or_else(|_| Err(format!("no answer within {} s", KEY_SERVICE_TIMEOUT.as_secs())))
    }
}

async fn over<S>(stream: S, uri: &Uri, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let text = |error: hyper::Error| error.to_string();
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(text)?;
    let mut request = request.map(|body| Full::new(Bytes::from(body)));
    if !request.headers().contains_key(header::HOST) {
        let host = uri.authority().map_or("", |authority| authority.as_str());
        request.headers_mut().insert(header::HOST, host.parse().map_err(|_| "no host")?);
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    *request.uri_mut() = target.parse().map_err(|_| "no path")?;
    let exchange = async {
        let (parts, body) = sender.send_request(request).await.map_err(text)?.into_parts();
        let body = Limited::new(body, KEY_SERVICE_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok(Response::from_parts(parts, body.to_vec()))
    };
    // The connection runs only as long as the exchange: nothing is left behind when either ends.
    tokio::pin!(exchange);
    tokio::select! {
        answered = &mut exchange => answered,
        _ended = connection => exchange.await,
    }
}
