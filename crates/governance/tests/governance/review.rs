use crate::support::{NOW, ago, credential, days, identities};
use portunus_core::document::{Credential, Review};
use portunus_core::id::UserName;
use portunus_core::time::Rng;
use portunus_governance::review::{Due, ReviewError, due, open, say, whole};
use std::sync::atomic::{AtomicU8, Ordering};

struct Count(AtomicU8);
impl Rng for Count {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed));
    }
}

fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

fn campaign(reviewers: &[UserName]) -> Result<Vec<Review>, ReviewError> {
    let owned = |name: &str, owner: &str| Credential { owner: Some(owner.to_owned()), ..credential(name) };
    let all = vec![
        owned("a", "Ana"),
        owned("b", "bo"),
        owned("c", "ana"),
        Credential { revoked_at: Some(ago(1)), ..owned("over", "bo") },
    ];
    open("2027-q1", &identities(all, vec![]), reviewers, (NOW, days(14)), &Count(AtomicU8::new(0)))
}

#[test]
fn nobody_reviews_what_is_theirs_and_what_is_over_is_not_reviewed() {
    let reviews = campaign(&[user("ana"), user("bo"), user("cy")]).unwrap();
    assert_eq!(reviews.len(), 3);
    for review in &reviews {
        assert!(
            !review.owner.as_deref().unwrap().eq_ignore_ascii_case(review.reviewer.as_str()),
            "{review:?}"
        );
    }
    assert!(matches!(campaign(&[user("ana")]), Err(ReviewError::NobodyMay { .. })));
    assert!(matches!(campaign(&[]), Err(ReviewError::NobodyMay { .. })));
}

#[test]
fn only_the_reviewer_says_it_once_in_time_and_with_a_reason() {
    let review = campaign(&[user("cy")]).unwrap().remove(0);
    let told = |review: &Review, by: &str, why: &str, now| {
        say(review, &user(by), (true, why), now, "https://edge.example", |s| format!("signed {}", s.identity))
    };
    assert!(matches!(told(&review, "ana", "mine", NOW), Err(ReviewError::NotYours(_))));
    assert!(matches!(told(&review, "bo", "x", NOW), Err(ReviewError::NotYours(_))));
    assert!(matches!(told(&review, "cy", " ", NOW), Err(ReviewError::Why)));
    assert!(matches!(told(&review, "cy", "x", review.due_at), Err(ReviewError::Late(_))));
    let said = told(&review, "cy", "still used", NOW).unwrap();
    assert_eq!(said.verdict.as_ref().unwrap().signed, "signed credential:a");
    assert!(matches!(told(&said, "cy", "again", NOW), Err(ReviewError::Said(_))));
    // An owner who took the identity over after the campaign began does not become its reviewer by that.
    let forged = Review { reviewer: user("ana"), ..review };
    assert!(matches!(told(&forged, "ana", "x", NOW), Err(ReviewError::NotYours(_))));
}

#[test]
fn silence_and_a_no_disable_and_a_yes_closes() {
    let review = campaign(&[user("cy")]).unwrap().remove(0);
    assert_eq!(due(&review, NOW), Due::Nothing);
    assert!(matches!(due(&review, review.due_at), Due::Disable(why) if why.contains("said nothing")));
    let say = |keep| say(&review, &user("cy"), (keep, "because"), NOW, "i", |_| String::new()).unwrap();
    assert_eq!(due(&say(true), NOW), Due::Close);
    assert!(matches!(due(&say(false), NOW), Due::Disable(why) if why.contains("because")));
    let closed = Review { closed_at: Some(NOW), ..say(false) };
    assert_eq!(due(&closed, review.due_at), Due::Nothing);
}

#[test]
fn a_campaign_is_there_as_a_whole_or_not_at_all() {
    let all = campaign(&[user("ana"), user("bo"), user("cy")]).unwrap();
    let older = Review { campaign: "2026-q1".to_owned(), of: 0, ..all[0].clone() };
    let (there, cut_off) = whole([&all[..], std::slice::from_ref(&older)].concat());
    assert_eq!((there.len(), cut_off.len()), (4, 0));
    let (there, cut_off) = whole([&all[..2], std::slice::from_ref(&older)].concat());
    assert_eq!((there, cut_off.len()), (vec![older], 2));
}
