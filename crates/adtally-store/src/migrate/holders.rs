//! Who holds the lock that a migration waits for.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Integer, Nullable, Text};

use crate::StoreError;

/// How often is looked: several times within the two seconds that a migration waits.
const LOOK: Duration = Duration::from_millis(200);

/// The sessions for which `$1` waits. What they run is not told: it may be anybody's.
const HOLDERS: &str = "SELECT string_agg(format('process %s (%s, %s for %s)', pid, \
         coalesce(nullif(application_name, ''), usename::text, 'unknown'), \
         coalesce(state, 'at work'), \
         date_trunc('second', clock_timestamp() - coalesce(xact_start, backend_start))), '; ') AS text \
     FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids($1))";

/// Looks over a connection of its own, as long as it lives, who holds up another connection.
pub(super) struct Holders {
    latest: Arc<Mutex<Option<String>>>,
    /// Dropped, it ends the thread.
    _end: Sender<()>,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Nullable<Text>)]
    text: Option<String>,
}

#[derive(QueryableByName)]
struct Backend {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

impl Holders {
    /// Watches `conn`, which leads where `url` does.
    pub(super) fn watch(conn: &mut PgConnection, url: String) -> Result<Self, StoreError> {
        let backend: Backend =
            diesel::sql_query("SELECT pg_backend_pid() AS pid").get_result(conn)?;
        let latest = Arc::new(Mutex::new(None));
        let (end, ended) = channel();
        let seen = Arc::clone(&latest);
        std::thread::spawn(move || {
            let Ok(mut conn) = PgConnection::establish(&url) else {
                return;
            };
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let found: QueryResult<Found> = diesel::sql_query(HOLDERS)
                    .bind::<Integer, _>(backend.pid)
                    .get_result(&mut conn);
                if let Ok(Found { text: Some(text) }) = found {
                    *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                }
            }
        });
        Ok(Self { latest, _end: end })
    }

    /// Forgets what was seen.
    pub(super) fn forget(&self) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Who was seen since.
    pub(super) fn seen(&self) -> Option<String> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.clone()
    }
}
