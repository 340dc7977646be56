//! The fast way in: COPY straight into the table. One known id fails it all.

use std::io::Write;

use diesel::ExecuteCopyFromDsl;
use diesel::pg::{CopyFormat, CopyTarget, PgConnection};
use diesel::result::{Error, QueryResult};

use super::passes::Passes;
use super::row::{self, COLUMNS, HEADER, TRAILER};
use super::rows::Row;
use crate::schema::events::{self, dsl};

/// Bytes handed to the connection at once. A message for each row would cost more than the row; much
/// larger ones would leave the server waiting while they are made.
const CHUNK: usize = 64 * 1_024;

/// Inserts the rows. Columns at the end that are NULL in all of them are not sent: the server would read
/// and convert each, row by row.
pub(super) fn insert(conn: &mut PgConnection, passes: &Passes<'_>) -> QueryResult<usize> {
    let Some(used) = passes.sorted.iter().map(Row::columns).max() else {
        return Ok(0);
    };
    let always = (
        dsl::event_id,
        dsl::received_at,
        dsl::source,
        dsl::ad_id,
        dsl::kind,
        dsl::ip,
        dsl::user_agent,
    );
    let (id, received, source, ad, kind, ip, browser) = always;
    let (page, place) = (dsl::referer, dsl::placement);
    match used {
        ..=7 => copy(conn, always, passes, 7),
        8 | 9 => {
            let with_page = (id, received, source, ad, kind, ip, browser, page, place);
            copy(conn, with_page, passes, 9)
        }
        _ => {
            let (visitor, impression) = (dsl::visitor_id, dsl::impression_id);
            let all = (
                id, received, source, ad, kind, ip, browser, page, place, visitor, impression,
            );
            copy(conn, all, passes, COLUMNS)
        }
    }
}

/// Copies the first `count` columns, which `columns` names.
fn copy(
    conn: &mut PgConnection,
    columns: impl CopyTarget<Table = events::table>,
    passes: &Passes<'_>,
    count: u8,
) -> QueryResult<usize> {
    diesel::copy_from(events::table)
        .from_raw_data(columns, |copy| {
            write(copy, passes.rows(), count).map_err(told_by_database)
        })
        .with_format(CopyFormat::Binary)
        .execute(conn)
}

fn write<'a>(
    copy: &mut dyn Write,
    rows: impl Iterator<Item = &'a Row<'a>>,
    columns: u8,
) -> std::io::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK + CHUNK / 8);
    chunk.extend_from_slice(&HEADER);
    for row in rows {
        let (fields, given) = (row.fields(), row.columns());
        row::write(&mut chunk, row.id(), fields, given, columns);
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
