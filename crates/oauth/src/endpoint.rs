//! What a request to one of the OAuth endpoints brings, besides the world it happens in.

use crate::client::DocumentFetcher;
use crate::config::Issuer;
use crate::dpop::Guard;
use crate::form::Form;
use portunus_core::peer::ClientCertificate;

/// A request that a client makes for itself: to the token, revocation or introspection endpoint.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The issuer as it is published now.
    pub issuer: &'a Issuer,
    /// Fetches what a client publishes about itself.
    pub fetcher: &'a dyn DocumentFetcher,
    /// Fetches from hosts that an administrator named, private ones too.
    pub trusted: &'a dyn DocumentFetcher,
    /// Its form.
    pub form: &'a Form,
    /// The value of its Authorization header.
    pub authorization: Option<&'a str>,
    /// What it shows of keys that tokens can be bound to.
    pub keys: Keys<'a>,
}

/// What a request shows of keys that tokens can be bound to.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// The value of its `DPoP` header.
    pub dpop: Option<&'a str>,
    /// The certificate of its connection.
    pub certificate: Option<&'a ClientCertificate>,
    /// Remembers which proofs were used.
    pub guard: &'a Guard,
}
