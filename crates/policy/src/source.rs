//! Policy files into single policies, each with its place, its words and what it looks at.

use crate::approver::{self, Approver};
use crate::looks::{self, Looks};
use crate::model::Source;
use crate::names::nearest;
use crate::problem::{Problem, Severity};
use crate::step_up::StepUp;
use cedar_policy::{Effect, Policy, PolicyId};
use miette::Diagnostic;
use portunus_core::limits;
use portunus_core::treatment::Treatment;
use std::collections::HashMap;

/// One policy of a file.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) policy: Policy,
    pub(crate) id: String,
    pub(crate) file: usize,
    /// Bytes from the start of the file to its first token.
    pub(crate) offset: usize,
    pub(crate) line: usize,
    /// `@reason`
    pub(crate) reason: Option<String>,
    /// `@approvable`
    pub(crate) approver: Option<String>,
    /// `@step_up`
    pub(crate) step_up: Option<StepUp>,
    /// `@mask`
    pub(crate) treatment: Option<Treatment>,
    pub(crate) looks: Looks,
    /// Whether a condition mentions the action.
    pub(crate) asks_for_action: bool,
    /// The policy as far as it can be decided without arguments; `None` when it then decides nothing.
    pub(crate) without_arguments: Option<Policy>,
}

/// Annotations that mean something.
const ANNOTATIONS: [&str; 5] = ["id", "reason", "approvable", "step_up", "mask"];

/// Parses all files; what cannot be parsed becomes a problem.
pub(crate) fn parse(sources: &[Source], problems: &mut Vec<Problem>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut seen: HashMap<String, String> = HashMap::new();
    if sources.iter().map(|source| source.text.len()).sum::<usize>() > limits::POLICY_BYTES {
        let message = format!("the policies are longer than {} bytes together", limits::POLICY_BYTES);
        let path = sources.first().map_or_else(String::new, |source| source.path.clone());
        problems.push(Problem {
            severity: Severity::Error,
            path,
            line: 1,
            column: 1,
            message,
            hint: String::new(),
        });
        return rules;
    }
    for (file, source) in sources.iter().enumerate() {
        for (offset, text) in split(&source.text) {
            let Some(rule) = parse_one(source, file, offset, text, problems) else { continue };
            let place = format!("{}:{}", source.path, rule.line);
            if let Some(first) = seen.insert(rule.id.clone(), place) {
                let message = format!("there is already a policy with the id `{}`, at {first}", rule.id);
                problems.push(error(source, offset, message, "Give each policy an @id of its own."));
            } else {
                rules.push(rule);
            }
        }
    }
    rules
}

fn parse_one(
    source: &Source,
    file: usize,
    offset: usize,
    text: &str,
    problems: &mut Vec<Problem>,
) -> Option<Rule> {
    let (line, column) = position(&source.text, offset);
    let own = format!("{}:{line}:{column}", source.path);
    let policy = match Policy::parse(Some(PolicyId::new(&own)), text) {
        Ok(policy) => policy,
        Err(errors) => {
            problems.extend(errors.iter().map(|e| diagnosed(source, offset, e, e.to_string())));
            return None;
        }
    };
    let before = problems.len();
    let id = annotation(source, offset, &policy, "id", problems).unwrap_or(own);
    let reason = annotation(source, offset, &policy, "reason", problems);
    let approvable = annotation(source, offset, &policy, "approvable", problems);
    let approver = approvable.and_then(|text| approver_of(source, offset, &text, problems));
    let lift = annotation(source, offset, &policy, "step_up", problems);
    for (name, _) in policy.annotations().filter(|(name, _)| !ANNOTATIONS.contains(name)) {
        if let Some(meant) = nearest(name, ANNOTATIONS) {
            let message = format!("the annotation @{name} has no meaning");
            problems.push(warning(source, offset, message, &format!("Did you mean @{meant}?")));
        }
    }
    let parsed = policy.to_json().ok().and_then(|json| {
        let looks = looks::of(&json);
        let asks_for_action = looks::mentions_action(&json);
        let without = looks::without_arguments(json, approver.is_some() || lift.is_some(), looks)?;
        let id = Some(PolicyId::new(&id));
        Some((
            looks,
            asks_for_action,
            match without {
                Some(json) => Some(Policy::from_json(id, json).ok()?),
                None => None,
            },
        ))
    });
    let Some((looks, asks_for_action, without_arguments)) = parsed else {
        problems.push(error(
            source,
            offset,
            "this policy cannot be analysed".to_owned(),
            "Write it more simply.",
        ));
        return None;
    };
    if approver.is_some() {
        check_approvable(source, offset, &policy, looks, problems);
    }
    let step_up =
        lift.and_then(|text| step_up(source, offset, &policy, &text, approver.is_some(), looks, problems));
    let treatment = annotation(source, offset, &policy, "mask", problems)
        .and_then(|word| treatment(source, offset, &policy, &word, problems));
    let fine = problems.iter().skip(before).all(|problem| problem.severity == Severity::Warning);
    let policy = policy.new_id(PolicyId::new(&id));
    fine.then_some(Rule {
        policy,
        id,
        file,
        offset,
        line,
        reason,
        approver,
        step_up,
        treatment,
        looks,
        asks_for_action,
        without_arguments,
    })
}

/// Whom an `@approvable` asks, in the one way it is written.
fn approver_of(source: &Source, offset: usize, text: &str, problems: &mut Vec<Problem>) -> Option<String> {
    let read = Approver::parse(text);
    if let Err(why) = &read {
        let message = format!("@approvable(\"{}\"): {why}", text.escape_debug());
        problems.push(error(source, offset, message, approver::HINT));
    }
    read.ok().map(|approver| approver.to_string())
}

/// An approval must be able to lift what is `@approvable`.
fn check_approvable(
    source: &Source,
    offset: usize,
    policy: &Policy,
    looks: Looks,
    problems: &mut Vec<Problem>,
) {
    if policy.effect() == Effect::Permit {
        let message = "only a forbid can be @approvable".to_owned();
        problems.push(error(
            source,
            offset,
            message,
            "Permit the action, and forbid it without an approval.",
        ));
    } else if !looks.contains(Looks::APPROVAL) {
        let message = "this forbid is @approvable, but no approval lifts it".to_owned();
        problems.push(error(source, offset, message, "Add: unless { context has approval }"));
    }
}

/// What a `@step_up` says, if it makes sense there.
fn step_up(
    source: &Source,
    offset: usize,
    policy: &Policy,
    text: &str,
    approvable: bool,
    looks: Looks,
    problems: &mut Vec<Problem>,
) -> Option<StepUp> {
    let read = StepUp::parse(text);
    let needed = read.as_ref().map_or(Looks::NOTHING, |read| {
        let scopes = if read.scopes.is_empty() { Looks::NOTHING } else { Looks::SCOPES };
        if read.needs_sign_in() { scopes.and(Looks::SIGN_IN) } else { scopes }
    });
    let (message, hint) = if let Err(why) = read {
        (
            format!("@step_up(\"{}\") cannot be read: {why}", text.escape_debug()),
            "Example: @step_up(\"scope sales:write; max_age 300\")",
        )
    } else if policy.effect() == Effect::Permit {
        (
            "only a forbid can have a @step_up".to_owned(),
            "Permit the action, and forbid it without the scope.",
        )
    } else if approvable {
        ("a forbid cannot be both @approvable and lifted by a @step_up".to_owned(), "Write two policies.")
    } else if !looks.contains(needed) {
        let message = "this forbid looks at nothing that its @step_up would change".to_owned();
        (
            message,
            "Add: unless { context.scopes.contains(\"…\") }, or context.sign_in.age_seconds, or context.sign_in.acr",
        )
    } else {
        return read.ok();
    };
    problems.push(error(source, offset, message, hint));
    None
}

/// What a `@mask` says, if it makes sense there.
fn treatment(
    source: &Source,
    offset: usize,
    policy: &Policy,
    word: &str,
    problems: &mut Vec<Problem>,
) -> Option<Treatment> {
    let read = Treatment::parse(word);
    let words = Treatment::ALL.map(Treatment::as_str);
    let (message, hint) = if read.is_none() {
        let hint = match nearest(word, words) {
            Some(meant) => format!("Did you mean `{meant}`?"),
            None => format!("Write one of {}.", words.join(", ")),
        };
        (format!("there is no treatment `{}`", word.escape_debug()), hint)
    } else if policy.effect() == Effect::Permit {
        let hint = "Values are shown by default; forbid what may not be shown as it is.".to_owned();
        ("only a forbid can have a @mask".to_owned(), hint)
    } else if !crate::check::names_action(policy, "disclose") {
        let hint = "Write: forbid (principal, action == Action::\"disclose\", resource == …)".to_owned();
        ("a @mask belongs to a forbid of Action::\"disclose\"".to_owned(), hint)
    } else {
        return read;
    };
    problems.push(error(source, offset, message, &hint));
    None
}

/// An annotation's text, which must be fit to be shown.
fn annotation(
    source: &Source,
    offset: usize,
    policy: &Policy,
    name: &str,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let text = policy.annotation(name)?;
    let bytes = limits::POLICY_ANNOTATION_BYTES;
    if text.trim().is_empty() || text.len() > bytes || text.chars().any(is_unprintable) {
        let message = format!("@{name} must be 1 to {bytes} bytes of plain text on one line");
        problems.push(error(source, offset, message, ""));
        return None;
    }
    Some(text.to_owned())
}

/// Control characters, and formatting characters that change how the text around them is shown.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Splits a file at the semicolons that end policies. Cedar has them nowhere else but in strings and comments.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let mut start = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '/' if chars.peek().is_some_and(|(_, next)| *next == '/') => {
                while chars.next_if(|(_, c)| *c != '\n').is_some() {}
            }
            c if c.is_whitespace() => {}
            _ => {
                let from = *start.get_or_insert(at);
                if c == '"' {
                    skip_string(&mut chars);
                } else if c == ';' {
                    pieces.extend(text.get(from..=at).map(|piece| (from, piece)));
                    start = None;
                }
            }
        }
    }
    pieces.extend(start.and_then(|from| text.get(from..).map(|piece| (from, piece))));
    pieces
}

fn skip_string(chars: &mut impl Iterator<Item = (usize, char)>) {
    while let Some((_, c)) = chars.next() {
        match c {
            '"' => return,
            '\\' => {
                chars.next();
            }
            _ => {}
        }
    }
}

/// Line and column, both from 1, of a byte offset.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
    (before.matches('\n').count() + 1, column)
}

/// A problem at a place that a parser or validator pointed out; `offset` is where the policy starts.
pub(crate) fn diagnosed(source: &Source, offset: usize, what: &dyn Diagnostic, message: String) -> Problem {
    let label = what.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset());
    let hint = what.help().map_or_else(String::new, |help| help.to_string());
    error(source, offset + label, message, &hint)
}

/// An error at a byte offset.
pub(crate) fn error(source: &Source, offset: usize, message: String, hint: &str) -> Problem {
    let (line, column) = position(&source.text, offset);
    let (path, hint) = (source.path.clone(), hint.to_owned());
    Problem { severity: Severity::Error, path, line, column, message, hint }
}

/// A warning at a byte offset.
pub(crate) fn warning(source: &Source, offset: usize, message: String, hint: &str) -> Problem {
    Problem { severity: Severity::Warning, ..error(source, offset, message, hint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_strings_and_comments_do_not_split() {
        let text = "// a; b\npermit(principal, action, resource) when { \"x;\\\";\" == \"//\" }; // c;\n  forbid(a);\n rest";
        let pieces = split(text);
        let starts: Vec<_> = pieces.iter().map(|(at, _)| position(text, *at)).collect();
        assert_eq!(starts, [(2, 1), (3, 3), (4, 2)]);
        assert!(pieces[0].1.ends_with("\"//\" };"), "{pieces:?}");
        assert_eq!(split("// nothing"), []);
    }
}
