//! Join tokens, keys and authorities.

use crate::key::KeyFile;
use crate::world::{Edge, TIMING, echo, name};
use hyper::service::service_fn;
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::time::Clock;
use portunus_tunnel::authority::LinkAuthority;
use portunus_tunnel::connector::{ConnectorError, Event};
use portunus_tunnel::enrol::EnrolError;
use portunus_tunnel::wire::{EnrolRequest, ProblemCode};
use rustls_pki_types::pem::PemObject;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn unknown_used_expired_and_foreign_join_tokens_are_refused_for_good() {
    let edge = Edge::start(TIMING).await;
    let used = edge.token("sales", limits::JOIN_TTL).await;
    let mut first = edge.run(edge.config("sales", "first", Some(used.clone())), service_fn(echo));
    first.event(|event| matches!(event, Event::LinkUp { .. })).await;
    let expired = edge.token("sales", Duration::from_secs(1)).await;
    edge.clock.advance(Duration::from_secs(2));
    let foreign = edge.token("wages", limits::JOIN_TTL).await;
    let unknown = portunus_core::token::mint(portunus_core::token::TokenKind::Join, &*edge.rng);
    let cases = [
        (unknown, ProblemCode::JoinTokenUnknown),
        (Secret::new("hello".to_owned()), ProblemCode::JoinTokenUnknown),
        (used, ProblemCode::JoinTokenUsed),
        (expired, ProblemCode::JoinTokenExpired),
        (foreign.clone(), ProblemCode::WrongServer),
    ];
    for (number, (token, expected)) in cases.into_iter().enumerate() {
        let config = edge.config("sales", &format!("case-{number}"), Some(token));
        let mut running = edge.run(config, service_fn(echo));
        let refused = running.event(|event| matches!(event, Event::Refused { .. })).await;
        assert!(matches!(refused, Event::Refused { code, .. } if code == expected), "{refused:?}");
        let error = running.ended().await.unwrap_err();
        assert!(matches!(error, ConnectorError::Refused { code, .. } if code == expected), "{error}");
    }
    assert_eq!(edge.connectors().await.len(), 1);
    // A token tried with the wrong name stays good for the right one.
    let mut right = edge.run(edge.config("wages", "right", Some(foreign)), service_fn(echo));
    right.event(|event| matches!(event, Event::LinkUp { .. })).await;
}

#[tokio::test]
async fn without_a_token_or_a_state_a_connector_says_what_to_do() {
    let edge = Edge::start(TIMING).await;
    let error = edge.run(edge.config("sales", "a", None), service_fn(echo)).ended().await.unwrap_err();
    assert!(error.to_string().contains("join token"), "{error}");
}

#[tokio::test]
async fn one_join_token_raced_by_many_makes_one_connector() {
    let edge = Edge::start(TIMING).await;
    let token = edge.token("sales", limits::JOIN_TTL).await;
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (desk, token, now) = (edge.desk.clone(), token.clone(), edge.clock.now());
        tries.spawn(async move {
            let request =
                EnrolRequest { join_token: token, server: name("sales"), csr_pem: KeyFile::new().csr() };
            desk.enrol(request, now).await.is_ok()
        });
    }
    let made = tries.join_all().await.into_iter().filter(|made| *made).count();
    assert_eq!((made, edge.connectors().await.len()), (1, 1));
}

#[tokio::test]
async fn an_enrolment_that_cannot_be_recorded_does_not_happen() {
    let edge = Edge::start(TIMING).await;
    let token = edge.token("sales", limits::JOIN_TTL).await;
    let request = EnrolRequest { join_token: token, server: name("sales"), csr_pem: KeyFile::new().csr() };
    edge.ledger.set_failing(true);
    let refused = edge.desk.enrol(request.clone(), edge.clock.now()).await;
    assert!(matches!(refused, Err(EnrolError::Ledger(_))));
    assert!(edge.connectors().await.is_empty());
    edge.ledger.set_failing(false);
    edge.desk.enrol(request, edge.clock.now()).await.unwrap();
}

#[tokio::test]
async fn a_request_to_enrol_that_is_no_proof_of_possession_is_refused_and_leaves_the_token_unused() {
    let edge = Edge::start(TIMING).await;
    let token = edge.token("sales", limits::JOIN_TTL).await;
    let good = KeyFile::new().csr();
    let mut forged = CertificateDerBytes::of(&good);
    let last = forged.0.len() - 3;
    forged.0[last] ^= 1;
    for csr_pem in [String::new(), "x".repeat(20_000), forged.pem(), good.replace("REQUEST", "RUBBISH")] {
        let request = EnrolRequest { join_token: token.clone(), server: name("sales"), csr_pem };
        let refused = edge.desk.enrol(request, edge.clock.now()).await;
        assert!(matches!(refused, Err(EnrolError::Csr(_))), "{refused:?}");
    }
    for body in ["", "{}", "[]", r#"{"join_token":"ptn_jt_secret","server":"sales","csr_pem":"","x":1}"#] {
        let answer = edge.desk.answer("/tunnel/enrol", body.as_bytes(), edge.clock.now()).await.unwrap();
        assert_eq!(answer.status(), 400);
        assert!(!String::from_utf8_lossy(answer.body()).contains("secret"));
    }
    let request = EnrolRequest { join_token: token, server: name("sales"), csr_pem: good };
    edge.desk.enrol(request, edge.clock.now()).await.unwrap();
}

#[tokio::test]
async fn authorities_come_back_from_their_text_and_refuse_another() {
    let edge = Edge::start(TIMING).await;
    let (authority, text) = LinkAuthority::create(edge.clock.now(), &*edge.rng).unwrap();
    assert_eq!(LinkAuthority::load(&text).unwrap().root(), authority.root());
    let (_, other) = LinkAuthority::create(edge.clock.now(), &*edge.rng).unwrap();
    let key = other.expose().split_once("-----END CERTIFICATE-----").unwrap().1;
    let certificate = text.expose().split_once("-----BEGIN PRIVATE KEY-----").unwrap().0;
    let mixed = Secret::new(format!("{certificate}{key}"));
    assert!(LinkAuthority::load(&mixed).is_err());
    assert!(LinkAuthority::load(&Secret::new(String::new())).is_err());
}

#[cfg(unix)]
#[tokio::test]
async fn the_key_is_private_to_its_owner_and_a_state_directory_belongs_to_one_server() {
    use std::os::unix::fs::PermissionsExt;
    let edge = Edge::start(TIMING).await;
    let mut running = edge.connect("sales", "a", 1, service_fn(echo)).await;
    running.stop();
    running.ended().await.unwrap();
    let dir = edge.config("sales", "a", None).state_dir;
    for file in ["connector.key", "connector.json"] {
        assert_eq!(std::fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let error = edge.run(edge.config("wages", "a", None), service_fn(echo)).ended().await.unwrap_err();
    assert!(error.to_string().contains("belongs to the server `sales`"), "{error}");
    std::fs::set_permissions(dir.join("connector.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let config = edge.config("sales", "a", None);
    let refused = portunus_tunnel::connector::Connector::new(
        config,
        edge.clock.clone(),
        edge.rng.clone(),
        Arc::new(|_| {}),
    );
    assert!(refused.err().unwrap().to_string().contains("chmod 600"));
}

/// The bytes of a signing request, to be tampered with.
struct CertificateDerBytes(Vec<u8>);

impl CertificateDerBytes {
    fn of(pem: &str) -> Self {
        Self(rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec())
    }
    fn pem(&self) -> String {
        let body = data_encoding::BASE64.encode(&self.0);
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
    }
}
