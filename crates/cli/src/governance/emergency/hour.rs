//! An emergency by a simulated clock: an hour after the second yes everything of it is over.

use super::sweep;
use portunus_core::caller::SignIn;
use portunus_core::document::{
    Credential, CredentialKind, Emergency, Grant, RotationPlan, SealedVersion, User, VersionState,
};
use portunus_core::id::{ClientId, CredentialName, GroupName, Id, ServerName, UserName};
use portunus_core::store::{Batch, load};
use portunus_core::testing::{CountingRng, MemoryLedger, MemoryStore};
use portunus_core::time::Timestamp;
use portunus_edge::emergencies::Emergencies;
use portunus_governance::emergency::Asked;
use portunus_oauth::ports::Ports;
use portunus_vault::rotation::due;
use portunus_web::emergencies::{ask, say};
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fn at(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn user(name: &str) -> User {
    User {
        name: UserName::parse(name).unwrap(),
        display_name: name.to_owned(),
        groups: vec![GroupName::parse("responders").unwrap()],
        password_hash: None,
        one_time_password: false,
        administrator: false,
        disabled_at: None,
        created_at: NOW,
        issuer: None,
    }
}

fn grant(id: char, server: &str) -> Grant {
    Grant {
        id: Id::parse(&format!("grt_01abcdefghjkmnpqrstvwxyz2{id}")).unwrap(),
        user: UserName::parse("ana").unwrap(),
        client_id: ClientId::parse("https://chat.example/client.json").unwrap(),
        client_name: "Chat".to_owned(),
        server: ServerName::parse(server).unwrap(),
        scopes: Vec::new(),
        sign_in: SignIn::new("pwd", NOW),
        created_at: NOW,
        revoked_at: None,
        revoked_why: None,
        actor: None,
        ends_at: None,
    }
}

fn credential() -> Credential {
    Credential {
        numbered: 1,
        name: CredentialName::parse("sales-db").unwrap(),
        kind: CredentialKind::Bearer,
        owner: Some("bo".to_owned()),
        purpose: "sales".to_owned(),
        environment: None,
        vendor: None,
        scopes: Vec::new(),
        hosts: vec!["db.example.com".to_owned()],
        server: ServerName::parse("sales").unwrap(),
        expires_at: Some(at(90 * 86_400)),
        rotation: Some(RotationPlan {
            method: "exec".to_owned(),
            every_seconds: None,
            settings: serde_json::Map::new(),
        }),
        versions: vec![SealedVersion {
            by_hand: false,
            seen: None,
            number: 1,
            created_at: NOW,
            sealed: String::new(),
            fingerprint: String::new(),
            state: VersionState::Active,
            account: None,
        }],
        tested: None,
        disabled: None,
        waiver: None,
        exposed_at: None,
        revoked_at: None,
        created_at: NOW,
    }
}

#[tokio::test]
async fn after_an_hour_access_is_over_grants_are_revoked_and_the_secret_is_due() {
    let (store, ledger, rng) = (MemoryStore::default(), MemoryLedger::default(), CountingRng::default());
    let ports = |now| Ports { store: &store, ledger: &ledger, rng: &rng, now };
    let (bo, cy) = (user("bo"), user("cy"));
    let (sales, wiki) = (grant('2', "sales"), grant('3', "wiki"));
    let batch = Batch::new().insert(&bo).insert(&cy).insert(&sales).insert(&wiki).insert(&credential());
    portunus_core::store::Store::commit(&store, batch).await.unwrap();
    let held = Emergencies::new(&store);
    let (ana, server) = (UserName::parse("ana").unwrap(), ServerName::parse("sales").unwrap());
    let open = |now| held.of(&store, (&ana, &server), now);

    let asked = Asked {
        user: ana.clone(),
        server: server.clone(),
        credential: CredentialName::parse("sales-db").ok(),
        reason: "down".to_owned(),
        time: Duration::from_secs(3600),
    };
    let group = GroupName::parse("responders").unwrap();
    let id = ask(&ports(NOW), asked, Some(&group)).await.unwrap().id;
    say(&ports(at(10)), &id, &bo, (true, None)).await.unwrap();
    assert_eq!(open(at(11)).await.unwrap(), None);
    ledger.set_failing(true);
    assert!(say(&ports(at(12)), &id, &cy, (true, None)).await.is_err(), "no record, no yes");
    ledger.set_failing(false);
    assert_eq!(open(at(12)).await.unwrap(), None);
    say(&ports(at(20)), &id, &cy, (true, None)).await.unwrap();
    assert_eq!(open(at(20)).await.unwrap(), Some(id.clone()));
    let other = ServerName::parse("wiki").unwrap();
    assert_eq!(held.of(&store, (&ana, &other), at(20)).await.unwrap(), None);

    // All of the hour, and not a moment more, whether anything sweeps or not.
    sweep(&ports(at(3000))).await.unwrap();
    assert!(open(at(20 + 3599)).await.unwrap().is_some());
    assert_eq!(open(at(20 + 3600)).await.unwrap(), None);
    let found = load::<Credential>(&store, "sales-db").await.unwrap().unwrap().value;
    assert_eq!((found.exposed_at, due::due(&found, None)), (None, None));

    sweep(&ports(at(4000))).await.unwrap();
    let over = load::<Emergency>(&store, id.as_str()).await.unwrap().unwrap().value;
    let end = over.ended.unwrap();
    assert_eq!((end.by.as_str(), end.at, over.closed_at), ("portunus", at(3620), Some(at(4000))));
    let revoked = |grant: &Grant| {
        let id = grant.id.to_string();
        let store = &store;
        async move { load::<Grant>(store, &id).await.unwrap().unwrap().value.revoked_at.is_some() }
    };
    assert!(revoked(&sales).await);
    assert!(!revoked(&wiki).await, "other servers are not concerned");
    let found = load::<Credential>(&store, "sales-db").await.unwrap().unwrap().value;
    assert_eq!(found.exposed_at, Some(at(3620)));
    assert_eq!(due::due(&found, None), Some(at(3620)), "it is rotated at once");
    let records = ledger.records().len();
    sweep(&ports(at(5000))).await.unwrap();
    assert_eq!(ledger.records().len(), records, "once is enough");
}
