//! An authority that lies: whatever it says, nothing is answered for another's name, nothing unusable is stored, and the
//! next attempt finds everything as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portunus_acme::authority::{AcmeError, Authority, Plan};
use portunus_acme::challenge::{self, Kind};
use portunus_core::store::{Kind as Stored, Query, Store};
use portunus_core::testing::{CountingRng, ManualClock, MemoryStore};
use portunus_core::time::{Rng, Timestamp};
use portunus_vault::SealingKey;
use rcgen::{CertificateParams, CertificateSigningRequestParams, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const HOST: &str = "edge.test";
const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    AnotherName,
    OddToken,
    NoSuchChallenge,
    UnusableUrl,
    PlainUrl,
    Redirect,
    Huge,
    NotJson,
    Invalid,
    KeyOfAnother,
    NameOfAnother,
    Expired,
    Garbage,
}

struct Liar {
    lie: Lie,
    url: String,
    orders: AtomicUsize,
    /// The signing request that came.
    request: Mutex<Option<String>>,
    ready: AtomicUsize,
    /// Looks at the challenge as a validating authority does.
    store: Arc<MemoryStore>,
    seen: Mutex<Vec<bool>>,
}

impl Liar {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let url = |path: &str| format!("{}{path}", self.url);
        let order = |status: &str| json!({ "status": status, "authorizations": [url("/authz")], "finalize": url("/finalize"), "certificate": url("/cert") });
        let (status, value) = match (parts.method, parts.uri.path()) {
            (Method::GET, "/dir") => return self.directory(),
            (Method::HEAD, "/nonce") => (200, json!({})),
            (_, "/account") => (201, json!({ "status": "valid" })),
            (_, "/order") => {
                self.orders.fetch_add(1, Ordering::SeqCst);
                *self.request.lock().unwrap() = None;
                self.ready.store(0, Ordering::SeqCst);
                (201, order("pending"))
            }
            (_, "/authz") => (200, self.authorization()),
            (_, "/challenge") => {
                let answered = challenge::tls_answer(&*self.store, HOST, NOW).await.unwrap().is_some();
                self.seen.lock().unwrap().push(answered);
                self.ready.fetch_add(1, Ordering::SeqCst);
                (
                    200,
                    json!({ "type": "tls-alpn-01", "url": url("/challenge"), "token": "abc", "status": "processing" }),
                )
            }
            (_, "/finalize") => {
                let jws: Value = serde_json::from_slice(&body).unwrap();
                let payload =
                    data_encoding::BASE64URL_NOPAD.decode(jws["payload"].as_str().unwrap().as_bytes());
                let payload: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
                *self.request.lock().unwrap() = payload["csr"].as_str().map(str::to_owned);
                (200, order("processing"))
            }
            (_, "/account/1/order") if self.lie == Lie::Invalid => (200, order("invalid")),
            (_, "/account/1/order") if self.request.lock().unwrap().is_some() => (200, order("valid")),
            (_, "/account/1/order") => (200, order("ready")),
            (_, "/cert") => return reply(200, self.certificate().into()),
            (_, path) => (404, json!({ "detail": path })),
        };
        let mut answer = reply(status, value.to_string().into());
        let location = if parts.uri.path() == "/order" { "/account/1/order" } else { "/account/1" };
        answer.headers_mut().insert("location", url(location).parse().unwrap());
        answer
    }

    fn directory(&self) -> Response<Full<Bytes>> {
        let url = |path: &str| format!("{}{path}", self.url);
        let mut directory =
            json!({ "newNonce": url("/nonce"), "newAccount": url("/account"), "newOrder": url("/order") });
        match self.lie {
            Lie::UnusableUrl => directory["newNonce"] = json!("https://not a url"),
            Lie::PlainUrl => directory["newNonce"] = json!(url("/nonce").replace("https", "http")),
            Lie::Huge => directory["more"] = json!("x".repeat(1 << 20)),
            Lie::NotJson => return reply(200, "<html>".into()),
            Lie::Redirect => {
                let mut answer = reply(302, Bytes::new());
                answer.headers_mut().insert("location", url("/elsewhere").parse().unwrap());
                return answer;
            }
            _ => {}
        }
        reply(200, directory.to_string().into())
    }

    fn authorization(&self) -> Value {
        let name = if self.lie == Lie::AnotherName { "victim.test" } else { HOST };
        let token = if self.lie == Lie::OddToken { "../../etc/x" } else { "abc" };
        let kind = if self.lie == Lie::NoSuchChallenge { "dns-01" } else { "tls-alpn-01" };
        let status = if self.lie == Lie::Invalid && self.ready.load(Ordering::SeqCst) > 0 {
            "invalid"
        } else {
            "pending"
        };
        let error = json!({ "type": "urn:ietf:params:acme:error:connection", "detail": "could not connect to 192.0.2.1" });
        let error = if status == "invalid" { error } else { Value::Null };
        json!({
            "identifier": { "type": "dns", "value": name },
            "status": status,
            "challenges": [{ "type": kind, "url": format!("{}/challenge", self.url), "token": token, "status": status, "error": error }],
        })
    }

    fn certificate(&self) -> String {
        if self.lie == Lie::Garbage {
            return String::from("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        }
        let text = self.request.lock().unwrap().clone().unwrap();
        let der = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap();
        let mut asked = CertificateSigningRequestParams::from_der(&der.into()).unwrap();
        let name = if self.lie == Lie::NameOfAnother { "victim.test" } else { HOST };
        let names = CertificateParams::new([name.to_owned()]).unwrap().subject_alt_names;
        asked.params.subject_alt_names = names.clone();
        if self.lie == Lie::Expired {
            asked.params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let issuer = Issuer::new(CertificateParams::default(), KeyPair::generate().unwrap());
        if self.lie == Lie::KeyOfAnother {
            let params = asked.params.clone();
            return params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().pem();
        }
        asked.signed_by(&issuer).unwrap().pem()
    }
}

fn reply(status: u16, body: Bytes) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("replay-nonce", "nonce")
        .header("content-type", "application/json")
        .body(Full::new(body))
        .unwrap()
}

/// A running liar, and two nodes on one store that order from it.
async fn stage(lie: Lie) -> (Arc<Liar>, Arc<Authority>, Arc<Authority>) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own.der().clone()).unwrap();
    let trusting = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let server = rustls::ServerConfig::builder().with_no_client_auth();
    let server = server.with_single_cert(vec![own.der().clone()], key_of(&key)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let store = Arc::new(MemoryStore::default());
    let liar = Arc::new(Liar {
        lie,
        url: url.clone(),
        orders: AtomicUsize::new(0),
        request: Mutex::default(),
        ready: AtomicUsize::new(0),
        store: store.clone(),
        seen: Mutex::default(),
    });
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(server)), liar.clone()));
    let dir = tempfile::tempdir().unwrap();
    let sealing = SealingKey::load_or_create(&dir.path().join("key"), &CountingRng::default()).unwrap();
    // Each node has randomness of its own: they are told apart by it.
    let rng: Arc<dyn Rng> = Arc::new(CountingRng::default());
    let node = || {
        let plan = Plan {
            directory: format!("{url}/dir").parse().unwrap(),
            email: String::from("ops@edge.test"),
            challenge: Kind::TlsAlpn01,
            profile: None,
            external_account: None,
            host: HOST.to_owned(),
            tls: Arc::new(trusting.clone()),
        };
        let clock = Arc::new(ManualClock::at(NOW));
        Arc::new(Authority::new(plan, store.clone(), sealing.clone(), clock, rng.clone()))
    };
    (liar, node(), node())
}

fn key_of(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(key.serialize_der()).unwrap()
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, liar: Arc<Liar>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, liar) = (tls.clone(), liar.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(move |request| {
                let liar = liar.clone();
                async move { Ok::<_, Infallible>(liar.answer(request).await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[tokio::test]
async fn no_lie_of_an_authority_is_believed_and_each_is_named() {
    for (lie, told) in [
        (Lie::AnotherName, "asks for another name"),
        (Lie::OddToken, "not base64url"),
        (Lie::NoSuchChallenge, "offers no tls-alpn-01"),
        (Lie::UnusableUrl, "cannot be processed"),
        (Lie::PlainUrl, "no connection"),
        (Lie::Redirect, "JSON"),
        (Lie::NotJson, "JSON"),
        (Lie::Huge, "longer than"),
        (Lie::Invalid, "could not connect to 192.0.2.1"),
        (Lie::KeyOfAnother, "for another key"),
        (Lie::NameOfAnother, "not for edge.test"),
        (Lie::Expired, "ended at 2020"),
        (Lie::Garbage, "not usable"),
    ] {
        let (liar, node, other) = stage(lie).await;
        let error =
            node.order(None).await.err().unwrap_or_else(|| panic!("{lie:?} was believed")).to_string();
        assert!(error.contains(told), "{lie:?}: {error}");
        assert!(node.stored().await.unwrap().is_none(), "{lie:?}: nothing is stored");
        let left = liar.store.list(Stored::Challenge, Query::default()).await.unwrap();
        assert!(left.is_empty(), "{lie:?}: no challenge is answered any more");
        for name in [HOST, "victim.test"] {
            assert!(
                challenge::tls_answer(&*liar.store, name, NOW).await.unwrap().is_none(),
                "{lie:?} {name}"
            );
        }
        // The lease was given back: another node may try at once.
        assert!(!matches!(other.order(None).await, Err(AcmeError::Busy)), "{lie:?}");
    }
}

#[tokio::test]
async fn of_two_nodes_one_orders_and_both_have_the_certificate() {
    let (liar, one, two) = stage(Lie::None).await;
    let (first, second) = tokio::join!(one.order(None), two.order(None));
    let outcomes = [first.err(), second.err()].map(|error| error.map(|error| error.to_string()));
    assert_eq!(outcomes, [None, Some(AcmeError::Busy.to_string())]);
    let (first, second) = (one.order(None).await.unwrap(), two.stored().await.unwrap().unwrap());
    assert_eq!((&first.chain, first.version), (&second.chain, second.version));
    assert_eq!(
        liar.orders.load(Ordering::SeqCst),
        1,
        "a node that does not know the stored one yet takes that"
    );
    assert_eq!(
        *liar.seen.lock().unwrap(),
        [true],
        "the answer was in place before the authority was asked to look"
    );
    // Its key is sealed, and so is the account's.
    for entry in liar.store.list(Stored::Setting, Query::default()).await.unwrap() {
        let text = String::from_utf8(entry.value).unwrap();
        assert!(!text.contains("PRIVATE") && !text.contains("key_pkcs8"), "{text}");
    }
    let renewed = one.order(Some(first.version)).await.unwrap();
    assert_ne!(renewed.chain, first.chain);
    assert_ne!(renewed.key.secret_der(), first.key.secret_der(), "each certificate has a key of its own");
    let _: &CertificateDer<'_> = &renewed.chain[0];
}
