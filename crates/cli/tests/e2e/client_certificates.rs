//! Clients that show a certificate, and what policies make of it.

use crate::app::{App, server_at, until};
use crate::http::{Reply, call};
use crate::upstream::Upstream;
use bytes::Bytes;
use http::Request;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::HandshakeKind;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const SOON: Duration = Duration::from_secs(40);
/// What ChatGPT's certificate says.
const CHATGPT: &str = "mtls.prod.connectors.openai.com";
const ONLY_CHATGPT: &str = r#"
@id("only-chatgpt")
permit(principal, action in Action::"call", resource) when {
    context has client_certificate
    && context.client_certificate.verified_by == "openai"
    && context.client_certificate.dns_names.contains("mtls.prod.connectors.openai.com")
};
"#;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A client's certificate for this name, that ends in that year.
    fn issue(&self, name: &str, end: i32) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(end, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

async fn stage(authority: &Authority, names: &str) -> (App, Upstream) {
    let upstream = Upstream::start().await;
    let pem = authority.pem.clone();
    let edit = |dir: &Path, configuration: String| {
        std::fs::write(dir.join("openai.pem"), pem).unwrap();
        let tls = format!("{{ local_ca: true, client_certificates: {{ ca: openai.pem{names} }} }}");
        configuration.replace("{ local_ca: true }", &tls)
    };
    let app = App::serve_as(&server_at("recorder", &upstream.url), ONLY_CHATGPT, edit, &[]).await;
    (app, upstream)
}

fn request(app: &App, token: &str) -> Request<Bytes> {
    call(&app.mcp_url("recorder"), token, "echo", &json!({}))
}

/// Admitted, or refused by policy.
fn admitted(reply: &Reply) -> bool {
    match reply.error_code() {
        None => true,
        Some(-32010) => false,
        Some(other) => panic!("{other}: {}", reply.text()),
    }
}

#[tokio::test]
async fn a_verified_certificate_counts_and_none_another_s_or_an_expired_one_does_not() {
    let (openai, stranger) = (Authority::new("OpenAI"), Authority::new("OpenAI"));
    let (app, upstream) = stage(&openai, ", names: [localhost]").await;
    let (http, token) = (app.http(), app.token("recorder"));
    let chatgpt = http.presenting(openai.issue(CHATGPT, 2090));
    assert!(admitted(&chatgpt.send(request(&app, &token)).await.unwrap()));
    assert!(admitted(&chatgpt.send_http2(request(&app, &token)).await.unwrap()));
    assert!(!admitted(&http.send(request(&app, &token)).await.unwrap()), "no certificate is needed to ask");
    let other = http.presenting(openai.issue("other.test", 2090));
    assert!(!admitted(&other.send(request(&app, &token)).await.unwrap()));
    for refused in [stranger.issue(CHATGPT, 2090), openai.issue(CHATGPT, 2020)] {
        let refused = http.presenting(refused);
        assert!(refused.send(request(&app, &token)).await.is_err(), "the handshake or the first read fails");
    }
    // A header says nothing, whatever it is called.
    let mut forged = request(&app, &token);
    for name in ["x-client-cert", "x-forwarded-client-cert", "ssl-client-cert", "client-cert"] {
        forged.headers_mut().insert(name, format!("Subject=CN={CHATGPT}").parse().unwrap());
    }
    assert!(!admitted(&http.send(forged).await.unwrap()));
    assert_eq!(upstream.calls().len(), 2);
}

#[tokio::test]
async fn a_certificate_counts_no_longer_than_its_authority() {
    let (openai, successor) = (Authority::new("OpenAI"), Authority::new("OpenAI 2"));
    let (app, _upstream) = stage(&openai, "").await;
    let (http, token) = (app.http(), app.token("recorder"));
    let (before, after) = (openai.issue(CHATGPT, 2090), successor.issue(CHATGPT, 2090));
    let (before, after) = (http.presenting(before), http.presenting(after));
    let mut kept = before.connect(request(&app, &token).uri()).await.unwrap();
    assert!(admitted(&kept.send(request(&app, &token)).await.unwrap()));

    std::fs::write(app.dir().join("openai.pem"), "not a certificate").unwrap();
    let told = || async { app.log().contains("openai.pem: holds no certificate").then_some(()) };
    // A connection without requests is closed after 10 s: it is used all the while.
    let mut bad = Box::pin(until("the log says what is wrong with the file", SOON, told));
    loop {
        tokio::select! {
            () = &mut bad => break,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                assert!(admitted(&kept.send(request(&app, &token)).await.unwrap()), "a bad file changes nothing");
            }
        }
    }
    drop(bad);
    std::fs::write(app.dir().join("openai.pem"), &successor.pem).unwrap();
    let begun = std::time::Instant::now();
    while admitted(&kept.send(request(&app, &token)).await.unwrap()) {
        assert!(begun.elapsed() < SOON, "an open connection's certificate outlives its authority");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(before.send(request(&app, &token)).await.is_err());
    assert!(admitted(&after.send(request(&app, &token)).await.unwrap()));
}

#[tokio::test]
async fn a_session_with_a_certificate_is_never_resumed_and_others_are_not_asked() {
    let openai = Authority::new("OpenAI");
    let (app, _upstream) = stage(&openai, ", names: [localhost]").await;
    let (chain, key) = openai.issue(CHATGPT, 2090);
    let mut roots = rustls::RootCertStore::empty();
    let ca = std::fs::read(app.ca_file()).unwrap();
    for certificate in rustls_pki_types::pem::PemObject::pem_slice_iter(&ca) {
        let certificate: CertificateDer<'static> = certificate.unwrap();
        roots.add(certificate).unwrap();
    }
    let config = rustls::ClientConfig::builder().with_root_certificates(roots);
    let config = Arc::new(config.with_client_auth_cert(vec![chain], key).unwrap());
    let shake = |name: &'static str| {
        let config = config.clone();
        async move {
            let stream = TcpStream::connect(("127.0.0.1", app.port)).await.unwrap();
            let name = rustls::pki_types::ServerName::try_from(name).unwrap();
            let mut stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
            // Tickets come with the first answer.
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
            let mut answer = Vec::new();
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
            stream.get_ref().1.handshake_kind().unwrap()
        }
    };
    let asked = [shake("localhost").await, shake("localhost").await];
    assert_eq!(asked, [HandshakeKind::Full, HandshakeKind::Full]);
    let not_asked = [shake("127.0.0.1").await, shake("127.0.0.1").await];
    assert_eq!(
        not_asked,
        [HandshakeKind::Full, HandshakeKind::Resumed],
        "tickets are for those who are not asked"
    );
}
