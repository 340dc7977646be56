//! The way in for batches that hold known ids: COPY beside the table, then insert what is new.

use adtally_domain::Event;
use diesel::ExecuteCopyFromDsl;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use uuid::Uuid;

use super::row::{IncomingRow, adtally_incoming};

/// What a merge found.
pub(super) struct Merged {
    /// The ids that are new, sorted.
    pub(super) new: Vec<Uuid>,
    /// Known ids whose stored payload differs.
    pub(super) conflicts: u64,
}

#[derive(QueryableByName)]
struct NewId {
    #[diesel(sql_type = SqlUuid)]
    event_id: Uuid,
}

#[derive(QueryableByName)]
struct Conflicts {
    #[diesel(sql_type = BigInt)]
    conflicts: i64,
}

pub(super) fn insert(conn: &mut PgConnection, rows: &[&Event]) -> QueryResult<Merged> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(Merged {
            new: Vec::new(),
            conflicts: 0,
        });
    };
    conn.batch_execute(
        "CREATE TEMPORARY TABLE IF NOT EXISTS adtally_incoming (LIKE events INCLUDING DEFAULTS) \
         ON COMMIT DELETE ROWS",
    )?;
    let incoming: Vec<IncomingRow<'_>> = rows.iter().map(IncomingRow::from).collect();
    diesel::copy_from(adtally_incoming::table)
        .from_insertable(&incoming)
        .execute(conn)?;

    // In the order of ids, so that two merges of the same ids wait for each other but never both.
    let mut new: Vec<Uuid> = diesel::sql_query(
        "INSERT INTO events (event_id, ad_id, kind, received_at, impression_id, ip, visitor_id, \
                             user_agent, referer, placement, source) \
         SELECT event_id, ad_id, kind, received_at, impression_id, ip, visitor_id, \
                user_agent, referer, placement, source \
         FROM adtally_incoming ORDER BY event_id ON CONFLICT DO NOTHING RETURNING event_id",
    )
    .load::<NewId>(conn)?
    .into_iter()
    .map(|row| row.event_id)
    .collect();
    new.sort_unstable();

    // A row that is new equals what it was made from, so only the known ones can differ.
    let conflicts = diesel::sql_query(
        "SELECT count(*) AS conflicts FROM adtally_incoming i JOIN events e USING (event_id) \
         WHERE e.event_id BETWEEN $1 AND $2 AND \
               (i.ad_id, i.kind, i.impression_id, i.ip, i.visitor_id, i.user_agent, i.referer, \
                i.placement) IS DISTINCT FROM \
               (e.ad_id, e.kind, e.impression_id, e.ip, e.visitor_id, e.user_agent, e.referer, \
                e.placement)",
    )
    .bind::<SqlUuid, _>(first.id.as_uuid())
    .bind::<SqlUuid, _>(last.id.as_uuid())
    .get_result::<Conflicts>(conn)?
    .conflicts;
    Ok(Merged {
        new,
        conflicts: u64::try_from(conflicts).unwrap_or(0),
    })
}
