//! MCP servers that are programs: child processes that speak MCP on their standard input and output, made into the
//! streamable-HTTP server that the rest of Portunus speaks to, in both protocol eras.
//!
//! Ids and progress tokens of many requests over one pipe are numbered anew on the way in and restored on the way out.
//! What a child says goes to the request or session that it belongs to and to nobody else; the rules are in `table`.
//! Each child has a clean environment, a [`guard`] that ends it with its whole tree, and bounds on all that waits.
//!
//! | module | holds |
//! |---|---|
//! | [`StdioServer`] (`server`) | the HTTP side: core's dialer; who calls, and the modern era |
//! | `legacy`, `sessions` | the legacy era: sessions and their owners |
//! | `exchange` | one request: JSON or an event stream; cancelling |
//! | `children`, `pause` | which child for whom; started when needed, again with growing pauses, ended when idle |
//! | `start` | from nothing to a child that takes requests |
//! | `child`, `command`, `errors` | one process: its pipes, its environment, its standard error, its end |
//! | `table` | who waits for what; where each message of a child goes |
//! | `message`, `line`, `budget` | reading and changing messages, lines, bytes that wait |
//! | [`guard`] | this program once more, between Portunus and a child |

#![forbid(unsafe_code)]

mod budget;
mod child;
mod children;
mod command;
mod errors;
mod exchange;
pub mod guard;
mod legacy;
mod line;
mod message;
mod pause;
mod server;
mod sessions;
mod start;
mod table;

pub use command::Guard;
pub use server::StdioServer;
