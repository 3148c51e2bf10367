//! Bytes to meaning and back: what an MCP message says, told without doubt or not at all (law 2).
//!
//! Pure: no sockets, no clock, no randomness, no async runtime. Nothing here changes a message that was read; the slices
//! handed out are slices of the very bytes that arrived.
//!
//! | module | does |
//! |---|---|
//! | [`json`] | one strict pass over a JSON text, refusing whatever two parsers could read differently |
//! | [`message`] | headers and body of a POST, both protocol eras → [`message::Message`] or [`message::Reject`] |
//! | [`header`] | header names, what is forwarded, `Content-Type` and `Accept` |
//! | [`param`] | `Mcp-Param-*` headers against a tool's schema and the arguments |
//! | [`answer`] | errors and tool errors that Portunus itself answers with |
//! | [`envelope`] | which call a server's message answers |
//! | [`handle`] | task ids and `requestState`: where they stand, and others in their place |
//! | [`question`] | what a server asks of a client |
//! | [`sse`] | server-sent events, cut from arbitrary pieces and put together again |
//! | [`list`] | removing refused entries from a list, and reading tool definitions |
//! | [`bridge`] | a modern client's words for a legacy server and the other way round |
//! | [`fuzz`] | what must hold for any bytes, for fuzzers and property tests |
//!
//! ```
//! use bytes::Bytes;
//! use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
//! use portunus_mcp::{json::Bounds, message};
//!
//! let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
//! let body = Bytes::from(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","name":"drop"}}"#);
//! let reject = message::read(&headers, &body, &Bounds::default()).unwrap_err();
//! assert_eq!(reject.to_string(), r#"duplicate key "name" in one object (at byte 70)"#);
//! ```

#![forbid(unsafe_code)]

pub mod answer;
pub mod bridge;
pub mod envelope;
pub mod fuzz;
pub mod handle;
pub mod header;
pub mod json;
pub mod list;
pub mod message;
pub mod param;
pub mod question;
pub mod security;
pub mod sse;
