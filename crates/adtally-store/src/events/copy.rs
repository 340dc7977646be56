//! The fast way in: COPY straight into the table. One known id fails it all.

use adtally_domain::Event;
use diesel::ExecuteCopyFromDsl;
use diesel::pg::PgConnection;
use diesel::result::QueryResult;

use super::row::EventRow;
use crate::schema::events;

pub(super) fn insert(conn: &mut PgConnection, rows: &[&Event]) -> QueryResult<usize> {
    if rows.is_empty() {
        return Ok(0);
    }
    let rows: Vec<EventRow<'_>> = rows.iter().map(EventRow::from).collect();
    diesel::copy_from(events::table)
        .from_insertable(&rows)
        .execute(conn)
}
