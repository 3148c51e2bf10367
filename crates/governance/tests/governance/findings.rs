use crate::support::{NOW, ago, credential, days, identities, published, usage, user, version};
use portunus_core::document::{
    Credential, CredentialKind, Disabled, Observed, ObservedKind, TestOutcome, Tested, Usage, User,
    VersionState, Waiver,
};
use portunus_governance::findings::{Around, Rule, Severity, Thresholds, findings};
use portunus_governance::leavers::orphans;
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
