//! One connection to the database, made as harmless as SQLite can make it, and the frame in which every statement
//! runs: one transaction, one authorizer, one clock.

use crate::advice;
use crate::authorizer::{Access, Authorizer, Witness};
use crate::catalog::Catalog;
use crate::decision::Decision;
use crate::failure::Failure;
use crate::mask::Mask;
use crate::{Options, limits, reach, text_functions};
use rusqlite::config::DbConfig;
use rusqlite::hooks::{Action, AuthContext, Authorization};
use rusqlite::{Connection, OpenFlags, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A connection for one kind of access.
pub(crate) struct Session {
    connection: Connection,
    access: Access,
    catalog: Arc<Catalog>,
    /// Set when the connection is in a state nobody understands; it is then closed instead of used again.
    pub(crate) broken: bool,
}

/// How long a statement may run, and whether somebody still waits for it.
#[derive(Debug)]
pub(crate) struct Budget {
    started: Instant,
    limit: Duration,
    deadline_micros: AtomicU64,
    cancelled: AtomicBool,
}

/// What a statement runs in.
pub(crate) struct Frame<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) catalog: &'a Catalog,
    pub(crate) mask: Option<&'a Mask>,
    pub(crate) decision: &'a Decision,
    pub(crate) witness: Witness,
    pub(crate) budget: &'a Budget,
}

impl Session {
    /// Opens a connection. `path` must be absolute, so that it is not taken for a URI.
    pub(crate) fn open(path: &Path, access: Access, options: &Options) -> Result<Self> {
        let mode = match access {
            Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
        let connection = Connection::open_with_flags(path, flags)?;
        harden(&connection, access, options)?;
        Ok(Self { connection, access, catalog: Arc::default(), broken: false })
    }

    /// Runs `work` inside a transaction, under an authorizer and a clock. A write is committed when `work` succeeds and
    /// it is no trial; everything else is rolled back.
    pub(crate) fn run<T>(
        &mut self,
        decision: &Arc<Decision>,
        budget: &Arc<Budget>,
        work: impl FnOnce(&Frame<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let clock = Arc::clone(budget);
        let prepared = self
            .connection
            .progress_handler(limits::STEPS_BETWEEN_CHECKS, Some(move || clock.is_over()))
            .and_then(|()| self.begin(decision.trial));
        if let Err(error) = prepared {
            self.broken = true;
            return Err(plain(error, budget));
        }
        let witness = Witness::default();
        if decision.trial {
            let counter = witness.clone();
            let count = move |_: Action, _: &str, table: &str, _: i64| counter.count(table);
            self.broken |= self.connection.update_hook(Some(count)).is_err();
        }
        let outcome = self.authorized(decision, budget, &witness, work);
        if decision.trial {
            self.broken |= self.connection.update_hook(None::<fn(Action, &str, &str, i64)>).is_err();
        }
        let ended = self.end(outcome.is_ok() && !decision.trial, budget);
        let outcome = outcome?;
        ended.map(|()| outcome)
    }

    fn begin(&mut self, trial: bool) -> Result<()> {
        if self.access == Access::Write {
            // What is tried stays in memory: the file is never touched, not even when this process is killed.
            self.connection.pragma_update(None, "cache_spill", if trial { "off" } else { "on" })?;
        }
        let begin = match self.access {
            Access::Read => "BEGIN",
            Access::Write => "BEGIN IMMEDIATE",
        };
        self.connection.execute_batch(begin)?;
        // Reading this pins the snapshot: what is checked and what then runs see the same schema.
        let version = self.connection.query_row("PRAGMA schema_version", [], |row| row.get(0))?;
        let pinned =
            self.connection.query_row("SELECT count(*) FROM main.sqlite_schema", [], |row| row.get(0));
        let _: i64 = pinned?;
        if version != self.catalog.version || version == 0 {
            let mut catalog = Catalog::load(&self.connection, version)?;
            catalog.reach = reach::load(&mut self.connection, &catalog, self.access)?;
            self.catalog = Arc::new(catalog);
        }
        Ok(())
    }

    fn authorized<T>(
        &mut self,
        decision: &Arc<Decision>,
        budget: &Budget,
        witness: &Witness,
        work: impl FnOnce(&Frame<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let authorizer = Authorizer {
            access: self.access,
            catalog: Arc::clone(&self.catalog),
            decision: Arc::clone(decision),
            witness: witness.clone(),
        };
        // Setting an authorizer also expires every compiled statement, those that full-text tables keep included: none
        // compiled under another mask is ever run again.
        let hook = move |context: AuthContext<'_>| authorizer.decide(context);
        if let Err(error) = self.connection.authorizer(Some(hook)) {
            self.broken = true;
            return Err(plain(error, budget));
        }
        let frame = Frame {
            connection: &self.connection,
            catalog: &self.catalog,
            mask: decision.mask.as_ref(),
            decision,
            witness: witness.clone(),
            budget,
        };
        let outcome = work(&frame);
        self.broken |= self.connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).is_err();
        outcome
    }

    /// Ends the transaction. A statement such as `INSERT OR ROLLBACK` may have ended it already.
    fn end(&mut self, commit: bool, budget: &Budget) -> Result<(), Failure> {
        let commit = commit && self.access == Access::Write;
        let ended = if commit && !budget.is_over() {
            self.connection.execute_batch("COMMIT").map_err(|error| plain(error, budget))
        } else if commit {
            Err(budget.failure())
        } else {
            Ok(())
        };
        let quiet = self.connection.progress_handler(0, None::<fn() -> bool>);
        let closed = self.connection.is_autocommit() || self.connection.execute_batch("ROLLBACK").is_ok();
        self.broken |= !closed || quiet.is_err();
        ended
    }
}

impl Frame<'_> {
    /// Turns what SQLite said into what the caller should know.
    pub(crate) fn explain(&self, failure: Failure, sql: &str) -> Failure {
        if self.budget.is_over() {
            return self.budget.failure();
        }
        let denial = self.witness.seen().denial.take();
        match (failure, denial) {
            (Failure::Sqlite(error), None) => advice::explain(&error, sql, self.catalog, self.mask),
            (Failure::SeveralStatements, _) => Failure::SeveralStatements,
            (_, Some(denial)) => Failure::Denied(denial),
            (failure, None) => failure,
        }
    }
}

impl Budget {
    pub(crate) fn new(limit: Duration) -> Self {
        let deadline_micros = AtomicU64::new(micros(limit));
        Self { started: Instant::now(), limit, deadline_micros, cancelled: AtomicBool::new(false) }
    }
    /// Nobody waits for the answer any more.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
    /// Whether the statement must stop.
    pub(crate) fn is_over(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
            || micros(self.started.elapsed()) >= self.deadline_micros.load(Ordering::Relaxed)
    }
    /// Runs `work` with at most `limit` more time.
    pub(crate) fn within<T>(&self, limit: Duration, work: impl FnOnce() -> T) -> T {
        let outer = self.deadline_micros.load(Ordering::Relaxed);
        let inner = micros(self.started.elapsed().saturating_add(limit)).min(outer);
        self.deadline_micros.store(inner, Ordering::Relaxed);
        let outcome = work();
        self.deadline_micros.store(outer, Ordering::Relaxed);
        outcome
    }
    /// Why it must stop.
    pub(crate) fn failure(&self) -> Failure {
        if self.cancelled.load(Ordering::Relaxed) {
            Failure::Cancelled
        } else {
            Failure::TimedOut(self.limit)
        }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn plain(error: rusqlite::Error, budget: &Budget) -> Failure {
    if budget.is_over() {
        return budget.failure();
    }
    Failure::from_code(&error).unwrap_or(Failure::Sqlite(error))
}

fn harden(connection: &Connection, access: Access, options: &Options) -> Result<()> {
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, access == Access::Read),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
    ] {
        connection.set_db_config(config, on)?;
    }
    connection.load_extension_disable()?;
    for (limit, value) in limits::SQLITE {
        connection.set_limit(*limit, *value)?;
    }
    let memory = i64::try_from(options.memory).unwrap_or(i64::MAX);
    // Of the whole process, all databases together; it can be lowered but not raised again.
    connection.query_row(&format!("PRAGMA hard_heap_limit = {memory}"), [], |_| Ok(()))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.query_row("PRAGMA mmap_size = 0", [], |_| Ok(())).or_else(ignore_no_rows)?;
    if access == Access::Read {
        connection.pragma_update(None, "query_only", true)?;
    }
    connection.busy_timeout(options.timeout.min(Duration::from_secs(1)))?;
    text_functions::install(connection)
}

fn ignore_no_rows(error: rusqlite::Error) -> Result<()> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}
