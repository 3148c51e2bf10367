//! A small HTTP client that does as it is told: any header, any body, any bytes at all. One connection a request, unless a
//! [`Connection`] is kept.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use std::io::{Error, ErrorKind, Result};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const ANSWER: Duration = Duration::from_secs(90);

#[derive(Clone)]
pub(crate) struct Http {
    roots: RootCertStore,
    identity: Option<Arc<Identity>>,
}

/// A certificate and its key, to show to a server that asks.
type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Http {
    pub(crate) fn plain() -> Self {
        Self { roots: RootCertStore::empty(), identity: None }
    }

    pub(crate) fn trusting(ca_pem: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem) {
            roots.add(certificate.unwrap()).unwrap();
        }
        Self { roots, identity: None }
    }

    /// The same client with a certificate of its own.
    pub(crate) fn presenting(&self, identity: Identity) -> Self {
        Self { roots: self.roots.clone(), identity: Some(Arc::new(identity)) }
    }

    pub(crate) async fn get(&self, url: &str) -> Result<Reply> {
        self.send(Request::get(url).body(Bytes::new()).unwrap()).await
    }

    pub(crate) async fn post_form(&self, url: &str, fields: &[(&str, &str)]) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::post(url).header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(body.into()).unwrap()).await.unwrap()
    }

    pub(crate) async fn post_json(&self, url: &str, body: &Value) -> Reply {
        let request = Request::post(url).header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).unwrap()).await.unwrap()
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Reply> {
        let mut connection = self.connect(request.uri()).await?;
        connection.send(request).await
    }

    pub(crate) async fn connect(&self, uri: &Uri) -> Result<Connection> {
        let port = port(uri);
        let sender = if uri.scheme_str() == Some("https") {
            handshake(self.tls(port, &[b"http/1.1"]).await?).await
        } else {
            handshake(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?).await
        };
        Ok(Connection { sender: sender.map_err(Error::other)? })
    }

    /// The same request over HTTP/2.
    pub(crate) async fn send_http2(&self, request: Request<Bytes>) -> Result<Reply> {
        let stream = self.tls(port(request.uri()), &[b"h2"]).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "HTTP/2 is negotiated");
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(Error::other)?;
        tokio::spawn(connection);
        let response = sender.send_request(request.map(Full::new)).await.map_err(Error::other)?;
        Reply::read(response).await
    }

    /// A TLS connection to send whatever one likes.
    pub(crate) async fn tls(&self, port: u16, alpn: &[&[u8]]) -> Result<TlsStream<TcpStream>> {
        let config = rustls::ClientConfig::builder().with_root_certificates(self.roots.clone());
        let mut config = match self.identity.as_deref() {
            None => config.with_no_client_auth(),
            Some((leaf, key)) => config.with_client_auth_cert(vec![leaf.clone()], key.clone_key()).unwrap(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// Sends these bytes and reads the status line of what comes back; `None` when the connection just closes.
    pub(crate) async fn raw(&self, port: u16, bytes: &[u8]) -> Option<u16> {
        let mut stream = self.tls(port, &[b"http/1.1"]).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let mut answer = vec![0; 4096];
        let mut length = 0;
        while length < 12 {
            match tokio::time::timeout(ANSWER, stream.read(&mut answer[length..])).await.expect("an answer") {
                Ok(0) | Err(_) => return None,
                Ok(read) => length += read,
            }
        }
        std::str::from_utf8(&answer[9..12]).unwrap().parse().ok()
    }
}

async fn handshake<S>(stream: S) -> hyper::Result<http1::SendRequest<Full<Bytes>>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().expect("URLs of tests name their port")
}

/// A kept HTTP/1.1 connection.
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(crate) async fn send(&mut self, request: Request<Bytes>) -> Result<Reply> {
        let (mut parts, body) = request.into_parts();
        if !parts.headers.contains_key("host") {
            let authority = parts.uri.authority().unwrap().as_str().parse().unwrap();
            parts.headers.insert("host", authority);
        }
        parts.uri = parts.uri.path_and_query().unwrap().as_str().parse().unwrap();
        let request = Request::from_parts(parts, Full::new(body));
        let response = tokio::time::timeout(ANSWER, async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        });
        let response = response.await.map_err(|_| Error::from(ErrorKind::TimedOut))?.map_err(Error::other)?;
        Reply::read(response).await
    }
}

impl Reply {
    async fn read(response: http::Response<hyper::body::Incoming>) -> Result<Self> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(Error::other)?.to_bytes();
        Ok(Self { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body as JSON, or the last event of a stream.
    pub(crate) fn json(&self) -> Value {
        let text = self.text();
        let stream = self.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        let json = if stream {
            text.lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .rfind(|data| data.trim() != "")
                .unwrap_or_default()
        } else {
            text.as_str()
        };
        serde_json::from_str(json)
            .unwrap_or_else(|error| panic!("{} is not JSON ({error}): {text}", self.status))
    }

    /// The code of a JSON-RPC error.
    pub(crate) fn error_code(&self) -> Option<i64> {
        serde_json::from_slice::<Value>(&self.body).ok()?["error"]["code"].as_i64()
    }
}

/// A `tools/call` of the legacy era.
pub(crate) fn call(url: &str, token: &str, tool: &str, arguments: &Value) -> Request<Bytes> {
    let params = json!({ "name": tool, "arguments": arguments });
    message(url, token, &json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }))
}

/// Any message of the legacy era.
pub(crate) fn message(url: &str, token: &str, message: &Value) -> Request<Bytes> {
    post(url, token, message.to_string().into())
}

/// Any body, with the headers of a good client of the legacy era.
pub(crate) fn post(url: &str, token: &str, body: Bytes) -> Request<Bytes> {
    Request::builder()
        .method(Method::POST)
        .uri(url)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .header("authorization", format!("Bearer {token}"))
        .body(body)
        .unwrap()
}

/// A `tools/call` of the modern era.
pub(crate) fn modern_call(url: &str, token: &str, tool: &str, arguments: &Value) -> Request<Bytes> {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": tool, "arguments": arguments, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "e2e", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    } });
    let mut request = post(url, token, body.to_string().into());
    let headers = request.headers_mut();
    headers.insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
    headers.insert("mcp-method", "tools/call".parse().unwrap());
    headers.insert("mcp-name", tool.parse().unwrap());
    request
}
