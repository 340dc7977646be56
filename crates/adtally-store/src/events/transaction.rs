//! The transaction that stores a batch, run again until it commits or the database is to blame.

use adtally_domain::{EventId, EventKind, ReportingZone};
use diesel::pg::PgConnection;
use diesel::result::Error;
use uuid::Uuid;

use super::after_insert::after_insert;
use super::existing::DuplicateHint;
use super::insert_order::{IndexTail, InsertOrder};
use super::limits::Limits;
use super::pending_insert::PendingInsert;
use super::{EventBatch, Stored, copy, existing, rejected};
use crate::error::{is_contention, is_lost};
use crate::partitions::{PartitionCache, utc_day};
use crate::settings::same_zone;
use crate::{StoreError, dead_letters};

/// Transactions of one call before its batch is handed back. Each takes the batch a step further, or met
/// another transaction.
const ATTEMPTS: u32 = 12;

/// Events of a batch that are put off at most, about a pack of them. Where more are concerned, all of
/// storing may as well wait: they would only go round and round.
const MOST_PUT_OFF: usize = 1_024;

/// What one process has learnt from the batches before. It decides nothing but speed.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    pub(crate) partitions: PartitionCache,
    pub(crate) duplicates: DuplicateHint,
    pub(crate) index_tail: IndexTail,
}

/// Why a transaction did not commit.
enum Setback {
    /// The statement that inserts events failed.
    Events(Error),
    /// The batch has events of times that these leave out.
    Untimely(Limits),
    /// The marks would be those of another zone.
    Zone(StoreError),
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
    hints: &Hints,
    zone: ReportingZone,
    given: &EventBatch,
) -> Result<Stored, StoreError> {
    let mut batch = PendingInsert::of(given);
    let mut held_duplicates = false;
    let mut last = None;
    make_ready(conn, hints, &mut batch)?;
    if hints.duplicates.expects_any() {
        held_duplicates = take_out_existing(conn, hints, &mut batch)?;
    }
    for _ in 0..ATTEMPTS {
        match transaction(conn, hints, zone, &batch, given) {
            Ok(stored) => {
                hints.duplicates.learn(held_duplicates);
                return Ok(stored);
            }
            Err(Setback::Untimely(limits)) => {
                batch.take_out_untimely(|time| limits.check(zone, time))
            }
            Err(Setback::Events(error)) => {
                match remove_cause(conn, hints, &mut batch, &error)? {
                    Some(Cause::Duplicates) => held_duplicates = true,
                    Some(Cause::Partitions | Cause::Rejected) => {}
                    None if is_contention(&error) => {}
                    None => return Err(error.into()),
                }
                last = Some(error);
            }
            Err(Setback::Other(error)) if is_contention(&error) => last = Some(error),
            Err(Setback::Zone(error)) => return Err(error),
            Err(Setback::Other(error)) => return Err(error.into()),
        }
    }
    Err(last.map_or_else(
        || StoreError::Contended("raw events are being dropped".to_owned()),
        StoreError::from,
    ))
}

/// Makes missing partitions, and takes out the events that can have none any more, or whose day is
/// locked now. Says whether an insert that failed before may succeed now.
fn make_ready(
    conn: &mut PgConnection,
    hints: &Hints,
    batch: &mut PendingInsert<'_>,
) -> Result<bool, StoreError> {
    let days = hints.partitions.ensure(conn, batch.days())?;
    if !days.without.is_empty() {
        let limits = Limits::load(conn)?;
        batch.take_out_untimely(|time| limits.check_without(&days.without, time));
    }
    if let Some(day) = days.locked.first() {
        batch.put_off(|time| days.locked.contains(&utc_day(time)));
        if batch.stored.put_off.len() > MOST_PUT_OFF {
            return Err(StoreError::Database(format!(
                "somebody holds a lock that keeps events of {day} from being stored"
            )));
        }
    }
    Ok(days.changes_something())
}

/// Takes out the events that are stored already, before an insert meets them. Where they cannot be looked
/// for, as while somebody holds a lock on a partition, the batch is made ready anew and does without.
fn take_out_existing(
    conn: &mut PgConnection,
    hints: &Hints,
    batch: &mut PendingInsert<'_>,
) -> Result<bool, StoreError> {
    match existing::among(conn, &batch.rows, &hints.duplicates) {
        Ok(existing) => Ok(batch.take_out_existing(&existing)),
        Err(error) if is_lost(&error) => Err(StoreError::of(&error)),
        Err(_) => {
            hints.partitions.clear();
            make_ready(conn, hints, batch)?;
            Ok(false)
        }
    }
}

/// Why the insert of a batch failed.
enum Cause {
    /// A partition was missing or locked.
    Partitions,
    /// Some of its events are stored already.
    Duplicates,
    /// The table rejects some of its events.
    Rejected,
}

/// Looks for what made the insert of a batch fail, and removes it. `None` means that the database is
/// to blame, or another transaction.
///
/// The error is not asked: what lies between us and the server may have replaced its code.
fn remove_cause(
    conn: &mut PgConnection,
    hints: &Hints,
    batch: &mut PendingInsert<'_>,
    error: &Error,
) -> Result<Option<Cause>, StoreError> {
    if is_lost(error) {
        return Err(StoreError::of(error));
    }
    hints.partitions.clear();
    if make_ready(conn, hints, batch)? {
        return Ok(Some(Cause::Partitions));
    }
    if batch.take_out_existing(&existing::among(conn, &batch.rows, &hints.duplicates)?) {
        return Ok(Some(Cause::Duplicates));
    }
    let rejected = rejected::among(conn, &batch.rows)?;
    if rejected.is_empty() {
        return Ok(None);
    }
    batch.take_out_rejected(rejected);
    Ok(Some(Cause::Rejected))
}

/// The ids of all events, also of those that only a letter holds and those that were stored before: the
/// mark of a letter may have been lost when its event was stored.
fn ids_of(given: &EventBatch) -> impl Iterator<Item = Uuid> + Clone {
    let of_letters = given
        .dead_letters
        .iter()
        .filter_map(|letter| letter.event_id);
    let of_events = given.rows.iter().map(|row| row.id());
    of_events.chain(of_letters).map(EventId::as_uuid)
}

fn transaction(
    conn: &mut PgConnection,
    hints: &Hints,
    zone: ReportingZone,
    batch: &PendingInsert<'_>,
    given: &EventBatch,
) -> Result<Stored, Setback> {
    let marks = batch.marks(zone);
    conn.build_transaction().read_committed().run(|conn| {
        let order = InsertOrder::of(conn, &hints.index_tail, &batch.rows)?;
        copy::insert(conn, &order).map_err(Setback::Events)?;
        // From here on this transaction holds its lock on events, so nothing is dropped under it.
        let found = after_insert(conn, &marks, batch.ends())?;
        same_zone(found.zone.as_deref(), zone).map_err(Setback::Zone)?;
        if let Some((first, last)) = batch.span()
            && !found.limits.contain(first, last)
        {
            return Err(Setback::Untimely(found.limits));
        }
        let mut letters = dead_letters::insert_from_events(conn, &batch.dead)?;
        for (reason, new) in dead_letters::insert(conn, given.dead_letters.iter())? {
            *letters.entry(reason).or_default() += new;
        }
        let keeps_letters = !batch.dead.is_empty() || !given.dead_letters.is_empty();
        if found.has_letters || keeps_letters {
            dead_letters::resolve(conn, ids_of(given))?;
        }
        Ok(Stored {
            inserted_impressions: batch.count(EventKind::Impression),
            inserted_clicks: batch.count(EventKind::Click),
            dead_letters: letters,
            ..batch.stored.clone()
        })
    })
}
