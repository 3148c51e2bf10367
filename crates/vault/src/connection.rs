//! Sealing what belongs to connections: tokens, PKCE verifiers, secrets of dynamic registrations. The one place where
//! these are sealed and opened; each is bound to what it belongs to, so that none opens in another's place.

use crate::ring::SealingKey;
use crate::sealing::{Context, SealingError};
use portunus_core::digest::Digest;
use portunus_core::id::{ServerName, UserName};
use portunus_core::secret::Secret;
use portunus_core::time::Rng;

/// What a sealed value of a connection belongs to.
#[derive(Debug, Clone, Copy)]
pub enum Belongs<'a> {
    /// One set of tokens.
    Tokens {
        /// The server.
        server: &'a ServerName,
        /// Whose; `None`: everybody's.
        user: Option<&'a UserName>,
        /// The authorization server.
        issuer: &'a str,
        /// Which set.
        generation: u64,
    },
    /// The PKCE verifier of a consent under way.
    Verifier {
        /// Digest of its `state`.
        state: &'a Digest,
        /// The browser session that began it.
        session: &'a Digest,
    },
    /// The code of the answer to a consent.
    Code {
        /// Digest of its `state`.
        state: &'a Digest,
        /// The browser session that began it.
        session: &'a Digest,
    },
    /// The secret of a dynamic registration.
    ClientSecret {
        /// The server.
        server: &'a ServerName,
        /// The authorization server.
        issuer: &'a str,
        /// What it knows us as.
        client_id: &'a str,
    },
}

impl Belongs<'_> {
    fn context(&self) -> Context {
        match self {
            Self::Tokens { server, user, issuer, generation } => {
                let generation = generation.to_string();
                // No user has an empty name.
                let user = user.map_or("", |user| user.as_str());
                Context::of(&["connection tokens", server.as_str(), user, issuer, &generation])
            }
            Self::Verifier { state, session } => {
                Context::of(&["connection verifier", &state.hex(), &session.hex()])
            }
            Self::Code { state, session } => Context::of(&["connection code", &state.hex(), &session.hex()]),
            Self::ClientSecret { server, issuer, client_id } => {
                Context::of(&["connection client secret", server.as_str(), issuer, client_id])
            }
        }
    }
}

impl SealingKey {
    /// Seals a value of a connection.
    ///
    /// # Errors
    /// When it is too long.
    pub fn seal_belonging(
        &self,
        belongs: &Belongs<'_>,
        plain: &[u8],
        rng: &dyn Rng,
    ) -> Result<String, SealingError> {
        self.seal(&belongs.context(), plain, rng)
    }

    /// Opens what [`SealingKey::seal_belonging`] sealed for the same.
    ///
    /// # Errors
    /// When it was sealed with another key or for something else, or was changed.
    pub fn open_belonging(
        &self,
        belongs: &Belongs<'_>,
        sealed: &str,
    ) -> Result<Secret<Vec<u8>>, SealingError> {
        self.open(&belongs.context(), sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_core::digest::sha256;
    use portunus_core::testing::CountingRng;

    #[test]
    fn tokens_open_for_the_same_server_user_issuer_and_generation_only() {
        let key = SealingKey::new(Secret::new([1; 32]));
        let (notes, wiki) = (ServerName::parse("notes").unwrap(), ServerName::parse("wiki").unwrap());
        let (ana, bea) = (UserName::parse("ana").unwrap(), UserName::parse("bea").unwrap());
        let tokens = |server, user, issuer, generation| Belongs::Tokens { server, user, issuer, generation };
        let own = tokens(&notes, Some(&ana), "https://a.example", 3);
        let sealed = key.seal_belonging(&own, b"tokens", &CountingRng::default()).unwrap();
        assert_eq!(key.open_belonging(&own, &sealed).unwrap().expose(), b"tokens");
        let (state, session) = (sha256(&[b"state"]), sha256(&[b"session"]));
        for other in [
            tokens(&wiki, Some(&ana), "https://a.example", 3),
            tokens(&notes, Some(&bea), "https://a.example", 3),
            tokens(&notes, None, "https://a.example", 3),
            tokens(&notes, Some(&ana), "https://b.example", 3),
            tokens(&notes, Some(&ana), "https://a.example", 2),
            Belongs::Verifier { state: &state, session: &session },
            Belongs::ClientSecret { server: &notes, issuer: "https://a.example", client_id: "ana" },
        ] {
            assert_eq!(key.open_belonging(&other, &sealed).unwrap_err(), SealingError::Refused, "{other:?}");
        }
    }
}
