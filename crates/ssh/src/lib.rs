//! SSH keys as OpenSSH has them: read, certified by an authority of Portunus, and used by programs through an agent, which
//! signs with a key and never gives it out.
//!
//! | module | holds |
//! |---|---|
//! | [`identity`] | a private key and its certificate, as text and as what signs |
//! | [`authority`] | the authority for user certificates, and its list of those that are revoked |
//! | [`agent`] | a socket through which one program uses one identity |
//! | `wire` | the encoding of RFC 4251 that all of them share |
//!
//! Ed25519 only. The formats are OpenSSH's: PROTOCOL.key, PROTOCOL.certkeys, PROTOCOL.krl and draft-miller-ssh-agent.

#![forbid(unsafe_code)]

pub mod agent;
pub mod authority;
pub mod identity;
mod wire;

pub use agent::Agent;
pub use authority::UserAuthority;
pub use identity::Identity;
