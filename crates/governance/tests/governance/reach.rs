use crate::support::{NOW, ago, credential, identities, published, server_name, usage};
use portunus_core::caller::SignIn;
use portunus_core::document::Grant;
use portunus_core::id::{ClientId, Id, UserName};
use portunus_core::time::Timestamp;
use portunus_governance::propose::least_privilege;
use portunus_governance::reach::{Of, breaks, reaches};
use std::collections::BTreeSet;

fn grant(id: char, user: &str, server: &str, revoked_at: Option<Timestamp>) -> Grant {
    Grant {
        id: Id::parse(&format!("grt_01abcdefghjkmnpqrstvwxyz2{id}")).unwrap(),
        user: UserName::parse(user).unwrap(),
        client_id: ClientId::parse("https://chat.example/client.json").unwrap(),
        client_name: "Chat".to_owned(),
        server: server_name(server),
        scopes: Vec::new(),
        sign_in: SignIn::new("pwd", NOW),
        created_at: ago(1),
        revoked_at,
        revoked_why: None,
        actor: None,
        ends_at: None,
    }
}

fn texts<const N: usize>(words: [&str; N]) -> BTreeSet<String> {
    words.map(str::to_owned).into()
}

#[test]
fn what_breaks_is_what_needs_it_and_whoever_may_or_did_use_it() {
    let servers = [published("sales", Some("a")), published("wiki", None)];
    let grants = [
        grant('2', "ana", "sales", None),
        grant('3', "gone", "sales", Some(ago(1))),
        grant('4', "bo", "wiki", None),
    ];
    let uses = [usage("a", "cy", "query", ago(3)), usage("b", "dee", "write", ago(1))];
    let all = identities(vec![credential("a"), credential("b")], uses.to_vec());
    let found = breaks(&all[0], &servers, &grants, &uses, NOW);
    assert_eq!(found.servers, texts(["sales"]));
    assert_eq!(found.users, texts(["ana", "cy"]));
    assert_eq!(found.tools, texts(["sales/query"]));
    assert_eq!((found.grants.len(), found.calls, found.last_at), (1, 3, Some(ago(3))));
}

#[test]
fn what_is_reached_goes_from_a_person_to_the_hosts() {
    let servers = [published("sales", Some("a")), published("wiki", None)];
    let grants = [grant('2', "ana", "sales", None), grant('3', "ana", "wiki", Some(ago(1)))];
    let uses = [usage("a", "ana", "query", ago(3)), usage("a", "bo", "write", ago(3))];
    let all = [credential("a")];
    let found = reaches(Of::User("ana"), &all, &servers, &grants, &uses, NOW);
    assert_eq!(found.servers, texts(["sales"]), "not what was revoked");
    assert_eq!(found.tools, texts(["sales/query", "sales/write"]));
    assert_eq!(found.used, texts(["sales/query"]));
    assert_eq!((found.credentials, found.hosts), (texts(["a"]), texts(["api.example.com"])));
    let found = reaches(Of::Credential("a"), &all, &servers, &grants, &uses, NOW);
    assert_eq!((found.servers, found.used), (texts(["sales"]), texts(["sales/query", "sales/write"])));
}

#[test]
fn the_least_policy_names_what_was_used_lately_and_cannot_be_broken_out_of() {
    let uses = [
        usage("a", "ana", "query", ago(3)),
        usage("a", "bo", "query", ago(3)),
        usage("a", "workload:ci", "query", ago(3)),
        usage("a", "ana", "write", ago(200)),
        usage("a", "ana", "x\"]); permit (principal", ago(3)),
    ];
    let policy = least_privilege(&uses, crate::support::days(90), NOW);
    assert!(
        policy.contains(r#"action in [Action::"sales/query", Action::"sales/x\"]); permit (principal"]"#),
        "{policy}"
    );
    assert!(!policy.contains("sales/write"), "that was too long ago");
    for people in [r#"[User::"ana", User::"bo"].contains"#, r#"[Workload::"ci"].contains"#] {
        assert!(policy.contains(people), "{policy}");
    }
    assert!(!policy.contains("\npermit"), "it can only take away: {policy}");
}
