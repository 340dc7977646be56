//! The partitions of `events`, one for each UTC day.

mod cache;
mod locks;

use std::collections::BTreeSet;
use std::time::Duration;

use adtally_domain::{ReportingZone, Timestamp};
use chrono::NaiveDate;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Date, Text};

pub(crate) use cache::PartitionCache;

use crate::schema::dirty_hours;
use crate::{Store, StoreError, closed_hours, marks, settings};

const DAY_MILLIS: i64 = 86_400_000;

diesel::define_sql_function! {
    /// Makes the partition of one UTC day; false when its raw events are closed for good.
    fn adtally_ensure_partition(day: Date) -> Bool;
}

fn ensure(conn: &mut PgConnection, day: NaiveDate) -> QueryResult<bool> {
    diesel::select(adtally_ensure_partition(day)).get_result(conn)
}

/// The UTC day of an instant, which is the partition of an event at that time.
pub(crate) fn utc_day(time: Timestamp) -> NaiveDate {
    time.to_datetime().date_naive()
}

/// The first instant of a UTC day.
pub(crate) fn start_of(day: NaiveDate) -> Timestamp {
    crate::times::timestamp(day.and_time(chrono::NaiveTime::MIN).and_utc())
}

/// The first instant after a UTC day.
pub(crate) fn end_of(day: NaiveDate) -> Timestamp {
    start_of(day).saturating_add_millis(DAY_MILLIS)
}

/// The raw events of one UTC day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The table's name.
    pub name: String,
    /// The UTC day.
    pub day: NaiveDate,
    /// How many events are in it, as PostgreSQL last estimated; 0 when it has not yet.
    pub rows: u64,
    /// Bytes on disk, indexes included.
    pub bytes: u64,
}

impl Store {
    /// All partitions, oldest first.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn partitions(&self) -> Result<Vec<Partition>, StoreError> {
        self.run(|conn| Ok(all(conn, true)?)).await
    }

    /// Whether [`Store::drop_partition`] would do so.
    ///
    /// # Errors
    /// Those of [`Store::drop_partition`].
    pub async fn may_drop_partition(
        &self,
        zone: ReportingZone,
        day: NaiveDate,
        final_after: Duration,
    ) -> Result<(), StoreError> {
        let raw_from = first_hour_after(zone, day);
        self.run(move |conn| refuse_if_needed(conn, zone, day, raw_from, final_after))
            .await
    }

    /// Makes the partitions of every UTC day from `first` to `last`, both included, and says for how
    /// many of them a partition exists now. Days before [`Store::raw_from`] get none.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn ensure_partitions(
        &self,
        first: NaiveDate,
        last: NaiveDate,
    ) -> Result<u64, StoreError> {
        self.run(move |conn| {
            let mut existing = 0;
            for day in first.iter_days().take_while(|day| *day <= last) {
                existing += u64::from(ensure(conn, day)?);
            }
            Ok(existing)
        })
        .await
    }

    /// Drops the raw events of one UTC day and of every day before it, for good, and moves
    /// [`Store::raw_from`] behind them in the same transaction. Totals stay as they are.
    ///
    /// Returns the new `raw_from`: the first instant after the day at which an hour of `zone`
    /// begins, so that no hour is left with a part of its events.
    ///
    /// Each partition costs the server a handful of locks: drop some dozens at a time.
    ///
    /// # Errors
    /// [`StoreError::StillNeeded`] while an hour that overlaps those days, or a day that ends with
    /// them, waits for a roll-up, or its end is not `final_after` ago; and the transient ones.
    pub async fn drop_partition(
        &self,
        zone: ReportingZone,
        day: NaiveDate,
        final_after: Duration,
    ) -> Result<Timestamp, StoreError> {
        let store = self.clone();
        self.run(move |conn| {
            let raw_from = conn.transaction(|conn| drop_through(conn, zone, day, final_after))?;
            store.hints().partitions.clear();
            Ok(raw_from)
        })
        .await
    }
}

/// Keeps partitions from being dropped until the transaction ends. As its first statement, before
/// any snapshot is taken, it makes [`Store::raw_from`] and the raw events in the snapshot agree.
pub(crate) fn hold(conn: &mut PgConnection) -> QueryResult<()> {
    conn.batch_execute("LOCK TABLE ONLY events IN ACCESS SHARE MODE")
}

/// The way of a transaction that only reads from partition to partition. It lets go of the locks of one
/// when it comes to the next but one: they would be kept until its end, and a server has room for some
/// 6,400 unless it is told otherwise.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    last: Option<NaiveDate>,
    begun: bool,
}

impl Visits {
    /// Comes to the partition of `day`.
    pub(crate) fn next(&mut self, conn: &mut PgConnection, day: NaiveDate) -> QueryResult<()> {
        match self.last.replace(day) {
            Some(last) if last != day && self.begun => {
                conn.batch_execute("ROLLBACK TO SAVEPOINT visits")
            }
            // Most stay within one day and need no savepoint.
            Some(last) if last != day => {
                self.begun = true;
                conn.batch_execute("SAVEPOINT visits")
            }
            _ => Ok(()),
        }
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    rows: i64,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

/// The partitions, in the order of their days. Their sizes are read only if they are `measured`.
fn all(conn: &mut PgConnection, measured: bool) -> QueryResult<Vec<Partition>> {
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT relname::text AS name, greatest(reltuples, 0)::bigint AS rows, \
                CASE WHEN $1 THEN pg_total_relation_size(pg_class.oid) ELSE 0 END AS bytes \
         FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
         WHERE inhparent = 'events'::regclass AND NOT inhdetachpending \
             AND relname ~ '^events_[0-9]{8}$' ORDER BY relname",
    )
    .bind::<Bool, _>(measured)
    .load(conn)?;
    let partition = |row: Row| {
        Some(Partition {
            day: NaiveDate::parse_from_str(row.name.get(7..)?, "%Y%m%d").ok()?,
            name: row.name,
            rows: u64::try_from(row.rows).unwrap_or(0),
            bytes: u64::try_from(row.bytes).unwrap_or(0),
        })
    };
    Ok(rows.into_iter().filter_map(partition).collect())
}

/// The UTC days that have a partition.
pub(crate) fn days(conn: &mut PgConnection) -> QueryResult<BTreeSet<NaiveDate>> {
    let partitions = all(conn, false)?.into_iter();
    Ok(partitions.map(|partition| partition.day).collect())
}

fn drop_through(
    conn: &mut PgConnection,
    zone: ReportingZone,
    day: NaiveDate,
    final_after: Duration,
) -> Result<Timestamp, StoreError> {
    // Writers and roll-ups of hours hold their lock on events to the end of their transaction: from
    // here on no mark of theirs is still to come.
    conn.batch_execute("LOCK TABLE ONLY events IN ACCESS EXCLUSIVE MODE")?;
    let raw_from = first_hour_after(zone, day);
    settings::require_zone(conn, zone)?;
    refuse_if_needed(conn, zone, day, raw_from, final_after)?;
    let before = settings::raw_from(conn)?;
    for partition in days(conn)?.range(..=day) {
        conn.batch_execute(&format!("DROP TABLE {}", name_of(*partition)))?;
    }
    let raw_from = before.map_or(raw_from, |before| before.max(raw_from));
    settings::set_raw_from(conn, raw_from)?;
    closed_hours::forget_before(conn, raw_from)?;
    Ok(raw_from)
}

fn first_hour_after(zone: ReportingZone, day: NaiveDate) -> Timestamp {
    let next = end_of(day);
    zone.hour_starting(next)
        .map_or_else(|| zone.hour_of(next).end, |hour| hour.start)
}

fn refuse_if_needed(
    conn: &mut PgConnection,
    zone: ReportingZone,
    day: NaiveDate,
    raw_from: Timestamp,
    final_after: Duration,
) -> Result<(), StoreError> {
    let wait = i64::try_from(final_after.as_millis()).unwrap_or(i64::MAX);
    let final_at = raw_from.saturating_add_millis(wait);
    if crate::times::timestamp(crate::times::now(conn)?) < final_at {
        let reason = format!("{day}, which is final at {final_at},");
        return Err(StoreError::StillNeeded(reason));
    }
    let marked: Option<chrono::DateTime<chrono::Utc>> = dirty_hours::table
        .filter(dirty_hours::hour.lt(raw_from.to_datetime()))
        .select(dirty_hours::hour)
        .order(dirty_hours::hour)
        .first(conn)
        .optional()?;
    if let Some(hour) = marked {
        return Err(StoreError::StillNeeded(format!("the hour {hour}")));
    }
    // Once it is closed, its roll-up would take the mark away and leave the old total.
    let is_closed = |date: &NaiveDate| zone.day(*date).is_some_and(|day| day.end <= raw_from);
    match marks::days(conn)?.into_iter().find(is_closed) {
        Some(date) => Err(StoreError::StillNeeded(format!("the day {date}"))),
        None => Ok(()),
    }
}

/// The partition of a UTC day, as the database's function names it.
fn name_of(day: NaiveDate) -> String {
    format!("events_{}", day.format("%Y%m%d"))
}
