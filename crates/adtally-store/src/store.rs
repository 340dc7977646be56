//! The store itself: a pool of connections behind async methods.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adtally_domain::Timestamp;
use diesel::Connection;
use diesel::pg::PgConnection;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::deadline::Deadline;
use crate::events::Hints;
use crate::obstacle::Faults;
use crate::pool::Pool;
use crate::{StoreConfig, StoreError, server, times};

/// AdTally's database. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    config: StoreConfig,
    pool: Pool,
    hints: Hints,
    /// Whether the last call was answered.
    answers: AtomicBool,
    /// Permits of calls that may take long.
    slow_calls: Arc<Semaphore>,
}

/// The connections of one process to its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connections {
    pub(crate) in_use: u32,
    pub(crate) idle: u32,
    /// As many as there may be.
    pub(crate) most: u32,
    /// Whether the last call got an answer, if only an error. False before the first.
    pub(crate) answers: bool,
}

impl Store {
    /// A store that connects when it is first used. Never fails and never waits: the database may
    /// be away.
    #[must_use]
    pub fn connect(config: StoreConfig) -> Self {
        let pool = Pool::new(&config);
        Self {
            inner: Arc::new(Inner {
                slow_calls: Arc::new(Semaphore::new(config.slow_calls())),
                config,
                pool,
                hints: Hints::default(),
                answers: AtomicBool::new(false),
            }),
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.clock().await.map(drop)
    }

    /// PostgreSQL's clock, by which everything that is due is judged.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] and the other transient ones.
    pub async fn clock(&self) -> Result<Timestamp, StoreError> {
        self.run(|conn| Ok(times::timestamp(times::now(conn)?)))
            .await
    }

    pub(crate) fn connection_url(&self) -> String {
        self.inner.config.connection_url()
    }

    /// How long one call may take.
    pub(crate) fn call_timeout(&self) -> Duration {
        self.inner.config.call_timeout
    }

    pub(crate) fn faults(&self) -> &Faults {
        self.inner.pool.faults()
    }

    /// The connections as they are now. Asks nobody.
    pub(crate) fn connections(&self) -> Connections {
        let (open, idle) = self.inner.pool.count();
        Connections {
            in_use: open.saturating_sub(idle),
            idle,
            most: self.inner.config.pool_size.max(1),
            answers: self.inner.answers.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn hints(&self) -> &Hints {
        &self.inner.hints
    }

    /// Runs `work` with a connection on a thread for blocking work, for at most the call time-out.
    ///
    /// A call that is given up before a thread takes it never begins. One that has begun keeps its
    /// thread until it gets no connection or libpq lets go of it; whatever it still commits is safe
    /// to have happened. So only tokio's own bound on blocking threads limits their number.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let limit = self.inner.config.call_timeout;
        tokio::time::timeout(limit, self.run_unbounded(work))
            .await
            .unwrap_or_else(|_| {
                self.inner.answers.store(false, Ordering::Relaxed);
                let waited = limit.as_secs();
                Err(StoreError::Unavailable(format!(
                    "no answer within {waited} s"
                )))
            })
    }

    /// Like [`Store::run`], for reading what may be much: only so many at a time that others find a
    /// connection, and `work` is given the deadline at which it has to end. It keeps its place among them
    /// until it has ended, whether or not somebody waits.
    pub(crate) async fn run_slow<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection, &Deadline) -> Result<T, StoreError> + Send + 'static,
    {
        let limit = self.inner.config.call_timeout;
        let (deadline, waiting) = Deadline::within(limit);
        let permits = Arc::clone(&self.inner.slow_calls);
        let place = tokio::time::timeout(limit, permits.acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(StoreError::Unavailable(
                "too many calls read totals at once".to_owned(),
            ));
        };
        let result = self
            .run(move |conn| {
                let _place = place;
                deadline.check()?;
                work(conn, &deadline)
            })
            .await;
        drop(waiting);
        result
    }

    /// Like [`Store::run`], for work whose length the database's size decides. Each statement of it
    /// is still bounded.
    pub(crate) async fn run_unbounded<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let pool = self.inner.pool.clone();
        let result = off_thread(move || pool.with(work)).await;
        let answers = !matches!(
            result,
            Err(StoreError::Unavailable(_) | StoreError::AuthenticationFailed(_))
        );
        self.inner.answers.store(answers, Ordering::Relaxed);
        result
    }

    /// Runs `work` with a connection of its own, which has no time-outs and ends with it.
    pub(crate) async fn run_apart<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let config = self.inner.config.clone();
        off_thread(move || {
            let mut conn = PgConnection::establish(&config.connection_url())
                .map_err(|error| StoreError::of_connection(&error.to_string()))?;
            server::check(&mut conn, &config)?;
            work(&mut conn)
        })
        .await
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let mut call = Call(tokio::task::spawn_blocking(work));
    match (&mut call.0).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(StoreError::Unavailable(
            "the process is stopping".to_owned(),
        )),
    }
}

/// Work that is taken out of the queue of threads when nobody waits for it any more. What a thread
/// has begun goes on.
struct Call<T>(JoinHandle<T>);

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.inner.config).finish()
    }
}
