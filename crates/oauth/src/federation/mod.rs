//! Signing in at identity providers (OpenID Connect Core 1.0), as their relying party. Pure: what is sent to a provider
//! is made here, and what comes back is checked here; `portunus-web` carries it.
//!
//! | module | holds |
//! |---|---|
//! | [`provider`] | the providers of the configuration, and which of them may speak for whom |
//! | [`metadata`] | a provider's discovery document |
//! | [`attempt`] | one sign-in under way, kept by the browser that began it |
//! | [`exchange`] | code → tokens, and user information |
//! | [`id_token`] | the checks of an ID token |
//! | [`account`] | who somebody at a provider is here |
//! | [`logout`] | back-channel logout |

pub mod account;
pub mod attempt;
pub mod exchange;
pub mod id_token;
pub mod logout;
pub mod metadata;
pub mod provider;

#[cfg(test)]
pub(crate) mod testing;
