//! The partitions of `events`, one for each UTC day.

mod cache;

use std::collections::BTreeSet;

use adtally_domain::{ReportingZone, Timestamp};
use chrono::NaiveDate;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Date};

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

fn exists(conn: &mut PgConnection, day: NaiveDate) -> QueryResult<bool> {
    diesel::select(
        sql::<Bool>(
            "EXISTS (SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
             WHERE inhparent = 'events'::regclass AND relname = 'events_' || to_char(",
        )
        .bind::<Date, _>(day)
        .sql(", 'YYYYMMDD'))"),
    )
    .get_result(conn)
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

impl Store {
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
    /// # Errors
    /// [`StoreError::StillNeeded`] while an hour that overlaps those days, or a day that ends with
    /// them, waits for a roll-up or is not over; and the transient ones.
    pub async fn drop_partition(
        &self,
        zone: ReportingZone,
        day: NaiveDate,
    ) -> Result<Timestamp, StoreError> {
        let store = self.clone();
        self.run(move |conn| {
            let raw_from = conn.transaction(|conn| drop_through(conn, zone, day))?;
            store.memory().partitions.clear();
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

/// A transaction that only reads, from partition to partition, and lets go of the locks of the last one
/// when it comes to another: they would be kept until its end, and the server has room for some 6,400.
#[derive(Debug)]
pub(crate) struct Visits(Option<NaiveDate>);

impl Visits {
    pub(crate) fn begin(conn: &mut PgConnection) -> QueryResult<Self> {
        conn.batch_execute("SAVEPOINT visits")?;
        Ok(Self(None))
    }

    /// Comes to the partition of `day`.
    pub(crate) fn next(&mut self, conn: &mut PgConnection, day: NaiveDate) -> QueryResult<()> {
        if self.0.is_some_and(|last| last != day) {
            conn.batch_execute("ROLLBACK TO SAVEPOINT visits")?;
        }
        self.0 = Some(day);
        Ok(())
    }
}

/// The UTC days that have a partition.
pub(crate) fn days(conn: &mut PgConnection) -> QueryResult<BTreeSet<NaiveDate>> {
    let partitions: Vec<Partition> = diesel::sql_query(
        "SELECT relname::text AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
         WHERE inhparent = 'events'::regclass AND relname ~ '^events_[0-9]{8}$'",
    )
    .load(conn)?;
    let day =
        |partition: Partition| NaiveDate::parse_from_str(partition.name.get(7..)?, "%Y%m%d").ok();
    Ok(partitions.into_iter().filter_map(day).collect())
}

fn drop_through(
    conn: &mut PgConnection,
    zone: ReportingZone,
    day: NaiveDate,
) -> Result<Timestamp, StoreError> {
    // Writers and roll-ups of hours hold their lock on events to the end of their transaction: from
    // here on no mark of theirs is still to come.
    conn.batch_execute("LOCK TABLE ONLY events IN ACCESS EXCLUSIVE MODE")?;
    let raw_from = first_hour_after(zone, day);
    refuse_if_needed(conn, zone, day, raw_from)?;
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
) -> Result<(), StoreError> {
    if crate::times::timestamp(crate::times::now(conn)?) < raw_from {
        return Err(StoreError::StillNeeded(day.to_string()));
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

#[derive(QueryableByName)]
struct Partition {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
}

/// The partition of a UTC day, as the database's function names it.
fn name_of(day: NaiveDate) -> String {
    format!("events_{}", day.format("%Y%m%d"))
}
