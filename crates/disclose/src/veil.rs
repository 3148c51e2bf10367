//! Rules compiled once, and what they make of a message.

use crate::class::{BUILT_IN, Class, Treatment};
use crate::find::{CARD, IBAN, NATIONAL_ID, PHONE};
use crate::text::Screener;
use crate::treat::Keys;
use crate::walk;
use portunus_core::limits;
use portunus_core::secret::Secret;
use regex::Regex;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The classes that can be looked for: the built-in ones and an operator's. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Classes(Arc<Vec<(Class, Regex)>>);

/// Why an operator's class cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// More than [`limits::PATTERNS`].
    #[error("more than {max} classes of values", max = limits::PATTERNS)]
    TooMany,
    /// A built-in class cannot be given another meaning.
    #[error("the class {0:?} is built in and has its own rules; choose another name")]
    BuiltIn(String),
    /// Longer than [`limits::PATTERN_BYTES`].
    #[error("the pattern of class {0:?} is longer than {max} bytes", max = limits::PATTERN_BYTES)]
    TooLong(String),
    /// Not a regular expression, or one that compiles to more than [`limits::PATTERN_COMPILED_BYTES`].
    #[error("the pattern of class {class:?} cannot be used: {why}")]
    Invalid {
        /// The class.
        class: String,
        /// What the compiler says.
        why: String,
    },
    /// It matches the empty text, so it would match everywhere.
    #[error("the pattern of class {0:?} matches the empty text; let it require at least one character")]
    MatchesNothing(String),
}

/// What is done for one caller.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// What is done with the values of each class; the values of other classes stay.
    pub treatments: BTreeMap<Class, Treatment>,
    /// Count the values of all classes, also of those that stay.
    pub count_all: bool,
    /// The key of tokens and hashes. Tokens compare within one key: give one per grant.
    pub key: Option<Secret<[u8; 32]>>,
}

/// Rules that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// A class that has no pattern.
    #[error("there is no class of values {0:?}: give it a pattern, or use a built-in class")]
    UnknownClass(String),
    /// A token or hash is wanted, and there is no key.
    #[error("values of class {0:?} are to be replaced by tokens or hashes, which need a key")]
    NoKey(String),
}

/// Why a message cannot be screened, and so must not be released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScreenError {
    /// Not UTF-8.
    #[error("the message is not valid UTF-8")]
    NotUtf8,
    /// Not one JSON value.
    #[error("the message is not JSON (at byte {0})")]
    NotJson(usize),
    /// Nested deeper than [`limits::JSON_DEPTH`].
    #[error("the message is nested deeper than {max} levels", max = limits::JSON_DEPTH)]
    TooDeep,
}

/// A message as the caller may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screened<'a> {
    /// Its bytes; borrowed when nothing was changed.
    pub body: Cow<'a, [u8]>,
    /// How many values of each class were found, whether they were changed or not.
    pub found: BTreeMap<Class, usize>,
}

impl Classes {
    /// The built-in classes and these, each found by a regular expression (syntax of the crate `regex`: linear time, no
    /// look-around). It is matched against text as it is read: JSON escapes resolved, full-width characters as ASCII.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn new(patterns: &BTreeMap<String, String>) -> Result<Self, PatternError> {
        if patterns.len() > limits::PATTERNS {
            return Err(PatternError::TooMany);
        }
        patterns
            .iter()
            .map(|(name, pattern)| compile(name, pattern))
            .collect::<Result<_, _>>()
            .map(|all| Self(Arc::new(all)))
    }

    /// Compiles the rules for a caller: microseconds, patterns are shared.
    ///
    /// # Errors
    /// See [`RulesError`].
    pub fn veil(&self, rules: &Rules) -> Result<Veil, RulesError> {
        let mut treatments = vec![None; BUILT_IN.len() + self.0.len()];
        for (class, treatment) in &rules.treatments {
            let unknown = || RulesError::UnknownClass(class.name().to_owned());
            let slot =
                self.all().position(|known| known == class).and_then(|index| treatments.get_mut(index));
            *slot.ok_or_else(unknown)? = Some(*treatment);
            if matches!(treatment, Treatment::Token | Treatment::Hash) && rules.key.is_none() {
                return Err(RulesError::NoKey(class.name().to_owned()));
            }
        }
        let keys = rules.key.as_ref().map(Keys::new);
        let wanted = Wanted::new(self.clone(), |index| {
            rules.count_all || treatments.get(index).is_some_and(Option::is_some)
        });
        Ok(Veil(Arc::new(Rule { wanted, treatments, keys })))
    }

    /// All classes in the order of their indices.
    fn all(&self) -> impl Iterator<Item = &Class> {
        BUILT_IN.iter().chain(self.0.iter().map(|(class, _)| class))
    }

    pub(crate) fn class(&self, index: usize) -> Option<&Class> {
        self.all().nth(index)
    }
}

fn compile(name: &str, pattern: &str) -> Result<(Class, Regex), PatternError> {
    let invalid = |why: String| PatternError::Invalid { class: name.to_owned(), why };
    let class =
        match name.parse().map_err(|error: crate::class::ClassNameError| invalid(error.to_string()))? {
            class @ Class::Custom(_) => class,
            _ => return Err(PatternError::BuiltIn(name.to_owned())),
        };
    if pattern.len() > limits::PATTERN_BYTES {
        return Err(PatternError::TooLong(name.to_owned()));
    }
    let regex = regex::RegexBuilder::new(pattern)
        .size_limit(limits::PATTERN_COMPILED_BYTES)
        .dfa_size_limit(limits::PATTERN_COMPILED_BYTES)
        .nest_limit(32)
        .build()
        .map_err(|error| invalid(error.to_string()))?;
    if regex.is_match("") {
        return Err(PatternError::MatchesNothing(name.to_owned()));
    }
    Ok((class, regex))
}

/// The classes that are looked for.
pub(crate) struct Wanted {
    classes: Classes,
    bits: u128,
}

impl Wanted {
    fn new(classes: Classes, wanted: impl Fn(usize) -> bool) -> Self {
        let bits = (0..BUILT_IN.len() + classes.0.len()).filter(|index| wanted(*index));
        let bits = bits.fold(0, |bits, index| bits | 1 << index);
        Self { classes, bits }
    }

    pub(crate) const fn has(&self, class: usize) -> bool {
        self.bits >> class & 1 != 0
    }

    pub(crate) const fn has_digits(&self) -> bool {
        self.has(CARD) || self.has(PHONE) || self.has(IBAN) || self.has(NATIONAL_ID)
    }

    pub(crate) const fn has_patterns(&self) -> bool {
        self.bits >> BUILT_IN.len() != 0
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bits == 0
    }

    pub(crate) fn patterns(&self) -> impl Iterator<Item = (usize, &Regex)> {
        let numbered = self.classes.0.iter().enumerate();
        let numbered = numbered.map(|(index, (_, pattern))| (index + BUILT_IN.len(), pattern));
        numbered.filter(|(index, _)| self.has(*index))
    }
}

/// One caller's rules. Cheap to clone and to share.
#[derive(Clone)]
pub struct Veil(pub(crate) Arc<Rule>);

pub(crate) struct Rule {
    pub(crate) wanted: Wanted,
    pub(crate) treatments: Vec<Option<Treatment>>,
    pub(crate) keys: Option<Keys>,
}

impl fmt::Debug for Veil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = self.0.wanted.classes.all().zip(&self.0.treatments);
        f.debug_map()
            .entries(classes.filter_map(|(class, treatment)| Some((class.name(), (*treatment)?))))
            .finish()
    }
}

impl Veil {
    /// Whether nothing is looked for, so that every message passes as it is.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.0.wanted.is_empty()
    }

    /// A JSON-RPC message, whole. Looked at is every string, every number and every key, but for what one side makes up and
    /// the other hands back: `id`, progress tokens, cursors, task ids, `requestState`. Linear.
    ///
    /// # Errors
    /// When it cannot be read as JSON: then it must be withheld. With [`Veil::is_clear`] it is not read at all.
    pub fn screen<'a>(&self, message: &'a [u8]) -> Result<Screened<'a>, ScreenError> {
        if self.is_clear() {
            return Ok(Screened { body: Cow::Borrowed(message), found: BTreeMap::new() });
        }
        let text = std::str::from_utf8(message).map_err(|_| ScreenError::NotUtf8)?;
        let mut screener = Screener::new(&self.0);
        let edits = walk::message(text, &mut screener)?;
        let body = match edits.is_empty() {
            true => Cow::Borrowed(message),
            false => Cow::Owned(crate::text::apply(text, &edits).into_bytes()),
        };
        Ok(Screened { body, found: self.named(&screener.counts) })
    }

    /// Plain text, whole; JSON in it is read as JSON. Linear.
    #[must_use]
    pub fn screen_text<'a>(&self, text: &'a str) -> (Cow<'a, str>, BTreeMap<Class, usize>) {
        if self.is_clear() {
            return (Cow::Borrowed(text), BTreeMap::new());
        }
        let mut screener = Screener::new(&self.0);
        let edits = screener.text(text, None, 0);
        let out =
            if edits.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(crate::text::apply(text, &edits)) };
        (out, self.named(&screener.counts))
    }

    /// Counts by class instead of by index.
    pub(crate) fn named(&self, counts: &[usize]) -> BTreeMap<Class, usize> {
        let numbered = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        numbered
            .filter_map(|(index, count)| Some((self.0.wanted.classes.class(index)?.clone(), *count)))
            .collect()
    }
}

impl Rule {
    pub(crate) fn name(&self, class: usize) -> &str {
        self.wanted.classes.class(class).map_or("value", Class::name)
    }
}
