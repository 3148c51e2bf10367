//! HTTP to an identity provider. Its address is an operator's word, so it may be private; everything else is bounded:
//! `https` (or `http` to this machine), one connection a request, no redirects, no compression, bytes and time.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use portunus_core::limits;
use portunus_oauth::federation::exchange::{Answered, Carrier, Outgoing, Unreachable};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// Requests to one provider at once; further ones wait within their time.
const REQUESTS: usize = 16;
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// See the module's description.
pub struct HttpCarrier {
    tls: TlsConnector,
    turns: Semaphore,
}

impl HttpCarrier {
    /// A carrier that trusts the certificates that `tls` trusts.
    #[must_use]
    pub fn new(tls: &rustls::ClientConfig) -> Self {
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { tls: TlsConnector::from(Arc::new(tls)), turns: Semaphore::new(REQUESTS) }
    }

    async fn carry(&self, outgoing: Outgoing) -> Result<Answered, String> {
        let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
        let addresses = addresses(&outgoing.url).await?;
        let stream = connect(&addresses).await?;
        if outgoing.url.scheme() == "http" {
            // A name that means this machine today could mean another tomorrow.
            let local = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
            return if local { exchange(stream, &outgoing).await } else { Err(String::from("not https")) };
        }
        let host = outgoing.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| error.to_string())?;
        exchange(stream, &outgoing).await
    }
}

#[async_trait]
impl Carrier for HttpCarrier {
    async fn send(&self, request: Outgoing) -> Result<Answered, Unreachable> {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        match tokio::time::timeout(limits::PROVIDER_TIMEOUT, self.carry(request)).await {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(why)) => Err(Unreachable { host, why }),
            Err(_elapsed) => Err(Unreachable { host, why: String::from("it took too long") }),
        }
    }
}

async fn addresses(url: &Url) -> Result<Vec<SocketAddr>, String> {
    let port = url.port_or_known_default().ok_or("no port")?;
    match url.host() {
        None => Err(String::from("no host")),
        Some(Host::Ipv4(address)) => Ok(vec![SocketAddr::from((address, port))]),
        Some(Host::Ipv6(address)) => Ok(vec![SocketAddr::from((address, port))]),
        Some(Host::Domain(name)) => {
            let found = tokio::net::lookup_host((name, port)).await.map_err(|error| error.to_string())?;
            Ok(found.take(ADDRESSES).collect())
        }
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut why = String::from("its name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

async fn exchange<S>(stream: S, outgoing: &Outgoing) -> Result<Answered, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(limits::HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let request = request(outgoing)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        read(answer).await
    };
    // The connection runs only as long as the exchange: nothing is left behind when either ends.
    tokio::pin!(exchange);
    tokio::select! {
        answered = &mut exchange => answered,
        _ended = connection => exchange.await,
    }
}

fn request(outgoing: &Outgoing) -> Result<Request<Full<Bytes>>, String> {
    let url = &outgoing.url;
    let host = url.host_str().unwrap_or_default();
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let method = if outgoing.form.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("Portunus/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    if let Some(authorization) = &outgoing.authorization {
        request = request.header(header::AUTHORIZATION, authorization.expose());
    }
    let mut body = Bytes::new();
    if let Some(form) = &outgoing.form {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        body = Bytes::copy_from_slice(form.expose().as_bytes());
    }
    request.body(Full::new(body)).map_err(|error| error.to_string())
}

async fn read(answer: http::Response<Incoming>) -> Result<Answered, String> {
    let status = answer.status().as_u16();
    if answer.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(String::from("its answer is compressed, which was not asked for"));
    }
    let mut incoming = answer.into_body();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() else { continue };
        if body.len() + data.len() > limits::PROVIDER_ANSWER_BYTES {
            return Err(format!("its answer is longer than {} bytes", limits::PROVIDER_ANSWER_BYTES));
        }
        body.extend_from_slice(&data);
    }
    Ok(Answered { status, body })
}
