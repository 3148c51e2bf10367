//! Which rotation is taken forward when: what is due begins, what is under way goes on, a few at a time, until stopped.

use portunus_core::document::{Rotation, RotationStep};
use portunus_core::id::CredentialName;
use portunus_core::limits::{ROTATION_STEP_TIMEOUT, ROTATIONS};
use portunus_core::store::{Kind, Store};
use portunus_core::time::{Clock, Timestamp};
use portunus_vault::rotation::{Engine, Next, RotationError};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// Longest time between two looks at everything, in case a change was not told of.
const LOOK: Duration = Duration::from_secs(30);
/// Shortest time between two, so that many changes make few looks.
const QUIET: Duration = Duration::from_millis(50);
/// A rotation waits at most that long in its task before it makes room for others.
const PATIENCE: Duration = Duration::from_secs(1);

/// How far a rotation came, and when to come again if it waits.
type Advanced = (CredentialName, Result<Option<Timestamp>, RotationError>);

/// What is told of what happens.
pub trait Watcher: Send + Sync {
    /// A rotation ended, well or not.
    fn ended(&self, rotation: &Rotation);
    /// An attempt at a step failed.
    fn stumbled(&self, name: &CredentialName, why: &str);
}

/// Takes rotations forward.
pub struct Scheduler {
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    watcher: Arc<dyn Watcher>,
    changed: Arc<Notify>,
    /// Nothing is tried about these before that, after failures of ours.
    resting: HashMap<CredentialName, (u32, Timestamp)>,
}

impl Scheduler {
    /// Over this engine, woken by changes in the store.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        store: &dyn Store,
        clock: Arc<dyn Clock>,
        watcher: Arc<dyn Watcher>,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        let told = changed.clone();
        store.observe(Box::new(move |changes| {
            if changes.iter().any(|one| matches!(one.kind, Kind::Credential | Kind::Rotation | Kind::Setting))
            {
                told.notify_one();
            }
        }));
        Self { engine, clock, watcher, changed, resting: HashMap::new() }
    }

    /// Until stopped. A step that is under way then is given the time it has anyway; one that is cut goes on at the next
    /// start.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut under_way: HashSet<CredentialName> = HashSet::new();
        let mut tasks: JoinSet<Advanced> = JoinSet::new();
        loop {
            let pause = self.begin_due(&mut under_way, &mut tasks).await;
            tokio::select! {
                () = stop(&mut stopped) => break,
                Some(done) = tasks.join_next() => self.note(&mut under_way, done.ok()),
                () = self.changed.notified() => tokio::time::sleep(QUIET).await,
                () = tokio::time::sleep(pause) => {}
            }
        }
        tasks.shutdown().await;
    }

    /// Starts what is due, as far as there is room; how long until the next look.
    async fn begin_due(
        &self,
        under_way: &mut HashSet<CredentialName>,
        tasks: &mut JoinSet<Advanced>,
    ) -> Duration {
        let now = self.clock.now();
        // What changes that is told of.
        if matches!(self.engine.paused().await, Ok(Some(_))) {
            return LOOK;
        }
        let due = match self.engine.due().await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "what is due for rotation could not be read");
                return LOOK;
            }
        };
        let mut pause = LOOK;
        for (moment, name) in due {
            if under_way.contains(&name) {
                continue;
            }
            let rested = self.resting.get(&name).map_or(moment, |(_, until)| moment.max(*until));
            if rested > now {
                pause = pause.min(rested.since(now));
                if moment > now {
                    break;
                }
                continue;
            }
            if tasks.len() >= ROTATIONS {
                break;
            }
            under_way.insert(name.clone());
            let (engine, clock, watcher) = (self.engine.clone(), self.clock.clone(), self.watcher.clone());
            tasks.spawn(async move {
                let ended = advance(&engine, &*clock, &*watcher, &name).await;
                (name, ended)
            });
        }
        pause.max(QUIET)
    }

    fn note(&mut self, under_way: &mut HashSet<CredentialName>, done: Option<Advanced>) {
        let Some((name, ended)) = done else {
            // A task that panicked: its name is not known; what it held is tried again.
            under_way.clear();
            return;
        };
        under_way.remove(&name);
        match ended {
            Ok(None) => drop(self.resting.remove(&name)),
            Ok(Some(until)) => drop(self.resting.insert(name, (0, until))),
            Err(error) => {
                let failures = self.resting.get(&name).map_or(0, |(failures, _)| *failures).saturating_add(1);
                let until = self.clock.now().plus(portunus_vault::rotation::due::pause(failures, 0));
                tracing::warn!(credential = name.as_str(), %error, "a rotation could not be taken forward");
                self.watcher.stumbled(&name, &error.to_string());
                self.resting.insert(name, (failures, until));
            }
        }
    }
}

/// Takes one credential's rotation forward, beginning it if there is none, until it ends or has to wait: until when, if the
/// store does not say so.
async fn advance(
    engine: &Engine,
    clock: &dyn Clock,
    watcher: &dyn Watcher,
    name: &CredentialName,
) -> Result<Option<Timestamp>, RotationError> {
    let open = engine.latest(name).await?.is_some_and(|rotation| rotation.step.is_open());
    if !open {
        match engine.begin(name, "portunus", clock.now()).await {
            Ok(_) => {}
            Err(RotationError::Paused) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let begun = clock.now();
    loop {
        let step = tokio::time::timeout(ROTATION_STEP_TIMEOUT, engine.step(name, clock.now())).await;
        match step {
            // It was dropped in the middle, as a killed process would have left it: it is taken again.
            Err(_) => watcher.stumbled(name, "a step took too long"),
            Ok(next) => match next? {
                Next::Again => {}
                Next::Idle => return Ok(None),
                Next::Stumbled { why, .. } => {
                    tracing::warn!(credential = name.as_str(), why, "a step of a rotation failed");
                    watcher.stumbled(name, &why);
                    return Ok(None);
                }
                Next::Ended(rotation) => {
                    report(&rotation);
                    watcher.ended(&rotation);
                    return Ok(None);
                }
                Next::At(moment) => {
                    let now = clock.now();
                    let wait = moment.since(now);
                    if wait > PATIENCE || now.since(begun) > ROTATION_STEP_TIMEOUT {
                        return Ok(Some(moment));
                    }
                    tokio::time::sleep(wait).await;
                }
            },
        }
    }
}

fn report(rotation: &Rotation) {
    let (credential, version) = (rotation.credential.as_str(), rotation.to);
    match rotation.step {
        RotationStep::Done => tracing::info!(credential, version, "a secret was rotated"),
        _ => {
            let why = rotation.last_error.as_deref().unwrap_or_default();
            tracing::error!(credential, version, why, "a rotation was given up; the old secret stays in use");
        }
    }
}

async fn stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the node is gone, which is a stop too.
    drop(stopped.wait_for(|stop| *stop).await);
}
