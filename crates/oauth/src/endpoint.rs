//! What a request to one of the OAuth endpoints brings, besides the world it happens in.

use crate::client::DocumentFetcher;
use crate::config::Issuer;
use crate::form::Form;

/// A request that a client makes for itself: to the token, revocation or introspection endpoint.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The issuer as it is published now.
    pub issuer: &'a Issuer,
    /// Fetches what a client publishes about itself.
    pub fetcher: &'a dyn DocumentFetcher,
    /// Its form.
    pub form: &'a Form,
    /// The value of its Authorization header.
    pub authorization: Option<&'a str>,
}
