//! The tunnel: a connector dials the edge over TLS 1.3 with a certificate of its own, and HTTP/2 runs over that link with
//! the roles reversed: the edge sends requests down, the connector serves them.
//!
//! | module | side | holds |
//! |---|---|---|
//! | [`wire`] | both | ALPN, addresses, JSON, intervals |
//! | [`tls`] | both | the TLS configurations of a link |
//! | [`authority`] | edge | its own certificate authorities |
//! | [`enrol`] | edge | join tokens, enrolment, renewal, revocation |
//! | [`certificate`] | edge | who a verified client certificate is |
//! | [`registry`] | edge | the live links |
//! | `link` | edge | one link: its HTTP/2 connection, its pings, its end |
//! | [`exchange`] | edge | one call over a link: [`exchange::LinkDialer`] is core's dialer |
//! | [`connector`] | connector | keeps the links up and serves what comes down |
//! | `keeper` | connector | the links of an enrolled connector and the renewal of its certificate |
//! | `identity` | connector | key and certificate, kept in the state directory |
//! | [`dial`] | connector | connections out: TCP, TLS, proxies |
//! | [`target`] | connector | the service that forwards to an HTTP server beside the connector |

#![forbid(unsafe_code)]

pub mod authority;
pub mod certificate;
pub mod connector;
pub mod dial;
pub mod enrol;
pub mod exchange;
mod identity;
mod keeper;
mod link;
pub mod registry;
pub mod target;
pub mod tls;
pub mod wire;
