//! A year of governance, day by day, against the real store, vault and sweep: expiry, rotation age, waivers, leavers, reviews.

use super::sweep;
use portunus_core::document::{Credential, CredentialKind, Review, User};
use portunus_core::id::{CredentialName, ServerName, UserName, mint};
use portunus_core::limits::ServerLimits;
use portunus_core::record::{Ledger, LedgerError, Receipt, Record};
use portunus_core::secret::Secret;
use portunus_core::server::{Server, Upstream};
use portunus_core::store::{Batch, Expect, Store, list_all, load};
use portunus_core::time::{Rng, Timestamp};
use portunus_governance::review::{open, say};
use portunus_governance::{Sources, inventory};
use portunus_oauth::ports::Ports;
use portunus_store::SqliteStore;
use portunus_vault::bind::{self, Binding, Step};
use portunus_vault::credential::{self, New, Replacement};
use portunus_vault::{SealingKey, Vault, VaultError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
const START: Timestamp = Timestamp::from_secs(1_795_000_000);

/// The moment so many days after the start.
fn day(count: u32) -> Timestamp {
    START.plus(DAY * count)
}

#[derive(Default)]
struct Book(Mutex<Vec<(u64, String, String)>>);
impl Ledger for Book {
    fn append(&self, record: Record) -> Receipt {
        let (sender, receipt) = Receipt::pair();
        let Record::Event(event) = record else { return Receipt::failed(LedgerError::Stopped) };
        let days = event.at.since(START).as_secs() / 86_400;
        self.0.lock().unwrap().push((days, event.action, event.subject));
        sender.send(Ok(1)).unwrap();
        receipt
    }
}

struct Os;
impl Rng for Os {
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).unwrap();
    }
}

struct World {
    _directory: tempfile::TempDir,
    store: Arc<SqliteStore>,
    book: Book,
    key: SealingKey,
    vault: Vault,
}

/// The server that the credentials are for.
fn sales() -> Server {
    Server {
        name: ServerName::parse("sales").unwrap(),
        title: String::from("Sales"),
        owner: String::from("ana"),
        purpose: String::from("a year of questions"),
        environment: String::from("production"),
        actors: Vec::new(),
        upstream: Upstream::Http("https://api.example.com/mcp".parse().unwrap()),
        credential: None,
        limits: ServerLimits::default(),
        scopes: std::collections::BTreeMap::new(),
    }
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(directory.path().join("portunus.db")).unwrap());
        let key = SealingKey::new(Secret::new([5; 32]));
        let vault = Vault::new(store.clone(), key.clone());
        vault.limit_age(Some(DAY * 180));
        let world = Self { _directory: directory, store, book: Book::default(), key, vault };
        for (name, owner, life) in [
            ("kept", "bo", 400),
            ("ends", "bo", 90),
            ("orphan", "ana", 400),
            ("adopted", "ana", 400),
            ("refused", "bo", 400),
            ("silent", "bo", 400),
        ] {
            world.add(name, owner, life).await;
        }
        for user in ["ana", "bo", "cy"] {
            world.store.commit(Batch::new().insert(&user_of(user))).await.unwrap();
        }
        world
    }

    fn ports(&self, now: Timestamp) -> Ports<'_> {
        Ports { store: &*self.store, ledger: &self.book, rng: &Os, now }
    }

    async fn add(&self, name: &str, owner: &str, life: u32) {
        let new = New {
            name: named(name),
            kind: CredentialKind::Bearer,
            owner: owner.to_owned(),
            purpose: String::from("a year of questions"),
            environment: None,
            vendor: None,
            scopes: Vec::new(),
            hosts: vec![String::from("api.example.com")],
            server: ServerName::parse("sales").unwrap(),
            expires_at: day(life),
            rotation: None,
            secret: Secret::new(format!("secret-of-{name}").into_bytes()),
            by: String::from("admin"),
        };
        credential::add(&*self.store, &self.book, &self.key, new, START, &Os).await.unwrap();
    }

    async fn replace(&self, name: &str, now: Timestamp) {
        let replacement = Replacement {
            name: named(name),
            secret: Secret::new(format!("next-of-{name}").into_bytes()),
            expires_at: day(400),
            by: String::from("bo"),
        };
        credential::add_version(&*self.store, &self.book, &self.key, replacement, now, &Os).await.unwrap();
    }

    /// What a call with it would meet.
    async fn seen(&self, name: &str, now: Timestamp) -> &'static str {
        match self.vault.bound(&named(name), &sales(), now).await {
            Ok(_) => "used",
            Err(VaultError::Expired(_)) => "expired",
            Err(VaultError::TooOld(_)) => "too old",
            Err(VaultError::Disabled { .. }) => "disabled",
            Err(other) => panic!("{name}: {other}"),
        }
    }

    async fn review(&self, now: Timestamp) {
        let credentials = list_all(&*self.store, None).await.unwrap();
        let credentials: Vec<Credential> = credentials.into_iter().map(|found| found.value).collect();
        let identities = inventory(&Sources { credentials: &credentials, ..Sources::default() }, now);
        let reviewers = [UserName::parse("bo").unwrap(), UserName::parse("cy").unwrap()];
        let reviews = open("spring", &identities, &reviewers, (now, DAY * 14), &Os).unwrap();
        self.store.commit(reviews.iter().fold(Batch::new(), Batch::insert)).await.unwrap();
    }

    /// Everybody says yes, but to `refused`; nobody says anything about `silent`.
    async fn say(&self, now: Timestamp) {
        for found in list_all::<Review>(&*self.store, None).await.unwrap() {
            let review = found.value;
            if review.identity == "credential:silent" {
                continue;
            }
            let keep = review.identity != "credential:refused";
            let said = say(&review, &review.reviewer, (keep, "seen"), now, "https://edge.example", |_| {
                String::from("signature")
            });
            self.store.commit(Batch::new().update(&said.unwrap(), found.version)).await.unwrap();
        }
    }

    fn recorded(&self, action: &str) -> bool {
        self.book.0.lock().unwrap().iter().any(|(_, recorded, _)| recorded == action)
    }

    /// What happens on some days besides.
    async fn events(&self, today: u32) {
        let (store, now) = (&*self.store, day(today));
        match today {
            30 => {
                let found = load::<User>(store, "ana").await.unwrap().unwrap();
                let gone = User { disabled_at: Some(now), ..found.value };
                store.commit(Batch::new().update(&gone, found.version)).await.unwrap();
            }
            35 => {
                let binding = Binding { owner: Some(String::from("cy")), ..Binding::default() };
                let wanted = (&named("adopted"), binding, "admin");
                bind::bind(store, &self.book, &self.key, wanted, now, &Os).await.unwrap();
            }
            100 => {
                let binding = Binding { owner: Some(String::from("cy")), ..Binding::default() };
                let wanted = (&named("orphan"), binding, "admin");
                bind::bind(store, &self.book, &self.key, wanted, now, &Os).await.unwrap();
                bind::step(store, &self.book, (&named("orphan"), Step::Enable, "admin"), now).await.unwrap();
            }
            120 => self.replace("kept", now).await,
            200 => {
                let step = Step::Waive(day(230), String::from("the vendor is slow"));
                bind::step(store, &self.book, (&named("adopted"), step, "admin"), now).await.unwrap();
            }
            240 => {
                for name in ["adopted", "refused", "silent", "orphan"] {
                    self.replace(name, now).await;
                }
            }
            300 => self.review(now).await,
            305 => self.say(now).await,
            _ => {}
        }
    }
}

fn named(name: &str) -> CredentialName {
    CredentialName::parse(name).unwrap()
}

fn user_of(name: &str) -> User {
    User {
        name: UserName::parse(name).unwrap(),
        display_name: name.to_owned(),
        groups: Vec::new(),
        password_hash: None,
        one_time_password: false,
        administrator: false,
        disabled_at: None,
        created_at: START,
        issuer: None,
    }
}

/// What a call meets on a day, by hand.
fn expected(name: &str, today: u32) -> &'static str {
    match (name, today) {
        ("ends", 90..) => "expired",
        ("ends", _) => "used",
        // The owner left on day 30; it was adopted on day 35, a week was not over.
        ("orphan", 37..=99) => "disabled",
        // Made on day 0, so 180 days old on day 180 and older from day 181 on; replaced on day 240.
        ("orphan" | "refused" | "silent", 181..=239) => "too old",
        ("adopted", 181..=199 | 230..=239) => "too old",
        // Replaced on day 120: too old from day 301 on.
        ("kept", 301..) => "too old",
        // Said on day 305, and swept on the same day.
        ("refused", 305..) => "disabled",
        // The review began on day 300: two weeks of silence.
        ("silent", 314..) => "disabled",
        _ => "used",
    }
}

#[tokio::test]
async fn a_year_of_expiry_ages_waivers_leavers_and_reviews() {
    let world = World::new().await;
    let mut wrong = Vec::new();
    for today in 0..=365 {
        world.events(today).await;
        sweep(&world.ports(day(today))).await.unwrap();
        for name in ["kept", "ends", "orphan", "adopted", "refused", "silent"] {
            let (seen, wanted) = (world.seen(name, day(today)).await, expected(name, today));
            if seen != wanted {
                wrong.push(format!("day {today}: {name} is {seen}, should be {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let book = world.book.0.lock().unwrap();
    let ended: Vec<_> = book
        .iter()
        .filter(|(_, action, _)| action == "credential.disabled")
        .map(|(day, _, name)| (*day, name.as_str()))
        .collect();
    assert_eq!(ended, [(37, "orphan"), (305, "refused"), (314, "silent")], "each once, and recorded");
}

/// A campaign whose opening was cut off, and reviews of what is gone: nobody waits for either for ever.
#[tokio::test]
async fn half_a_campaign_is_taken_out_and_what_is_gone_is_closed_with_a_record() {
    let world = World::new().await;
    world.review(day(1)).await;
    let mut all = list_all::<Review>(&*world.store, None).await.unwrap();
    // The last batch did not come.
    let lost = all.pop().unwrap().value;
    world.store.commit(Batch::new().delete::<Review>(lost.id.as_str(), Expect::Any)).await.unwrap();
    sweep(&world.ports(day(1))).await.unwrap();
    assert_eq!(list_all::<Review>(&*world.store, None).await.unwrap().len(), all.len(), "it may still come");
    sweep(&world.ports(day(2))).await.unwrap();
    assert!(list_all::<Review>(&*world.store, None).await.unwrap().is_empty());
    assert!(world.recorded("review.not_opened"));

    let gone = ["connector:con_01ARZ3NDEKTSV4RRFFQ69G5FAV", "client:nobody", "credential:nothing"];
    let reviews = gone.iter().enumerate().map(|(number, identity)| Review {
        id: mint("rvw", day(number as u32), &Os),
        identity: (*identity).to_owned(),
        of: gone.len(),
        ..lost.clone()
    });
    world.store.commit(reviews.fold(Batch::new(), |batch, review| batch.insert(&review))).await.unwrap();
    sweep(&world.ports(day(40))).await.unwrap();
    for found in list_all::<Review>(&*world.store, None).await.unwrap() {
        assert_eq!(found.value.closed_at, Some(day(40)), "{:?}", found.value);
    }
    assert!(world.recorded("review.identity_gone"));
}
