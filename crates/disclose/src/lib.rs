//! What of a server's answer a caller gets to see: values of data classes are found by their form and masked, hashed,
//! replaced by tokens or dropped; all other bytes stay as they were. And rows are counted and cut.
//!
//! Pure: no sockets, no clock, no randomness, no async runtime.
//!
//! | module | does |
//! |---|---|
//! | [`class`] | the data classes and the treatments |
//! | [`veil`] | rules compiled once, and what they make of a message |
//! | [`stream`] | the same for text that is no JSON and comes in pieces |
//! | [`rows`] | counting and cutting the rows of a tool's result |
//! | [`fuzz`] | what must hold for any bytes, for fuzzers and property tests |
//!
//! ```
//! use portunus_disclose::{class::{Class, Treatment}, veil::{Classes, Rules}};
//!
//! let rules = Rules { treatments: [(Class::Email, Treatment::Mask)].into(), ..Rules::default() };
//! let veil = Classes::default().veil(&rules).unwrap();
//! let message = br#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"Ana: ana\u0040example.com"}]}}"#;
//! let screened = veil.screen(message).unwrap();
//! assert!(screened.body.ends_with(br#""text":"Ana: [email]"}]}}"#));
//! assert_eq!(screened.found[&Class::Email], 1);
//! ```

#![forbid(unsafe_code)]

mod base64;
pub mod class;
mod find;
mod fold;
pub mod fuzz;
mod mapped;
mod place;
pub mod rows;
pub mod stream;
mod text;
mod treat;
pub mod veil;
mod walk;

pub use find::tokens;
