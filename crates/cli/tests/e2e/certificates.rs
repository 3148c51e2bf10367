//! The certificate is replaced under a running edge: files that change, and the local CA's in time.

use crate::app::{App, server_at, until};
use crate::bad_input::PERMIT_ALL;
use crate::http::{Http, call};
use crate::upstream::Upstream;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::json;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const SOON: Duration = Duration::from_secs(40);

/// Takes whatever certificate comes: these tests look at it themselves.
#[derive(Debug)]
pub(crate) struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The leaf that a client of this name is shown; the error when there is none.
pub(crate) async fn shown(port: u16, name: &str, alpn: &[&[u8]]) -> std::io::Result<CertificateDer<'static>> {
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned())
}

/// A self-signed certificate for `localhost`, written as a pair of files.
fn write_pair(cert: &Path, key: &Path) -> CertificateDer<'static> {
    let made = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&made).unwrap();
    std::fs::write(cert, certificate.pem()).unwrap();
    std::fs::write(key, made.serialize_pem()).unwrap();
    certificate.der().clone()
}

fn actions(app: &App) -> Vec<String> {
    app.records().iter().filter_map(|r| r["action"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_changed_pair_of_files_is_served_to_the_next_client_and_a_bad_pair_changes_nothing() {
    let upstream = Upstream::start().await;
    let mut first = None;
    let edit = |dir: &Path, configuration: String| {
        first = Some(write_pair(&dir.join("edge.pem"), &dir.join("edge.key")));
        configuration.replace("{ local_ca: true }", "{ cert: edge.pem, key: edge.key }")
    };
    let app = App::serve_as(&server_at("recorder", &upstream.url), PERMIT_ALL, edit, &[]).await;
    let (cert, key) = (app.dir().join("edge.pem"), app.dir().join("edge.key"));
    let first = first.unwrap();
    let seen = || async { shown(app.port, "localhost", &[b"http/1.1"]).await.unwrap() };
    assert_eq!(seen().await, first);
    // A client that is connected already stays connected.
    let request = call(&app.mcp_url("recorder"), &app.token("recorder"), "wait", &json!({}));
    let http = Http::trusting(&std::fs::read(&cert).unwrap());
    let waiting = tokio::spawn(async move { http.send(request).await });
    let arrived = || async { (!upstream.calls().is_empty()).then_some(()) };
    until("the call arrives", SOON, arrived).await;

    let other = KeyPair::generate().unwrap();
    std::fs::write(&key, other.serialize_pem()).unwrap();
    let told = || async { app.log().contains("do not belong together").then_some(()) };
    until("the log says what is wrong with the pair", SOON, told).await;
    assert_eq!(seen().await, first, "the last good certificate stays");

    let second = write_pair(&cert, &key);
    let replaced = || async { (seen().await == second).then_some(()) };
    until("the new pair is served", SOON, replaced).await;
    upstream.release();
    assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    let actions = actions(&app);
    let count = |action: &str| actions.iter().filter(|a| *a == action).count();
    assert_eq!((count("certificate.refused"), count("certificate.replaced")), (1, 1), "{actions:?}");
}

/// The clock of one process, set as one likes by Debian's `faketime`.
pub(crate) struct FakedClock {
    file: tempfile::NamedTempFile,
    library: PathBuf,
}

pub(crate) fn faked_clock() -> FakedClock {
    let libraries = std::fs::read_dir("/usr/lib").unwrap();
    let mut libraries = libraries.map(|entry| entry.unwrap().path().join("faketime/libfaketimeMT.so.1"));
    let library = libraries.find(|library| library.exists());
    let library = library.expect("Debian's package faketime is installed (`make packages`)");
    let clock = FakedClock { file: tempfile::NamedTempFile::new().unwrap(), library };
    clock.set("+0");
    clock
}

impl FakedClock {
    pub(crate) fn set(&self, offset: &str) {
        std::fs::write(self.file.path(), format!("{offset}\n")).unwrap();
    }

    /// For the process; its timers go on as they are.
    pub(crate) fn environment(&self) -> [(&str, &str); 5] {
        [
            ("LD_PRELOAD", self.library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.path().to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ]
    }
}

#[tokio::test]
async fn a_running_edge_renews_its_local_certificate_in_time_and_when_the_clock_is_set_back() {
    let upstream = Upstream::start().await;
    let clock = faked_clock();
    let servers = server_at("recorder", &upstream.url);
    let app =
        App::serve_as(&servers, PERMIT_ALL, |_, configuration| configuration, &clock.environment()).await;
    let seen = || async { shown(app.port, "localhost", &[b"h2"]).await.unwrap() };
    let first = seen().await;

    clock.set("+59d");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(seen().await, first, "a certificate with more than a third of its 90 days left is kept");
    clock.set("+61d");
    let renewed = || async { Some(seen().await).filter(|now| *now != first) };
    let second = until("the certificate is renewed", SOON, renewed).await;
    clock.set("+0");
    let renewed = || async { Some(seen().await).filter(|now| *now != second) };
    until("a certificate that is not valid yet is renewed", SOON, renewed).await;
    // The clients' own clock never moved: it is valid for them again.
    assert_eq!(app.http().get(&app.mcp_url("recorder")).await.unwrap().status, 401);
}

#[tokio::test]
async fn keys_are_exchanged_so_that_a_later_quantum_computer_cannot_read_along() {
    let upstream = Upstream::start().await;
    let app = App::serve(&server_at("recorder", &upstream.url), PERMIT_ALL).await;
    let stream = app.http().tls(app.port, &[b"h2"]).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}
