//! Attempts to store a batch, each a transaction, until one commits or the database is to blame.

use adtally_domain::{EventId, ReportingZone, Timestamp};
use diesel::pg::PgConnection;
use diesel::result::{Error, QueryResult};

use super::batch::{self, Batch};
use super::{EventBatch, Stored, copy, merge, refused};
use crate::error::{is_contention, is_missing_partition, is_unique_violation};
use crate::partitions::{PartitionCache, utc_day};
use crate::{StoreError, dead_letters, marks};

/// Attempts of one call before its batch is handed back. Each either takes the batch a step further
/// or met another transaction.
const ATTEMPTS: u32 = 12;

/// How the events go in.
#[derive(Clone, Copy)]
enum Way {
    /// All are new.
    Copy,
    /// Some are known.
    Merge,
}

/// What an attempt met.
enum Setback {
    /// The statement that inserts events failed.
    Events(Error),
    /// Raw events before this instant are closed, and the batch has some.
    Closed(Timestamp),
    /// Another statement failed.
    Other(Error),
}

impl From<Error> for Setback {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

pub(super) fn store(
    conn: &mut PgConnection,
    partitions: &PartitionCache,
    zone: ReportingZone,
    given: &EventBatch,
) -> Result<Stored, StoreError> {
    let mut batch = Batch::of(&given.events);
    let mut way = Way::Copy;
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let closed = partitions.ensure(conn, batch.days())?;
        if !closed.is_empty() {
            batch.bury_too_old(|time| closed.contains(&utc_day(time)));
        }
        let setback = match attempt(conn, zone, &batch, way, given) {
            Ok(stored) => return Ok(stored),
            Err(setback) => setback,
        };
        last = Some(match setback {
            Setback::Closed(raw_from) => {
                batch.bury_too_old(|time| time < raw_from);
                continue;
            }
            Setback::Events(error) if is_unique_violation(&error) => {
                way = Way::Merge;
                error
            }
            Setback::Events(error) if is_missing_partition(&error) => {
                partitions.clear();
                error
            }
            Setback::Events(error) | Setback::Other(error) if is_contention(&error) => error,
            Setback::Events(error) => exclude_refused(conn, &mut batch, error)?,
            Setback::Other(error) => return Err(error.into()),
        });
    }
    Err(last.map_or_else(
        || StoreError::Contended("raw events are being dropped".to_owned()),
        StoreError::from,
    ))
}

/// Takes the culprits out of the batch. An error for which no event is to blame is the database's.
fn exclude_refused(
    conn: &mut PgConnection,
    batch: &mut Batch<'_>,
    error: Error,
) -> Result<Error, StoreError> {
    if crate::error::is_lost(&error) {
        return Err(error.into());
    }
    let refusals = refused::among(conn, &batch.rows)?;
    if refusals.is_empty() {
        return Err(error.into());
    }
    batch.bury_refused(refusals);
    Ok(error)
}

fn attempt(
    conn: &mut PgConnection,
    zone: ReportingZone,
    batch: &Batch<'_>,
    way: Way,
    given: &EventBatch,
) -> Result<Stored, Setback> {
    conn.build_transaction().read_committed().run(|conn| {
        let mut stored = batch.stored;
        let hours = insert(conn, zone, batch, way, &mut stored).map_err(Setback::Events)?;
        // From here on this transaction holds its lock on events, so nothing is dropped under it.
        let raw_from = marks::append(conn, &hours)?;
        match (raw_from, batch.oldest()) {
            (Some(raw_from), Some(oldest)) if oldest < raw_from => {
                return Err(Setback::Closed(raw_from));
            }
            _ => {}
        }
        dead_letters::insert(conn, batch.buried.iter())?;
        stored.dead_letters = dead_letters::insert(conn, given.dead_letters.iter())?;
        Ok(stored)
    })
}

/// Inserts the batch's rows, counts them, and returns the hours that changed.
fn insert(
    conn: &mut PgConnection,
    zone: ReportingZone,
    batch: &Batch<'_>,
    way: Way,
    stored: &mut Stored,
) -> QueryResult<Vec<chrono::DateTime<chrono::Utc>>> {
    let is_new: Box<dyn Fn(EventId) -> bool> = match way {
        Way::Copy => {
            copy::insert(conn, &batch.rows)?;
            Box::new(|_| true)
        }
        Way::Merge => {
            let merged = merge::insert(conn, &batch.rows)?;
            stored.conflicts += merged.conflicts;
            Box::new(move |id| merged.new.binary_search(&id.as_uuid()).is_ok())
        }
    };
    let new = batch.rows.iter().filter(|event| is_new(event.id));
    let mut clicks = 0;
    let mut inserted = 0;
    let times = new.map(|event| {
        inserted += 1;
        clicks += u64::from(event.kind == adtally_domain::EventKind::Click);
        event.occurred_at()
    });
    let hours = batch::hours(zone, times);
    let rows = u64::try_from(batch.rows.len()).unwrap_or(u64::MAX);
    stored.inserted_clicks += clicks;
    stored.inserted_impressions += inserted - clicks;
    stored.duplicates += rows - inserted;
    Ok(hours)
}
