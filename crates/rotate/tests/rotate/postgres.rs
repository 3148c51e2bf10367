//! A real PostgreSQL: two roles that take turns under continuous calls, and a process that is killed everywhere.

use crate::database::{ADMIN, Database, PASSWORD};
use crate::world::{First, Judge, World, sales};
use async_trait::async_trait;
use portunus_core::document::{CredentialKind, RotationStep, TestOutcome};
use portunus_core::time::Clock;
use portunus_rotate::postgres::Postgres;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;

const FIRST: &str = "first-password-8ad3";
/// What only the group may read, and what everybody may.
const SETUP: &str = "CREATE ROLE crm NOLOGIN; GRANT crm TO portunus_admin WITH ADMIN OPTION;
CREATE TABLE customers (name text); INSERT INTO customers VALUES ('Ada'), ('Grace'); GRANT SELECT ON customers TO crm;";

fn provider() {
    // Another test of this process may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn driver() -> Arc<Postgres> {
    provider();
    let trusting =
        ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    Arc::new(Postgres::new(Arc::new(trusting)))
}

async fn world(database: &Database, settings: Value) -> World {
    let first = First {
        kind: CredentialKind::Postgres("crm_a".to_owned()),
        host: database.host(),
        secret: FIRST.to_owned(),
        method: "postgres",
        settings,
        administrator: Some((ADMIN.to_owned(), PASSWORD.to_owned())),
        administrator_host: database.host(),
    };
    World::new(first, driver()).await
}

fn settings() -> Value {
    json!({ "roles": ["crm_a", "crm_b"], "group": "crm", "admin": "admin", "tls": "off" })
}

/// Made as an operator would: by the administrator, who may change it because of that.
async fn first_role(database: &Database) {
    let client = database.log_in(ADMIN, PASSWORD).await.unwrap();
    let make = format!("CREATE ROLE crm_a LOGIN PASSWORD '{FIRST}' IN ROLE crm");
    client.batch_execute(&make).await.unwrap();
}

/// Looks as anybody would: by logging in.
struct Roles<'a>(&'a Database);

#[async_trait]
impl Judge for Roles<'_> {
    async fn works(&self, account: Option<&str>, secret: &str) -> bool {
        self.0.log_in(account.unwrap_or("crm_a"), secret).await.is_ok()
    }
    async fn live(&self) -> usize {
        let client = self.0.superuser().await;
        let live = "SELECT count(*) FROM pg_authid WHERE rolname LIKE 'crm\\__' AND (rolcanlogin OR rolpassword IS NOT NULL)";
        let row = client.query_one(live, &[]).await.unwrap();
        usize::try_from(row.get::<_, i64>(0)).unwrap()
    }
}

/// One call: the version in use now, a log-in with it, a query.
async fn call(world: &World, database: &Database) -> Result<u32, String> {
    let bound = world
        .vault
        .bound(&world.name, &sales(&CredentialKind::Postgres(String::new())), world.clock.now())
        .await
        .map_err(|e| e.to_string())?;
    let version = bound.credential().version;
    let credential = world.credential().await;
    let account =
        credential.versions.iter().find(|one| one.number == version).and_then(|one| one.account.clone());
    let role = account.unwrap_or_else(|| "crm_a".to_owned());
    let client = database.log_in(&role, &world.secret_of(version)).await;
    let client = client.map_err(|error| format!("version {version}, {role}: {error:?}"))?;
    let rows = client.query("SELECT name, pg_sleep(0.003) FROM customers", &[]).await;
    let rows = rows.map_err(|error| format!("version {version}, {role}: {error:?}"))?;
    drop(bound);
    if rows.len() == 2 { Ok(version) } else { Err(format!("{} rows", rows.len())) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_rotations_under_continuous_calls_fail_none_of_them_and_leave_no_old_password_or_session() {
    let database = Arc::new(Database::start(SETUP).await);
    first_role(&database).await;
    let world = Arc::new(world(&database, settings()).await);
    let (done, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (world, database, done, calls) = (world.clone(), database.clone(), done.clone(), calls.clone());
        callers.spawn(async move {
            let (mut failed, mut versions) = (Vec::new(), BTreeSet::new());
            while !done.load(Ordering::SeqCst) {
                match call(&world, &database).await {
                    Ok(version) => drop(versions.insert(version)),
                    Err(error) => failed.push(error),
                }
                calls.fetch_add(1, Ordering::SeqCst);
            }
            (failed, versions)
        });
    }
    let engine = world.engine();
    for round in 0..10 {
        // Between two rotations there are calls, too.
        let seen = calls.load(Ordering::SeqCst);
        while calls.load(Ordering::SeqCst) < seen + 30 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // A session that nobody ends: it must not outlive its role's turn.
        let old = world.credential().await;
        let old = old.in_use().unwrap();
        let role = old.account.clone().unwrap_or_else(|| "crm_a".to_owned());
        let password = world.secret_of(old.number);
        let lingering = database.log_in(&role, &password).await.unwrap();
        lingering.query_one("SELECT 1", &[]).await.unwrap();
        let ended = world.rotate(&engine).await.unwrap().unwrap();
        assert_eq!((ended.step, ended.to), (RotationStep::Done, round + 2), "{ended:?}");
        assert_eq!(world.credential().await.tested.unwrap().outcome, TestOutcome::Dead);
        let refused = database.log_in(&role, &password).await.unwrap_err();
        let code = refused.code().unwrap();
        let expected = [&SqlState::INVALID_PASSWORD, &SqlState::INVALID_AUTHORIZATION_SPECIFICATION];
        assert!(expected.contains(&code), "{refused:?}");
        assert!(lingering.query_one("SELECT 1", &[]).await.is_err(), "the old session goes on");
    }
    done.store(true, Ordering::SeqCst);
    let mut versions = BTreeSet::new();
    for (failed, used) in callers.join_all().await {
        assert!(failed.is_empty(), "{} calls failed: {failed:?}", failed.len());
        versions.extend(used);
    }
    let calls = calls.load(Ordering::SeqCst);
    println!("{calls} calls through 10 rotations with versions {versions:?}");
    assert!(calls > 300 && versions.len() >= 10, "{calls} calls with {versions:?}");
    world.check(&Roles(&database)).await;
    // Neither the statements nor the answers of the server hold a password.
    let log = database.log();
    assert!(log.contains("ALTER ROLE"), "statements are logged");
    for (version, secret) in world.seen.lock().unwrap().iter().filter(|(version, _)| **version > 1) {
        assert!(!log.contains(secret.as_str()), "version {version} is in the server's log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_converges_on_one_role_that_works() {
    let database = Database::start(SETUP).await;
    first_role(&database).await;
    let world = world(&database, settings()).await;
    let begun = Instant::now();
    world.kill_everywhere(&Roles(&database)).await;
    println!("{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_does_not_fit_the_database_is_refused_or_given_up_with_the_reason() {
    let database = Database::start(SETUP).await;
    first_role(&database).await;
    for (changes, says) in [
        (json!({ "roles": ["crm_a"] }), "two roles"),
        (json!({ "roles": ["crm_a", "crm_a"] }), "two different roles"),
        (json!({ "roles": ["crm_b", "crm_c"] }), "the role in use, `crm_a`, must be one of"),
        (json!({ "tls": "maybe" }), "`verify` or `off`"),
        (json!({ "admin": null }), "``, which there is not"),
    ] {
        let mut all = settings();
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let world = world(&database, all).await;
        let error = world.rotate(&world.engine()).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    // Found out only at the database: it is given up, and the old role stays.
    for (changes, says) in [
        (json!({ "group": null, "roles": ["crm_a", "crm_z"] }), "there is no role `crm_z`"),
        (json!({ "group": "nobody" }), "role \"nobody\" does not exist"),
        // Only a superuser may do that.
        (json!({ "roles": ["crm_a", "super"] }), "42501"),
    ] {
        let mut all = settings();
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let world = world(&database, all).await;
        let engine = world.engine();
        engine.begin(&world.name, "ana", world.clock.now()).await.unwrap();
        let next = engine.step(&world.name, world.clock.now()).await.unwrap();
        let portunus_vault::rotation::Next::Stumbled { why, .. } = next else { panic!("{next:?}") };
        assert!(why.contains(says), "{why}");
        assert_eq!(world.credential().await.in_use().unwrap().number, 1);
        assert!(database.log_in("crm_a", FIRST).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_roles_and_groups_cannot_end_a_statement() {
    let database = Database::start(SETUP).await;
    first_role(&database).await;
    let evil = "x\"; DROP TABLE customers; --";
    let mut all = settings();
    all["roles"] = json!(["crm_a", evil]);
    let world = world(&database, all).await;
    let ended = world.rotate(&world.engine()).await.unwrap().unwrap();
    assert_eq!(ended.step, RotationStep::Done, "{ended:?}");
    let client = database.log_in(evil, &world.secret_of(2)).await.unwrap();
    assert_eq!(client.query("SELECT name FROM customers", &[]).await.unwrap().len(), 2);
}
