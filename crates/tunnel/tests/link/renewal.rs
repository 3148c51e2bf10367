//! New certificates: who gets one, and how links move over to it.

use crate::key::KeyFile;
use crate::world::{BODY, Edge, PATIENCE, TIMING, bytes, echo, name, until};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use portunus_core::dialer::{Dialer, full};
use portunus_core::limits;
use portunus_core::time::Clock;
use portunus_tunnel::connector::Event;
use portunus_tunnel::enrol::{Desk, EnrolError, revoke};
use portunus_tunnel::wire::{EnrolRequest, RenewRequest};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewal_moves_links_to_a_new_certificate_without_dropping_a_call() {
    let edge = Edge::start(TIMING).await;
    let (release, held) = watch::channel(false);
    let started = Arc::new(AtomicBool::new(false));
    let start = started.clone();
    let holding = service_fn(move |request: Request<Incoming>| {
        let (mut held, start) = (held.clone(), start.clone());
        async move {
            if request.uri().path() == "/hold" {
                start.store(true, Ordering::SeqCst);
                let _ = held.wait_for(|released| *released).await;
            }
            Ok::<_, Infallible>(Response::new(full(BODY)))
        }
    });
    let mut running = edge.connect("sales", "a", 2, holding.clone()).await;
    let before: Vec<_> = edge.registry.links().into_iter().map(|link| link.link).collect();
    let dialer = edge.registry.dialer(&name("sales"));
    let call = tokio::spawn(async move {
        bytes(dialer.send(Request::post("/hold").body(full(BODY)).unwrap()).await.unwrap()).await
    });
    until(|| started.load(Ordering::SeqCst)).await;
    running.stop();

    // The same state directory later, in the last third of the certificate's life: renewed at once.
    edge.clock.advance(limits::CONNECTOR_CERT_TTL * 3 / 4);
    let mut next = edge.run(edge.config("sales", "a", None), holding);
    next.event(|event| matches!(event, Event::Renewed { .. })).await;
    until(|| {
        let links = edge.registry.links();
        links.iter().any(|link| !before.contains(&link.link))
    })
    .await;
    assert_eq!(edge.ledger.count("connector.renewed"), 1);
    for _ in 0..10 {
        assert_eq!(bytes(edge.call("sales", BODY).await.unwrap()).await, BODY);
    }
    release.send_replace(true);
    assert_eq!(call.await.unwrap(), BODY);
    running.ended().await.unwrap();
    assert_eq!(edge.connectors().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_connector_renews_and_rolls_its_links_while_calls_go_on() {
    // A certificate of 3 s is renewed after 2 s, while calls never stop.
    let mut edge = Edge::start(TIMING).await;
    edge.desk = Arc::new(Desk {
        store: edge.store.clone(),
        ledger: edge.ledger.clone(),
        authority: edge.desk.authority.clone(),
        rng: edge.rng.clone(),
        gateway: edge.desk.gateway.clone(),
        certificate_life: Duration::from_secs(3),
    });
    edge.stop().await;
    edge.restart().await;
    let mut running = edge.connect("sales", "a", 2, service_fn(echo)).await;
    let started = edge.registry.links();
    let rolled = || {
        let links = edge.registry.links();
        links.len() == 2 && links.iter().all(|link| started.iter().all(|old| old.link != link.link))
    };
    let began = Instant::now();
    let mut calls = 0;
    while !rolled() {
        assert!(began.elapsed() < PATIENCE, "the links did not move over");
        assert_eq!(bytes(edge.call("sales", BODY).await.unwrap()).await, BODY);
        calls += 1;
    }
    running.event(|event| matches!(event, Event::Renewed { .. })).await;
    assert_eq!(edge.ledger.count("connector.renewed"), 1);
    assert!(calls > 10, "{calls}");
}

#[tokio::test]
async fn a_renewal_is_taken_only_from_the_key_that_enrolled_in_time_and_unrevoked() {
    let edge = Edge::start(TIMING).await;
    let key = KeyFile::new();
    let token = edge.token("sales", limits::JOIN_TTL).await;
    let request = EnrolRequest { join_token: token, server: name("sales"), csr_pem: key.csr() };
    let reply = edge.desk.enrol(request, edge.clock.now()).await.unwrap();
    let id = reply.connector;
    let now = edge.clock.now();
    edge.desk.renew(key.renewal(&id, now), now).await.unwrap();

    let thief = KeyFile::new();
    let refused = edge.desk.renew(thief.renewal(&id, now), now).await;
    assert!(matches!(refused, Err(EnrolError::KeyRefused)));
    // The thief's signature with the owner's public request, and a request signed for another moment.
    let mixed = RenewRequest { csr_pem: key.csr(), ..thief.renewal(&id, now) };
    assert!(matches!(edge.desk.renew(mixed, now).await, Err(EnrolError::KeyRefused)));
    let moved = RenewRequest { at: now.plus(Duration::from_secs(1)), ..key.renewal(&id, now) };
    assert!(matches!(edge.desk.renew(moved, now).await, Err(EnrolError::KeyRefused)));
    // Replayed after its time.
    let late = now.plus(limits::RENEWAL_SKEW + Duration::from_secs(1));
    let replayed = edge.desk.renew(key.renewal(&id, now), late).await;
    assert!(matches!(replayed, Err(EnrolError::ClockSkew(_))));
    let unknown = portunus_core::id::mint("con", now, &*edge.rng);
    assert!(matches!(edge.desk.renew(key.renewal(&unknown, now), now).await, Err(EnrolError::Unknown)));
    // Away too long; back within the bound although the certificate has expired long ago.
    let week = now.plus(Duration::from_secs(7 * 24 * 3600));
    edge.desk.renew(key.renewal(&id, week), week).await.unwrap();
    let away = week.plus(limits::CONNECTOR_DORMANCY + Duration::from_secs(1));
    assert!(matches!(edge.desk.renew(key.renewal(&id, away), away).await, Err(EnrolError::Dormant(_))));
    revoke(&*edge.store, &*edge.ledger, &id, "ana", week).await.unwrap();
    assert!(matches!(edge.desk.renew(key.renewal(&id, week), week).await, Err(EnrolError::Revoked(_))));
}
