//! Rows of a tool's result: counting them, and cutting them alike in `structuredContent` and in the text beside it, so that
//! the model and the picture see the same.
//!
//! What cannot be told is `None`, never a guess: whoever has a limit to keep then refuses.

use portunus_mcp::json::{self, Kind, Raw};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Range;

/// Names under which tools put their rows.
const NAMES: [&str; 7] = ["rows", "items", "results", "records", "data", "result", "values"];
/// Bytes of a text without line ends that counts as a remark of one row.
const REMARK_BYTES: usize = 512;
/// Lines beside a table in a text that count as remarks.
const REMARK_LINES: usize = 3;
/// Objects within objects in which rows are looked for.
const DEPTH: usize = 3;

/// A message with its rows cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capped<'a> {
    /// Its bytes; borrowed when no row was cut.
    pub body: Cow<'a, [u8]>,
    /// Rows that were left out: the most of any place.
    pub left_out: usize,
}

/// How many rows a message's result has: the most of any place in it. 0 for messages without a result; `None` when it cannot
/// be told.
#[must_use]
pub fn count(message: &[u8]) -> Option<usize> {
    Some(places(message)?.iter().map(Place::count).max().unwrap_or(0))
}

/// Cuts each place that holds rows to at most `rows`. `None` when it cannot be told where they are, or when more would be
/// left, also within one row: `json_agg(c)` puts a table into it. What `string_agg` joins cannot be told from a text.
#[must_use]
pub fn cap(message: &[u8], rows: usize) -> Option<Capped<'_>> {
    let places = places(message)?;
    let left_out = places.iter().map(|place| place.count().saturating_sub(rows)).max().unwrap_or(0);
    if left_out == 0 {
        return Some(Capped { body: Cow::Borrowed(message), left_out });
    }
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut blocks = rows;
    for place in &places {
        // Rows in blocks of their own are one list.
        let allowed = if place.is_block { blocks } else { rows };
        if place.is_block {
            blocks = blocks.saturating_sub(place.own);
        }
        edits.extend(place.cut(message, allowed)?);
    }
    edits.sort_by_key(|(range, _)| range.start);
    let (mut out, mut at) = (Vec::with_capacity(message.len()), 0);
    for (range, to) in &edits {
        out.extend_from_slice(message.get(at..range.start)?);
        out.extend_from_slice(to.as_bytes());
        at = range.end;
    }
    out.extend_from_slice(message.get(at..)?);
    // What is left may be read as something else than what was cut.
    count(&out).filter(|left| *left <= rows)?;
    Some(Capped { body: Cow::Owned(out), left_out })
}

/// A value or a text that holds rows.
struct Place<'a> {
    value: Raw<'a>,
    rows: Rows,
    /// Rows of it that this place has by itself, and of all blocks before it together with it.
    own: usize,
    total: usize,
    is_block: bool,
}

/// How rows stand in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rows {
    /// None that could be cut: a remark, a picture, one object.
    Fixed(usize),
    /// Ranges of the rows, each with what separates it from the one before, and how many rows are elsewhere or within one.
    Ranges(Vec<Range<usize>>, usize),
}

impl Rows {
    fn count(&self) -> usize {
        match self {
            Self::Fixed(count) => *count,
            Self::Ranges(rows, elsewhere) => rows.len().max(*elsewhere),
        }
    }

    /// The text with the rows after the first `allowed` left out.
    fn cut(&self, text: &str, allowed: usize) -> Option<String> {
        let Self::Ranges(rows, elsewhere) = self else { return None };
        if *elsewhere > allowed {
            return None;
        }
        let (first, last) = (rows.get(allowed)?, rows.last()?);
        // Without any row before it, the separator behind the first one goes with it.
        Some(format!("{}{}", text.get(..first.start)?, text.get(last.end..)?))
    }
}

impl<'a> Place<'a> {
    fn new(value: Raw<'a>, rows: Rows) -> Self {
        let own = rows.count();
        Self { value, rows, own, total: own, is_block: false }
    }

    const fn count(&self) -> usize {
        self.total
    }

    /// The edit that leaves `allowed` rows; none when there are no more. `None` when it cannot be done.
    fn cut(&self, message: &[u8], allowed: usize) -> Option<Option<(Range<usize>, String)>> {
        if self.own <= allowed {
            return Some(None);
        }
        let range = self.value.range_in(message)?;
        let to = match (&self.rows, self.value.string()) {
            // A block that is one row becomes an empty one, so that the others keep their places.
            (Rows::Fixed(_), Some(_)) if self.is_block => "\"\"".to_owned(),
            (rows, Some(text)) => {
                let cut = rows.cut(&text, allowed)?;
                // A header without its rows would be read as a line of text.
                let bare = allowed == 0 && of_text(&cut).is_none_or(|left| left.count() > 0);
                serde_json::Value::from(if bare { String::new() } else { cut }).to_string()
            }
            (rows, None) => rows.cut(self.value.text(), allowed)?,
        };
        Some(Some((range, to)))
    }
}

/// Every place of a message that may hold rows.
fn places(message: &[u8]) -> Option<Vec<Place<'_>>> {
    let root = json::skim(message).filter(|root| root.kind() == Kind::Object)?;
    let mut places = Vec::new();
    let Some(result) = root.get("result") else { return Some(places) };
    if let Some(structured) = result.get("structuredContent") {
        places.push(Place::new(structured, of_value(structured)?));
    }
    if let Some(meta) = result.get("_meta") {
        // Widgets get data here too. It is nobody's list by contract, so it is counted and not cut.
        places.push(Place::new(meta, Rows::Fixed(largest(meta, 0)?)));
    }
    let mut blocks = Vec::new();
    for block in ["content", "contents"].iter().filter_map(|name| result.get(name)).flat_map(Raw::elements) {
        blocks.extend(of_block(block)?);
    }
    let mut total = 0;
    let many = blocks.len() > 1;
    for place in &mut blocks {
        total += place.own;
        place.total = if many { total } else { place.own };
        place.is_block = many;
    }
    places.extend(blocks);
    Some(places)
}

/// The rows of a content block or of a resource's contents; an empty list for pictures and links.
fn of_block(block: Raw<'_>) -> Option<Option<Place<'_>>> {
    let block = block.get("resource").unwrap_or(block);
    let text = block.get("text").filter(|text| text.kind() == Kind::String);
    match (text, block.get("type").and_then(Raw::string).as_deref()) {
        (Some(text), _) => Some(Some(Place::new(text, of_text(&text.string()?)?))),
        (None, Some("image" | "audio" | "resource_link")) => Some(None),
        _ => None,
    }
}

/// The rows of a JSON value; its ranges are within the value's own text.
fn of_value(value: Raw<'_>) -> Option<Rows> {
    let Some(array) = locate(value, 0) else {
        let elsewhere = largest(value, 0)?;
        // Columns instead of rows: several lists of one length.
        return if elsewhere <= 1 { Some(Rows::Fixed(1)) } else { Some(Rows::Fixed(elsewhere)) };
    };
    let text = value.text();
    let inside = array.range_in(text.as_bytes())?;
    let mut start = inside.start + 1;
    let (mut rows, mut nested) = (Vec::new(), 0);
    for element in array.elements() {
        nested = nested.max(within(element, 0)?);
        let end = element.range_in(text.as_bytes())?.end;
        rows.push(start..end);
        start = end;
    }
    // Arrays beside the rows, not those within them.
    let before = text.get(..inside.start)?;
    let after = text.get(inside.end..)?;
    let others = format!("{before}null{after}");
    let elsewhere = largest(json::skim(others.as_bytes())?, 0)?;
    Some(Rows::Ranges(rows, elsewhere.max(nested)))
}

/// The array that holds the rows of a value.
fn locate(value: Raw<'_>, depth: usize) -> Option<Raw<'_>> {
    if value.kind() == Kind::Array {
        return Some(value);
    }
    if depth == DEPTH {
        return None;
    }
    let named = |kind| {
        value
            .members()
            .filter(move |(key, member)| NAMES.contains(&&**key) && member.kind() == kind)
            .map(|(_, member)| member)
    };
    let count = |array: &Raw<'_>| array.elements().count();
    named(Kind::Array)
        .max_by_key(count)
        .or_else(|| named(Kind::Object).find_map(|member| locate(member, depth + 1)))
        .or_else(|| {
            let arrays: Vec<_> =
                value.members().map(|(_, member)| member).filter(|m| m.kind() == Kind::Array).collect();
            let largest = arrays.iter().max_by_key(|array| count(array))?;
            let alike = arrays.iter().filter(|array| count(array) == count(largest)).count();
            (alike == 1).then_some(*largest)
        })
}

/// Elements of the largest array at any depth; `None` when it is nested too deep to tell. Short lists of plain values, such
/// as tags and column names, count where they are longer than a table's rows only.
fn largest(value: Raw<'_>, depth: usize) -> Option<usize> {
    if depth > portunus_core::limits::JSON_DEPTH {
        return None;
    }
    let mut most = 0;
    match value.kind() {
        Kind::Array => {
            let mut nested = false;
            let mut count = 0;
            for element in value.elements() {
                nested |= matches!(element.kind(), Kind::Array | Kind::Object);
                most = most.max(largest(element, depth + 1)?);
                count += 1;
            }
            most = most.max(if nested { count } else { 0 });
        }
        Kind::Object => {
            for (key, member) in value.members() {
                let plain = member.kind() == Kind::Array
                    && !matches!(&*key, "columns" | "fields" | "headers" | "tags");
                let count = if plain { member.elements().count() } else { 0 };
                most = most.max(largest(member, depth + 1)?).max(count);
            }
        }
        _ => {}
    }
    Some(most)
}

/// Elements of the largest array in the cells of a row, at any depth and also in texts that are JSON: what `json_agg` and
/// `json_group_array` make of a table. `None` when it is nested too deep to tell.
fn within(row: Raw<'_>, depth: usize) -> Option<usize> {
    if depth > portunus_core::limits::JSON_DEPTH {
        return None;
    }
    let cell = |cell: Raw<'_>| {
        let own = if cell.kind() == Kind::Array { cell.elements().count() } else { 0 };
        Some(within(cell, depth + 1)?.max(own))
    };
    match row.kind() {
        Kind::Array => row.elements().try_fold(0, |most, element| Some(most.max(cell(element)?))),
        Kind::Object => row.members().try_fold(0, |most, (_, member)| Some(most.max(cell(member)?))),
        Kind::String
            if row.text().get(1..).is_some_and(|text| text.trim_start().starts_with(['[', '{', '\\'])) =>
        {
            let text = row.string()?;
            let json = strict(text.trim()).filter(|value| matches!(value.kind(), Kind::Array | Kind::Object));
            json.map_or(Some(0), |value| {
                let own = if value.kind() == Kind::Array { value.elements().count() } else { 0 };
                Some(within(value, depth + 1)?.max(own))
            })
        }
        _ => Some(0),
    }
}

/// The rows of a text: JSON, JSON lines, a Markdown table, values with commas or tabs, or what Python prints for a list.
fn of_text(text: &str) -> Option<Rows> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Some(Rows::Fixed(0));
    }
    let shift = text.len() - text.trim_start().len();
    if let Some(value) = strict(trimmed) {
        if matches!(value.kind(), Kind::Array | Kind::Object) {
            return Some(match of_value(value)? {
                Rows::Ranges(rows, elsewhere) => Rows::Ranges(shifted(rows, shift), elsewhere),
                fixed => fixed,
            });
        }
        return Some(Rows::Fixed(1));
    }
    if let Some((rows, nested)) = python_list(trimmed) {
        return Some(Rows::Ranges(shifted(rows, shift), nested));
    }
    let lines = lines(text);
    let is_json = |line: &&Range<usize>| {
        text.get((*line).clone()).is_some_and(|line| {
            strict(line.trim()).is_some_and(|v| matches!(v.kind(), Kind::Array | Kind::Object))
        })
    };
    if lines.len() > 1 && lines.iter().filter(is_json).count() == lines.len() {
        let nested = lines
            .iter()
            .try_fold(0, |most, line| Some(most.max(within(strict(text.get(line.clone())?.trim())?, 0)?)))?;
        return Some(Rows::Ranges(lines, nested));
    }
    markdown(text, &lines)
        .or_else(|| separated(text, &lines))
        .or_else(|| (lines.len() == 1 && trimmed.len() <= REMARK_BYTES).then_some(Rows::Fixed(1)))
}

fn strict(text: &str) -> Option<Raw<'_>> {
    serde_json::from_str::<&RawValue>(text).ok()?;
    json::skim(text.as_bytes())
}

fn shifted(rows: Vec<Range<usize>>, by: usize) -> Vec<Range<usize>> {
    rows.into_iter().map(|row| row.start + by..row.end + by).collect()
}

/// The lines that are not blank, each with its line end.
fn lines(text: &str) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        if !line.trim().is_empty() {
            lines.push(start..start + line.len());
        }
        start += line.len();
    }
    lines
}

/// A Markdown table: a header, a line of dashes, rows; and few lines beside it.
fn markdown(text: &str, lines: &[Range<usize>]) -> Option<Rows> {
    let line = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default().trim();
    let is_rule = |range: &Range<usize>| {
        let line = line(range);
        line.contains('-')
            && line.contains('|')
            && line.chars().all(|sign| matches!(sign, '|' | '-' | ':' | ' ' | '+'))
    };
    let rule = lines.iter().position(is_rule).filter(|rule| *rule > 0)?;
    let rows: Vec<_> =
        lines.get(rule + 1..)?.iter().take_while(|range| line(range).contains('|')).cloned().collect();
    let beside = lines.len() - rows.len() - 2;
    (beside <= REMARK_LINES).then_some(Rows::Ranges(rows, 0))
}

/// Lines of values with the same number of commas, tabs, semicolons or bars; the first is a header when it has no number.
fn separated(text: &str, lines: &[Range<usize>]) -> Option<Rows> {
    let line = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
    let first = line(lines.first()?);
    let separator =
        [b'\t', b'|', b';', b','].into_iter().find(|separator| first.as_bytes().contains(separator))?;
    let count = |range: &Range<usize>| {
        let mut quoted = false;
        line(range)
            .bytes()
            .filter(|byte| {
                quoted ^= *byte == b'"';
                !quoted && *byte == separator
            })
            .count()
    };
    let columns = count(lines.first()?);
    let alike = lines.len() > 1 && columns > 0 && lines.iter().all(|range| count(range) == columns);
    let header = usize::from(!first.bytes().any(|byte| byte.is_ascii_digit()));
    alike.then(|| Rows::Ranges(lines.get(header..).unwrap_or_default().to_vec(), 0))
}

/// The elements of what Python prints for a list or tuple of rows: `[{'id': 1}, …]`, `[(1, 'a'), …]`; and how many elements
/// the largest list within one has.
fn python_list(text: &str) -> Option<(Vec<Range<usize>>, usize)> {
    let bytes = text.as_bytes();
    if !matches!((bytes.first()?, bytes.last()?), (b'[', b']') | (b'(', b')')) {
        return None;
    }
    let end = bytes.len() - 1;
    let (mut rows, mut start, mut at) = (Vec::new(), 1, 1);
    // Of each bracket that is open, the elements so far; 0 for dictionaries, and for calls such as `Decimal('1')`.
    let (mut open, mut nested): (Vec<usize>, usize) = (Vec::new(), 0);
    while at < end {
        match bytes.get(at)? {
            quote @ (b'\'' | b'"') => at = python_string(bytes, at, *quote)?,
            b'[' | b'(' => {
                let call =
                    at.checked_sub(1).and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
                open.push(usize::from(!call));
            }
            b'{' => open.push(0),
            b']' | b')' | b'}' => {
                let elements = open.pop()?;
                nested = if open.is_empty() { nested } else { nested.max(elements) };
            }
            b',' => match open.last_mut() {
                Some(elements) => *elements += usize::from(*elements > 0),
                None => {
                    rows.push(start..at);
                    start = at;
                }
            },
            _ => {}
        }
        at += 1;
    }
    let last = text.get(start..end)?.trim_matches([',', ' ', '\n']);
    if !last.is_empty() {
        rows.push(start..end);
    }
    open.is_empty().then_some((rows, nested))
}

/// The offset of the quote that ends the string which starts at `at`.
fn python_string(bytes: &[u8], at: usize, quote: u8) -> Option<usize> {
    let mut end = at + 1;
    loop {
        match *bytes.get(end)? {
            b'\\' => end += 2,
            byte if byte == quote => return Some(end),
            _ => end += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn message(text: &str, structured: Option<Value>) -> Vec<u8> {
        let mut result = json!({ "content": [{ "type": "text", "text": text }] });
        if let Some(structured) = structured {
            result["structuredContent"] = structured;
        }
        json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string().into_bytes()
    }

    fn capped(message: &[u8], rows: usize) -> Value {
        serde_json::from_slice(&cap(message, rows).unwrap().body).unwrap()
    }

    #[test]
    fn rows_are_counted_and_cut_in_every_form_they_come_in() {
        for (text, shorter) in [
            (r#"[{"a":1},{"a":2},{"a":3}]"#, r#"[{"a":1},{"a":2}]"#),
            (
                r#"{"columns":["a","b","c","d"],"rows":[[1],[2],[3]],"more":false}"#,
                r#"{"columns":["a","b","c","d"],"rows":[[1],[2]],"more":false}"#,
            ),
            (r#"{"result":{"rows":[1, 2, 3]}}"#, r#"{"result":{"rows":[1, 2]}}"#),
            (r#"{"customers":[{"a":1},{"a":2},{"a":3}]}"#, r#"{"customers":[{"a":1},{"a":2}]}"#),
            ("{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n", "{\"a\":1}\n{\"a\":2}\n"),
            (
                "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |\n\n3 rows",
                "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\n3 rows",
            ),
            (
                "[{'a': 1, 'b': \"O'Brien, ]\"}, {'a': 2}, {'a': 3}]",
                "[{'a': 1, 'b': \"O'Brien, ]\"}, {'a': 2}]",
            ),
            ("[(1, 'x\\'y'), (2, 'z'), (3, None)]", "[(1, 'x\\'y'), (2, 'z')]"),
            ("id,name\n1,a\n2,\"b,c\"\n3,d", "id,name\n1,a\n2,\"b,c\"\n"),
            ("1\ta\n2\tb\n3\tc\n", "1\ta\n2\tb\n"),
        ] {
            let message = message(text, None);
            assert_eq!(count(&message), Some(3), "{text}");
            assert_eq!(capped(&message, 2)["result"]["content"][0]["text"], shorter);
            assert_eq!(cap(&message, 2).unwrap().left_out, 1);
            assert_eq!(cap(&message, 3).unwrap(), Capped { body: Cow::Borrowed(&message[..]), left_out: 0 });
            let none = capped(&message, 0)["result"]["content"][0]["text"].as_str().unwrap().to_owned();
            assert_eq!(count(&self::message(&none, None)), Some(0), "{none}");
        }
    }

    #[test]
    fn a_table_within_a_row_is_counted_and_not_released() {
        let many = json!([{ "c": 1 }, { "c": 2 }, { "c": 3 }, { "c": 4 }]);
        for rows in [
            json!({ "rows": [{ "json_agg": many }] }),
            json!({ "rows": [{ "tags": ["a", "b", "c", "d"] }] }),
            json!([[[1, 2, 3, 4]], [[]]]),
            json!({ "rows": [{ "a": { "b": [1, 2, 3, 4] } }] }),
            json!({ "rows": [[many.to_string()]] }),
            json!({ "rows": [{ "a": json!({ "b": many }).to_string() }] }),
        ] {
            for message in [message("x", Some(rows.clone())), message(&rows.to_string(), None)] {
                assert_eq!(count(&message), Some(4), "{rows}");
                assert_eq!(cap(&message, 3), None, "{rows}");
                assert!(cap(&message, 4).is_some_and(|capped| capped.left_out == 0), "{rows}");
            }
        }
        for text in ["{\"a\":[1,2,3,4]}\n{\"a\":[]}", "[{'a': ['x', 2, (3, 3), 4]}, {'a': Decimal('1')}]"] {
            let message = message(text, None);
            assert_eq!((count(&message), cap(&message, 3)), (Some(4), None), "{text}");
        }
        let dates = message("[(1, datetime.date(2026, 1, 2)), (2, datetime.date(2026, 1, 3))]", None);
        assert_eq!(count(&dates), Some(2));
    }

    #[test]
    fn text_and_structure_are_cut_alike() {
        let rows = json!({ "rows": [[1, "a"], [2, "b"], [3, "c"]] });
        let message = message(&rows.to_string(), Some(rows));
        let shown = capped(&message, 1);
        assert_eq!(shown["result"]["structuredContent"], json!({ "rows": [[1, "a"]] }));
        assert_eq!(shown["result"]["content"][0]["text"], r#"{"rows":[[1,"a"]]}"#);
        let remark = self::message("3 rows found", Some(json!({ "rows": [1, 2, 3] })));
        assert_eq!(count(&remark), Some(3));
        assert_eq!(capped(&remark, 1)["result"]["content"][0]["text"], "3 rows found");
    }

    #[test]
    fn rows_in_blocks_of_their_own_are_one_list() {
        let block = |n: u32| json!({ "type": "text", "text": format!("{{\"id\":{n}}}") });
        let message = json!({ "id": 1, "result": { "content": [block(1), block(2), block(3)] } }).to_string();
        assert_eq!(count(message.as_bytes()), Some(3));
        let shown = capped(message.as_bytes(), 2);
        assert_eq!(shown["result"]["content"], json!([block(1), block(2), { "type": "text", "text": "" }]));
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        let meta = json!({ "id": 1, "result": { "content": [], "_meta": { "app/rows": [[1], [2], [3]] } } })
            .to_string();
        assert_eq!(count(meta.as_bytes()), Some(3));
        assert_eq!(cap(meta.as_bytes(), 2), None);
        let columns = json!({ "id": 1, "result": { "structuredContent": { "id": [1, 2, 3], "name": ["a", "b", "c"] } } });
        assert_eq!(cap(columns.to_string().as_bytes(), 2), None);
        let two = json!({ "id": 1, "result": { "structuredContent": { "rows": [1, 2], "extra": [[1], [2], [3]] } } });
        assert_eq!(count(two.to_string().as_bytes()), Some(3));
        assert_eq!(cap(two.to_string().as_bytes(), 2), None);
        let prose =
            message("Ana earns 10.\nBea earns 20.\nCleo earns 30.\nDora is new here, since May.", None);
        assert_eq!((count(&prose), cap(&prose, 1)), (None, None));
        let blob =
            json!({ "id": 1, "result": { "contents": [{ "uri": "x:y", "blob": "QUJD" }] } }).to_string();
        assert_eq!(count(blob.as_bytes()), None);
        assert_eq!(count(b"[1,2"), None);
        assert_eq!(count(br#"{"id":1,"error":{"code":1,"message":"x"}}"#), Some(0));
    }
}
