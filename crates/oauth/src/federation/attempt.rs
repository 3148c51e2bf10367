//! One sign-in under way. It is kept by the browser that began it, in a cookie of its own, so nothing grows here with what
//! strangers begin; an answer counts only together with that cookie, which no other browser has.

use super::metadata::Metadata;
use super::provider::Provider;
use crate::form::Form;
use crate::text;
use data_encoding::BASE64URL_NOPAD;
use portunus_core::digest::{equal, sha256};
use portunus_core::limits;
use portunus_core::time::{Rng, Timestamp};
use std::time::Duration;

/// Bytes of the page to go on to, in a cookie together with the rest.
const NEXT_BYTES: usize = 3500;

/// What a browser must bring back.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The provider's short name.
    pub provider: String,
    /// Ties the answer to this browser (RFC 6749 section 10.12).
    pub state: String,
    /// Ties the ID token to this attempt.
    pub nonce: String,
    /// PKCE (RFC 7636).
    pub verifier: String,
    /// When it began.
    pub at: Timestamp,
    /// What was asked of the sign-in.
    pub wishes: Wishes,
    /// The page to go on to.
    pub next: String,
}

/// What a sign-in must be like, passed on to the provider (OpenID Connect Core section 3.1.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wishes {
    /// It must not be older.
    pub max_age: Option<Duration>,
    /// It must be of one of these classes.
    pub acr_values: Vec<String>,
    /// The person must sign in anew.
    pub again: bool,
}

/// Why an answer of a provider was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Begun too long ago.
    #[error("it took too long")]
    TooLate,
    /// Not the answer to what this browser began, or of another provider.
    #[error("the answer is not of the provider that this browser was sent to")]
    Foreign,
    /// The provider says no; its words, cleaned.
    #[error("the identity provider says: {0}")]
    Refused(String),
    /// Neither code nor error.
    #[error("the answer of the identity provider has no code")]
    NoCode,
}

impl Wishes {
    /// What an authorization request among our own pages asks of the sign-in.
    #[must_use]
    pub fn of_page(next: &str) -> Self {
        let Some((_, query)) = next.split_once('?') else { return Self::default() };
        let Ok(form) = Form::parse(query.as_bytes()) else { return Self::default() };
        let is_class = |class: &&str| {
            (1..=limits::AMR_BYTES).contains(&class.len()) && class.bytes().all(|b| b.is_ascii_graphic())
        };
        let classes = form.get("acr_values").unwrap_or_default().split(' ').filter(is_class);
        Self {
            max_age: form.get("max_age").and_then(|age| age.parse().ok()).map(Duration::from_secs),
            acr_values: classes.take(limits::AMR_VALUES).map(str::to_owned).collect(),
            again: form.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|word| word == "login")),
        }
    }
}

impl Attempt {
    /// Begins one; `None` when `next` is too long to be carried through.
    #[must_use]
    pub fn begin(provider: &Provider, next: &str, now: Timestamp, rng: &dyn Rng) -> Option<Self> {
        let random = || {
            let mut bytes = [0_u8; 32];
            rng.fill(&mut bytes);
            BASE64URL_NOPAD.encode(&bytes)
        };
        let next = cookie_text(next);
        (next.len() <= NEXT_BYTES).then(|| Self {
            provider: provider.id.clone(),
            state: random(),
            nonce: random(),
            verifier: random(),
            at: now,
            wishes: Wishes::of_page(&next),
            next,
        })
    }

    /// The end of the name of its cookie: several may be under way in one browser.
    #[must_use]
    pub fn label(&self) -> &str {
        label(&self.state)
    }

    /// The cookie's value.
    #[must_use]
    pub fn to_cookie(&self) -> String {
        let Self { provider, state, nonce, verifier, at, next, .. } = self;
        format!("{provider}|{state}|{nonce}|{verifier}|{}|{next}", at.as_secs())
    }

    /// From the cookie's value.
    #[must_use]
    pub fn from_cookie(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, '|');
        let mut part = || parts.next().map(str::to_owned);
        let (provider, state, nonce, verifier) = (part()?, part()?, part()?, part()?);
        let at = Timestamp::from_secs(part()?.parse().ok()?);
        let next = part()?;
        let random = |text: &String| text.len() == 43;
        let sound = [&state, &nonce, &verifier].into_iter().all(random);
        let wishes = Wishes::of_page(&next);
        sound.then_some(Self { provider, state, nonce, verifier, at, wishes, next })
    }

    /// How old the sign-in may be that the provider answers with: one that is wished for anew happens after this began.
    #[must_use]
    pub fn oldest(&self, now: Timestamp) -> Option<Duration> {
        let since = self.wishes.again.then(|| now.since(self.at));
        self.wishes.max_age.into_iter().chain(since).min()
    }

    /// Where the browser is sent (OpenID Connect Core section 3.1.2.1, RFC 7636 section 4.3); `login_hint` is the address
    /// that was typed, if one was.
    #[must_use]
    pub fn location(
        &self,
        provider: &Provider,
        metadata: &Metadata,
        redirect_uri: &str,
        login_hint: Option<&str>,
    ) -> String {
        let scopes: Vec<&str> =
            std::iter::once("openid").chain(provider.scopes.iter().map(String::as_str)).collect();
        let challenge = BASE64URL_NOPAD.encode(&sha256(&[self.verifier.as_bytes()]).0);
        let mut url = metadata.authorization.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &self.state)
            .append_pair("nonce", &self.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let max_age = self.wishes.max_age.unwrap_or(limits::ANY_SIGN_IN_AGE);
        query.append_pair("max_age", &max_age.as_secs().to_string());
        if !self.wishes.acr_values.is_empty() {
            query.append_pair("acr_values", &self.wishes.acr_values.join(" "));
        }
        if let Some(hint) = login_hint {
            query.append_pair("login_hint", hint);
        }
        if self.wishes.again {
            query.append_pair("prompt", "login");
        }
        drop(query);
        url.into()
    }

    /// The code in a provider's answer, if this is the answer to this attempt (RFC 6749 section 4.1.2, RFC 9207).
    ///
    /// # Errors
    /// See [`AnswerError`].
    pub fn code<'a>(
        &self,
        answer: &'a Form,
        provider: &Provider,
        metadata: &Metadata,
        now: Timestamp,
    ) -> Result<&'a str, AnswerError> {
        let state = answer.get("state").unwrap_or_default();
        if self.provider != provider.id || !equal(state.as_bytes(), self.state.as_bytes()) {
            return Err(AnswerError::Foreign);
        }
        if now.since(self.at) > limits::ATTEMPT_TTL {
            return Err(AnswerError::TooLate);
        }
        // RFC 9207 section 2.4: compared whenever it is there, demanded where it is promised; errors too.
        let of_provider = match answer.get("iss") {
            Some(issuer) => issuer == provider.issuer,
            None => !metadata.names_issuer,
        };
        if !of_provider {
            return Err(AnswerError::Foreign);
        }
        if let Some(error) = answer.get("error") {
            let words = answer.get("error_description").unwrap_or(error);
            return Err(AnswerError::Refused(text::clean(words, 200).unwrap_or_else(|| "no".to_owned())));
        }
        answer.get("code").ok_or(AnswerError::NoCode)
    }
}

/// The end of the name of the cookie of the attempt with this state.
#[must_use]
pub fn label(state: &str) -> &str {
    let whole =
        state.len() == 43 && state.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    state.get(..8).filter(|_| whole).unwrap_or("none")
}

/// The octets that a cookie cannot hold (RFC 6265 section 4.1.1) mean the same when they are percent-encoded.
fn cookie_text(path: &str) -> String {
    path.replace('"', "%22").replace(',', "%2C").replace(';', "%3B").replace('\\', "%5C")
}

/// Nothing that would let somebody else finish it.
impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("provider", &self.provider)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
