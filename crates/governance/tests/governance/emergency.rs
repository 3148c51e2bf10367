use crate::support::{NOW, server_name, user};
use portunus_core::document::{Emergency, User};
use portunus_core::id::{CredentialName, GroupName, UserName};
use portunus_core::testing::CountingRng;
use portunus_core::time::Timestamp;
use portunus_governance::emergency::{Asked, Due, EmergencyError, ask, due, end, say};
use std::time::Duration;

fn group() -> GroupName {
    GroupName::parse("responders").unwrap()
}

fn responder(name: &str) -> User {
    User { groups: vec![group()], ..user(name, None) }
}

fn asked(minutes: u64) -> Asked {
    Asked {
        user: UserName::parse("ana").unwrap(),
        server: server_name("sales"),
        credential: CredentialName::parse("sales-db").ok(),
        reason: "the shop is down".to_owned(),
        time: Duration::from_secs(minutes * 60),
    }
}

fn at(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn new(minutes: u64) -> Emergency {
    ask(asked(minutes), Some(&group()), &[], NOW, &CountingRng::default()).unwrap()
}

#[test]
fn nothing_can_be_asked_for_where_nobody_may_allow_it() {
    let rng = CountingRng::default();
    assert_eq!(ask(asked(30), None, &[], NOW, &rng), Err(EmergencyError::Nobody));
    for (wrong, error) in [
        (Asked { reason: " ".to_owned(), ..asked(30) }, EmergencyError::Reason),
        (Asked { reason: "a\nb".to_owned(), ..asked(30) }, EmergencyError::Reason),
        (Asked { reason: "x".repeat(2000), ..asked(30) }, EmergencyError::Reason),
        (asked(0), EmergencyError::Time),
        (asked(61), EmergencyError::Time),
    ] {
        assert_eq!(ask(wrong, Some(&group()), &[], NOW, &rng), Err(error));
    }
    let open = [new(30)];
    assert_eq!(ask(asked(30), Some(&group()), &open, NOW, &rng), Err(EmergencyError::Open), "once a server");
}

#[test]
fn two_others_start_it_and_an_hour_ends_it() {
    let (bo, cy) = (responder("bo"), responder("cy"));
    let ana = responder("ana");
    let waiting = new(60);
    assert_eq!(say(&waiting, &ana, (true, None), &[], NOW), Err(EmergencyError::Own), "not even a responder");
    let spelt = User { name: UserName::parse("ANA").unwrap(), ..responder("x") };
    assert_eq!(say(&waiting, &spelt, (true, None), &[], NOW), Err(EmergencyError::Own));
    let stranger = user("dee", None);
    assert_eq!(say(&waiting, &stranger, (true, None), &[], NOW), Err(EmergencyError::NotYours(group())));
    let admin = User { administrator: true, ..user("root", None) };
    assert_eq!(say(&waiting, &admin, (true, None), &[], NOW), Err(EmergencyError::NotYours(group())));

    let one = say(&waiting, &bo, (true, None), &[], at(10)).unwrap();
    assert!(one.allowed_at.is_none() && !one.is_active(at(10)), "one yes is none");
    assert_eq!(say(&one, &bo, (true, None), std::slice::from_ref(&bo), at(11)), Err(EmergencyError::Twice));
    let two = say(&one, &cy, (true, None), std::slice::from_ref(&bo), at(20)).unwrap();
    assert!(two.is_active(at(20)) && two.is_active(at(20 + 3599)));
    assert!(!two.is_active(at(20 + 3600)), "an hour after the second yes it is over");
    assert_eq!(due(&two, at(21)), Due::Nothing);
    assert!(matches!(due(&two, at(20 + 3600)), Due::End(_)));
    assert_eq!(say(&two, &responder("eve"), (true, None), &[], at(30)), Err(EmergencyError::Over));

    let ended = end(&two, "ana", "done", at(100)).unwrap();
    assert!(!ended.is_active(at(100)));
    assert_eq!(due(&ended, at(100)), Due::Close);
    assert_eq!(end(&ended, "ana", "done", at(101)), Err(EmergencyError::Over));
    assert_eq!(due(&Emergency { closed_at: Some(at(101)), ..ended }, at(9999)), Due::Nothing);
}

#[test]
fn a_yes_counts_only_as_long_as_it_could_be_said_again() {
    let (bo, cy) = (responder("bo"), responder("cy"));
    let one = say(&new(10), &bo, (true, None), &[], at(1)).unwrap();
    for gone in [user("bo", None), User { disabled_at: Some(NOW), ..responder("bo") }] {
        let two = say(&one, &cy, (true, None), &[gone], at(2)).unwrap();
        assert!(!two.is_active(at(2)), "bo has no say any more");
        let three = say(&two, &responder("dee"), (true, None), std::slice::from_ref(&cy), at(3)).unwrap();
        assert!(three.is_active(at(3)));
    }
    let denied = say(&one, &cy, (false, Some("no")), std::slice::from_ref(&bo), at(2)).unwrap();
    assert_eq!(
        say(&denied, &responder("dee"), (true, None), std::slice::from_ref(&bo), at(3)),
        Err(EmergencyError::Over)
    );
    assert_eq!(say(&one, &cy, (true, None), &[bo], at(24 * 3600)), Err(EmergencyError::Over), "too late");
}
