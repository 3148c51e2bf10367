//! The life of a credential, as its owner sees it.

use crate::support::{Book, CANARY, Fixture, LATER, NOW, Os, name, new, secret};
use portunus_core::document::{Credential, CredentialKind, VersionState};
use portunus_core::limits::CREDENTIAL_VERSIONS;
use portunus_core::store::{Batch, Versioned, load};
use portunus_core::time::Timestamp;
use portunus_vault::CredentialError;
use portunus_vault::bind::{self, Binding};
use portunus_vault::credential::{self, New, Replacement, Status};

fn replacement(text: &str) -> Replacement {
    Replacement { name: name("sales-db"), secret: secret(text), expires_at: LATER, by: "bo".to_owned() }
}

async fn stored(fixture: &Fixture) -> Versioned<Credential> {
    load(fixture.store(), "sales-db").await.unwrap().unwrap()
}

#[tokio::test]
async fn an_added_credential_is_listed_and_shown_without_its_secret_and_recorded() {
    let fixture = Fixture::new();
    let added = fixture.add(new("sales-db")).await.unwrap();
    assert_eq!((added.version, added.status), (1, Status::Active));
    assert_eq!(credential::show(fixture.store(), &name("sales-db"), NOW).await.unwrap(), added);
    assert_eq!(credential::list(fixture.store(), NOW).await.unwrap(), std::slice::from_ref(&added));
    let events = fixture.ledger.events.lock().unwrap();
    let [event] = events.as_slice() else { panic!("one event: {events:?}") };
    assert_eq!(
        (event.action.as_str(), event.subject.as_str(), event.by.as_str()),
        ("credential.added", "sales-db", "ana")
    );
    assert_eq!(event.detail.get("host").map(String::as_str), Some("api.example.com"));
    for shown in [format!("{added:?}"), serde_json::to_string(&added).unwrap(), format!("{events:?}")] {
        assert!(!shown.contains(CANARY) && !shown.contains("sealed"), "{shown}");
    }
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_with_the_field_and_nothing_is_stored_or_recorded() {
    let fixture = Fixture::new();
    let header = |header: &str| CredentialKind::Header(header.to_owned());
    let cases: [(&str, New); 9] = [
        ("owner", New { owner: String::new(), ..new("a") }),
        ("owner", New { owner: " \t".to_owned(), ..new("a") }),
        ("owner", New { owner: "ana\u{1b}[2J".to_owned(), ..new("a") }),
        ("purpose", New { purpose: "x\ny".to_owned(), ..new("a") }),
        ("host", New { hosts: vec!["https://api.example.com/".to_owned()], ..new("a") }),
        ("kind", New { kind: header("host"), ..new("a") }),
        ("secret", New { secret: secret("a\r\nX-Other: b"), ..new("a") }),
        ("expiry", New { expires_at: NOW, ..new("a") }),
        ("secret", New { secret: secret(&format!("Bearer {CANARY}")), ..new("a") }),
    ];
    for (field, bad) in cases {
        let error = fixture.add(bad).await.unwrap_err();
        assert!(matches!(error, CredentialError::Invalid { what, .. } if what == field), "{field}: {error}");
        assert!(!format!("{error} {error:?}").contains(CANARY));
    }
    assert!(credential::list(fixture.store(), NOW).await.unwrap().is_empty());
    assert!(fixture.ledger.actions().is_empty());
}

#[tokio::test]
async fn a_name_is_given_once_and_a_lost_race_is_recorded_as_failed() {
    let fixture = Fixture::new();
    fixture.add(new("sales-db")).await.unwrap();
    let again = fixture.add(new("sales-db")).await.unwrap_err();
    assert!(matches!(&again, CredentialError::Exists(_)), "{again}");
    assert!(again.to_string().contains("--replace"));
    assert_eq!(fixture.ledger.actions(), ["credential.added"]);

    let (left, right) = tokio::join!(fixture.add(new("raced")), fixture.add(new("raced")));
    assert!(left.is_ok() != right.is_ok(), "one of two wins");
    let failed =
        fixture.ledger.actions().iter().filter(|action| *action == "credential.added.failed").count();
    let added = fixture.ledger.actions().iter().filter(|action| *action == "credential.added").count();
    assert_eq!(added - failed, 2);
}

#[tokio::test]
async fn replacing_adds_a_version_keeps_a_bounded_number_and_moves_the_expiry() {
    let fixture = Fixture::new();
    fixture.add(new("sales-db")).await.unwrap();
    for version in 2..=12 {
        let later = Replacement {
            expires_at: Timestamp::from_millis(LATER.as_millis() + u64::from(version)),
            ..replacement(&format!("secret-{version}"))
        };
        let summary =
            credential::add_version(fixture.store(), &fixture.ledger, &fixture.key, later.clone(), NOW, &Os)
                .await
                .unwrap();
        assert_eq!((summary.version, summary.expires_at), (version, Some(later.expires_at)));
    }
    let numbers: Vec<u32> =
        stored(&fixture).await.value.versions.iter().map(|version| version.number).collect();
    assert_eq!(numbers.len(), CREDENTIAL_VERSIONS);
    assert_eq!(numbers.last(), Some(&12));
    assert_eq!(fixture.ledger.actions().last().map(String::as_str), Some("credential.replaced"));

    let unknown = Replacement { name: name("other"), ..replacement("x") };
    let error =
        credential::add_version(fixture.store(), &fixture.ledger, &fixture.key, unknown, NOW, &Os).await;
    assert!(matches!(error, Err(CredentialError::Unknown(_))));
    let past = Replacement { expires_at: NOW, ..replacement("x") };
    let error = credential::add_version(fixture.store(), &fixture.ledger, &fixture.key, past, NOW, &Os).await;
    assert!(matches!(error, Err(CredentialError::Invalid { what: "expiry", .. })));
}

#[tokio::test]
async fn a_revoked_credential_stays_revoked_and_is_revoked_once() {
    let fixture = Fixture::new();
    fixture.add(new("sales-db")).await.unwrap();
    for _ in 0..2 {
        let summary =
            credential::revoke(fixture.store(), &fixture.ledger, &name("sales-db"), "bo", NOW).await.unwrap();
        assert_eq!((summary.status, summary.revoked_at), (Status::Revoked, Some(NOW)));
    }
    assert_eq!(fixture.ledger.actions(), ["credential.added", "credential.revoked"]);
    let error =
        credential::add_version(fixture.store(), &fixture.ledger, &fixture.key, replacement("x"), NOW, &Os)
            .await;
    assert!(matches!(error, Err(CredentialError::Revoked(_))));
    let missing = credential::revoke(fixture.store(), &fixture.ledger, &name("none"), "bo", NOW).await;
    assert!(matches!(missing, Err(CredentialError::Unknown(_))));
}

#[tokio::test]
async fn a_revocation_wins_against_replacements_at_the_same_moment() {
    let fixture = Fixture::new();
    fixture.add(new("sales-db")).await.unwrap();
    let replace = || {
        credential::add_version(fixture.store(), &fixture.ledger, &fixture.key, replacement("x"), NOW, &Os)
    };
    let named = name("sales-db");
    let revoke = credential::revoke(fixture.store(), &fixture.ledger, &named, "bo", NOW);
    let (_, _, revoked, _, _) = tokio::join!(replace(), replace(), revoke, replace(), replace());
    assert_eq!(revoked.unwrap().status, Status::Revoked);
    assert!(stored(&fixture).await.value.revoked_at.is_some());
}

#[tokio::test]
async fn nothing_happens_that_cannot_be_recorded() {
    let mut fixture = Fixture::new();
    fixture.add(new("sales-db")).await.unwrap();
    let before = stored(&fixture).await;
    fixture.ledger = Book { closed: true, ..Book::default() };
    let failures = [
        fixture.add(new("other")).await.unwrap_err(),
        credential::revoke(fixture.store(), &fixture.ledger, &name("sales-db"), "bo", NOW).await.unwrap_err(),
        credential::add_version(fixture.store(), &fixture.ledger, &fixture.key, replacement("x"), NOW, &Os)
            .await
            .unwrap_err(),
    ];
    for error in failures {
        assert!(matches!(error, CredentialError::Ledger(_)), "{error}");
    }
    assert_eq!(stored(&fixture).await, before);
    assert_eq!(credential::list(fixture.store(), NOW).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_status_says_why_a_credential_is_not_taken() {
    let fixture = Fixture::new();
    fixture.add(new("sales-db")).await.unwrap();
    let shown = async |now| credential::show(fixture.store(), &name("sales-db"), now).await.unwrap().status;
    assert_eq!(shown(NOW).await, Status::Active);
    assert_eq!(shown(LATER).await, Status::Expired);
    for (wanted, owner, expires_at) in [
        (Status::Ownerless, None, Some(LATER)),
        (Status::Ownerless, Some("  ".to_owned()), Some(LATER)),
        (Status::Endless, Some("ana".to_owned()), None),
    ] {
        let Versioned { value, version } = stored(&fixture).await;
        let changed = Credential { owner, expires_at, ..value };
        portunus_core::store::Store::commit(&*fixture.store, Batch::new().update(&changed, version))
            .await
            .unwrap();
        assert_eq!(shown(NOW).await, wanted);
    }
}

#[tokio::test]
async fn numbers_of_versions_never_come_twice_and_an_old_secret_never_goes_to_a_new_place() {
    let fixture = Fixture::new();
    fixture.add(new("sales-db")).await.unwrap();
    let (store, ledger, key) = (fixture.store(), &fixture.ledger, &fixture.key);
    let add = |secret: &str| credential::add_version(store, ledger, key, replacement(secret), NOW, &Os);
    add("second").await.unwrap();
    // A third version that never worked, as a rotation leaves it behind.
    let found = stored(&fixture).await;
    let mut third = found.value.clone();
    third.versions.push(portunus_core::document::SealedVersion {
        number: 3,
        state: VersionState::Retired,
        by_hand: false,
        seen: None,
        ..found.value.versions[1].clone()
    });
    store.commit(Batch::new().update(&third, found.version)).await.unwrap();
    let elsewhere = Binding { hosts: Some(vec!["new.example.com".to_owned()]), ..Binding::default() };
    let named = name("sales-db");
    bind::bind(store, ledger, key, (&named, elsewhere, "bo"), NOW, &Os).await.unwrap();
    let bound = stored(&fixture).await.value;
    let numbers: Vec<u32> = bound.versions.iter().map(|version| version.number).collect();
    assert_eq!(numbers, [1, 2], "what was replaced by hand is still told of, the other is over");
    assert!(bound.versions[0].sealed.is_empty(), "its secret is gone with the place");
    assert_eq!(bound.owed().map(|version| version.number).collect::<Vec<_>>(), [1]);
    assert_eq!(add("another").await.unwrap().version, 4);
}
