//! What the engine does with an upstream that obeys, fails, lies and lingers.

use crate::upstream::{BY_HAND, Upstream};
use crate::world::{First, World, name, sales, secret};
use portunus_core::document::{Credential, CredentialKind, RotationStep, TestOutcome, VersionState};
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, load};
use portunus_core::time::Clock;
use portunus_vault::credential::{self, Replacement};
use portunus_vault::rotation::{Next, RotationError, RotatorError, due};
use portunus_vault::{SealingKey, VaultError};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const FIRST: &str = "first-secret-5d1f";
const ADMIN: &str = "admin-secret-93ab";

async fn world_with(upstream: &Arc<Upstream>, settings: Value) -> World {
    let first = First {
        kind: CredentialKind::Bearer,
        host: "api.example.com".to_owned(),
        secret: FIRST.to_owned(),
        method: "memory",
        settings,
        administrator: Some(("root".to_owned(), ADMIN.to_owned())),
        administrator_host: "api.example.com".to_owned(),
    };
    World::new(first, upstream.clone()).await
}

async fn world(secret: &str) -> (World, Arc<Upstream>) {
    let upstream = Upstream::with(BY_HAND, FIRST);
    (world_with(&upstream, json!({ "secret": secret, "admin": "admin" })).await, upstream)
}

fn later(text: &str) -> RotatorError {
    RotatorError::Later(text.to_owned())
}
fn wrong(text: &str) -> RotatorError {
    RotatorError::Wrong(text.to_owned())
}

#[tokio::test]
async fn each_step_is_recorded_before_it_is_tried_and_the_old_secret_is_proven_dead() {
    for origin in ["ours", "theirs"] {
        let (world, upstream) = world(origin).await;
        let ended = world.rotate(&world.engine()).await.unwrap().unwrap();
        assert_eq!((ended.step, ended.from, ended.to), (RotationStep::Done, 1, 2));
        world.check(&*upstream).await;
        let actions: Vec<String> = world.ledger.events().into_iter().map(|event| event.action).collect();
        let rotation = actions.iter().filter_map(|action| action.strip_prefix("credential.rotation."));
        let steps = [
            "requested",
            "create",
            "verify",
            "switch",
            "drain",
            "disable",
            "verify_dead",
            "delete",
            "finished",
        ];
        assert_eq!(rotation.collect::<Vec<_>>(), steps);
        assert_eq!(
            *upstream.asked.lock().unwrap(),
            ["create 2", "verify 2", "disable 1", "verify_dead 1", "delete 1"]
        );
        let tested = world.credential().await.tested.unwrap();
        assert_eq!((tested.version, tested.outcome), (1, TestOutcome::Dead));
        assert_eq!(world.engine().step(&world.name, world.clock.now()).await.unwrap(), Next::Idle);
    }
}

#[tokio::test]
async fn killed_at_any_moment_with_a_secret_of_ours_it_converges() {
    let (world, upstream) = world("ours").await;
    world.kill_everywhere(&*upstream).await;
}

#[tokio::test]
async fn killed_at_any_moment_with_a_secret_that_the_upstream_makes_it_converges() {
    let (world, upstream) = world("theirs").await;
    world.kill_everywhere(&*upstream).await;
}

#[tokio::test]
async fn killed_while_it_takes_a_bad_version_back_it_converges_on_the_old_one() {
    for origin in ["ours", "theirs"] {
        let (world, upstream) = world(origin).await;
        let mut effect = 0;
        'moments: loop {
            for after in [false, true] {
                // It works at the upstream, but whoever looks is told that it does not.
                upstream.wrong.lock().unwrap().clear();
                upstream.fails("verify", wrong("refused"));
                let (engine, fate) = world.process(Some(crate::crash::Moment { effect, after }));
                let clean = world.rotate(&engine).await;
                if !fate.is_dead() {
                    assert_eq!(clean.unwrap().unwrap().step, RotationStep::Failed);
                    world.check(&*upstream).await;
                    assert!(effect > 10, "{effect} effects");
                    break 'moments;
                }
                let before = world.credential().await.in_use().unwrap().number;
                world.converge().await;
                world.check(&*upstream).await;
                // Unless it was killed before it could be told so, nothing has changed.
                let unheard = !upstream.wrong.lock().unwrap()["verify"].is_empty();
                assert!(unheard || world.credential().await.in_use().unwrap().number >= before);
                world.clock.advance(Duration::from_secs(3600));
            }
            effect += 1;
        }
    }
}

#[tokio::test]
async fn a_new_secret_that_does_not_work_is_taken_back_and_the_old_one_stays_in_use() {
    for origin in ["ours", "theirs"] {
        let (world, upstream) = world(origin).await;
        upstream.fails("verify", wrong("no such key"));
        let ended = world.rotate(&world.engine()).await.unwrap().unwrap();
        assert_eq!((ended.step, ended.failures), (RotationStep::Failed, 1));
        assert_eq!(ended.last_error.as_deref(), Some("no such key"));
        assert_eq!(world.credential().await.in_use().unwrap().number, 1);
        world.check(&*upstream).await;
        assert_eq!(world.ledger.count("credential.rotation.failed"), 1);
        // The next one comes later, and works.
        let credential = world.credential().await;
        assert!(due::due(&credential, Some(&ended)).unwrap() >= ended.retry_at);
        assert!(ended.retry_at > world.clock.now());
        let ended = world.rotate(&world.engine()).await.unwrap().unwrap();
        assert_eq!((ended.step, ended.to, ended.failures), (RotationStep::Done, 3, 0));
        world.check(&*upstream).await;
    }
}

#[tokio::test]
async fn an_upstream_that_is_away_is_asked_again_with_growing_pauses_and_given_up_before_the_switch_only() {
    let (world, upstream) = world("ours").await;
    for _ in 0..4 {
        upstream.fails("create", later("away"));
    }
    for _ in 0..9 {
        upstream.fails("disable", later("away"));
    }
    let engine = world.engine();
    engine.begin(&world.name, "ana", world.clock.now()).await.unwrap();
    let mut pauses = Vec::new();
    loop {
        match engine.step(&world.name, world.clock.now()).await.unwrap() {
            Next::Stumbled { at, why } => {
                assert_eq!(why, "away");
                pauses.push(at.since(world.clock.now()));
                assert_eq!(
                    engine.step(&world.name, world.clock.now()).await.unwrap(),
                    Next::At(at),
                    "not before"
                );
                world.clock.advance(at.since(world.clock.now()));
            }
            Next::Ended(ended) => break assert_eq!(ended.step, RotationStep::Done),
            Next::At(at) => world.clock.advance(at.since(world.clock.now())),
            Next::Again => {}
            Next::Idle => panic!("it ended unseen"),
        }
    }
    let (create, disable) = pauses.split_at(4);
    for attempts in [create, disable] {
        assert!(attempts.windows(2).all(|pair| pair[1] > pair[0]), "{attempts:?}");
    }
    world.check(&*upstream).await;

    for _ in 0..5 {
        upstream.fails("verify", later("away"));
    }
    let ended = world.rotate(&engine).await.unwrap().unwrap();
    assert_eq!(ended.step, RotationStep::Failed, "five attempts before the switch");
    world.check(&*upstream).await;
}

#[tokio::test]
async fn an_old_secret_that_still_works_is_a_finding_and_is_disabled_until_it_does_not() {
    let (world, upstream) = world("ours").await;
    *upstream.immortal.lock().unwrap() = 3;
    let ended = world.rotate(&world.engine()).await.unwrap().unwrap();
    assert_eq!(ended.step, RotationStep::Done);
    assert_eq!(world.ledger.count("credential.rotation.alive"), 3);
    let asked = upstream.asked.lock().unwrap().clone();
    assert_eq!(asked.iter().filter(|asked| *asked == "disable 1").count(), 4);
    assert_eq!(world.credential().await.tested.unwrap().outcome, TestOutcome::Dead);
}

#[tokio::test]
async fn calls_that_carry_the_old_version_are_waited_for_and_no_longer_than_the_plan_says() {
    let upstream = Upstream::with(BY_HAND, FIRST);
    let world = world_with(&upstream, json!({ "secret": "ours", "drain_seconds": 30 })).await;
    let engine = world.engine();
    let call =
        world.vault.bound(&world.name, &sales(&CredentialKind::Bearer), world.clock.now()).await.unwrap();
    engine.begin(&world.name, "ana", world.clock.now()).await.unwrap();
    let until_waiting = async || {
        loop {
            match engine.step(&world.name, world.clock.now()).await.unwrap() {
                Next::At(moment) => break moment,
                Next::Again => {}
                other => panic!("{other:?}"),
            }
        }
    };
    until_waiting().await;
    let credential = world.credential().await;
    assert_eq!(credential.in_use().unwrap().number, 2, "new calls carry the new one");
    assert_eq!(credential.versions[0].state, VersionState::Draining);
    assert!(upstream.keys.lock().unwrap().values().any(|key| key == FIRST), "the old one works meanwhile");
    let next =
        world.vault.bound(&world.name, &sales(&CredentialKind::Bearer), world.clock.now()).await.unwrap();
    assert_eq!((call.credential().version, next.credential().version), (1, 2));
    world.clock.advance(Duration::from_secs(29));
    until_waiting().await;
    drop(call);
    let ended = world.finish(&engine).await.unwrap().unwrap();
    assert_eq!(ended.step, RotationStep::Done, "a call with the new version is not waited for");
    drop(next);
    world.check(&*upstream).await;

    // A call that does not end.
    let call =
        world.vault.bound(&world.name, &sales(&CredentialKind::Bearer), world.clock.now()).await.unwrap();
    let begun = world.clock.now();
    engine.begin(&world.name, "ana", begun).await.unwrap();
    world.finish(&engine).await.unwrap().unwrap();
    assert!(world.clock.now().since(begun) >= Duration::from_secs(30));
    let drained =
        world.ledger.events().into_iter().rfind(|event| event.action == "credential.rotation.drain");
    assert_eq!(drained.unwrap().detail["calls_left"], "1");
    drop(call);
}

#[tokio::test]
async fn who_replaces_or_revokes_in_the_middle_has_the_last_word() {
    for origin in ["ours", "theirs"] {
        for steps in 0..9 {
            for revoke in [false, true] {
                let (world, upstream) = world(origin).await;
                let engine = world.engine();
                engine.begin(&world.name, "ana", world.clock.now()).await.unwrap();
                for _ in 0..steps {
                    engine.step(&world.name, world.clock.now()).await.unwrap();
                }
                let (store, now) = (&*world.store, world.clock.now());
                if revoke {
                    credential::revoke(store, &*world.ledger, &world.name, "ana", now).await.unwrap();
                } else {
                    let by_hand = "made-by-hand-77c0";
                    upstream.keys.lock().unwrap().insert("hand".to_owned(), by_hand.to_owned());
                    let replacement = Replacement {
                        name: world.name.clone(),
                        secret: secret(by_hand),
                        expires_at: now.plus(Duration::from_secs(86_400)),
                        by: "ana".to_owned(),
                    };
                    let key = SealingKey::new(Secret::new([7; 32]));
                    credential::add_version(store, &*world.ledger, &key, replacement, now, &crate::world::Os)
                        .await
                        .unwrap();
                }
                world.finish(&engine).await.unwrap();
                let credential = world.credential().await;
                let states: Vec<_> = credential.versions.iter().map(|version| version.state).collect();
                let active = states.iter().filter(|state| **state == VersionState::Active).count();
                assert_eq!(active, 1, "{origin} after {steps} steps: {states:?}");
                assert!(
                    !states.contains(&VersionState::Pending) && !states.contains(&VersionState::Draining)
                );
                if !revoke {
                    let last = credential.versions.last().unwrap();
                    assert_eq!(credential.in_use().unwrap().number, last.number, "after {steps} steps");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_a_rotator_works_with_is_never_given_to_a_call() {
    let (world, _upstream) = world("ours").await;
    let now = world.clock.now();
    let refused = world.vault.bound(&name("admin"), &sales(&CredentialKind::Bearer), now).await.unwrap_err();
    assert_eq!(refused, VaultError::ForRotators(name("admin")));
    // Also not when somebody has made another kind of it in the store: it is sealed to its kind.
    let mut changed = load::<Credential>(&*world.store, "admin").await.unwrap().unwrap();
    changed.value.kind = CredentialKind::Bearer;
    world.store.commit(Batch::new().update(&changed.value, changed.version)).await.unwrap();
    let bound = world.vault.bound(&name("admin"), &sales(&CredentialKind::Bearer), now).await.unwrap();
    assert!(!format!("{bound:?}").contains(ADMIN));
    let error = world.engine().begin(&world.name, "ana", now).await.unwrap_err();
    assert!(matches!(error, RotationError::Administrator { .. }), "{error}");
}

#[tokio::test]
async fn a_plan_that_is_wrong_says_so_before_anything_is_done() {
    let upstream = Upstream::with(BY_HAND, FIRST);
    for (settings, says) in [
        (json!({}), "settings.secret"),
        (json!({ "secret": "ours", "drain_seconds": -1 }), "drain_seconds"),
        (json!({ "secret": "ours", "drain_seconds": 1e9 }), "drain_seconds"),
        (json!({ "secret": "ours", "admin": "nobody" }), "`nobody`, which there is not"),
        (json!({ "secret": "ours", "admin": "crm" }), "`crm`, which is not of the kind `rotator`"),
        (json!({ "secret": "ours", "more": "x".repeat(9000) }), "settings have more than"),
    ] {
        let world = world_with(&upstream, settings).await;
        let error =
            world.engine().begin(&world.name, "ana", world.clock.now()).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert!(world.rotation().await.is_none());
        assert_eq!(world.ledger.count("credential.rotation.requested"), 0);
    }
    assert!(upstream.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_pause_stops_every_rotation_where_it_is_and_resuming_lets_it_end() {
    let (world, upstream) = world("ours").await;
    let engine = world.engine();
    engine.begin(&world.name, "ana", world.clock.now()).await.unwrap();
    engine.step(&world.name, world.clock.now()).await.unwrap();
    engine.pause("ana", world.clock.now()).await.unwrap();
    let asked = upstream.asked.lock().unwrap().len();
    for _ in 0..3 {
        let next = engine.step(&world.name, world.clock.now()).await.unwrap();
        let Next::At(moment) = next else { panic!("{next:?}") };
        world.clock.advance(moment.since(world.clock.now()));
    }
    assert_eq!(upstream.asked.lock().unwrap().len(), asked);
    let error = engine.begin(&world.name, "ana", world.clock.now()).await.unwrap_err();
    assert_eq!(error, RotationError::Paused);
    assert_eq!(world.credential().await.in_use().unwrap().number, 1, "calls go on");
    engine.resume("ana", world.clock.now()).await.unwrap();
    assert_eq!(world.finish(&engine).await.unwrap().unwrap().step, RotationStep::Done);
    world.check(&*upstream).await;
    assert_eq!((world.ledger.count("rotations.paused"), world.ledger.count("rotations.resumed")), (1, 1));
}

#[tokio::test]
async fn an_upstream_that_repeats_secrets_in_its_errors_gives_none_away() {
    let (world, upstream) = world("ours").await;
    let engine = world.engine();
    engine.begin(&world.name, "ana", world.clock.now()).await.unwrap();
    engine.step(&world.name, world.clock.now()).await.unwrap();
    let new = world.secret_of(2);
    upstream.fails("verify", wrong(&format!("bad: {new}\u{1b}[2J {ADMIN} and {FIRST} {}", "x".repeat(5000))));
    let ended = world.finish(&engine).await.unwrap().unwrap();
    let said = ended.last_error.clone().unwrap();
    assert!(said.starts_with("bad: [secret] [2J [secret] and [secret]") && said.len() <= 512, "{said}");
    for text in [format!("{:?}", world.ledger.records()), format!("{ended:?}")] {
        for secret in [new.as_str(), ADMIN, FIRST] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn a_version_is_due_by_its_age_and_not_all_at_once() {
    let (world, _upstream) = world("ours").await;
    let mut credential = world.credential().await;
    let made = credential.in_use().unwrap().created_at;
    let day = Duration::from_secs(86_400);
    let mut moments = std::collections::BTreeSet::new();
    for number in 0..50 {
        credential.name = name(&format!("crm-{number}"));
        let moment = due::due(&credential, None).unwrap();
        assert!(moment <= made.plus(day) && moment >= made.plus(day / 10 * 9), "{moment}");
        moments.insert(moment);
    }
    assert!(moments.len() > 30, "spread over a tenth of the age");
    credential.revoked_at = Some(made);
    assert_eq!(due::due(&credential, None), None);
    credential.revoked_at = None;
    credential.rotation.as_mut().unwrap().every_seconds = None;
    assert_eq!(due::due(&credential, None), None, "on demand only");
}
