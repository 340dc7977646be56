//! Whether the server behind a connection is one that everything else may rest on.

use diesel::Connection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};

use crate::{StoreConfig, StoreError};

/// PostgreSQL 15.
const OLDEST: i32 = 150_000;

/// How often a connection is looked at for another session. Behind a pooler one look is enough, unless
/// others use the same pool just then.
const LOOKS: u32 = 4;

const NO_SESSIONS: &str = "the database URL leads to a pooler that gives each transaction another \
                           session: connect to PostgreSQL itself, or let the pooler keep sessions \
                           (PgBouncer: pool_mode = session)";

#[derive(QueryableByName)]
struct Properties {
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Text)]
    encoding: String,
}

impl Properties {
    /// Why nothing can rest on a server with these; `None` when it can.
    fn fault(&self) -> Option<String> {
        let Self { version, encoding } = self;
        if *version < OLDEST {
            let (major, minor) = (version / 10_000, version % 10_000);
            return Some(format!(
                "PostgreSQL {major}.{minor} is too old: AdTally needs 15 or later"
            ));
        }
        (encoding != "UTF8").then(|| {
            format!(
                "the database has the encoding {encoding}, which cannot hold every text: create one \
                 with ENCODING 'UTF8'"
            )
        })
    }
}

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

/// Refuses a server that is too old, a database that cannot hold every text, and a connection that is
/// not a session of its own: settings, locks and prepared statements are kept in it.
///
/// Run it on a new connection, before anything is set in it: what a pooler shares, others would meet.
///
/// # Errors
/// [`StoreError::Unsuitable`], and the transient ones.
pub(crate) fn check(conn: &mut PgConnection, config: &StoreConfig) -> Result<(), StoreError> {
    // Preparing and executing are two steps, which only a transaction keeps together behind a pooler.
    let properties: Properties = conn.transaction(|conn| {
        diesel::sql_query(
            "SELECT current_setting('server_version_num')::int AS version, \
                    current_setting('server_encoding') AS encoding",
        )
        .get_result(conn)
    })?;
    if let Some(fault) = properties.fault() {
        return Err(StoreError::Unsuitable(fault));
    }
    let mut other = PgConnection::establish(&config.connection_url())
        .map_err(|error| StoreError::of_connection(&error.to_string()))?;
    for _ in 0..LOOKS {
        if !keeps_its_session(conn, &mut other)? {
            return Err(StoreError::Unsuitable(NO_SESSIONS.to_owned()));
        }
    }
    Ok(())
}

/// Whether `conn` has the same session in each transaction, also while `other` is in one: poolers
/// hand out the session that was used last, or each in turn.
fn keeps_its_session(conn: &mut PgConnection, other: &mut PgConnection) -> QueryResult<bool> {
    let (first, second) = (session_of(conn)?, session_of(conn)?);
    other.transaction(|other| {
        let elsewhere = session(other)?;
        let third = session_of(conn)?;
        Ok(first == second && second == third && elsewhere != first)
    })
}

fn session_of(conn: &mut PgConnection) -> QueryResult<i32> {
    conn.transaction(session)
}

fn session(conn: &mut PgConnection) -> QueryResult<i32> {
    let session: Session = diesel::sql_query("SELECT pg_backend_pid() AS pid").get_result(conn)?;
    Ok(session.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_as_old_as_15_at_most_and_holds_every_text() {
        let fault = |version, encoding: &str| {
            let encoding = encoding.to_owned();
            Properties { version, encoding }.fault()
        };
        assert_eq!(fault(150_000, "UTF8"), None);
        assert_eq!(fault(180_001, "UTF8"), None);
        let old = fault(140_022, "UTF8").unwrap();
        assert!(old.contains("14.22 is too old"), "{old}");
        for encoding in ["LATIN1", "SQL_ASCII", "EUC_JP"] {
            assert!(fault(150_000, encoding).unwrap().contains(encoding));
        }
    }
}
