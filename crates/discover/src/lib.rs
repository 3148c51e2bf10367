//! Finding what nobody registered: the servers that MCP clients are configured with, and the secrets that lie in plain text
//! in their configurations, in environment files and in the processes of servers that run.
//!
//! | module | holds |
//! |---|---|
//! | [`place`] | which files there are, by client and operating system |
//! | [`tree`] | a configuration as a tree whose every node knows its bytes; `json`, `table` and `dotenv` read it |
//! | [`scan`] | a file → its servers and secrets |
//! | [`binding`] | how the edge could give a secret to its server |
//! | [`process`] | a running program → whether it looks like a server, and the secrets that it was given |
//! | [`recognise`] | what in a text is a secret, by its name, its flag, its place in a URL or its shape |
//! | [`reference`] | what only stands for a secret: `${input:token}`, `$TOKEN`, `<your key>` |
//! | [`rewrite`] | an entry that goes to the edge instead: replaced bytes, all others as they were |
//!
//! No file is opened here and nothing is printed: texts in, findings out. What is found is held as
//! [`Secret`](portunus_core::secret::Secret), and whoever shows a finding shows its fingerprint.

#![forbid(unsafe_code)]

mod args;
pub mod binding;
mod dotenv;
mod json;
pub mod place;
pub mod process;
pub mod recognise;
pub mod reference;
pub mod rewrite;
pub mod scan;
mod table;
pub mod tree;
mod url;

pub use binding::Binding;
pub use place::{Client, Format, Os, Place};
pub use scan::{Found, Reading, Server, Transport, read};
