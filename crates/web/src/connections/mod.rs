//! Connecting to upstream servers, on pages: what is decided is in `portunus-connections`; here are the way there and back.
//!
//! | path | is |
//! |---|---|
//! | `/connections` | the visitor's connections, with state and expiry |
//! | `/connections/{server}` | one of them: connect, agree to more, disconnect |
//! | `/oauth/callback/{server}` | the return from an authorization server |
//! | `/oauth/clients/{server}` | our client metadata document for that server's authorization server |

mod carrier;
mod page;

pub use carrier::{ConnectionCarrier, TokioRuntime};
pub(crate) use page::{act, client_document, come_back, counts, list, show};
