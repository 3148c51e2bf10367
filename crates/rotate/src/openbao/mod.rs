//! OpenBao and Vault, which speak the same protocol: a secret that is kept there ([`Kv`]), and secrets that it makes for a
//! while ([`Leases`]).

mod client;
mod kv;
mod lease;

pub use kv::Kv;
pub use lease::Leases;
