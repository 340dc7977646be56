//! What keeps the database from serving this process until a person acts: a migration that is not
//! applied, and statements that it refuses whenever they come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use diesel::migration::MigrationSource;
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::sql_types::Text;
use tokio::sync::Notify;

use crate::fault::{self, Fault};
use crate::migrate::MIGRATIONS;
use crate::{Store, StoreError};

/// The statements that were refused and would be refused again, by their names.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    known: Mutex<BTreeMap<String, Fault>>,
    changed: Notify,
}

impl Faults {
    /// Remembers `fault`, and returns the error to tell of it.
    pub(crate) fn note(&self, fault: Fault) -> StoreError {
        let (name, error) = (fault::name_of(&fault.sql), refused(&fault));
        if self.lock().insert(name, fault).is_none() {
            self.changed.notify_one();
        }
        error
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Fault>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(fault: &Fault) -> StoreError {
    let advice = match fault.sqlstate.as_str() {
        "42501" => "grant this role the right",
        "42P01" | "42703" | "42883" | "3F000" => "run `adtally migrate`",
        _ => "look at the server's log",
    };
    StoreError::Refused {
        statement: fault::name_of(&fault.sql),
        sqlstate: fault.sqlstate.clone(),
        message: format!("{}: {advice}", fault.message),
    }
}

impl Store {
    /// What stands in the way of this process until a person acts: [`StoreError::SchemaOutdated`],
    /// [`StoreError::SchemaMissing`], or a statement that was refused before and is refused still.
    /// `None` when nothing does.
    ///
    /// # Errors
    /// The transient ones: the database could not be asked.
    pub async fn obstacle(&self) -> Result<Option<StoreError>, StoreError> {
        match self.check_schema().await {
            Ok(()) => {}
            Err(error) if error.is_lasting() => return Ok(Some(error)),
            Err(error) => return Err(error),
        }
        let known: Vec<Fault> = self.faults().lock().values().cloned().collect();
        if known.is_empty() {
            return Ok(None);
        }
        let mended = self
            .run(move |conn| {
                let mut mended = Vec::new();
                for fault in known {
                    if fault::ask(conn, &fault.sql)?.is_none() {
                        mended.push(fault::name_of(&fault.sql));
                    }
                }
                Ok(mended)
            })
            .await?;
        let mut known = self.faults().lock();
        for name in mended {
            known.remove(&name);
        }
        Ok(known.values().next().map(refused))
    }

    /// Waits until a statement is refused that was not before. One task of a process may wait for this.
    pub async fn obstacle_found(&self) {
        self.faults().changed.notified().await;
    }

    /// Whether every migration this binary knows is applied. Newer ones do no harm: they keep the
    /// binaries of the version before working.
    ///
    /// # Errors
    /// [`StoreError::SchemaOutdated`] with those that are not, [`StoreError::SchemaMissing`] when none
    /// is, and the transient ones.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        let pending = self.run(pending).await?;
        if pending.is_empty() {
            Ok(())
        } else {
            Err(StoreError::SchemaOutdated(pending))
        }
    }
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

/// The names of the migrations that are not applied, oldest first.
///
/// diesel's own question would make its table where there is none, which takes a right that no process
/// but `adtally migrate` needs.
fn pending(conn: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let applied: Vec<Applied> =
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load(conn)?;
    let applied: BTreeSet<String> = applied.into_iter().map(|row| row.version).collect();
    let known = MigrationSource::<Pg>::migrations(&MIGRATIONS).map_err(crate::migrate::failed)?;
    let mut pending: Vec<String> = known
        .iter()
        .map(|migration| migration.name())
        .filter(|name| !applied.contains(&name.version().to_string()))
        .map(ToString::to_string)
        .collect();
    pending.sort_unstable();
    Ok(pending)
}
