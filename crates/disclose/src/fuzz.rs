//! What must hold for any message and any text, screened and cut: the body of the fuzz target `mask` (`fuzz/`). A broken promise panics.

use crate::class::{BUILT_IN, Treatment};
use crate::rows;
use crate::stream::Stream;
use crate::veil::{Classes, Rules, Veil};
use portunus_core::secret::Secret;
use serde_json::Value;
use std::sync::LazyLock;

/// Values that must not pass wherever they stand on a line of their own.
const CANARIES: [&str; 4] = [
    "canary.user@example.com",
    "DE89370400440532013000",
    "4111 1111 1111 1111",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
];

/// Everything masked, replaced by tokens, dropped.
static VEILS: LazyLock<Vec<Veil>> = LazyLock::new(|| {
    let veil = |treatment| {
        let treatments = BUILT_IN.iter().map(|class| (class.clone(), treatment)).collect();
        let key = Some(Secret::new([7; 32]));
        Classes::default().veil(&Rules { treatments, count_all: true, key }).ok()
    };
    [Treatment::Mask, Treatment::Token, Treatment::Drop].into_iter().filter_map(veil).collect()
});

/// `data` as a message, as plain text, and as text in pieces.
///
/// # Panics
/// When a promise is broken.
pub fn mask(data: &[u8]) {
    assert!(VEILS.len() == 3);
    for (index, veil) in VEILS.iter().enumerate() {
        message(veil, data, index == 0);
        pieces(veil, data);
    }
    if let (Ok(text), Some(veil)) = (std::str::from_utf8(data), VEILS.first()) {
        canaries(veil, text);
    }
    for most in [0, 1, 3] {
        cut(data, most);
    }
}

/// What is cut to some rows has no more, is JSON if it was, and is not cut again.
fn cut(data: &[u8], most: usize) {
    let Some(capped) = rows::cap(data, most) else { return };
    let left = rows::count(&capped.body);
    assert!(left.is_some_and(|left| left <= most), "{left:?} rows are left of at most {most}");
    assert!((capped.left_out == 0) == (capped.body == data), "rows were cut in silence");
    if serde_json::from_slice::<Value>(data).is_ok() {
        let after = serde_json::from_slice::<Value>(&capped.body);
        assert!(after.is_ok(), "JSON is no JSON any more: {after:?}");
    }
    let again = rows::cap(&capped.body, most);
    assert!(again.is_some_and(|again| again.left_out == 0 && again.body == capped.body), "cut twice");
}

/// JSON stays JSON of the same shape; once masked is masked for good.
fn message(veil: &Veil, data: &[u8], is_mask: bool) {
    let Ok(screened) = veil.screen(data) else { return };
    let again = veil.screen(data).map(|again| again.body == screened.body);
    assert!(again == Ok(true), "two readings differ");
    let twice = veil.screen(&screened.body).map(|twice| twice.body == screened.body);
    assert!(twice.is_ok(), "what was screened cannot be read: {twice:?}");
    // A token can look like a value of another class.
    assert!(!is_mask || twice == Ok(true), "a value was left for the second time");
    if screened.found.is_empty() {
        assert!(screened.body == data, "changed without a reason");
    }
    let Ok(before) = serde_json::from_slice::<Value>(data) else { return };
    let after = serde_json::from_slice::<Value>(&screened.body);
    assert!(after.is_ok(), "JSON is no JSON any more: {after:?}");
    after.iter().for_each(|after| assert_shape(&before, after));
    assert!(!screened.found.is_empty() || after.is_ok_and(|after| after == before));
}

/// The same arrays and objects; a value may have become a string or nothing.
fn assert_shape(before: &Value, after: &Value) {
    match (before, after) {
        (Value::Array(before), Value::Array(after)) => {
            assert!(before.len() == after.len(), "elements went missing");
            before.iter().zip(after).for_each(|(before, after)| assert_shape(before, after));
        }
        (Value::Object(_), Value::Object(_)) => {}
        (Value::Array(_) | Value::Object(_) | Value::Bool(_) | Value::Null, after) => {
            assert!(
                std::mem::discriminant(before) == std::mem::discriminant(after),
                "{before} became {after}"
            );
        }
        (Value::String(_) | Value::Number(_), after) => {
            assert!(!after.is_array() && !after.is_object(), "{before} became {after}");
        }
    }
}

/// What is released of a stream does not depend on how it was cut.
fn pieces(veil: &Veil, data: &[u8]) {
    let fed = |size: usize| {
        let mut stream = Stream::new(veil.clone());
        let mut out = Vec::new();
        data.chunks(size).for_each(|piece| out.extend(stream.feed(piece)));
        let (rest, found) = stream.finish();
        out.extend(rest);
        (out, found)
    };
    let whole = fed(data.len().max(1));
    for size in [1, 3, 16, 61] {
        assert!(fed(size) == whole, "what is released depends on how the text was cut");
    }
}

/// A value on a line of its own is found whatever stands around it, in text and in a message.
fn canaries(veil: &Veil, text: &str) {
    let middle = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let (before, after) = text.split_at_checked(middle).unwrap_or((text, ""));
    for canary in CANARIES.iter().filter(|canary| !text.contains(**canary)) {
        let planted = format!("{before}\n{canary}\n{after}");
        let (screened, found) = veil.screen_text(&planted);
        assert!(!screened.contains(canary) && !found.is_empty(), "{canary} passes in text");
        let content = serde_json::json!({ "content": [{ "type": "text", "text": planted }] });
        let message = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "result": content }).to_string();
        // As it is read: an escape such as `\u0014` can end like the canary begins.
        let screened = veil.screen(message.as_bytes()).ok();
        let read = screened.and_then(|screened| serde_json::from_slice::<Value>(&screened.body).ok());
        let shown = read.as_ref().and_then(|read| read.pointer("/result/content/0/text")?.as_str());
        assert!(
            shown.is_some_and(|shown| !shown.contains(canary)),
            "{canary} passes in a message: {shown:?}"
        );
    }
}
