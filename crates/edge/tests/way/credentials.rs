//! A server's credential on the way of a request: sealed to the dialer, recorded, or refused with nothing sent.

use crate::answers::text;
use crate::support::{World, events, result, sales};
use bytes::Bytes;
use http_body_util::BodyExt;
use portunus_core::dialer::{Manner, Plain, Presented};
use portunus_core::document::CredentialKind;
use portunus_core::id::CredentialName;
use portunus_core::record::Record;
use portunus_core::secret::Secret;
use portunus_core::server::Upstream;
use portunus_edge::{Published, Snapshot};
use portunus_vault::SealingKey;
use portunus_vault::credential::{self, New, Replacement};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CANARY: &str = "canary-3d2c1b";

/// In front of a server at this upstream, whose credential is of this environment.
async fn world(upstream: Upstream, environment: Option<&str>) -> World {
    let world = World::new().await;
    let before = world.edge.snapshot.load_full();
    let old = &before.servers[&sales()];
    let name = CredentialName::parse("key").unwrap();
    let mut server = old.server.clone();
    (server.upstream, server.credential) = (upstream, Some(name.clone()));
    let published = Published {
        server,
        dialer: old.dialer.clone(),
        read_only: old.read_only.clone(),
        takes_secrets: old.takes_secrets.clone(),
        built_in_sql: false,
        sql: HashMap::new(),
        labels: old.labels.clone(),
        pinned: false,
        gives_tasks: old.gives_tasks.clone(),
        mirrors: old.mirrors.clone(),
        lists: old.lists.clone(),
        room: old.room.clone(),
    };
    world.edge.snapshot.store(Arc::new(Snapshot {
        public_url: before.public_url.clone(),
        hosts: before.hosts.clone(),
        origins: before.origins.clone(),
        engine: before.engine.clone(),
        shadow: None,
        data: before.data.clone(),
        approval_ttl: before.approval_ttl,
        servers: HashMap::from([(sales(), Arc::new(published))]),
    }));
    let now = world.edge.clock.now();
    let new = New {
        name,
        kind: CredentialKind::Bearer,
        owner: "olga".to_owned(),
        purpose: "tests".to_owned(),
        environment: environment.map(str::to_owned),
        vendor: None,
        scopes: Vec::new(),
        hosts: vec!["api.test".to_owned()],
        server: sales(),
        expires_at: now.plus(Duration::from_secs(3600)),
        rotation: None,
        secret: Secret::new(CANARY.as_bytes().to_vec()),
        by: "olga".to_owned(),
    };
    let key = SealingKey::new(Secret::new([9; 32]));
    credential::add(&*world.store, &*world.ledger, &key, new, now, &*world.edge.rng).await.unwrap();
    world
}

fn at(url: &str) -> Upstream {
    Upstream::Http(url.parse().unwrap())
}

#[tokio::test]
async fn the_dialer_of_the_server_gets_the_credential_sealed_and_the_record_names_it() {
    let world = world(at("https://api.test/mcp"), Some("test")).await;
    let carried = Arc::new(Mutex::new(None));
    let told = carried.clone();
    world.upstream_does(move |request| {
        assert!(!format!("{:?} {:?}", request.headers(), request.extensions()).contains(CANARY));
        assert!(!request.headers().contains_key("authorization"), "nothing is opened before the dialer");
        *told.lock().unwrap() = Presented::of(request.extensions()).cloned();
        Ok(result("done"))
    });
    let answer = world.call("change", json!({})).await;
    assert_eq!(answer.code(), 0, "{}", answer.body);
    let presented = carried.lock().unwrap().take().expect("it came along");
    assert_eq!((presented.used().to_string().as_str(), presented.manner()), ("key:1", Manner::Header));
    match presented.open().await.unwrap() {
        Plain::Header(name, value) => {
            assert_eq!(
                (name.as_str(), value.as_bytes()),
                ("authorization", format!("Bearer {CANARY}").as_bytes())
            );
        }
        other => panic!("{other:?}"),
    }
    let records = world.ledger.records();
    let named = records.iter().any(|record| match record {
        Record::Intent(intent) => intent.credential.as_ref() == Some(presented.used()),
        _ => false,
    });
    assert!(named, "{records:?}");
}

#[tokio::test]
async fn a_credential_that_may_not_go_there_refuses_the_call_and_says_why_to_nobody_but_the_log() {
    for (upstream, environment) in [
        (at("https://api.test/mcp"), Some("production")),
        (at("https://evil.test/mcp"), None),
        (at("http://api.test/mcp"), None),
        (Upstream::Tunnel, None),
    ] {
        let world = world(upstream.clone(), environment).await;
        let answer = world.call("change", json!({})).await;
        assert_eq!(answer.code(), -32012, "{upstream:?} {}", answer.body);
        assert_eq!(world.sent(), 0);
        let text = answer.body.to_string();
        assert!(
            text.contains("Nothing was sent") && !text.contains("production") && !text.contains("api.test"),
            "{text}"
        );
    }
}

/// Replaces the secret, or revokes it.
async fn change(world: &World, revoked: bool) {
    let (store, ledger, now) = (&*world.store, &*world.ledger, world.edge.clock.now());
    let name = CredentialName::parse("key").unwrap();
    if revoked {
        credential::revoke(store, ledger, &name, "olga", now).await.unwrap();
        return;
    }
    let key = SealingKey::new(Secret::new([9; 32]));
    let (secret, by) = (Secret::new(b"another".to_vec()), "olga".to_owned());
    let new = Replacement { name, secret, expires_at: now.plus(Duration::from_secs(3600)), by };
    credential::add_version(store, ledger, &key, new, now, &*world.edge.rng).await.unwrap();
}

#[tokio::test]
async fn a_stream_and_a_waiting_call_end_with_their_credential_and_not_with_its_version() {
    let world = world(at("https://api.test/mcp"), None).await;
    let edge = world.edge.clone();
    tokio::spawn(async move { edge.vault.watch_endings().await });
    let (sender, answer) = events();
    let answer = Mutex::new(Some(answer));
    world.upstream_does(move |_| Ok(answer.lock().unwrap().take().unwrap()));
    let look = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look" } });
    let mut body = world.send("/sales/mcp", &look).await.into_body();
    for piece in ["data: 1\n\n", "data: 2\n\n"] {
        sender.send(Ok(Bytes::from_static(piece.as_bytes()))).unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
        change(&world, false).await;
    }
    // One whose answer does not even begin, and one whose answer is held until it is whole.
    let (held, part) = events();
    let mut part = part;
    part.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let part = Mutex::new(Some(part));
    world.upstream_does(move |_| Ok(part.lock().unwrap().take().unwrap()));
    held.send(Ok(Bytes::from_static(b"{"))).unwrap();
    let waiting = async {
        tokio::join!(text(body), world.call("look", json!({})), async {
            while world.sent() < 2 {
                tokio::task::yield_now().await;
            }
            change(&world, true).await;
        })
    };
    let (last, waited, ()) =
        tokio::time::timeout(Duration::from_secs(1), waiting).await.expect("within a second");
    assert!(last.contains("credential was revoked") && last.contains("\"id\":1"), "{last}");
    assert_eq!(waited.code(), -32013, "it may have taken effect: {}", waited.body);
    assert_eq!(world.ends(), ["Revoked", "Revoked"]);
    assert!(sender.is_closed() && held.is_closed(), "the upstream is let go");
    assert_eq!(world.call("look", json!({})).await.code(), -32012, "and nothing new is sent");
    assert_eq!(world.sent(), 2);
}
