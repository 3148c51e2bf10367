//! Connections, and the bound on how many statements run at once. Statements run on blocking threads; a caller that
//! goes away stops its statement.

use crate::authorizer::Access;
use crate::decision::Decision;
use crate::failure::Failure;
use crate::session::{Budget, Frame, Session};
use crate::{Options, limits};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The connections of one server.
pub(crate) struct Pool {
    path: PathBuf,
    options: Options,
    readers: Lane,
    /// SQLite has one writer at a time.
    writer: Lane,
}

struct Lane {
    idle: Mutex<Vec<Session>>,
    permits: Arc<Semaphore>,
}

impl Lane {
    fn new(width: usize) -> Self {
        Self { idle: Mutex::default(), permits: Arc::new(Semaphore::new(width)) }
    }
}

/// Stops the statement when nobody waits for it any more.
struct StopOnDrop(Arc<Budget>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Pool {
    /// Opens a first connection of each kind that will be needed.
    pub(crate) fn open(path: PathBuf, options: Options) -> rusqlite::Result<Self> {
        let readers = Lane::new(limits::CONCURRENT_STATEMENTS);
        let writer = Lane::new(1);
        readers.put(Session::open(&path, Access::Read, &options)?);
        if options.write {
            writer.put(Session::open(&path, Access::Write, &options)?);
        }
        Ok(Self { path, options, readers, writer })
    }

    /// Runs `work` in a frame on a blocking thread.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        access: Access,
        decision: Arc<Decision>,
        cancelled: &CancellationToken,
        work: impl FnOnce(&Frame<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let lane = self.lane(access);
        let permit = tokio::select! {
            permit = tokio::time::timeout(self.options.timeout, Arc::clone(&lane.permits).acquire_owned()) => permit,
            () = cancelled.cancelled() => return Err(Failure::Cancelled),
        };
        let permit =
            permit.map_err(|_| Failure::Busy)?.map_err(|error| Failure::Internal(error.to_string()))?;
        let budget = Arc::new(Budget::new(self.options.timeout));
        let stop = StopOnDrop(Arc::clone(&budget));
        let pool = Arc::clone(self);
        let job = tokio::task::spawn_blocking(move || {
            // Held until the statement has really ended, whether or not somebody still waits.
            let _permit = permit;
            pool.run_here(access, &decision, &budget, work)
        });
        let longest = self.options.timeout.saturating_add(limits::ANSWER_GRACE);
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(longest, job) => outcome,
            () = cancelled.cancelled() => return Err(Failure::Cancelled),
        };
        drop(stop);
        let outcome = outcome.map_err(|_| Failure::TimedOut(self.options.timeout))?;
        outcome.map_err(|error| Failure::Internal(error.to_string()))?
    }

    /// Reads the schema once, which fails when the file is no database.
    pub(crate) fn probe(&self) -> Result<(), Failure> {
        let budget = Arc::new(Budget::new(self.options.timeout));
        self.run_here(Access::Read, &Arc::default(), &budget, |_| Ok(()))
    }

    fn lane(&self, access: Access) -> &Lane {
        match access {
            Access::Read => &self.readers,
            Access::Write => &self.writer,
        }
    }

    fn run_here<T>(
        &self,
        access: Access,
        decision: &Arc<Decision>,
        budget: &Arc<Budget>,
        work: impl FnOnce(&Frame<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let lane = self.lane(access);
        let mut session = match lane.take() {
            Some(session) => session,
            None => Session::open(&self.path, access, &self.options)
                .map_err(|error| Failure::from_code(&error).unwrap_or(Failure::Sqlite(error)))?,
        };
        let outcome = session.run(decision, budget, work);
        if !session.broken {
            lane.put(session);
        }
        outcome
    }
}

impl Lane {
    fn take(&self) -> Option<Session> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
    fn put(&self, session: Session) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }
}
