//! How fresh or strong a sign-in a client asks for at the authorization endpoint (OpenID Connect Core section 3.1.2.1:
//! `prompt`, `max_age`, `acr_values`). It is a wish: what a call really needs, policies say, by the sign-in of its grant.

use crate::error::{ErrorCode, OAuthError};
use crate::form::Form;
use portunus_core::document::Session;
use portunus_core::limits;
use portunus_core::time::Timestamp;
use std::time::Duration;

/// See the module's description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fresh {
    within: Option<Duration>,
    classes: Vec<String>,
}

impl Fresh {
    /// Reads the parameters of an authorization request.
    ///
    /// # Errors
    /// When `max_age` is not a number of seconds.
    pub(crate) fn read(form: &Form) -> Result<Self, OAuthError> {
        let mut within = None;
        if let Some(text) = form.get("max_age") {
            let seconds: Option<u64> = text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
            let bad = || OAuthError::new(ErrorCode::InvalidRequest, "`max_age` must be a number of seconds");
            within = Some(Duration::from_secs(seconds.ok_or_else(bad)?));
        }
        if form.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|word| word == "login")) {
            within = Some(within.unwrap_or_default().min(limits::NEW_SIGN_IN));
        }
        // Less would end before the person has read the next page.
        let within = within.map(|within| within.max(limits::NEW_SIGN_IN));
        let classes = form.get("acr_values").unwrap_or_default().split(' ').filter(|class| !class.is_empty());
        Ok(Self { within, classes: classes.take(limits::AMR_VALUES).map(str::to_owned).collect() })
    }

    /// Whether anything is asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.within.is_some() || !self.classes.is_empty()
    }

    /// The classes of sign-in that would do, the best first.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Whether this sign-in will do, or the person must sign in again. A class that a new sign-in does not have is not
    /// asked for again: that would have no end.
    #[must_use]
    pub fn accepts(&self, session: &Session, now: Timestamp) -> bool {
        let sign_in = &session.sign_in;
        let age = now.since(sign_in.at);
        // Not the age of the sign-in: a provider need not say it.
        let begun = now.plus(limits::SESSION_TTL).since(session.expires_at);
        let of_class = sign_in.acr.as_ref().is_some_and(|acr| self.classes.contains(acr));
        self.within.is_none_or(|within| age <= within)
            && (self.classes.is_empty() || of_class || begun <= limits::NEW_SIGN_IN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_core::caller::SignIn;
    use portunus_core::digest::sha256;
    use portunus_core::id::UserName;

    fn session(sign_in: &SignIn, begun: Timestamp) -> Session {
        let (digest, user) = (sha256(&[b"x"]), UserName::parse("ana").unwrap());
        let expires_at = begun.plus(limits::SESSION_TTL);
        Session { digest, user, sign_in: sign_in.clone(), sid: None, expires_at }
    }

    fn fresh(query: &str) -> Result<Fresh, OAuthError> {
        Fresh::read(&Form::parse(query.as_bytes()).unwrap())
    }

    #[test]
    fn a_sign_in_that_is_too_old_or_too_weak_must_be_done_again_and_a_new_one_always_ends_it() {
        let at = Timestamp::from_secs(1_800_000_000);
        let after = |seconds| at.plus(Duration::from_secs(seconds));
        let (weak, mut strong) = (SignIn::new("pwd", at), SignIn::new("oidc", at));
        strong.acr = Some("phr".to_owned());
        for (query, sign_in, age, accepted) in [
            ("", &weak, 40_000, true),
            ("max_age=300", &weak, 300, true),
            ("max_age=300", &weak, 301, false),
            ("max_age=0", &weak, 60, true),
            ("max_age=0", &weak, 61, false),
            ("prompt=login", &weak, 61, false),
            ("prompt=consent", &weak, 40_000, true),
            ("prompt=consent+login&max_age=9000", &weak, 61, false),
            ("acr_values=phr", &weak, 61, false),
            ("acr_values=phr", &weak, 5, true),
            ("acr_values=x+phr", &strong, 40_000, true),
            ("acr_values=phr&max_age=300", &strong, 301, false),
        ] {
            let session = session(sign_in, at);
            assert_eq!(
                fresh(query).unwrap().accepts(&session, after(age)),
                accepted,
                "{query} after {age} s"
            );
        }
        for bad in ["max_age=-1", "max_age=%2B1", "max_age=1e3", "max_age=99999999999999999999"] {
            assert!(fresh(bad).is_err(), "{bad}");
        }
        assert!(!fresh("prompt=consent").unwrap().is_asked());
        // A provider that does not say when: never fresh, but not asked again for a class for ever.
        let unknown = session(&SignIn::new("oidc", Timestamp::from_secs(0)), at);
        assert!(fresh("acr_values=phr").unwrap().accepts(&unknown, after(5)));
        assert!(!fresh("max_age=300").unwrap().accepts(&unknown, after(5)));
    }
}
