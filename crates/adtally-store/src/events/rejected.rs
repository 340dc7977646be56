//! Which events a batch failed for.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::columns::{PARAMETERS, bind};
use super::copy_buffer::RowRef;

/// An event the table rejects because of what is in it.
#[derive(QueryableByName)]
pub(super) struct RejectedRow {
    #[diesel(sql_type = SqlUuid)]
    pub(super) event_id: Uuid,
    /// The SQLSTATE, of class 22 or 23.
    #[diesel(sql_type = Text)]
    pub(super) code: String,
    #[diesel(sql_type = Text)]
    pub(super) detail: String,
}

/// Tries each of `rows` alone, inside the database, and leaves nothing behind.
///
/// None rejected means that the batch did not fail for its events.
pub(super) fn among(conn: &mut PgConnection, rows: &[RowRef<'_>]) -> QueryResult<Vec<RejectedRow>> {
    let mut rejected = Vec::new();
    let outcome = conn.transaction::<(), diesel::result::Error, _>(|conn| {
        rejected = try_each(conn, rows)?;
        Err(diesel::result::Error::RollbackTransaction)
    });
    match outcome {
        Err(diesel::result::Error::RollbackTransaction) | Ok(()) => Ok(rejected),
        Err(error) => Err(error),
    }
}

fn try_each(conn: &mut PgConnection, rows: &[RowRef<'_>]) -> QueryResult<Vec<RejectedRow>> {
    let parameters = PARAMETERS.iter().zip(1..);
    let parameters: Vec<String> = parameters
        .map(|(name, number)| format!("{name} => ${number}"))
        .collect();
    let call = format!(
        "SELECT event_id, code, detail FROM adtally_refused_events({})",
        parameters.join(", ")
    );
    let ids = rows.iter().map(|row| row.id().as_uuid()).collect();
    let values = rows.iter().map(RowRef::values).collect();
    bind(diesel::sql_query(call).into_boxed(), ids, values).load(conn)
}
