//! Whose link is taken, and whose is closed.

use crate::key::KeyFile;
use crate::world::{BODY, Edge, PATIENCE, TIMING, echo, name, until};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use portunus_core::dialer::{Body, DialError, Dialer, full};
use portunus_core::limits;
use portunus_core::time::Clock;
use portunus_tunnel::authority::{LinkAuthority, ProvenKey};
use portunus_tunnel::certificate::PeerCertificate;
use portunus_tunnel::connector::Event;
use portunus_tunnel::enrol::revoke;
use portunus_tunnel::wire::{ALPN, EnrolRequest, ProblemCode};
use proptest::prelude::*;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

#[tokio::test]
async fn a_link_without_a_certificate_of_the_link_authority_is_refused() {
    let edge = Edge::start(TIMING).await;
    let (foreign, _) = LinkAuthority::create(edge.clock.now(), &*edge.rng).unwrap();
    let mut running = edge
        .run(edge.config("sales", "a", Some(edge.token("sales", limits::JOIN_TTL).await)), service_fn(echo));
    running.event(|event| matches!(event, Event::LinkUp { .. })).await;
    let connector = edge.connectors().await.remove(0);

    let key = KeyFile::new();
    let proven = ProvenKey::from_csr(&key.csr()).unwrap();
    let life = Duration::from_secs(3600);
    let certificate =
        foreign.connector_cert(&proven, &connector.id, &connector.server, life, edge.clock.now(), &*edge.rng);
    let why = raw_link(&edge, Some((certificate.unwrap(), &key))).await;
    assert!(
        why.contains("UnknownCA") || why.contains("BadCertificate") || why.contains("DecryptError"),
        "{why}"
    );
    let why = raw_link(&edge, None).await;
    assert!(why.contains("CertificateRequired"), "{why}");
    // The right authority, but a key that never enrolled: TLS takes it, the registry does not.
    let own = edge.desk.authority.connector_cert(
        &proven,
        &connector.id,
        &connector.server,
        life,
        edge.clock.now(),
        &*edge.rng,
    );
    assert_eq!(raw_link(&edge, Some((own.unwrap(), &key))).await, "key_refused");
    assert_eq!(edge.registry.links().len(), 1);
}

#[tokio::test]
async fn a_certificate_for_one_server_cannot_serve_another() {
    let edge = Edge::start(TIMING).await;
    let token = edge.token("sales", limits::JOIN_TTL).await;
    let key = KeyFile::new();
    let request = EnrolRequest { join_token: token, server: name("sales"), csr_pem: key.csr() };
    let reply = edge.desk.enrol(request, edge.clock.now()).await.unwrap();
    // The authority would never sign this; were it to, the enrolment still says `sales`.
    let proven = ProvenKey::from_csr(&key.csr()).unwrap();
    let life = Duration::from_secs(3600);
    let wages = edge.desk.authority.connector_cert(
        &proven,
        &reply.connector,
        &name("wages"),
        life,
        edge.clock.now(),
        &*edge.rng,
    );
    assert_eq!(raw_link(&edge, Some((wages.unwrap(), &key))).await, "key_refused");
    assert!(edge.registry.links().is_empty());
    assert_eq!(raw_link(&edge, Some((reply.certificate_pem, &key))).await, "open");
    assert!(matches!(edge.call("wages", BODY).await, Err(DialError::Unreachable(_))));
}

#[tokio::test]
async fn only_the_exact_form_of_a_connector_certificate_is_read() {
    let edge = Edge::start(TIMING).await;
    let key = KeyFile::new();
    let proven = ProvenKey::from_csr(&key.csr()).unwrap();
    let id = portunus_core::id::mint("con", edge.clock.now(), &*edge.rng);
    let pem = edge.desk.authority.connector_cert(
        &proven,
        &id,
        &name("sales"),
        Duration::from_secs(60),
        edge.clock.now(),
        &*edge.rng,
    );
    let der = CertificateDer::from_pem_slice(pem.unwrap().as_bytes()).unwrap();
    let peer = PeerCertificate::from_der(&der).unwrap();
    assert_eq!((peer.connector, peer.server, peer.key_digest), (id, name("sales"), proven.digest()));
    let mut longer = der.to_vec();
    longer.push(0);
    assert!(PeerCertificate::from_der(&longer).is_err());
    assert!(PeerCertificate::from_der(&der[..der.len() - 1]).is_err());
    assert!(PeerCertificate::from_der(edge.desk.authority.root()).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_a_connector_stops_it_before_the_revocation_returns() {
    let edge = Edge::start(TIMING).await;
    let hanging =
        service_fn(|_: Request<Incoming>| std::future::pending::<Result<Response<Body>, Infallible>>());
    let mut running = edge.connect("sales", "a", 2, hanging).await;
    let dialer = edge.registry.dialer(&name("sales"));
    let call =
        tokio::spawn(async move { dialer.send(Request::post("/mcp").body(full(BODY)).unwrap()).await });
    until(|| edge.registry.links().iter().any(|link| link.streams == 1)).await;

    let connector = edge.connectors().await.remove(0).id;
    revoke(&*edge.store, &*edge.ledger, &connector, "ana", edge.clock.now()).await.unwrap();
    // Nothing is waited for here: the very next call must not be taken.
    let next = edge.call("sales", BODY).await;
    assert!(matches!(next, Err(DialError::Unreachable(_))));
    let broken = tokio::time::timeout(PATIENCE, call).await.unwrap().unwrap();
    assert!(matches!(broken, Err(DialError::Broken(_))));
    until(|| edge.registry.links().is_empty()).await;
    assert_eq!(edge.ledger.count("connector.revoked"), 1);
    // The connector finds out and ends, with words for its owner.
    let refused = running.event(|event| matches!(event, Event::Refused { .. })).await;
    let Event::Refused { code, message } = refused else { unreachable!() };
    assert_eq!(code, ProblemCode::ConnectorRevoked);
    assert!(message.contains("new join token"), "{message}");
    assert!(running.ended().await.is_err());
}

#[tokio::test]
async fn a_store_that_cannot_answer_admits_no_link() {
    let edge = Edge::start(TIMING).await;
    let key = KeyFile::new();
    let token = edge.token("sales", limits::JOIN_TTL).await;
    let request = EnrolRequest { join_token: token, server: name("sales"), csr_pem: key.csr() };
    let reply = edge.desk.enrol(request, edge.clock.now()).await.unwrap();
    edge.store.set_failing(true);
    assert_eq!(raw_link(&edge, Some((reply.certificate_pem.clone(), &key))).await, "unavailable");
    edge.store.set_failing(false);
    // A certificate past its life is refused here too, not by TLS alone.
    edge.clock.advance(limits::CONNECTOR_CERT_TTL + Duration::from_secs(2));
    assert_eq!(raw_link(&edge, Some((reply.certificate_pem, &key))).await, "certificate_expired");
}

#[tokio::test]
async fn a_second_link_never_resumes_the_first_ones_session() {
    let edge = Edge::start(TIMING).await;
    let key = KeyFile::new();
    let token = edge.token("sales", limits::JOIN_TTL).await;
    let request = EnrolRequest { join_token: token, server: name("sales"), csr_pem: key.csr() };
    let reply = edge.desk.enrol(request, edge.clock.now()).await.unwrap();
    // A client that would resume if it could: the same configuration, with its session cache, for both.
    let config = client_config(&edge, Some((reply.certificate_pem, &key)));
    for _ in 0..2 {
        let mut stream = dial(&edge, &config).await;
        assert_eq!(stream.read_u8().await.unwrap(), b'P');
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_cannot_hold_more_links_than_its_bound() {
    let edge = Edge::start(TIMING).await;
    let key = KeyFile::new();
    let token = edge.token("sales", limits::JOIN_TTL).await;
    let request = EnrolRequest { join_token: token, server: name("sales"), csr_pem: key.csr() };
    let reply = edge.desk.enrol(request, edge.clock.now()).await.unwrap();
    let config = client_config(&edge, Some((reply.certificate_pem, &key)));
    let mut open = Vec::new();
    for _ in 0..2 * limits::LINKS_PER_CONNECTOR {
        let mut stream = dial(&edge, &config).await;
        assert_eq!(stream.read_u8().await.unwrap(), b'P');
        open.push(stream);
    }
    assert_eq!(first_words(&mut dial(&edge, &config).await).await, "unavailable");
    // One goes, another may come.
    open.pop();
    until(|| edge.registry.links().len() == open.len()).await;
    assert_eq!(first_words(&mut dial(&edge, &config).await).await, "open");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_damaged_certificate_or_request_is_refused_without_a_panic(
        place in any::<proptest::sample::Index>(), byte: u8, cut in any::<proptest::sample::Index>(),
    ) {
        static SAMPLE: LazyLock<(Vec<u8>, String)> = LazyLock::new(|| {
            let rng = portunus_core::testing::CountingRng::default();
            let now = portunus_core::time::Timestamp::from_secs(1_800_000_000);
            let (authority, _) = LinkAuthority::create(now, &rng).unwrap();
            let csr = KeyFile::new().csr();
            let id = portunus_core::id::mint("con", now, &rng);
            let key = ProvenKey::from_csr(&csr).unwrap();
            let life = Duration::from_secs(60);
            let pem = authority.connector_cert(&key, &id, &name("sales"), life, now, &rng).unwrap();
            (CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec(), csr)
        });
        let (certificate, csr) = &*SAMPLE;
        let whole = PeerCertificate::from_der(certificate).unwrap();
        prop_assert!(PeerCertificate::from_der(&certificate[..cut.index(certificate.len())]).is_err());
        let mut damaged = certificate.clone();
        damaged[place.index(certificate.len())] = byte;
        // Who it is stands twice in it: no single byte makes it somebody else.
        if let Ok(read) = PeerCertificate::from_der(&damaged) {
            prop_assert_eq!(read.connector, whole.connector);
        }
        let mut text = csr.clone().into_bytes();
        text[place.index(csr.len())] = byte;
        let text = String::from_utf8_lossy(&text).into_owned();
        if let Ok(key) = ProvenKey::from_csr(&text) {
            prop_assert_eq!(key.digest(), ProvenKey::from_csr(csr).unwrap().digest());
        }
    }
}

/// Dials a link with a given certificate: `open` when the edge begins HTTP/2, else its reason or TLS's.
async fn raw_link(edge: &Edge, identity: Option<(String, &KeyFile)>) -> String {
    first_words(&mut dial(edge, &client_config(edge, identity)).await).await
}

fn client_config(edge: &Edge, identity: Option<(String, &KeyFile)>) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let ca = edge.config("sales", "raw", None).ca_file.unwrap();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((pem, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
            let key = PrivateKeyDer::try_from(key.0.serialize_der()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config)
}

async fn dial(edge: &Edge, config: &Arc<rustls::ClientConfig>) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(edge.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
    connector.connect("localhost".try_into().unwrap(), stream).await.unwrap()
}

async fn first_words(stream: &mut TlsStream<TcpStream>) -> String {
    let mut first = vec![0; 1];
    match tokio::time::timeout(PATIENCE, stream.read(&mut first)).await.unwrap() {
        Ok(1) if first == b"P" => "open".to_owned(),
        Ok(1) => {
            stream.read_to_end(&mut first).await.unwrap();
            serde_json::from_slice::<serde_json::Value>(&first).unwrap()["code"].as_str().unwrap().to_owned()
        }
        Ok(_) => "closed".to_owned(),
        Err(error) => error.to_string(),
    }
}
