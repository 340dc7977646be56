//! The fast way in: COPY straight into the table. One id that exists fails it all.

use std::io::Write;

use adtally_domain::EventId;
use diesel::ExecuteCopyFromDsl;
use diesel::pg::{CopyFormat, CopyTarget, PgConnection};
use diesel::result::{Error, QueryResult};

use super::column_value::{put, put_nullable};
use super::columns::{ColumnSet, CopyList, Longest, Middle, Shortest};
use super::copy_buffer::RowRef;
use super::insert_order::InsertOrder;
use crate::schema::events;

/// Bytes handed to the connection at once. A message for each row would cost more than the row; much
/// larger ones would leave the server waiting while they are made.
const CHUNK: usize = 64 * 1_024;

/// What the data begins with: signature, flags, length of an extension.
const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Inserts the rows. A source that none of them has, and columns at the end that are NULL in all of them, are
/// not sent: the server would read and convert each, row by row.
pub(super) fn insert(conn: &mut PgConnection, order: &InsertOrder<'_>) -> QueryResult<usize> {
    let all = order.sorted.iter().map(RowRef::columns);
    let used = all.fold(ColumnSet::default(), |used, row| ColumnSet {
        source: used.source || row.source,
        others: used.others.max(row.others),
    });
    if used.others == 0 {
        Ok(0)
    } else if used.others <= Shortest::OTHERS {
        copy_list::<Shortest>(conn, used.source, order)
    } else if used.others <= Middle::OTHERS {
        copy_list::<Middle>(conn, used.source, order)
    } else {
        copy_list::<Longest>(conn, used.source, order)
    }
}

fn copy_list<List: CopyList>(
    conn: &mut PgConnection,
    source: bool,
    order: &InsertOrder<'_>,
) -> QueryResult<usize> {
    let sent = ColumnSet {
        source,
        others: List::OTHERS,
    };
    if source {
        copy(conn, List::WITH_SOURCE, order, sent)
    } else {
        copy(conn, List::WITHOUT_SOURCE, order, sent)
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
        write_row(&mut chunk, row.id(), row.fields(), row.columns(), sent);
        if chunk.len() >= CHUNK {
            copy.write_all(&chunk)?;
            chunk.clear();
        }
    }
    chunk.extend_from_slice(&TRAILER);
    copy.write_all(&chunk)
}

/// A row of the columns that are `sent`: how many there are, the id, `fields`, and NULLs. Those that are
/// `present` are in `fields` and the id.
pub(super) fn write_row(
    data: &mut Vec<u8>,
    id: EventId,
    fields: &[u8],
    present: ColumnSet,
    sent: ColumnSet,
) {
    let count = i16::from(sent.others) + i16::from(sent.source);
    data.extend_from_slice(&count.to_be_bytes());
    put(data, id.as_uuid().as_bytes());
    if sent.source && !present.source {
        put_nullable(data, None);
    }
    data.extend_from_slice(fields);
    for _ in present.others..sent.others {
        put_nullable(data, None);
    }
}

/// The connection's own error, which the writer wraps.
fn told_by_database(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::SerializationError(Box::new(error)),
    }
}
