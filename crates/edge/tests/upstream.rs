//! A URL's dialer against real servers: where a credential goes, and where it never does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use portunus_core::dialer::{self, Body, DialError, Dialer, Ending, Manner, Plain, Presentable, Presented};
use portunus_core::id::CredentialName;
use portunus_core::record::CredentialUse;
use portunus_core::secret::Secret;
use portunus_edge::upstream::http::HttpDialer;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// What a server saw: the number of the connection, the certificate shown, and the head of the request.
type Seen = Arc<Mutex<Vec<(usize, Vec<u8>, String)>>>;

/// A credential in the open.
struct Key {
    used: CredentialUse,
    manner: Manner,
    plain: Box<dyn Fn() -> Plain + Send + Sync>,
    opened: Arc<AtomicUsize>,
    ended: watch::Receiver<bool>,
}

#[async_trait]
impl Presentable for Key {
    fn used(&self) -> &CredentialUse {
        &self.used
    }
    fn manner(&self) -> Manner {
        self.manner
    }
    async fn open(&self) -> Result<Plain, DialError> {
        if self.is_ended() {
            return Err(DialError::Credential("it is revoked".to_owned()));
        }
        self.opened.fetch_add(1, Ordering::SeqCst);
        Ok((self.plain)())
    }
    fn is_ended(&self) -> bool {
        *self.ended.borrow()
    }
    fn ended(&self) -> Ending {
        let mut ended = self.ended.clone();
        Box::pin(async move { drop(ended.wait_for(|ended| *ended).await) })
    }
}

fn key(version: u32, manner: Manner, plain: impl Fn() -> Plain + Send + Sync + 'static) -> Presented {
    counted(version, manner, Arc::default(), plain)
}

fn counted(
    version: u32,
    manner: Manner,
    opened: Arc<AtomicUsize>,
    plain: impl Fn() -> Plain + Send + Sync + 'static,
) -> Presented {
    let never = Box::leak(Box::new(watch::Sender::new(false)));
    ending(version, manner, opened, never.subscribe(), plain)
}

fn ending(
    version: u32,
    manner: Manner,
    opened: Arc<AtomicUsize>,
    ended: watch::Receiver<bool>,
    plain: impl Fn() -> Plain + Send + Sync + 'static,
) -> Presented {
    let used = CredentialUse { name: CredentialName::parse("key").unwrap(), version };
    Presented::new(Arc::new(Key { used, manner, plain: Box::new(plain), opened, ended }))
}

fn request(credential: &Presented) -> Request<Body> {
    let mut request = Request::get("/mcp").body(dialer::empty()).unwrap();
    request.extensions_mut().insert(credential.clone());
    request
}

/// Answers every request on a connection with this text.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    shown: Vec<u8>,
    answer: String,
    seen: Seen,
) {
    let mut read = Vec::new();
    while stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
        while let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = read.drain(..end + 4).collect();
            seen.lock().unwrap().push((connection, shown.clone(), String::from_utf8(head).unwrap()));
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
    seen.lock().unwrap().push((connection, Vec::new(), "closed".to_owned()));
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server without TLS: its port and what it sees.
async fn plain(answer: &str) -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, seen) = (listener.local_addr().unwrap().port(), Seen::default());
    let (told, answer) = (seen.clone(), answer.to_owned());
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, connection, Vec::new(), answer.clone(), told.clone()));
        }
    });
    (port, seen)
}

fn trusting_nobody() -> Arc<ClientConfig> {
    Arc::new(ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn to(url: &str, tls: Arc<ClientConfig>) -> HttpDialer {
    HttpDialer::new(&url.parse().unwrap(), tls).unwrap()
}

async fn ask(dialer: &HttpDialer, credential: &Presented) -> StatusCode {
    let answer = dialer.send(request(credential)).await.unwrap();
    let status = answer.status();
    answer.into_body().collect().await.unwrap();
    status
}

fn heads(seen: &Seen) -> Vec<String> {
    seen.lock().unwrap().iter().map(|(_, _, head)| head.clone()).filter(|head| head != "closed").collect()
}

fn query() -> Presented {
    key(1, Manner::Query, || Plain::Query("api_key".to_owned(), Secret::new(b"a&b=c#d%20 +\\".to_vec())))
}

#[tokio::test]
async fn a_header_and_a_parameter_stand_where_the_upstream_looks_for_them() {
    let (port, seen) = plain(OK).await;
    let dialer = to(&format!("http://127.0.0.1:{port}/mcp?tenant=1"), trusting_nobody());
    let header = key(1, Manner::Header, || {
        Plain::Header(HeaderName::from_static("x-api-key"), HeaderValue::from_static("ours"))
    });
    let mut bearing = request(&header);
    bearing.headers_mut().insert("x-api-key", HeaderValue::from_static("theirs"));
    dialer.send(bearing).await.unwrap().into_body().collect().await.unwrap();
    ask(&dialer, &query()).await;
    let heads = heads(&seen);
    assert!(heads[0].contains("x-api-key: ours\r\n") && !heads[0].contains("theirs"), "{}", heads[0]);
    let target = heads[1].split(' ').nth(1).unwrap();
    let (_, pairs) = target.split_once('?').unwrap();
    let pairs: Vec<_> = url::form_urlencoded::parse(pairs.as_bytes()).collect();
    assert_eq!(pairs, [("tenant".into(), "1".into()), ("api_key".into(), "a&b=c#d%20 +\\".into())]);
    assert_eq!(heads[1].lines().count(), heads[0].lines().count() - 1, "and it adds no line");
}

#[tokio::test]
async fn a_redirect_takes_no_credential_anywhere() {
    let (elsewhere, stolen) = plain(OK).await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} Go\r\nlocation: http://127.0.0.1:{elsewhere}/steal\r\ncontent-length: 0\r\n\r\n"
        );
        let (port, seen) = plain(&answer).await;
        let dialer = to(&format!("http://127.0.0.1:{port}/mcp"), trusting_nobody());
        assert_eq!(ask(&dialer, &query()).await.as_u16(), status);
        assert_eq!(heads(&seen).len(), 1, "asked once");
    }
    assert_eq!(heads(&stolen).len(), 0, "nobody asked where the redirects lead");
}

#[tokio::test]
async fn a_manner_that_a_url_has_not_is_refused_and_the_secret_stays_sealed() {
    let (port, seen) = plain(OK).await;
    let dialer = to(&format!("http://127.0.0.1:{port}/mcp"), trusting_nobody());
    for manner in [Manner::Environment, Manner::Certificate] {
        let opened = Arc::new(AtomicUsize::new(0));
        let held = counted(1, manner, opened.clone(), || panic!("it must not be opened"));
        let error = dialer.send(request(&held)).await.unwrap_err();
        assert!(matches!(error, DialError::Credential(_)), "{error}");
        assert_eq!(opened.load(Ordering::SeqCst), 0);
    }
    assert_eq!(heads(&seen).len(), 0);
}

#[tokio::test]
async fn no_error_tells_a_secret() {
    // Nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let dialer = to(&format!("http://127.0.0.1:{closed}/mcp"), trusting_nobody());
    let canary = key(1, Manner::Query, || Plain::Query("k".to_owned(), Secret::new(b"canary-7f3a".to_vec())));
    let error = dialer.send(request(&canary)).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    let garbage = key(1, Manner::Certificate, || Plain::Certificate(Secret::new(b"canary-7f3a".to_vec())));
    let dialer = to(&format!("https://127.0.0.1:{closed}/mcp"), trusting_nobody());
    let error = dialer.send(request(&garbage)).await.unwrap_err();
    assert!(matches!(error, DialError::Credential(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
}

/// A CA, and a server that demands certificates of it.
struct Guarded {
    issuer: Issuer<'static, KeyPair>,
    ca: CertificateDer<'static>,
    port: u16,
    seen: Seen,
}

impl Guarded {
    async fn start() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test CA");
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let server = server.signed_by(&server_key, &issuer).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let config = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![server.der().clone()],
                PrivateKeyDer::try_from(server_key.serialize_der()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, seen) = (listener.local_addr().unwrap().port(), Seen::default());
        let (acceptor, told) = (TlsAcceptor::from(Arc::new(config)), seen.clone());
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, told) = (acceptor.clone(), told.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                    serve(stream, connection, shown, OK.to_owned(), told).await;
                });
            }
        });
        Self { issuer, ca, port, seen }
    }

    fn dialer(&self) -> HttpDialer {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        to(&format!("https://localhost:{}/mcp", self.port), Arc::new(tls))
    }

    /// A certificate for this version: as a credential, and as the server should see it.
    fn certificate(&self, version: u32, opened: &Arc<AtomicUsize>) -> (Presented, Vec<u8>) {
        let never = Box::leak(Box::new(watch::Sender::new(false)));
        self.ending_certificate(version, opened, never.subscribe())
    }

    fn ending_certificate(
        &self,
        version: u32,
        opened: &Arc<AtomicUsize>,
        ended: watch::Receiver<bool>,
    ) -> (Presented, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["edge".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("version {version}"));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let pem = certificate.pem() + &key.serialize_pem();
        let plain = move || Plain::Certificate(Secret::new(pem.clone().into_bytes()));
        let presented = ending(version, Manner::Certificate, opened.clone(), ended, plain);
        (presented, certificate.der().to_vec())
    }

    fn connections(&self) -> Vec<(usize, Vec<u8>)> {
        let seen = self.seen.lock().unwrap();
        let requests = seen.iter().filter(|(_, _, head)| head != "closed");
        requests.map(|(connection, shown, _)| (*connection, shown.clone())).collect()
    }

    async fn until_closed(&self, connection: usize) {
        let closed = || {
            let seen = self.seen.lock().unwrap();
            seen.iter().any(|(number, _, head)| *number == connection && head == "closed")
        };
        let wait = async {
            while !closed() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), wait).await.expect("its connection is closed");
    }
}

#[tokio::test]
async fn each_version_of_a_certificate_has_connections_of_its_own_and_old_ones_end() {
    let server = Guarded::start().await;
    let (dialer, opened) = (server.dialer(), Arc::new(AtomicUsize::new(0)));
    let (first, first_der) = server.certificate(1, &opened);
    let (second, second_der) = server.certificate(2, &opened);
    let bare = dialer.send(Request::get("/mcp").body(dialer::empty()).unwrap()).await;
    assert!(bare.is_err(), "the server wants a certificate");
    for _ in 0..3 {
        assert_eq!(ask(&dialer, &first).await, 200);
    }
    assert_eq!(opened.load(Ordering::SeqCst), 1, "opened once for all that it carries");
    let slow = dialer.send(request(&first)).await.unwrap();
    assert_eq!(ask(&dialer, &second).await, 200);
    slow.into_body().collect().await.expect("what the old one carries goes on");
    let seen = server.connections();
    let (shared, last) = (seen[0].0, seen.last().unwrap());
    assert!(seen[..4].iter().all(|(number, shown)| *number == shared && *shown == first_der));
    assert!(last.0 != shared && last.1 == second_der, "a new version, a new connection");
    server.until_closed(shared).await;

    assert_eq!(ask(&dialer, &second).await, 200);
    assert_eq!(server.connections().last().unwrap().0, last.0, "the new one is kept alive");
    // A call that was decided before still carries the old one, over a connection of its own.
    assert_eq!(ask(&dialer, &first).await, 200);
    let again = server.connections().last().unwrap().clone();
    assert!(again.1 == first_der && again.0 != shared && again.0 != last.0);
    assert_eq!(opened.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn calls_under_several_versions_of_a_certificate_at_once_all_come_through() {
    let server = Guarded::start().await;
    let (dialer, opened) = (Arc::new(server.dialer()), Arc::default());
    // More than are kept.
    let versions: Vec<_> = (1..=6).map(|version| server.certificate(version, &opened)).collect();
    let calls = (0..60).map(|number| {
        let (dialer, (credential, _)) = (dialer.clone(), versions[number % versions.len()].clone());
        tokio::spawn(async move { ask(&dialer, &credential).await })
    });
    for call in futures_util::future::join_all(calls.collect::<Vec<_>>()).await {
        assert_eq!(call.unwrap(), 200);
    }
    assert_eq!(server.connections().len(), 60);
    for (_, shown) in server.connections() {
        assert!(versions.iter().any(|(_, der)| *der == shown));
    }
}

#[tokio::test]
async fn connections_of_a_revoked_certificate_are_closed_and_no_other_is() {
    let server = Guarded::start().await;
    let (dialer, other, opened) = (server.dialer(), server.dialer(), Arc::new(AtomicUsize::new(0)));
    let revoked = watch::Sender::new(false);
    let (ending, _) = server.ending_certificate(1, &opened, revoked.subscribe());
    let (neighbour, _) = server.certificate(1, &opened);
    // One that rests, and one that is being used.
    let slow = dialer.send(request(&ending)).await.unwrap();
    assert_eq!(ask(&dialer, &ending).await, 200);
    assert_eq!(ask(&other, &neighbour).await, 200);
    let [busy, resting, last] = [0, 1, 2].map(|at| server.connections()[at].0);
    assert!(busy != resting && resting != last);
    revoked.send_replace(true);
    timeout(Duration::from_secs(1), server.until_closed(resting)).await.expect("within a second");
    drop(slow);
    timeout(Duration::from_secs(1), server.until_closed(busy)).await.expect("what it carried is dropped");
    let error = dialer.send(request(&ending)).await.unwrap_err();
    assert!(matches!(error, DialError::Credential(_)), "{error}");
    assert_eq!(ask(&other, &neighbour).await, 200);
    assert_eq!(server.connections().last().unwrap().0, last, "a neighbour's connection is still the same");
}
