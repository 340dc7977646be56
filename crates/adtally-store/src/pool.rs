//! The connection pool. Everything here blocks: only [`crate::Store`] calls it, off the async threads.

use std::sync::{Arc, OnceLock};

use diesel::connection::{SimpleConnection, TransactionManager};
use diesel::pg::PgConnection;
use diesel::r2d2::{self, ConnectionManager, CustomizeConnection, PooledConnection};
use diesel::result::Error;
use diesel::{Connection, RunQueryDsl};

use crate::fault::{self, NoteFailures};
use crate::obstacle::Faults;
use crate::{StoreConfig, StoreError, server};

#[derive(Clone)]
pub(crate) struct Pool {
    connections: r2d2::Pool<ConnectionManager<PgConnection>>,
    faults: Arc<Faults>,
    judgement: Judgement,
}

/// Whether the server is one to rest on, once it has been asked; else why it is not.
type Judgement = Arc<OnceLock<Result<(), String>>>;

impl Pool {
    /// A pool that connects when a connection is first asked for.
    pub(crate) fn new(config: &StoreConfig) -> Self {
        let manager = ConnectionManager::new(config.connection_url());
        let judgement = Judgement::default();
        let pool = r2d2::Pool::builder()
            .max_size(config.pool_size.max(1))
            .min_idle(Some(0))
            .connection_timeout(config.connect_timeout)
            // A connection that died in the pool is found here and not in the middle of a batch.
            .test_on_check_out(true)
            // The caller gets the same error and knows what it means.
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .connection_customizer(Box::new(NewSession {
                settings: settings(config),
                config: config.clone(),
                judgement: Arc::clone(&judgement),
            }))
            .build_unchecked(manager);
        Self {
            connections: pool,
            faults: Arc::default(),
            judgement,
        }
    }

    /// How many connections there are, and how many of them nobody uses.
    pub(crate) fn count(&self) -> (u32, u32) {
        let state = self.connections.state();
        (state.connections, state.idle_connections)
    }

    /// Runs `work` with a connection.
    pub(crate) fn with<T>(
        &self,
        work: impl FnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut conn = self.get()?;
        fault::forget();
        let result = work(&mut conn);
        match result {
            Err(StoreError::ConnectionLost(reason)) => {
                discard(&mut conn);
                drop(conn);
                return Err(self.loss(reason));
            }
            Err(StoreError::Unavailable(_)) => discard(&mut conn),
            Err(StoreError::Database(_)) if schema_is_missing(&mut conn) => {
                return Err(StoreError::SchemaMissing);
            }
            Err(StoreError::Database(_)) => {
                if let Some(fault) = fault::behind(&mut conn) {
                    return Err(self.faults.note(fault));
                }
            }
            _ => {}
        }
        result
    }

    fn get(&self) -> Result<PooledConnection<ConnectionManager<PgConnection>>, StoreError> {
        self.connections
            .get()
            .map_err(|error| match self.judgement.get() {
                Some(Err(reason)) => StoreError::Unsuitable(reason.clone()),
                _ => StoreError::of_connection(&error.to_string()),
            })
    }

    /// What it means that a connection ended: the end of one is not the end of the database.
    fn loss(&self, reason: String) -> StoreError {
        // One that was idle is asked before it is had, and a new one is told its settings.
        match self.get() {
            Ok(_) => StoreError::ConnectionLost(reason),
            Err(_) => StoreError::Unavailable(reason),
        }
    }

    /// The statements that are refused until a person acts.
    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }
}

/// Keeps a connection out of the pool, for one that looks alive but leads to a standby.
fn discard(conn: &mut PgConnection) {
    <PgConnection as Connection>::TransactionManager::transaction_manager_status_mut(conn)
        .set_in_error();
}

fn schema_is_missing(conn: &mut PgConnection) -> bool {
    diesel::select(diesel::dsl::sql::<diesel::sql_types::Bool>(
        "to_regclass('settings') IS NULL",
    ))
    .get_result(conn)
    .unwrap_or(false)
}

/// What is set in each session.
///
/// A frozen client must not hold locks, but no server's limit on a transaction may end a roll-up
/// (PostgreSQL 17 has one). A plan must see the ids it is for, so that it reads the partitions they
/// are in. A policy that hides rows must be an error and not a smaller count. A commit must be on disk
/// before its messages are acknowledged.
fn settings(config: &StoreConfig) -> String {
    let (statement, lock) = (
        config.statement_limit().as_millis(),
        config.lock_timeout.as_millis(),
    );
    let name = config.application_name.replace('\'', "");
    format!(
        "SELECT set_config(name, value, false) FROM (VALUES \
             ('application_name', '{name}'), \
             ('statement_timeout', '{statement}'), \
             ('lock_timeout', '{lock}'), \
             ('idle_in_transaction_session_timeout', '{statement}'), \
             ('transaction_timeout', '0'), \
             ('default_transaction_isolation', 'read committed'), \
             ('plan_cache_mode', 'force_custom_plan'), \
             ('row_security', 'off'), \
             ('synchronous_commit', CASE current_setting('synchronous_commit') \
                  WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END) \
         ) AS ours (name, value) WHERE current_setting(name, true) IS NOT NULL"
    )
}

#[derive(Debug)]
struct NewSession {
    settings: String,
    config: StoreConfig,
    judgement: Judgement,
}

impl CustomizeConnection<PgConnection, r2d2::Error> for NewSession {
    fn on_acquire(&self, conn: &mut PgConnection) -> Result<(), r2d2::Error> {
        self.judge(conn)
            .map_err(|error| failed(Error::QueryBuilderError(Box::new(error))))?;
        conn.set_instrumentation(NoteFailures);
        conn.batch_execute(&self.settings).map_err(failed)
    }
}

impl NewSession {
    /// Lets a connection pass when the server is one to rest on, which only the first is asked.
    fn judge(&self, conn: &mut PgConnection) -> Result<(), StoreError> {
        if let Some(judgement) = self.judgement.get() {
            return judgement.clone().map_err(StoreError::Unsuitable);
        }
        let checked = server::check(conn, &self.config);
        let judgement = match &checked {
            Ok(()) => Ok(()),
            Err(StoreError::Unsuitable(reason)) => Err(reason.clone()),
            // Not known yet.
            Err(_) => return checked,
        };
        let _ = self.judgement.set(judgement);
        checked
    }
}

fn failed(error: Error) -> r2d2::Error {
    r2d2::Error::QueryError(error)
}
