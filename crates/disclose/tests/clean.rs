//! Values that belong to no class stay as they are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::type_complexity,
    missing_docs,
    reason = "tests"
)]

mod common;

use common::{clean, veil};
use portunus_disclose::class::Treatment;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[test]
fn of_clean_values_at_most_one_in_a_hundred_is_touched() {
    let veil = veil(Treatment::Mask);
    let (mut all, mut touched) = (0, 0);
    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
    let mut kinds = 0;
    for (kind, values) in clean(600) {
        kinds += 1;
        let mut here = 0;
        for value in &values {
            let number = value.parse::<u64>().ok().filter(|n| n.to_string() == *value);
            for shown in [Some(Value::from(value.as_str())), number.map(Value::from)].into_iter().flatten() {
                let message =
                    json!({ "id": 1, "result": { "structuredContent": { "value": shown } } }).to_string();
                let screened = veil.screen(message.as_bytes()).unwrap();
                all += 1;
                if screened.body.as_ref() != message.as_bytes() {
                    here += 1;
                    if here <= 2 {
                        println!("    {value:?} {:?}", screened.found);
                    }
                    for class in screened.found.keys() {
                        *classes.entry(class.to_string()).or_default() += 1;
                    }
                }
            }
        }
        touched += here;
        println!("{kind:24} {here:5} of {}", values.len());
        assert!(here * 100 <= values.len() * 5, "{kind}: {here} of {}", values.len());
    }
    println!("{touched} of {all} values of {kinds} kinds touched: {classes:?}");
    assert!(kinds >= 30 && all >= 20_000);
    assert!(touched * 100 <= all, "{touched} of {all}");
}
