//! Which events of a batch are stored already.
//!
//! COPY knows no ON CONFLICT: one known id fails it all. Looking the ids up costs about an eighth of
//! the COPY, and inserting every row with ON CONFLICT about four times as much. So a batch is copied
//! as if all of it were new; when that fails, the known events are taken out and the rest is copied.
//! Known ids come in runs (a redelivery, a file sent again), so some batches after that look first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use adtally_domain::Event;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Inet, Nullable, SmallInt, Text, Uuid as SqlUuid};
use ipnet::IpNet;
use uuid::Uuid;

/// Batches that look first after one that held known ids.
const CAUTIOUS: u32 = 4;

/// Each id is looked up by its key. The ids of a batch are neighbours in the index, which no statistics
/// tell: by itself the planner reads whole partitions, and compiles what it thinks to be expensive.
const BY_KEY: &str = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
                      SET LOCAL enable_seqscan = off; SET LOCAL jit = off";

/// Whether known ids are to be expected, by what came before.
#[derive(Debug, Default)]
pub(crate) struct Expectation(AtomicU32);

impl Expectation {
    pub(super) fn is_known_likely(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Takes note of whether a batch held known ids. Batches that run at once may lose a count: it
    /// decides nothing but speed.
    pub(super) fn learn(&self, held_known: bool) {
        let left = self.0.load(Ordering::Relaxed);
        let left = if held_known {
            CAUTIOUS
        } else {
            left.saturating_sub(1)
        };
        self.0.store(left, Ordering::Relaxed);
    }
}

/// The payload of a stored event: what its sender said.
#[derive(QueryableByName)]
pub(super) struct Payload {
    #[diesel(sql_type = SqlUuid)]
    event_id: Uuid,
    #[diesel(sql_type = BigInt)]
    ad_id: i64,
    #[diesel(sql_type = SmallInt)]
    kind: i16,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    impression_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Inet>)]
    ip: Option<IpNet>,
    #[diesel(sql_type = Nullable<Text>)]
    visitor_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    user_agent: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    referer: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    placement: Option<String>,
}

impl Payload {
    pub(super) fn is_of(&self, event: &Event) -> bool {
        self.ad_id == event.ad_id.get()
            && self.kind == i16::from(event.kind.code())
            && self.impression_id == event.impression_id
            && self.ip == event.ip.map(IpNet::from)
            && self.visitor_id == event.visitor_id
            && self.user_agent == event.user_agent
            && self.referer == event.referer
            && self.placement == event.placement
    }
}

/// The stored events among `rows`, which are sorted, by id.
pub(super) fn among(
    conn: &mut PgConnection,
    rows: &[&Event],
) -> QueryResult<HashMap<Uuid, Payload>> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(HashMap::new());
    };
    let ids: Vec<Uuid> = rows.iter().map(|event| event.id.as_uuid()).collect();
    let known = conn.transaction(|conn| {
        conn.batch_execute(BY_KEY)?;
        lookup(conn, ids, first.id.as_uuid(), last.id.as_uuid())
    })?;
    Ok(known
        .into_iter()
        .map(|payload| (payload.event_id, payload))
        .collect())
}

fn lookup(
    conn: &mut PgConnection,
    ids: Vec<Uuid>,
    first: Uuid,
    last: Uuid,
) -> QueryResult<Vec<Payload>> {
    // The bounds leave out the partitions of other days.
    diesel::sql_query(
        "SELECT event_id, ad_id, kind, impression_id, ip, visitor_id, user_agent, referer, placement \
         FROM unnest($1) AS given (event_id) JOIN events USING (event_id) \
         WHERE events.event_id BETWEEN $2 AND $3",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<SqlUuid, _>(first)
    .bind::<SqlUuid, _>(last)
    .load(conn)
}
