//! The fast way in: COPY straight into the table. One id that exists fails it all.

use std::io::Write;

use diesel::ExecuteCopyFromDsl;
use diesel::pg::{CopyFormat, CopyTarget, PgConnection};
use diesel::result::{Error, QueryResult};

use super::copy_buffer::RowRef;
use super::insert_order::InsertOrder;
use super::row::{self, COLUMNS, ColumnSet, HEADER, TRAILER};
use crate::schema::events::{self, dsl};

/// Bytes handed to the connection at once. A message for each row would cost more than the row; much
/// larger ones would leave the server waiting while they are made.
const CHUNK: usize = 64 * 1_024;

/// Inserts the rows. A source that none of them has, and columns at the end that are NULL in all of them, are
/// not sent: the server would read and convert each, row by row.
pub(super) fn insert(conn: &mut PgConnection, order: &InsertOrder<'_>) -> QueryResult<usize> {
    let all = order.sorted.iter().map(RowRef::columns);
    let used = all.fold(ColumnSet::default(), |used, row| ColumnSet {
        source: used.source || row.source,
        others: used.others.max(row.others),
    });
    let source = used.source;
    macro_rules! send {
        ($others:expr, $($column:ident),*) => {{
            let others = $others;
            let sent = ColumnSet { source, others };
            if source {
                copy(conn, (dsl::event_id, dsl::source, $(dsl::$column),*), order, sent)
            } else {
                copy(conn, (dsl::event_id, $(dsl::$column),*), order, sent)
            }
        }};
    }
    match used.others {
        0 => Ok(0),
        1..=6 => send!(6, received_at, ad_id, kind, ip, user_agent),
        7 | 8 => send!(
            8,
            received_at,
            ad_id,
            kind,
            ip,
            user_agent,
            referer,
            placement
        ),
        _ => send!(
            COLUMNS,
            received_at,
            ad_id,
            kind,
            ip,
            user_agent,
            referer,
            placement,
            visitor_id,
            impression_id
        ),
    }
}

/// Copies the columns that are `sent`, which `columns` names.
fn copy(
    conn: &mut PgConnection,
    columns: impl CopyTarget<Table = events::table>,
    order: &InsertOrder<'_>,
    sent: ColumnSet,
) -> QueryResult<usize> {
    diesel::copy_from(events::table)
        .from_raw_data(columns, |copy| {
            write(copy, order.rows(), sent).map_err(told_by_database)
        })
        .with_format(CopyFormat::Binary)
        .execute(conn)
}

fn write<'a>(
    copy: &mut dyn Write,
    rows: impl Iterator<Item = &'a RowRef<'a>>,
    sent: ColumnSet,
) -> std::io::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK + CHUNK / 8);
    chunk.extend_from_slice(&HEADER);
    for row in rows {
        let (fields, present) = (row.fields(), row.columns());
        row::write(&mut chunk, row.id(), fields, present, sent);
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
