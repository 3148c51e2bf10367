//! The built-in SQL analyst: an MCP server over one SQLite database. Usable alone, over stdio or HTTP, or behind a
//! Portunus connector, where the gateway tells it which columns each caller may see.
//!
//! Safety rests on SQLite itself, never on reading the statement's text: connections that can only read, an allow-list
//! of actions that SQLite asks for while it compiles, limits, and a clock that stops what runs too long.
//!
//! | module | holds |
//! |---|---|
//! | `handler`, `tools`, `widget` | the MCP side: tools, their schemas, results, the result widget |
//! | [`http`], [`assertion`] | the HTTP endpoint, and who may use it |
//! | `pool`, `session` | connections: hardened, bounded in number and time |
//! | `authorizer` | what SQLite may do for a caller, action by action |
//! | `decision` | what the gateway decided about a call: columns, tables, bounds |
//! | `mask`, `program` | columns hidden from a caller, and the check that the compiled statement keeps them so |
//! | `treat`, `flow`, `blocks`, `opcodes` | columns shown in another form, and the proof that a statement only shows them |
//! | `reach` | what views, triggers and foreign keys bring along |
//! | `statement`, `prepare`, `rows`, `write`, `trial`, `cursor` | from text to one statement to a page of rows |
//! | `catalog`, `describe`, `advice` | the schema, told to models; errors that help to correct a statement |
//! | `text_functions` | replacements of SQLite functions whose time could not be bounded |
//! | [`sample`] | the demo database |

#![forbid(unsafe_code)]

pub mod assertion;
pub mod http;
pub mod sample;

mod advice;
mod authorizer;
mod blocks;
mod catalog;
mod cursor;
mod decision;
mod describe;
mod failure;
mod flow;
mod handler;
mod limits;
mod mask;
mod opcodes;
mod pool;
mod prepare;
mod program;
mod reach;
mod rows;
mod session;
mod statement;
mod text_functions;
mod tools;
mod treat;
mod trial;
mod widget;
mod write;

pub use crate::tools::schemas as tool_schemas;

use crate::handler::Handler;
use crate::http::HttpService;
use crate::pool::Pool;
use portunus_core::assertion::{BadKey, Verifier};
use portunus_core::time::Clock;
use rmcp::ServiceExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What an operator may choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database file; it must exist.
    pub path: PathBuf,
    /// Offer `write_query`.
    pub write: bool,
    /// Rows in one answer; more come with a cursor.
    pub max_rows: usize,
    /// Bytes of values in one answer.
    pub max_bytes: usize,
    /// Time that one call's statements may run.
    pub timeout: Duration,
    /// Bytes of memory that SQLite may use **in this whole process** (`PRAGMA hard_heap_limit`): a statement that wants
    /// more fails. It cannot be set for one database alone; whoever shares the process with another SQLite database
    /// leaves room for it.
    pub memory: usize,
}

impl Options {
    /// Read-only, 200 rows, 256 KiB, 5 seconds, 256 MiB.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            write: false,
            max_rows: 200,
            max_bytes: 256 * 1024,
            timeout: Duration::from_secs(5),
            memory: 256 * 1024 * 1024,
        }
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such file, or it may not be read.
    #[error("cannot open {}: {why}; check the path and its permissions", .path.display())]
    File {
        /// What was asked for.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// The file is no database that SQLite can read.
    #[error("cannot open {} as a SQLite database: {why}", .path.display())]
    Database {
        /// What was asked for.
        path: PathBuf,
        /// What SQLite said.
        why: String,
    },
    /// An option makes no sense.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// The gateway's public key has not the right length.
    #[error(transparent)]
    Key(#[from] BadKey),
}

/// Why serving over stdio ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Assertions come in HTTP headers; over stdio there are none.
    #[error("a server that demands assertions cannot be served over stdio; use HTTP")]
    NoAssertions,
    /// The client broke off, or spoke no MCP.
    #[error("the client on standard input did not speak MCP: {0}")]
    Protocol(String),
}

/// The SQL server.
#[derive(Clone)]
pub struct SqlServer {
    handler: Handler,
    verifier: Option<Verifier>,
}

impl SqlServer {
    /// Opens the database.
    ///
    /// # Errors
    /// When the file is missing or is no database.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        for (name, is_zero) in [
            ("max_rows", options.max_rows == 0),
            ("max_bytes", options.max_bytes == 0),
            ("timeout", options.timeout.is_zero()),
            ("memory", options.memory == 0),
        ] {
            if is_zero {
                return Err(OpenError::Zero(name));
            }
        }
        let asked = options.path.clone();
        // Absolute, so that SQLite does not take a name like `file:x?mode=rwc` for a URI.
        let path =
            std::fs::canonicalize(&asked).map_err(|why| OpenError::File { path: asked.clone(), why })?;
        let database = |why: String| OpenError::Database { path: asked.clone(), why };
        let pool = Pool::open(path, options.clone()).map_err(|error| database(error.to_string()))?;
        pool.probe().map_err(|failure| database(failure.to_string()))?;
        Ok(Self { handler: Handler::new(Arc::new(pool), &options), verifier: None })
    }

    /// From now on every HTTP request must carry an assertion signed with this key for this audience (the name that
    /// the server is published under), and its column mask is kept.
    ///
    /// # Errors
    /// When the key is not 32 bytes long.
    pub fn with_assertion_key(
        mut self,
        public_key: &[u8],
        audience: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        self.verifier = Some(Verifier::new(public_key, audience, clock)?);
        self.handler.demand_assertions();
        Ok(self)
    }

    /// Serves one client on standard input and output until it goes away.
    ///
    /// # Errors
    /// When the client does not speak MCP, or the server demands assertions.
    pub async fn serve_stdio(self) -> Result<(), ServeError> {
        if self.verifier.is_some() {
            return Err(ServeError::NoAssertions);
        }
        let protocol = |error: &dyn std::fmt::Display| ServeError::Protocol(error.to_string());
        let running = self.handler.serve(rmcp::transport::stdio()).await.map_err(|error| protocol(&error))?;
        running.waiting().await.map_err(|error| protocol(&error)).map(|_| ())
    }

    /// The server as an HTTP service, to be mounted wherever connections are accepted.
    #[must_use]
    pub fn http_service(&self) -> HttpService {
        HttpService::new(self.handler.clone(), self.verifier.clone())
    }
}
