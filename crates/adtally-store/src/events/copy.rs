//! The fast way in: COPY straight into the table. One known id fails it all.

use std::io::Write;

use adtally_domain::Event;
use diesel::ExecuteCopyFromDsl;
use diesel::pg::{CopyFormat, PgConnection};
use diesel::result::{Error, QueryResult};

use super::row::{HEADER, TRAILER, append};
use crate::schema::events::{self, dsl};

/// Bytes handed to the connection at once. A message for each row would cost more than the row; much
/// larger ones would leave the server waiting while they are made.
const CHUNK: usize = 64 * 1_024;

pub(super) fn insert(conn: &mut PgConnection, rows: &[&Event]) -> QueryResult<usize> {
    if rows.is_empty() {
        return Ok(0);
    }
    let columns = (
        dsl::event_id,
        dsl::ad_id,
        dsl::kind,
        dsl::received_at,
        dsl::impression_id,
        dsl::ip,
        dsl::visitor_id,
        dsl::user_agent,
        dsl::referer,
        dsl::placement,
        dsl::source,
    );
    diesel::copy_from(events::table)
        .from_raw_data(columns, |copy| write(copy, rows).map_err(told_by_database))
        .with_format(CopyFormat::Binary)
        .execute(conn)
}

fn write(copy: &mut dyn Write, rows: &[&Event]) -> std::io::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK + CHUNK / 8);
    chunk.extend_from_slice(&HEADER);
    for event in rows {
        append(&mut chunk, event);
        if chunk.len() >= CHUNK {
            copy.write_all(&chunk)?;
            chunk.clear();
        }
    }
    chunk.extend_from_slice(&TRAILER);
    copy.write_all(&chunk)
}

/// The connection's own error, which the writer wraps.
fn told_by_database(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::SerializationError(Box::new(error)),
    }
}
