use crate::support::{NOW, ago, credential, days, identities, published, usage, user, version};
use portunus_core::document::{
    ClientAuth, ClientIdentity, Connection, ConnectionState, Credential, CredentialKind, Disabled, Observed,
    ObservedKind, SealedVersion, TestOutcome, Tested, Usage, User, VersionState, Waiver,
};
use portunus_governance::findings::{Around, Rule, Severity, Thresholds, findings};
use portunus_governance::leavers::{must_end, orphans};
use portunus_governance::{Sources, inventory};
use std::collections::BTreeSet;

fn tested(outcome: TestOutcome) -> Option<Tested> {
    Some(Tested { at: ago(1), version: 1, outcome, detail: String::new() })
}

fn good(name: &str) -> Credential {
    Credential { tested: tested(TestOutcome::Dead), ..credential(name) }
}

fn rules(credentials: Vec<Credential>, uses: Vec<Usage>, users: &[User]) -> Vec<(Rule, Severity)> {
    let servers = [published("sales", Some("a"))];
    let thresholds = Thresholds { block_age: Some(days(180)), ..Thresholds::default() };
    let human_use = BTreeSet::new();
    let around = Around {
        servers: &servers,
        users,
        human_use: &human_use,
        observed: &[],
        unaccepted: &[],
        thresholds,
    };
    let found = findings(&identities(credentials, uses), &around, NOW);
    found.iter().map(|finding| (finding.rule, finding.severity)).collect()
}

#[test]
fn each_fault_is_found_alone_and_nothing_is_said_of_the_faultless() {
    let old = |age| vec![version(1, VersionState::Active, "p", ago(age))];
    let long_ago = Credential { created_at: ago(200), ..good("a") };
    let cases = [
        (good("a"), vec![]),
        (Credential { owner: None, ..good("a") }, vec![(Rule::NoOwner, Severity::High)]),
        (Credential { owner: Some("Gone".to_owned()), ..good("a") }, vec![(Rule::OwnerLeft, Severity::High)]),
        (Credential { purpose: String::new(), ..good("a") }, vec![(Rule::NoPurpose, Severity::Medium)]),
        (Credential { expires_at: None, ..good("a") }, vec![(Rule::NoExpiry, Severity::High)]),
        (
            Credential { expires_at: Some(NOW.plus(days(3))), ..good("a") },
            vec![(Rule::EndsSoon, Severity::Medium)],
        ),
        (long_ago, vec![(Rule::Stale, Severity::Medium)]),
        (Credential { versions: old(100), ..good("a") }, vec![(Rule::OverAge, Severity::Medium)]),
        (Credential { versions: old(190), ..good("a") }, vec![(Rule::OverAge, Severity::Critical)]),
        (
            Credential {
                versions: old(190),
                waiver: Some(Waiver {
                    until: NOW.plus(days(1)),
                    by: "bo".to_owned(),
                    why: "soon".to_owned(),
                }),
                ..good("a")
            },
            vec![(Rule::OverAge, Severity::Medium)],
        ),
        (credential("a"), vec![(Rule::NeverTested, Severity::Low)]),
        (
            Credential { tested: tested(TestOutcome::Alive), ..good("a") },
            vec![(Rule::NotDead, Severity::Critical)],
        ),
        (
            Credential { environment: Some("staging".to_owned()), ..good("a") },
            vec![(Rule::WrongEnvironment, Severity::High)],
        ),
        (Credential { rotation: None, ..good("a") }, vec![(Rule::StaticSecret, Severity::Low)]),
        (
            Credential { kind: CredentialKind::Query("key".to_owned()), ..good("a") },
            vec![(Rule::SecretInQuery, Severity::Medium)],
        ),
        (
            Credential { scopes: vec!["repo:admin".to_owned()], ..good("a") },
            vec![(Rule::OverPrivileged, Severity::High)],
        ),
        (Credential { scopes: vec!["administrate".to_owned()], ..good("a") }, vec![]),
        (Credential { owner: None, revoked_at: Some(ago(1)), ..good("a") }, vec![]),
    ];
    for (credential, wanted) in cases {
        let told = format!("{credential:?}");
        assert_eq!(rules(vec![credential], vec![], &[user("gone", Some(ago(2)))]), wanted, "{told}");
    }
}

#[test]
fn one_secret_behind_two_identities_is_found_at_both_while_both_are_good_for_something() {
    let with = |name: &str, state| Credential {
        versions: vec![version(1, state, "same", ago(5)), version(2, VersionState::Active, name, ago(1))],
        ..good(name)
    };
    let both = vec![with("a", VersionState::Draining), with("b", VersionState::Draining)];
    assert_eq!(rules(both, vec![], &[]), [(Rule::Reused, Severity::High); 2]);
    let over = vec![with("a", VersionState::Draining), with("b", VersionState::Retired)];
    assert_eq!(rules(over, vec![], &[]), []);
}

#[test]
fn a_use_keeps_it_from_being_stale() {
    let old = Credential { created_at: ago(200), ..good("a") };
    assert_eq!(rules(vec![old.clone()], vec![usage("a", "bo", "query", ago(5))], &[]), []);
    let stale = rules(vec![old], vec![usage("a", "bo", "query", ago(95))], &[]);
    assert_eq!(stale, [(Rule::Stale, Severity::Medium)]);
}

#[test]
fn what_a_leaver_owned_is_disabled_after_a_week_and_not_before() {
    let owned = [
        Credential { owner: Some("Gone".to_owned()), ..credential("a") },
        Credential { owner: Some("here".to_owned()), ..credential("b") },
        Credential { owner: None, ..credential("c") },
        Credential { owner: Some("gone".to_owned()), revoked_at: Some(ago(1)), ..credential("d") },
        Credential {
            owner: Some("gone".to_owned()),
            disabled: Some(Disabled { at: ago(1), by: "x".to_owned(), why: "y".to_owned() }),
            ..credential("e")
        },
    ];
    let names = |left| {
        let users = [user("gone", Some(left)), user("here", None)];
        orphans(&owned, &users, NOW).iter().map(|o| o.credential.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(ago(6)), Vec::<String>::new());
    assert_eq!(names(ago(7)), ["a"]);
    assert_eq!(names(ago(70)), ["a"]);
}

#[test]
fn what_was_seen_in_traffic_is_a_finding_of_its_own_or_of_whoever_holds_it() {
    let seen = |kind, name: &str| Observed {
        kind,
        name: name.to_owned(),
        server: published("sales", None).name,
        tool: "look".to_owned(),
        user: user("ana", None).name,
        client: portunus_core::id::ClientId::parse("https://chat.example/client.json").unwrap(),
        refused: true,
        count: 3,
        first_at: ago(1),
        last_at: NOW,
    };
    let observed = vec![
        seen(ObservedKind::Credential, "print-of-a"),
        seen(ObservedKind::Credential, "print-of-nobody"),
        seen(ObservedKind::Tool, "backdoor"),
        seen(ObservedKind::Host, "elsewhere.test:443"),
    ];
    let held =
        Credential { versions: vec![version(1, VersionState::Active, "print-of-a", ago(1))], ..good("a") };
    let held = [held];
    let sources = Sources { credentials: &held, observed: &observed, ..Sources::default() };
    let identities = inventory(&sources, NOW);
    assert!(identities.iter().any(|found| found.id == "observed:print-of-nobody"));
    assert!(!identities.iter().any(|found| found.id == "observed:print-of-a"), "that one is registered");
    let (servers, human_use) = ([published("sales", Some("a"))], BTreeSet::new());
    let unaccepted = [(servers[0].name.clone(), "wipe".to_owned())];
    let around = Around {
        servers: &servers,
        users: &[user("ana", None)],
        human_use: &human_use,
        observed: &observed,
        unaccepted: &unaccepted,
        thresholds: Thresholds::default(),
    };
    let found = findings(&identities, &around, NOW);
    let found: Vec<_> = found.iter().map(|f| (f.identity.as_str(), f.rule, f.severity)).collect();
    assert_eq!(
        found,
        [
            ("credential:a", Rule::Exposed, Severity::Critical),
            ("host:elsewhere.test:443", Rule::Unregistered, Severity::High),
            ("observed:print-of-nobody", Rule::Unregistered, Severity::High),
            ("tool:sales/backdoor", Rule::Unregistered, Severity::Medium),
            ("tool:sales/wipe", Rule::Unregistered, Severity::Medium),
        ]
    );
}

#[test]
fn one_secret_behind_very_many_is_a_short_finding() {
    let credentials = (0..300).map(|number| Credential {
        versions: vec![version(1, VersionState::Active, "the same", ago(1))],
        ..good(&format!("c{number}"))
    });
    let all = identities(credentials.collect(), Vec::new());
    let around = Around {
        servers: &[],
        users: &[],
        human_use: &BTreeSet::new(),
        observed: &[],
        unaccepted: &[],
        thresholds: Thresholds::default(),
    };
    let found = findings(&all, &around, NOW);
    let reused: Vec<_> = found.iter().filter(|finding| finding.rule == Rule::Reused).collect();
    assert_eq!(reused.len(), 300);
    assert!(reused.iter().all(|finding| finding.detail.contains("and 294 more")), "{}", reused[0].detail);
}

#[test]
fn what_was_open_in_an_emergency_is_a_finding_until_the_secret_is_another_one() {
    // Its secret is ten days old.
    for (at, wanted) in [(ago(1), vec![(Rule::OpenedInEmergency, Severity::Critical)]), (ago(20), vec![])] {
        let exposed = Credential { exposed_at: Some(at), ..good("a") };
        assert_eq!(rules(vec![exposed], vec![usage("a", "bo", "query", ago(1))], &[]), wanted);
    }
}

#[test]
fn what_was_replaced_by_hand_is_a_finding_until_it_is_seen_dead() {
    let with = |by_hand, outcome: Option<TestOutcome>, prints: [&str; 2]| {
        let old = version(1, VersionState::Retired, prints[0], ago(20));
        let seen = outcome.map(|outcome| Tested { at: ago(1), version: 1, outcome, detail: String::new() });
        let old = SealedVersion { by_hand, seen, ..old };
        let versions = vec![old, version(2, VersionState::Active, prints[1], ago(10))];
        rules(vec![Credential { versions, ..good("a") }], vec![], &[])
    };
    let apart = ["p", "q"];
    assert_eq!(with(false, None, apart), [], "a rotation ended it");
    assert_eq!(with(true, Some(TestOutcome::Dead), apart), []);
    assert_eq!(with(true, None, apart), [(Rule::NotDead, Severity::Medium)]);
    assert_eq!(with(true, Some(TestOutcome::Unverifiable), apart), [(Rule::NotDead, Severity::Medium)]);
    assert_eq!(with(true, Some(TestOutcome::Alive), apart), [(Rule::NotDead, Severity::Critical)]);
    assert_eq!(with(true, Some(TestOutcome::Alive), ["p", "p"]), [], "it is in use again");
}

#[test]
fn what_was_revoked_is_a_finding_until_it_is_seen_dead() {
    let revoked = |outcome: Option<TestOutcome>| {
        let revoked =
            Credential { revoked_at: Some(ago(2)), tested: outcome.and_then(tested), ..credential("a") };
        rules(vec![revoked], vec![], &[])
    };
    assert_eq!(revoked(Some(TestOutcome::Dead)), []);
    assert_eq!(revoked(Some(TestOutcome::Unverifiable)), [(Rule::NotDead, Severity::Medium)]);
    assert_eq!(revoked(Some(TestOutcome::Alive)), [(Rule::NotDead, Severity::Critical)]);
    assert_eq!(revoked(None), [(Rule::NotDead, Severity::Medium)]);
}

#[test]
fn connections_that_nobody_may_have_any_more_are_named() {
    let of = |user: Option<&str>| Connection {
        server: crate::support::server_name("notes"),
        user: user.map(|user| user.parse().unwrap()),
        connected_by: "gone".parse().unwrap(),
        issuer: "https://login.example".to_owned(),
        token_endpoint: String::new(),
        revocation_endpoint: None,
        resource: String::new(),
        client: ClientIdentity { id: "c".to_owned(), auth: ClientAuth::None, sealed_secret: None },
        scopes: Vec::new(),
        wanted: Vec::new(),
        generation: 1,
        sealed: None,
        access_expires_at: None,
        one_time: true,
        state: ConnectionState::Connected,
        connected_at: ago(90),
        refreshed_at: ago(90),
        issuer_named: false,
        tested: None,
    };
    let users = |left| [user("gone", Some(ago(left))), user("here", None)];
    let ends = |user, configured, left| must_end(&of(user), configured, &users(left), NOW).is_some();
    assert!(!ends(Some("here"), true, 0));
    assert!(ends(Some("here"), false, 0), "its server is gone");
    assert!(ends(Some("gone"), true, 0), "a user's own goes with the account");
    assert!(!ends(None, true, 6), "there is a week to take over what everybody shares");
    assert!(ends(None, true, 7));
}
