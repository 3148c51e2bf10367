use super::*;
use crate::federation::testing::{changed, provider};
use crate::testing::World;
use portunus_core::store::{Batch, Store};
use serde_json::json;

const ISSUER: &str = "https://login.example";

fn token(subject: &str, claims: Value) -> IdToken {
    let own =
        json!({ "email": "bea@example.com", "email_verified": true, "name": "Bea", "groups": ["analysts"] });
    let Value::Object(members) = changed(&own, &claims) else { panic!() };
    IdToken {
        subject: subject.to_owned(),
        sid: None,
        auth_time: None,
        amr: vec!["pwd".to_owned()],
        acr: None,
        claims: Claims::unsigned(members),
    }
}

fn alone() -> (Providers, Provider) {
    let provider = provider("one", ISSUER);
    (Providers::new(vec![provider.clone()]).unwrap(), provider)
}

async fn enter(
    world: &World,
    (providers, provider): &(Providers, Provider),
    token: &IdToken,
) -> Result<Proven, AccountError> {
    let person = person(providers, provider, token, None)?;
    sign_in(&world.ports(), providers, provider, token, &person).await
}

#[tokio::test]
async fn a_subject_becomes_one_user_and_stays_that_user() {
    let (world, known) = (World::new().await, alone());
    let first = enter(&world, &known, &token("s1", json!({}))).await.unwrap();
    assert_eq!(first.user.name.as_str(), "bea@example.com");
    assert_eq!((first.sign_in.method.as_str(), first.sign_in.issuer.as_deref()), ("oidc", Some(ISSUER)));
    assert!(first.user.password_hash.is_none() && !first.user.administrator);
    // A new address, a new display name, other groups: still the same user.
    let changes = json!({ "email": "beatrice@example.com", "name": "Beatrice", "groups": ["leads"] });
    let second = enter(&world, &known, &token("s1", changes)).await.unwrap();
    assert_eq!((second.user.name, second.user.display_name.as_str()), (first.user.name, "Beatrice"));
    assert_eq!(joined(&second.user.groups), "leads");
    for (action, count) in [("user.added", 1), ("user.groups_changed", 1), ("user.signed_in", 2)] {
        assert_eq!(world.ledger.count(action), count, "{action}");
    }
}

#[tokio::test]
async fn a_sign_in_is_never_fresher_than_the_provider_says() {
    let (world, known) = (World::new().await, alone());
    let silent = enter(&world, &known, &token("s1", json!({}))).await.unwrap();
    assert_eq!(silent.sign_in.at, Timestamp::from_secs(0), "it may be days old");
    let hour_ago = Timestamp::from_secs(world.now().as_secs() - 3600);
    for (said, counts) in [(hour_ago, hour_ago), (world.now().plus(limits::CLOCK_SKEW), world.now())] {
        let token = IdToken { auth_time: Some(said), ..token("s1", json!({})) };
        assert_eq!(enter(&world, &known, &token).await.unwrap().sign_in.at, counts);
    }
}

#[tokio::test]
async fn no_name_that_somebody_has_is_taken_over() {
    let (world, known) = (World::new().await, alone());
    // A built-in account.
    let mut by_name = known.clone();
    by_name.1.user_claim = Some("nick".to_owned());
    let refused = enter(&world, &by_name, &token("s1", json!({ "nick": "ana" }))).await.unwrap_err();
    assert_eq!(refused, AccountError::Taken(world.ana.name.clone()));
    let refused = enter(&world, &by_name, &token("s1", json!({ "nick": "ANA" }))).await.unwrap_err();
    assert_eq!(refused, AccountError::Taken(world.ana.name.clone()), "nor one that differs in case alone");
    // Another subject of the same provider that got the same address.
    enter(&world, &known, &token("s1", json!({}))).await.unwrap();
    let refused = enter(&world, &known, &token("s2", json!({}))).await.unwrap_err();
    assert!(matches!(refused, AccountError::Taken(_)));
    // The same subject at another provider.
    let elsewhere = provider("two", "https://two.example");
    let elsewhere = (Providers::new(vec![elsewhere.clone()]).unwrap(), elsewhere);
    let refused = enter(&world, &elsewhere, &token("s1", json!({}))).await.unwrap_err();
    assert!(matches!(refused, AccountError::Taken(_)));
    assert_eq!(world.ledger.count("user.sign_in_failed"), 4);
}

#[tokio::test]
async fn a_name_that_differs_from_another_in_case_alone_is_refused_both_ways() {
    let (world, mut known) = (World::new().await, alone());
    known.1.user_claim = Some("nick".to_owned());
    let built_in = |name: &str| users::NewUser {
        name: UserName::parse(name).unwrap(),
        display_name: name.to_owned(),
        groups: vec![],
        administrator: false,
    };
    let add = async |name: &str| users::add(&world.ports(), built_in(name), "hash".to_owned(), "admin").await;
    // A built-in account in mixed case, as one made before spellings were kept, among more than a page of others.
    let old = User { name: UserName::parse("Zoe").unwrap(), ..world.ana.clone() };
    world.store.commit(Batch::new().insert(&old)).await.unwrap();
    for page in 0..3 {
        let others = (0..500).fold(Batch::new(), |batch, n| {
            let name = UserName::parse(&format!("A{page}-{n}")).unwrap();
            batch.insert(&User { name, ..world.ana.clone() })
        });
        world.store.commit(others).await.unwrap();
    }
    add("Cy").await.unwrap();
    for nick in ["zoe", "Zoe", "ZOE", "cy", "Cy"] {
        let refused = enter(&world, &known, &token("s1", json!({ "nick": nick }))).await.unwrap_err();
        assert!(matches!(refused, AccountError::Taken(_)), "{nick} {refused}");
    }
    // The other way round.
    enter(&world, &known, &token("s2", json!({ "nick": "Dee" }))).await.unwrap();
    for name in ["dee", "Dee", "DEE"] {
        let refused = add(name).await.unwrap_err();
        assert!(matches!(&refused, UserError::Exists(taken) if taken.as_str() == "dee"), "{name} {refused}");
    }
    // Both in the same moment: whichever comes second finds nothing yet, and is still refused.
    let user = User { name: UserName::parse("EVE").unwrap(), ..world.ana.clone() };
    let late = users::with_spelling(&user);
    enter(&world, &known, &token("s3", json!({ "nick": "eve" }))).await.unwrap();
    assert!(matches!(world.store.commit(late).await, Err(StoreError::Conflict { .. })));
}

#[tokio::test]
async fn a_workload_cannot_be_impersonated_by_a_name() {
    let (world, mut known) = (World::new().await, alone());
    known.1.user_claim = Some("nick".to_owned());
    for nick in ["workload:ci", "a b", "é", "", "<b>"] {
        let refused = enter(&world, &known, &token("s1", json!({ "nick": nick }))).await.unwrap_err();
        assert!(matches!(refused, AccountError::BadName(_)), "{nick} {refused}");
    }
}

#[tokio::test]
async fn of_two_first_sign_ins_at_once_one_makes_the_user_and_both_get_it() {
    let (world, known) = (World::new().await, alone());
    let (one, two) = (token("s1", json!({})), token("s1", json!({})));
    let (one, two) = tokio::join!(enter(&world, &known, &one), enter(&world, &known, &two));
    assert_eq!(one.unwrap().user.name, two.unwrap().user.name);
}

#[test]
fn an_address_counts_only_when_it_is_verified_and_the_providers_own() {
    let (providers, mut one) = alone();
    let name = |providers: &Providers, provider: &Provider, claims: Value, userinfo: Option<Value>| {
        let userinfo = userinfo.map(|claims| Claims::unsigned(claims.as_object().unwrap().clone()));
        person(providers, provider, &token("s1", claims), userinfo.as_ref())
            .map(|person| person.name.to_string())
    };
    assert_eq!(
        name(&providers, &one, json!({ "email": "BEA@Example.com" }), None).unwrap(),
        "bea@example.com"
    );
    for unverified in [
        json!({ "email_verified": false }),
        json!({ "email_verified": null }),
        json!({ "email_verified": "true" }),
    ] {
        assert_eq!(name(&providers, &one, unverified, None), Err(AccountError::Unverified));
    }
    let missing = json!({ "email": null, "email_verified": null });
    assert!(matches!(name(&providers, &one, missing.clone(), None), Err(AccountError::NoName(_))));
    let more = json!({ "email": "bea@example.com", "email_verified": true });
    assert_eq!(name(&providers, &one, missing.clone(), Some(more)).unwrap(), "bea@example.com");
    // The word of one answer about an address of another counts for nothing.
    let split =
        name(&providers, &one, json!({ "email_verified": null }), Some(json!({ "email_verified": true })));
    assert_eq!(split, Err(AccountError::Unverified));
    // Domains.
    one.domains = vec!["corp.example".to_owned()];
    let mut rest = provider("rest", "https://rest.example");
    (one.groups, rest.groups) = (Some(vec![]), Some(vec![]));
    let both = Providers::new(vec![one.clone(), rest.clone()]).unwrap();
    let at = |domain: &str| json!({ "email": format!("bea@{domain}") });
    assert!(name(&both, &one, at("corp.example"), None).is_ok());
    assert!(matches!(name(&both, &one, at("example.com"), None), Err(AccountError::NotItsOwn(_))));
    assert!(matches!(name(&both, &rest, at("corp.example"), None), Err(AccountError::NotItsOwn(_))));
    assert!(name(&both, &rest, at("example.com"), None).is_ok());
    one.user_claim = Some("nick".to_owned());
    let both = Providers::new(vec![one.clone(), rest]).unwrap();
    assert!(matches!(name(&both, &one, json!({ "nick": "bea" }), None), Err(AccountError::NotItsOwn(_))));
}

#[test]
fn only_the_groups_that_are_listed_for_a_provider_count() {
    let (providers, mut one) = alone();
    one.groups = Some(vec![GroupName::parse("partners").unwrap()]);
    let token = token("s1", json!({ "groups": ["administrators", "partners"] }));
    assert_eq!(joined(&person(&providers, &one, &token, None).unwrap().groups), "partners");
}

#[test]
fn groups_are_a_list_of_names_and_nonsense_is_left_out_visibly() {
    let (providers, one) = alone();
    let groups = |value: Value| {
        let person = person(&providers, &one, &token("s1", json!({ "groups": value })), None).unwrap();
        (joined(&person.groups), person.groups_problem)
    };
    assert_eq!(groups(json!(["b", "a"])), ("a b".to_owned(), None));
    assert_eq!(groups(json!([])), (String::new(), None));
    let (left, problem) = groups(json!(["a", 7, "", "x\"y", "with space", ["b"], "x".repeat(200)]));
    assert_eq!((left.as_str(), problem.as_deref()), ("a", Some("6 of 7 groups are no group names")));
    for odd in [json!("a"), json!({ "a": true }), json!(null)] {
        let (left, problem) = groups(odd.clone());
        assert!(left.is_empty() && problem.is_some(), "{odd}");
    }
    let many: Vec<String> = (0..1000).map(|n| format!("g{n}")).collect();
    let (left, problem) = groups(json!(many));
    assert_eq!(left.split(' ').count(), limits::PROVIDER_GROUPS);
    assert!(problem.is_some());
}

#[tokio::test]
async fn a_disabled_user_stays_out_and_nobody_is_signed_in_unrecorded() {
    let (world, known) = (World::new().await, alone());
    let user = enter(&world, &known, &token("s1", json!({}))).await.unwrap().user;
    crate::users::disable(&world.ports(), &user.name, "admin").await.unwrap();
    let refused = enter(&world, &known, &token("s1", json!({ "groups": ["leads"] }))).await.unwrap_err();
    assert_eq!(refused, AccountError::Disabled);
    assert_eq!(world.ledger.count("user.groups_changed"), 0);
    world.ledger.set_failing(true);
    let unrecorded = enter(&world, &known, &token("s3", json!({ "email": "cy@example.com" }))).await;
    assert!(matches!(unrecorded, Err(AccountError::Trouble(_))));
}
