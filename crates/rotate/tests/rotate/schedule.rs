//! Rotations that begin by themselves.

use crate::upstream::{BY_HAND, Upstream};
use crate::world::{First, World};
use portunus_core::document::{CredentialKind, Rotation, RotationStep, Setting};
use portunus_core::id::CredentialName;
use portunus_core::store::Batch;
use portunus_core::time::Clock;
use portunus_rotate::schedule::{Scheduler, Watcher};
use portunus_vault::rotation::RotatorError;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

const FIRST: &str = "first-secret-77aa";

#[derive(Default)]
struct Seen {
    ended: Mutex<Vec<RotationStep>>,
    stumbled: Mutex<Vec<String>>,
}

impl Watcher for Seen {
    fn ended(&self, rotation: &Rotation) {
        self.ended.lock().unwrap().push(rotation.step);
    }
    fn stumbled(&self, _name: &CredentialName, why: &str) {
        self.stumbled.lock().unwrap().push(why.to_owned());
    }
}

struct Stage {
    world: World,
    upstream: Arc<Upstream>,
    seen: Arc<Seen>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Stage {
    async fn set() -> Self {
        let upstream = Upstream::with(BY_HAND, FIRST);
        let first = First {
            kind: CredentialKind::Bearer,
            host: "api.example.com".to_owned(),
            secret: FIRST.to_owned(),
            method: "memory",
            settings: json!({ "secret": "ours" }),
            administrator: None,
            administrator_host: String::new(),
        };
        let world = World::new(first, upstream.clone()).await;
        let (seen, (stop, stopped)) = (Arc::new(Seen::default()), watch::channel(false));
        let engine = Arc::new(world.engine());
        let scheduler = Scheduler::new(engine, &*world.store, world.clock.clone(), seen.clone());
        let task = tokio::spawn(scheduler.run(stopped));
        Self { world, upstream, seen, stop, task }
    }

    /// Something changes in the store, as it does all the time.
    async fn wake(&self) {
        let setting = Setting { name: "anything".to_owned(), value: String::new() };
        self.world.store.commit(Batch::new().upsert(&setting)).await.unwrap();
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {:?}", self.world.rotation().await);
            self.wake().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_begins_by_itself_at_its_age_and_not_before() {
    let stage = Stage::set().await;
    stage.world.clock.advance(Duration::from_secs(86_400 / 10 * 8));
    for _ in 0..10 {
        stage.wake().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(stage.world.rotation().await.is_none(), "not before");
    stage.world.clock.advance(Duration::from_secs(86_400));
    stage.until("it has ended", || *stage.seen.ended.lock().unwrap() == [RotationStep::Done]).await;
    stage.world.check(&*stage.upstream).await;
    assert_eq!(stage.world.ledger.events().iter().filter(|event| event.by == "portunus").count(), 9);
    // The next one is due a day later, and the kill switch holds it back.
    let engine = stage.world.engine();
    engine.pause("ana", stage.world.clock.now()).await.unwrap();
    stage.world.clock.advance(Duration::from_secs(86_400));
    for _ in 0..10 {
        stage.wake().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(stage.seen.ended.lock().unwrap().len(), 1, "paused");
    engine.resume("ana", stage.world.clock.now()).await.unwrap();
    stage.until("the second has ended", || stage.seen.ended.lock().unwrap().len() == 2).await;
    stage.stop.send_replace(true);
    stage.task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_away_is_a_finding_and_is_not_asked_without_pause() {
    let stage = Stage::set().await;
    for _ in 0..3 {
        stage.upstream.fails("create", RotatorError::Later("away".to_owned()));
    }
    stage.world.clock.advance(Duration::from_secs(86_400));
    stage.until("it has stumbled", || stage.seen.stumbled.lock().unwrap().len() == 1).await;
    for _ in 0..10 {
        stage.wake().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(*stage.seen.stumbled.lock().unwrap(), ["away"], "the clock stands still, and so does it");
    assert_eq!(stage.world.ledger.count("credential.rotation.attempt_failed"), 1);
    for more in 2..=3 {
        stage.world.clock.advance(Duration::from_secs(60));
        stage.until("it has stumbled again", || stage.seen.stumbled.lock().unwrap().len() == more).await;
    }
    stage.world.clock.advance(Duration::from_secs(60));
    stage.until("it has ended", || *stage.seen.ended.lock().unwrap() == [RotationStep::Done]).await;
    stage.world.check(&*stage.upstream).await;
    stage.stop.send_replace(true);
    stage.task.await.unwrap();
}
