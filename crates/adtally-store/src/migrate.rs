//! Migrations, compiled into the binary.

use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::{Store, StoreError};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

impl Store {
    /// Brings the schema up to date and names the migrations that were applied, oldest first.
    ///
    /// Any number of processes may call this at once: one migrates, the others wait for it and find
    /// nothing left to do.
    ///
    /// # Errors
    /// The transient ones. A migration that failed is rolled back.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.run_apart(|conn| locked(conn, apply)).await
    }

    /// Undoes every migration, newest first, **with all data**. For tests.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn revert_all(&self) -> Result<Vec<String>, StoreError> {
        self.run_apart(|conn| locked(conn, revert)).await
    }

    /// Whether every migration this binary knows has been applied. Newer ones do no harm: they keep
    /// the binaries of the version before working.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn schema_is_current(&self) -> Result<bool, StoreError> {
        self.run(|conn| {
            conn.has_pending_migration(MIGRATIONS)
                .map(|pending| !pending)
                .map_err(failed)
        })
        .await
    }
}

fn apply(conn: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let versions = conn.run_pending_migrations(MIGRATIONS).map_err(failed)?;
    Ok(versions.iter().map(ToString::to_string).collect())
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

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    match error.downcast::<diesel::result::Error>() {
        Ok(error) => StoreError::from(*error),
        Err(error) => StoreError::Database(format!("migration: {error}")),
    }
}
