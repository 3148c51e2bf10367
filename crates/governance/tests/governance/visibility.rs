use crate::support::{NOW, ago, credential, identities, usage};
use portunus_core::document::{Credential, TestOutcome, Tested};
use portunus_governance::visibility::{missing, visibility};

fn tested(days: u64) -> Option<Tested> {
    Some(Tested { at: ago(days), version: 1, outcome: TestOutcome::Dead, detail: String::new() })
}

#[test]
fn only_what_is_known_in_full_counts_and_the_unknown_counts_as_failing() {
    let full = Credential { tested: tested(10), ..credential("full") };
    let found = identities(vec![full.clone()], vec![usage("full", "bo", "query", ago(1))]);
    let share = visibility(&found, Vec::new(), NOW);
    assert_eq!((share.known, share.all, share.per_mille), (1, 1, 1000), "{share:?}");

    // Each thing that is not known takes it away, and is named.
    let without = [
        ("owner", Credential { owner: None, ..full.clone() }),
        ("owner", Credential { owner: Some("  ".to_owned()), ..full.clone() }),
        ("purpose", Credential { purpose: " ".to_owned(), ..full.clone() }),
        ("expiry", Credential { expires_at: None, ..full.clone() }),
        ("rotation", Credential { rotation: None, ..full.clone() }),
        ("revocation tested ≤ 90 days ago", Credential { tested: None, ..full.clone() }),
        ("revocation tested ≤ 90 days ago", Credential { tested: tested(91), ..full.clone() }),
        ("upstream", Credential { hosts: Vec::new(), ..full.clone() }),
    ];
    for (field, credential) in without {
        let found = identities(vec![credential], vec![usage("full", "bo", "query", ago(1))]);
        assert_eq!(visibility(&found, Vec::new(), NOW).known, 0, "{field}");
        assert_eq!(missing(&found[0], NOW), [field]);
    }
    let unused = identities(vec![full], Vec::new());
    assert_eq!(missing(&unused[0], NOW), ["observed use"]);
}

#[test]
fn what_ended_is_not_counted_and_an_empty_house_is_no_success() {
    let ended = [
        Credential { revoked_at: Some(ago(1)), ..credential("revoked") },
        Credential { expires_at: Some(ago(1)), ..credential("expired") },
    ];
    let share = visibility(&identities(ended.to_vec(), Vec::new()), vec!["a spot".to_owned()], NOW);
    assert_eq!((share.known, share.all, share.per_mille), (0, 0, 0));
    assert_eq!(share.blind_spots, ["a spot"]);
}
