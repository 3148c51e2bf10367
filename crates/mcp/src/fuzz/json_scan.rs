//! The strict scan beside serde_json: accepted means the same tree, refused means a reason that is really there.

use crate::json::{self, Bounds, JsonErrorKind, Kind, Part, Raw, Scan, fold};
use serde_json::Value;
use std::collections::BTreeSet;

/// A text is accepted exactly when serde_json reads it and nothing in it can be read differently; bounds are exact; the
/// values found without a tree are those of the tree.
///
/// # Panics
/// When that does not hold.
pub fn json_scan(data: &[u8]) {
    let bounds = Bounds::default();
    let scanned = json::scan(data, &bounds);
    let tree = serde_json::from_slice::<Value>(data);
    if let Ok(tree) = &tree {
        // Whatever anybody reads as JSON, a look without a scan sees alike.
        let skimmed = json::skim(data);
        assert!(skimmed.is_some(), "serde_json reads what cannot be skimmed");
        skimmed.inspect(|raw| assert_same(*raw, tree));
    }
    match (&scanned, &tree) {
        (Ok(scan), Ok(tree)) => {
            assert!(!collides(scan.root()), "two keys of one object are the same for some parser");
            assert_same(scan.root(), tree);
            assert_parts(scan);
            assert_exact(data, scan);
        }
        (Ok(_), Err(error)) => assert!(tree.is_ok(), "accepted, but serde_json refuses it: {error}"),
        (Err(error), _) => {
            assert!(error.at <= data.len(), "{error}: beyond the text");
            let ours_alone = match error.kind {
                JsonErrorKind::DuplicateKey(_) | JsonErrorKind::CollidingKeys(_) => {
                    // What stands before the second key need not be followed by anything well-formed.
                    tree.is_err() || json::skim(data).is_some_and(collides)
                }
                JsonErrorKind::TooLong(_)
                | JsonErrorKind::TooDeep(_)
                | JsonErrorKind::TooManyMembers(_)
                | JsonErrorKind::IntegerRange
                | JsonErrorKind::NumberLength => true,
                _ => tree.is_err(),
            };
            assert!(ours_alone, "refused without a reason: {error}");
        }
    }
}

/// A value is what serde_json makes of it; of equal keys the last one counts there.
fn assert_same(raw: Raw<'_>, tree: &Value) {
    let same = match tree {
        Value::Null => raw.kind() == Kind::Null,
        Value::Bool(value) => raw.bool() == Some(*value),
        Value::Number(value) => {
            raw.number() == value.as_f64() && raw.is_integer() == is_integer(raw.text(), value)
        }
        Value::String(text) => raw.string().as_deref() == Some(text),
        Value::Array(items) => {
            raw.elements().zip(items).for_each(|(raw, item)| assert_same(raw, item));
            raw.kind() == Kind::Array && raw.elements().count() == items.len()
        }
        Value::Object(members) => {
            let found: Vec<_> = raw.members().collect();
            for (key, value) in members {
                let last = found.iter().rev().find(|(name, _)| name == key);
                assert!(last.is_some(), "the key {key:?} is not found");
                last.inspect(|(_, raw)| assert_same(*raw, value));
            }
            raw.kind() == Kind::Object && found.iter().all(|(name, _)| members.contains_key(&**name))
        }
    };
    assert!(same, "{} is not {tree}", raw.text());
}

/// Integers too large for serde_json's are floats there, but written as integers.
fn is_integer(text: &str, value: &serde_json::Number) -> bool {
    value.is_i64() || value.is_u64() || text.len() > 18 && !text.contains(['.', 'e', 'E'])
}

fn collides(raw: Raw<'_>) -> bool {
    let mut folded = BTreeSet::new();
    raw.members().any(|(key, value)| !folded.insert(fold(&key)) || collides(value))
        || raw.elements().any(collides)
}

/// The members that a scan keeps are those that a walk finds.
fn assert_parts(scan: &Scan<'_>) {
    let root = scan.root();
    let params = root.get("params");
    let of = |raw: Option<Raw<'_>>| -> Vec<(String, String)> {
        let members = raw.into_iter().flat_map(Raw::members);
        members.map(|(key, value)| (key.into_owned(), value.text().to_owned())).collect()
    };
    for (part, raw) in [
        (Part::Root, Some(root)),
        (Part::Params, params),
        (Part::Meta, params.and_then(|params| params.get("_meta"))),
        (Part::Result, root.get("result")),
    ] {
        let kept = scan.members(part).map(|(key, value)| (key.to_owned(), value.text().to_owned()));
        let mut kept: Vec<_> = kept.collect();
        // Members are kept when they end: inner ones of the same name do not come between.
        let mut walked = of(raw);
        kept.sort();
        walked.sort();
        assert!(kept == walked, "{part:?}: {kept:?} was kept of {walked:?}");
    }
}

/// One byte, level or member less than there are is too few; just as many are enough.
fn assert_exact(data: &[u8], scan: &Scan<'_>) {
    let (depth, members) = size(scan.root());
    let exact = Bounds { bytes: data.len(), depth, members };
    assert!(json::scan(data, &exact).is_ok(), "refused within its own bounds");
    let refused = |bounds: &Bounds| json::scan(data, bounds).map_err(|error| error.kind).err();
    let shorter = Bounds { bytes: data.len().saturating_sub(1), ..exact };
    assert!(matches!(refused(&shorter), Some(JsonErrorKind::TooLong(_))), "longer than it may be");
    if depth > 0 {
        let flatter = Bounds { depth: depth - 1, ..exact };
        assert!(matches!(refused(&flatter), Some(JsonErrorKind::TooDeep(_))), "deeper than it may be");
    }
    if members > 0 {
        let fewer = Bounds { members: members - 1, ..exact };
        assert!(matches!(refused(&fewer), Some(JsonErrorKind::TooManyMembers(_))), "more than there may be");
    }
}

/// Depth, and members and elements.
fn size(raw: Raw<'_>) -> (usize, usize) {
    let inner = raw.members().map(|(_, value)| value).chain(raw.elements()).map(size);
    let (deepest, members) =
        inner.fold((0, 0), |(deepest, sum), (depth, members)| (deepest.max(depth), sum + members + 1));
    (deepest + usize::from(matches!(raw.kind(), Kind::Array | Kind::Object)), members)
}
