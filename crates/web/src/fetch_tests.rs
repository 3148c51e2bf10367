//! The fetcher against hosts that want to be more than a document: private addresses, floods, drips, redirects.

use super::*;
use portunus_core::testing::ManualClock;
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[test]
fn only_addresses_of_the_public_internet_are_public() {
    for public in [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2001:4860:4860::8888",
        "2a00::1",
        "::ffff:8.8.8.8",
    ] {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
    for private in [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "::a00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:10::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(!is_public(private.parse().unwrap()), "{private}");
    }
}

#[test]
fn freshness_is_what_the_cache_headers_say() {
    let seconds = |text| max_age(text).map(|age| age.as_secs());
    assert_eq!(seconds("public, max-age=600"), Some(600));
    assert_eq!(seconds("Max-Age=600, no-cache"), Some(0));
    assert_eq!(seconds("no-store"), Some(0));
    assert_eq!(seconds("max-age=-1"), None);
    assert_eq!(seconds("max-age=99999999999999999999999"), None);
    assert_eq!(seconds(""), None);
}

/// Answers every name with the same addresses, and counts how often it is asked.
struct Fixed(Vec<SocketAddr>, AtomicUsize);

#[async_trait]
impl Resolver for Fixed {
    async fn resolve(&self, _host: &str, _port: u16) -> std::io::Result<Vec<SocketAddr>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(self.0.clone())
    }
}

struct Site {
    fetcher: PublicFetcher,
    resolver: Arc<Fixed>,
    clock: Arc<ManualClock>,
    connections: Arc<AtomicUsize>,
}

const NAME: &str = "client.example";
const LONGEST: usize = limits::CLIENT_DOCUMENT_BYTES;

/// A TLS site that answers each request with these bytes (and then, if told so, keeps the connection open).
async fn site(answer: Vec<u8>, hang: bool) -> Site {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let pair = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    let certificate = pair.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(pair.signing_key.serialize_der().into());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let (acceptor, answer) = (acceptor.clone(), answer.clone());
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                let mut request = [0; 2048];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
                if hang {
                    std::future::pending::<()>().await;
                }
                let _ = stream.shutdown().await;
            });
        }
    });
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_000_000)));
    let resolver = Arc::new(Fixed(vec![address], AtomicUsize::new(0)));
    let issuer = Issuer::new(&Url::parse("https://tools.example.com").unwrap(), vec![]).unwrap();
    let mut fetcher = PublicFetcher::new(&client, clock.clone(), Arc::new(ArcSwap::from_pointee(issuer)));
    fetcher.resolver = resolver.clone();
    fetcher.admits = |_| true;
    Site { fetcher, resolver, clock, connections }
}

fn url() -> Url {
    Url::parse(&format!("https://{NAME}/oauth/client.json")).unwrap()
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn a_document_is_fetched_over_tls_with_its_freshness() {
    let head = "200 OK\r\nContent-Type: application/json; charset=utf-8\r\nCache-Control: max-age=600";
    let site = site(answer(head, "{\"a\":1}"), false).await;
    let fetched = site.fetcher.fetch(&url(), LONGEST).await.unwrap();
    assert_eq!(
        (fetched.bytes.as_slice(), fetched.max_age),
        (&b"{\"a\":1}"[..], Some(Duration::from_secs(600)))
    );
}

#[tokio::test]
async fn whatever_is_not_a_small_plain_json_document_is_refused() {
    let json = "Content-Type: application/json";
    let large = "x".repeat(LONGEST + 1);
    for (bytes, error) in [
        (answer("302 Found\r\nLocation: https://client.example/other", ""), FetchError::Status(302)),
        (answer("404 Not Found", ""), FetchError::Status(404)),
        (answer("204 No Content", ""), FetchError::Status(204)),
        (answer("200 OK\r\nContent-Type: text/html", "{}"), FetchError::NotJson),
        (answer("200 OK", "{}"), FetchError::NotJson),
        (answer(&format!("200 OK\r\n{json}\r\nContent-Encoding: gzip"), "x"), FetchError::NotJson),
        (answer(&format!("200 OK\r\n{json}"), &large), FetchError::TooLarge(LONGEST)),
        (b"not http at all\r\n\r\n".to_vec(), FetchError::Unreachable),
        (
            format!("HTTP/1.1 200 OK\r\n{json}\r\nContent-Length: 9\r\n\r\nshort").into_bytes(),
            FetchError::Unreachable,
        ),
        (format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(100_000)).into_bytes(), FetchError::Unreachable),
    ] {
        let shown = String::from_utf8_lossy(&bytes).chars().take(60).collect::<String>();
        let site = site(bytes, false).await;
        assert_eq!(site.fetcher.fetch(&url(), LONGEST).await, Err(error), "{shown}");
        assert_eq!(site.connections.load(Ordering::SeqCst), 1, "no redirect is followed");
    }
}

#[tokio::test]
async fn a_failure_is_remembered_for_a_while() {
    let site = site(answer("500 No", ""), false).await;
    for _ in 0..5 {
        assert_eq!(site.fetcher.fetch(&url(), LONGEST).await, Err(FetchError::Status(500)));
    }
    assert_eq!(site.connections.load(Ordering::SeqCst), 1);
    site.clock.advance(limits::CLIENT_DOCUMENT_RETRY);
    assert_eq!(site.fetcher.fetch(&url(), LONGEST).await, Err(FetchError::Status(500)));
    assert_eq!(site.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_site_that_never_finishes_is_left_in_time() {
    let dripping =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{".to_vec();
    let mut site = site(dripping, true).await;
    site.fetcher.timeout = Duration::from_millis(500);
    assert_eq!(site.fetcher.fetch(&url(), LONGEST).await, Err(FetchError::TimedOut));
    assert_eq!(site.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_name_with_any_private_address_is_never_connected_to() {
    let mut site = site(answer("200 OK\r\nContent-Type: application/json", "{}"), false).await;
    let private = site.resolver.0[0];
    site.fetcher.admits = is_public;
    let public: SocketAddr = "8.8.8.8:443".parse().unwrap();
    for addresses in [vec![private], vec![public, private], vec![private, public]] {
        site.fetcher.resolver = Arc::new(Fixed(addresses, AtomicUsize::new(0)));
        site.clock.advance(limits::CLIENT_DOCUMENT_RETRY);
        assert_eq!(site.fetcher.fetch(&url(), LONGEST).await, Err(FetchError::Forbidden));
    }
    for literal in [
        "https://127.0.0.1/c",
        "https://[::1]/c",
        "https://[::ffff:127.0.0.1]/c",
        "https://0x7f000001/c",
        "https://2130706433/c",
        "https://0177.0.0.1/c",
        "https://169.254.169.254/latest",
        "https://10.1/c",
        "http://client.example/c",
    ] {
        assert_eq!(
            site.fetcher.fetch(&Url::parse(literal).unwrap(), LONGEST).await,
            Err(FetchError::Forbidden),
            "{literal}"
        );
    }
    assert_eq!(site.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_is_resolved_once_and_its_answer_is_where_we_connect() {
    let site = site(answer("200 OK\r\nContent-Type: application/json", "{}"), false).await;
    site.fetcher.fetch(&url(), LONGEST).await.unwrap();
    // A second look-up is what rebinding needs.
    assert_eq!(site.resolver.1.load(Ordering::SeqCst), 1);
    let other = Url::parse("https://other.example/c").unwrap();
    let wrong_name = site.fetcher.fetch(&other, LONGEST).await;
    assert_eq!(wrong_name, Err(FetchError::Unreachable), "the certificate is for another name");
}

#[tokio::test]
async fn a_crowd_that_asks_for_one_document_at_once_is_one_request() {
    let head = "200 OK\r\nContent-Type: application/json\r\nCache-Control: max-age=600\r\nAge: 60";
    let site = Arc::new(site(answer(head, "{}"), false).await);
    let ask = |site: Arc<Site>| async move { site.fetcher.fetch(&url(), LONGEST).await };
    // One of them leaves before the answer is there, which must not spoil it for the others.
    let impatient = tokio::spawn(ask(site.clone()));
    tokio::task::yield_now().await;
    let crowd: Vec<_> = (0..3 * FETCHES).map(|_| tokio::spawn(ask(site.clone()))).collect();
    impatient.abort();
    for one in crowd {
        let fetched = one.await.unwrap().unwrap();
        assert_eq!(fetched.max_age, Some(Duration::from_secs(540)), "the time in a cache counts");
    }
    assert!(site.connections.load(Ordering::SeqCst) <= 2, "the one that left may have connected too");
    assert!(site.fetcher.flights().is_empty());
}

#[tokio::test]
async fn a_host_of_the_companys_own_is_reached_where_it_was_named_and_its_link_is_not() {
    use portunus_oauth::registration::{InternalHost, Registration};
    let mut site = site(answer("200 OK\r\nContent-Type: application/json", "{}"), false).await;
    site.fetcher.admits = is_public;
    assert_eq!(site.fetcher.fetch(&url(), LONGEST).await, Err(FetchError::Forbidden));
    let internal_hosts = vec![InternalHost::parse(NAME).unwrap()];
    let issuer = Issuer::clone(&site.fetcher.issuer.load());
    let issuer = issuer.with_registration(Registration { internal_hosts, ..Registration::default() });
    site.fetcher.issuer.store(Arc::new(issuer));
    site.clock.advance(limits::CLIENT_DOCUMENT_RETRY);
    assert!(site.fetcher.fetch(&url(), LONGEST).await.is_ok());
    let other_port = Url::parse(&format!("https://{NAME}:8443/c")).unwrap();
    assert_eq!(site.fetcher.fetch(&other_port, LONGEST).await, Err(FetchError::Forbidden));
    for never in [
        "169.254.169.254:443",
        "[fe80::1]:443",
        "[::ffff:169.254.1.1]:443",
        "0.0.0.0:443",
        "[::]:443",
        "224.0.0.1:443",
    ] {
        site.fetcher.resolver = Arc::new(Fixed(vec![never.parse().unwrap()], AtomicUsize::new(0)));
        site.clock.advance(limits::CLIENT_DOCUMENT_RETRY);
        assert_eq!(site.fetcher.fetch(&url(), LONGEST).await, Err(FetchError::Forbidden), "{never}");
    }
    assert_eq!(site.connections.load(Ordering::SeqCst), 1);
}
