//! Attempts to store a batch, each a transaction, until one commits or the database is to blame.

use adtally_domain::{EventId, EventKind, ReportingZone};
use diesel::pg::PgConnection;
use diesel::result::Error;
use uuid::Uuid;

use super::batch::Batch;
use super::finish::finish;
use super::known::Expectation;
use super::limits::Limits;
use super::passes::{self, Passes};
use super::{EventBatch, Stored, copy, known, refused};
use crate::error::{is_contention, is_lost};
use crate::partitions::{PartitionCache, utc_day};
use crate::settings::same_zone;
use crate::{StoreError, dead_letters};

/// Attempts of one call before its batch is handed back. Each takes the batch a step further, or met
/// another transaction.
const ATTEMPTS: u32 = 12;

/// Events of a batch that are put off at most, about a pack of them. Where more are concerned, all of
/// storing may as well wait: they would only go round and round.
const MOST_PUT_OFF: usize = 1_024;

/// What one process remembers from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) partitions: PartitionCache,
    pub(crate) known: Expectation,
    pub(crate) pages_behind: passes::PagesBehind,
}

/// What an attempt met.
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
    memory: &Memory,
    zone: ReportingZone,
    given: &EventBatch,
) -> Result<Stored, StoreError> {
    let mut batch = Batch::of(given);
    let mut held_known = false;
    let mut last = None;
    make_ready(conn, memory, &mut batch)?;
    if memory.known.is_known_likely() {
        held_known = drop_known(conn, memory, &mut batch)?;
    }
    for _ in 0..ATTEMPTS {
        match attempt(conn, memory, zone, &batch, given) {
            Ok(stored) => {
                memory.known.learn(held_known);
                return Ok(stored);
            }
            Err(Setback::Untimely(limits)) => batch.bury_untimely(|time| limits.judge(zone, time)),
            Err(Setback::Events(error)) => {
                match remove_cause(conn, memory, &mut batch, &error)? {
                    Some(Cause::KnownIds) => held_known = true,
                    Some(Cause::Partitions | Cause::Refused) => {}
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
    memory: &Memory,
    batch: &mut Batch<'_>,
) -> Result<bool, StoreError> {
    let days = memory.partitions.ensure(conn, batch.days())?;
    if !days.without.is_empty() {
        let limits = Limits::load(conn)?;
        batch.bury_untimely(|time| limits.judge_without(&days.without, time));
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
fn drop_known(
    conn: &mut PgConnection,
    memory: &Memory,
    batch: &mut Batch<'_>,
) -> Result<bool, StoreError> {
    match known::among(conn, &batch.rows, &memory.known) {
        Ok(known) => Ok(batch.drop_known(&known)),
        Err(error) if is_lost(&error) => Err(StoreError::of(&error)),
        Err(_) => {
            memory.partitions.clear();
            make_ready(conn, memory, batch)?;
            Ok(false)
        }
    }
}

/// Why the insert of a batch failed.
enum Cause {
    /// A partition was missing or locked.
    Partitions,
    /// Some of its events are stored already.
    KnownIds,
    /// The table refuses some of its events.
    Refused,
}

/// Looks for what made the insert of a batch fail, and removes it. `None` means that the database is
/// to blame, or another transaction.
///
/// The error is not asked: what lies between us and the server may have replaced its code.
fn remove_cause(
    conn: &mut PgConnection,
    memory: &Memory,
    batch: &mut Batch<'_>,
    error: &Error,
) -> Result<Option<Cause>, StoreError> {
    if is_lost(error) {
        return Err(StoreError::of(error));
    }
    memory.partitions.clear();
    if make_ready(conn, memory, batch)? {
        return Ok(Some(Cause::Partitions));
    }
    if batch.drop_known(&known::among(conn, &batch.rows, &memory.known)?) {
        return Ok(Some(Cause::KnownIds));
    }
    let refusals = refused::among(conn, &batch.rows)?;
    if refusals.is_empty() {
        return Ok(None);
    }
    batch.bury_refused(refusals);
    Ok(Some(Cause::Refused))
}

/// The ids of all events, those that only a letter holds and those that are known included: the mark
/// of a letter may have been lost when its event was stored.
fn ids_of(given: &EventBatch) -> impl Iterator<Item = Uuid> + Clone {
    let of_letters = given
        .dead_letters
        .iter()
        .filter_map(|letter| letter.event_id);
    let of_events = given.rows.iter().map(|row| row.id());
    of_events.chain(of_letters).map(EventId::as_uuid)
}

fn attempt(
    conn: &mut PgConnection,
    memory: &Memory,
    zone: ReportingZone,
    batch: &Batch<'_>,
    given: &EventBatch,
) -> Result<Stored, Setback> {
    let marks = batch.marks(zone);
    conn.build_transaction().read_committed().run(|conn| {
        let passes = Passes::of(conn, &memory.pages_behind, &batch.rows)?;
        copy::insert(conn, &passes).map_err(Setback::Events)?;
        // From here on this transaction holds its lock on events, so nothing is dropped under it.
        let found = finish(conn, &marks, batch.ends())?;
        same_zone(found.zone.as_deref(), zone).map_err(Setback::Zone)?;
        if let Some((first, last)) = batch.span()
            && !found.limits.hold(first, last)
        {
            return Err(Setback::Untimely(found.limits));
        }
        let mut letters = dead_letters::bury(conn, &batch.buried)?;
        for (reason, new) in dead_letters::insert(conn, given.dead_letters.iter())? {
            *letters.entry(reason).or_default() += new;
        }
        let keeps_letters = !batch.buried.is_empty() || !given.dead_letters.is_empty();
        if found.has_letters || keeps_letters {
            dead_letters::settle(conn, ids_of(given))?;
        }
        Ok(Stored {
            inserted_impressions: batch.count(EventKind::Impression),
            inserted_clicks: batch.count(EventKind::Click),
            dead_letters: letters,
            ..batch.stored.clone()
        })
    })
}
