//! The authorization server's logic: OAuth 2.1 with discovery, client registration, PKCE, audiences, rotation of refresh
//! tokens and immediate revocation, and the built-in accounts behind it. Pure: time, randomness, store and ledger are
//! parameters ([`ports::Ports`]); HTTP and pages are in `portunus-web`.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | the issuer and the servers it gives tokens for |
//! | [`ports`] | what every operation is given |
//! | [`endpoint`] | what a request to an endpoint brings |
//! | [`error`] | OAuth errors and what they look like to a client |
//! | [`metadata`] | the discovery documents (RFC 9728, RFC 8414, OpenID Connect Discovery) |
//! | [`form`] | forms and queries, read strictly |
//! | [`fresh`] | how fresh or strong a sign-in a client asks for |
//! | [`redirect`] | redirect URIs: which may be registered, which match (RFC 8252) |
//! | [`client`] | clients: registration (RFC 7591) and metadata documents (CIMD) |
//! | [`registration`] | which clients may be used here |
//! | [`client_admin`] | entering, approving, blocking and removing clients |
//! | [`client_metadata`] | reading what clients say about themselves |
//! | [`client_keys`] | the keys of clients that sign: fetched, kept, rolled over |
//! | [`keys`] | JSON Web Key Sets, read strictly |
//! | [`signed`] | signed assertions (RFC 7523): text, keys, expectations → proof |
//! | [`client_auth`] | how a client proves itself at the token endpoint |
//! | [`authorize`] | the authorization endpoint: request, consent, code |
//! | [`token`] | the token endpoint: code exchange and refresh |
//! | [`device`] | the device grant (RFC 8628) |
//! | [`client_credentials`] | tokens for machines in their own name |
//! | [`jwt_bearer`], [`workload`], [`id_jag`] | tokens for workloads, and for users whom an identity provider names (RFC 7523) |
//! | [`exchange`] | token exchange that narrows (RFC 8693) |
//! | [`foreign`], `issuer_keys`, `strict` | assertions of other issuers, their keys, their JSON |
//! | [`dpop`], `possession` | proofs of possession (RFC 9449), and what tokens are bound to |
//! | [`machines`] | what the configuration says about machines |
//! | [`issue`] | tokens that an administrator issues for scripts |
//! | [`revocation`] | RFC 7009 and RFC 7662 |
//! | [`resolve`] | access token → caller, for the edge |
//! | [`grants`] | listing and revoking what users agreed to |
//! | [`users`] | built-in accounts |
//! | [`passkey`] | passkeys of built-in accounts (WebAuthn) |
//! | [`password`] | argon2id |
//! | [`login`] | signing in with a password, throttled |
//! | [`throttle`] | the bounded table of attempts |
//! | [`session`] | browsers that are signed in |
//! | [`federation`] | signing in at identity providers |
//! | [`jwt`] | verifying tokens that others signed |
//! | [`csrf`] | proofs that a form came from our own page |
//! | [`text`] | cleaning text that strangers wrote |

#![forbid(unsafe_code)]

pub mod authorize;
pub mod client;
pub mod client_admin;
pub mod client_auth;
pub mod client_credentials;
pub mod client_keys;
pub mod client_metadata;
pub mod config;
pub mod csrf;
pub mod device;
pub mod dpop;
pub mod endpoint;
pub mod error;
pub mod exchange;
pub mod federation;
pub mod foreign;
pub mod form;
pub mod fresh;
pub mod grants;
pub mod id_jag;
pub mod issue;
mod issuer_keys;
pub mod jwt;
pub mod jwt_bearer;
pub mod keys;
pub mod login;
pub mod machines;
pub mod metadata;
pub mod passkey;
pub mod password;
pub mod ports;
mod possession;
pub mod redirect;
pub mod registration;
pub mod resolve;
pub mod revocation;
pub mod session;
pub mod signed;
mod strict;
pub mod text;
pub mod throttle;
pub mod token;
pub mod users;
pub mod workload;

#[cfg(test)]
mod signer;
#[cfg(test)]
mod testing;
