//! Migrations, compiled into the binary.

mod holders;

use std::time::{Duration, Instant};

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::migration::Migration;
use diesel::pg::{Pg, PgConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::error::with_environment;
use crate::{Store, StoreError};
use holders::Holders;

pub(crate) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// How long a migration waits for a lock. Whoever comes after it waits for the same table meanwhile,
/// writers included.
const LOCK_WAIT: &str = "SET lock_timeout = '2s'";
/// Between two attempts others have their turn: first so long, then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

impl Store {
    /// Brings the schema up to date and names the migrations that were applied, oldest first.
    ///
    /// Any number of processes may call this at once: one migrates, the others wait for it and find
    /// nothing left to do. A migration that needs a lock waits for it two seconds at a time, so that it
    /// never holds up others for longer, and tries again for as long as a call may take.
    ///
    /// # Errors
    /// [`StoreError::LockHeld`] when others held a lock all that time, and the transient ones. A migration
    /// that failed is rolled back.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let url = self.connection_url();
        let patience = self.call_timeout();
        self.run_apart(move |conn| {
            let holders = Holders::watch(conn, url)?;
            locked(conn, |conn| apply(conn, &holders, patience))
        })
        .await
    }

    /// Undoes every migration, newest first, **with all data**. For tests.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn revert_all(&self) -> Result<Vec<String>, StoreError> {
        self.run_apart(|conn| locked(conn, revert)).await
    }
}

fn apply(
    conn: &mut PgConnection,
    holders: &Holders,
    patience: Duration,
) -> Result<Vec<String>, StoreError> {
    conn.batch_execute(LOCK_WAIT)?;
    let pending = conn.pending_migrations(MIGRATIONS).map_err(failed)?;
    let mut applied = Vec::new();
    for migration in pending {
        apply_one(conn, migration.as_ref(), holders, patience)?;
        applied.push(migration.name().version().to_string());
    }
    Ok(applied)
}

/// Runs a migration, again while others hold a lock that it needs.
fn apply_one(
    conn: &mut PgConnection,
    migration: &dyn Migration<Pg>,
    holders: &Holders,
    patience: Duration,
) -> Result<(), StoreError> {
    let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        holders.forget();
        let Err(error) = conn.run_migration(migration) else {
            return Ok(());
        };
        // Whether it failed for want of a lock is told by who was seen to hold one, not by words.
        let Some(held_by) = holders.seen() else {
            return Err(failed(error));
        };
        if begun.elapsed() + pause > patience {
            return Err(StoreError::LockHeld {
                what: format!("the migration {}", migration.name()),
                held_by,
            });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn revert(conn: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let versions = conn.revert_all_migrations(MIGRATIONS).map_err(failed)?;
    Ok(versions.iter().map(ToString::to_string).collect())
}

/// Holds a lock of the whole database around `work`: diesel takes none of its own.
///
/// The lock belongs to the session, as each migration is a transaction of its own, and ends with it
/// whatever happens. No time-out applies: the process that holds it may migrate for long.
fn locked<T>(
    conn: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    diesel::sql_query("SELECT pg_advisory_lock(hashtext('adtally_migrate'))").execute(conn)?;
    let result = work(conn);
    diesel::sql_query("SELECT pg_advisory_unlock(hashtext('adtally_migrate'))").execute(conn)?;
    result
}

pub(crate) fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    match error.downcast::<diesel::result::Error>() {
        Ok(error) => match StoreError::from(*error) {
            StoreError::Database(message) => StoreError::Database(with_environment(message)),
            error => error,
        },
        Err(error) => StoreError::Database(format!("migration: {error}")),
    }
}
