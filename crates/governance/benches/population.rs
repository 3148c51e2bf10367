//! 10,000 identities and a million uses in a real store: how long a report takes, and how far one credential reaches. Prints
//! figures and fails nothing.
//!
//!     cargo bench -p portunus-governance

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up must stop")]

use futures_executor::block_on;
use portunus_core::caller::SignIn;
use portunus_core::document::{
    Credential, CredentialKind, Grant, RotationPlan, SealedVersion, Usage, User, VersionState,
};
use portunus_core::id::{ClientId, CredentialName, Id, ServerName, UserName};
use portunus_core::server::Actor;
use portunus_core::store::{Batch, Document, Store};
use portunus_core::time::Timestamp;
use portunus_governance::findings::{Around, Thresholds, findings};
use portunus_governance::mirror::{Documents, Mirror};
use portunus_governance::reach::{Of, breaks, reaches};
use portunus_governance::visibility::visibility;
use portunus_governance::{PublishedServer, Sources, alone, evidence, inventory};
use portunus_store::SqliteStore;
use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const IDENTITIES: usize = 10_000;
const PEOPLE: usize = 1_000;
/// Callers and tools of each credential: with these, 200,000 counters.
const COMBINATIONS: usize = 20;
/// Uses of each combination: with these, a million.
const USES: u64 = 5;
const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fn ago(days: u64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs() - days * 86_400)
}

fn server(index: usize) -> ServerName {
    ServerName::parse(&format!("server-{index}")).expect("a name")
}

fn person(index: usize) -> UserName {
    UserName::parse(&format!("person-{}@example.com", index % PEOPLE)).expect("a name")
}

fn credential(index: usize) -> Credential {
    let version = |number: u32, state| SealedVersion {
        by_hand: false,
        seen: None,
        number,
        created_at: ago(u64::try_from(index % 200).expect("small")),
        sealed: "c2VhbGVk".repeat(20),
        fingerprint: format!("{:032x}", index * 10 + number as usize),
        state,
        account: None,
    };
    Credential {
        numbered: 2,
        name: CredentialName::parse(&format!("credential-{index}")).expect("a name"),
        kind: CredentialKind::Bearer,
        owner: (!index.is_multiple_of(7)).then(|| person(index).to_string()),
        purpose: "questions about sales".to_owned(),
        environment: Some("production".to_owned()),
        vendor: Some(format!("vendor-{}", index % 50)),
        scopes: vec!["read".to_owned(), "write".to_owned()],
        hosts: vec![format!("host-{index}.example.com")],
        server: server(index),
        expires_at: Some(NOW.plus(Duration::from_secs(60 * 86_400))),
        rotation: Some(RotationPlan {
            method: "exec".to_owned(),
            every_seconds: Some(86_400),
            settings: serde_json::Map::new(),
        }),
        versions: vec![version(1, VersionState::Retired), version(2, VersionState::Active)],
        tested: None,
        disabled: None,
        waiver: None,
        exposed_at: None,
        revoked_at: None,
        created_at: ago(300),
    }
}

fn usage(index: usize) -> Usage {
    let (identity, which) = (index % IDENTITIES, index / IDENTITIES);
    Usage {
        identity: format!("credential:credential-{identity}"),
        user: person(identity * 31 + which),
        client: ClientId::parse(&format!("https://client-{}.example/client.json", which % 10))
            .expect("an id"),
        server: server(identity),
        tool: format!("tool-{}", which % 4),
        version: 2,
        actor: Actor::Assistant,
        count: USES,
        first_at: ago(90),
        last_at: ago(u64::try_from(which).expect("small")),
    }
}

fn grant(index: usize) -> Grant {
    Grant {
        id: Id::parse(&format!("grt_{index:026}")).expect("an id"),
        user: person(index * 31),
        client_id: ClientId::parse("https://client-1.example/client.json").expect("an id"),
        client_name: "Chat".to_owned(),
        server: server(index),
        scopes: Vec::new(),
        sign_in: SignIn::new("pwd", NOW),
        created_at: ago(10),
        revoked_at: None,
        revoked_why: None,
        actor: None,
        ends_at: None,
    }
}

fn user(index: usize) -> User {
    User {
        name: person(index),
        display_name: format!("Person {index}"),
        groups: Vec::new(),
        password_hash: None,
        one_time_password: false,
        administrator: false,
        disabled_at: index.is_multiple_of(100).then(|| ago(3)),
        created_at: ago(400),
        issuer: None,
    }
}

fn published(index: usize) -> PublishedServer {
    PublishedServer {
        name: server(index),
        owner: "ana".to_owned(),
        environment: "production".to_owned(),
        actors: vec![Actor::Assistant],
        credential: Some(format!("credential-{index}")),
        upstream: format!("host-{index}.example.com"),
        tools: (0..4).map(|tool| format!("tool-{tool}")).collect(),
    }
}

fn fill<T: Document>(store: &dyn Store, count: usize, make: impl Fn(usize) -> T) {
    let all: Vec<usize> = (0..count).collect();
    for part in all.chunks(1000) {
        let batch = part.iter().fold(Batch::new(), |batch, index| batch.insert(&make(*index)));
        block_on(store.commit(batch)).expect("a commit");
    }
}

fn sources<'a>(documents: &'a Documents, servers: &'a [PublishedServer]) -> Sources<'a> {
    Sources {
        credentials: documents.credentials.all(),
        uses: documents.uses.all(),
        servers,
        ..Sources::default()
    }
}

/// What `portunus cred report --json` computes; bytes of its answer.
fn report(documents: &Documents, servers: &[PublishedServer]) -> usize {
    let identities = inventory(&sources(documents, servers), NOW);
    let around = Around {
        servers,
        users: documents.users.all(),
        human_use: &BTreeSet::new(),
        observed: &[],
        unaccepted: &[],
        thresholds: Thresholds::default(),
    };
    let found = findings(&identities, &around, NOW);
    let share = visibility(&identities, Vec::new(), NOW);
    serde_json::to_vec(&(found, share)).expect("plain data").len()
}

fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(dir.path().join("portunus.db")).expect("a store"));
    let begun = Instant::now();
    fill(&*store, IDENTITIES, credential);
    fill(&*store, PEOPLE, user);
    fill(&*store, IDENTITIES, grant);
    fill(&*store, IDENTITIES * COMBINATIONS, usage);
    let servers: Vec<PublishedServer> = (0..IDENTITIES).map(published).collect();
    let uses = IDENTITIES as u64 * COMBINATIONS as u64 * USES;
    println!(
        "{IDENTITIES} identities, {uses} uses in {} counters, filled in {:.1?}",
        IDENTITIES * COMBINATIONS,
        begun.elapsed()
    );

    let mirror = Mirror::new(store.clone());
    let (begun, spent) = (Instant::now(), processor());
    let documents = block_on(mirror.documents()).expect("documents");
    let read = begun.elapsed();
    let bytes = report(&documents, &servers);
    println!(
        "report, the first after a start: {:.0?} (reading {read:.0?}), {:.0?} of processor time, {} kB",
        begun.elapsed(),
        processor() - spent,
        bytes / 1000
    );
    drop(documents);

    let (mut times, mut spent) = (Vec::new(), Duration::ZERO);
    for round in 0..10 {
        // A second of traffic.
        let changed = |index: usize| Usage { count: USES + round, last_at: NOW, ..usage(index * 37) };
        let batch = (0..1000).fold(Batch::new(), |batch, index| batch.upsert(&changed(index)));
        block_on(store.commit(batch)).expect("a commit");
        let (begun, before) = (Instant::now(), processor());
        let documents = block_on(mirror.documents()).expect("documents");
        black_box(report(&documents, &servers));
        times.push(begun.elapsed());
        spent += processor() - before;
    }
    print("report after 1,000 changed counters", &mut times, spent);

    let (mut times, mut spent) = (Vec::new(), Duration::ZERO);
    for round in 0..200_usize {
        let changed = |index: usize| Usage { last_at: NOW, ..usage(index * 41) };
        let batch = (0..10).fold(Batch::new(), |batch, index| batch.upsert(&changed(index)));
        block_on(store.commit(batch)).expect("a commit");
        let index = round * 7919 % IDENTITIES;
        let (begun, before) = (Instant::now(), processor());
        let documents = block_on(mirror.documents()).expect("documents");
        let name = format!("credential-{index}");
        let (credentials, grants) = (documents.credentials.all(), documents.grants.all());
        let uses = documents.uses.all();
        let identities = alone(&name, credentials, uses, NOW);
        let identity = identities.iter().find(|one| one.id.ends_with(&name)).expect("it is there");
        black_box(breaks(identity, &servers, grants, uses, NOW));
        black_box(reaches(Of::Credential(&name), credentials, &servers, grants, uses, NOW));
        times.push(begun.elapsed());
        spent += processor() - before;
    }
    print("blast radius of one credential, both ways", &mut times, spent);

    let documents = block_on(mirror.documents()).expect("documents");
    let identities = inventory(&sources(&documents, &servers), NOW);
    for (name, make) in [
        ("CSV", Box::new(|| evidence::identities_csv(&identities, NOW).len()) as Box<dyn Fn() -> usize>),
        ("CycloneDX", Box::new(|| evidence::cyclonedx(&identities, "x", "1", NOW).to_string().len())),
    ] {
        let begun = Instant::now();
        println!("{name}: {} kB in {:.0?}", make() / 1000, begun.elapsed());
    }
}

/// Processor time of this process so far, its threads included: what other programs do at the same time is not in it. Zero where
/// the system does not tell.
fn processor() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    // User and system time, in hundredths of a second.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn print(what: &str, times: &mut [Duration], processor: Duration) {
    times.sort_unstable();
    let at =
        |part: usize| times.get((times.len() * part / 100).min(times.len() - 1)).copied().unwrap_or_default();
    let each = processor / u32::try_from(times.len()).unwrap_or(1);
    println!(
        "{what}: median {:.1?}, p95 {:.1?}, longest {:.1?}; {each:.1?} of processor time each",
        at(50),
        at(95),
        at(100)
    );
}
