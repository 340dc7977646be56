//! What an operator wants to know of the database all the time, read with a few cheap queries.
//!
//! None of them grows with the history: each reads an index from one end, or rows that are few unless
//! something is wrong, and those up to a bound.

use adtally_domain::{ENTRIES, EventId, Timestamp};
use chrono::{DateTime, Days, NaiveDate, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Text, Timestamptz};
use uuid::Uuid;

use crate::schema::{dirty_days, dirty_hours, events, roll_ups};
use crate::{Granularity, Store, StoreError, partitions, settings, times};

/// New dead letters are counted up to here.
pub const MOST_LETTERS: u64 = 100_000;

/// Days after today whose partition is looked for.
const DAYS_LOOKED_AHEAD: u64 = 30;

/// The newest slots of an entry that are looked at.
const SLOTS_LOOKED_AT: i64 = 50;

/// How far around now the newest event is looked for: a day.
const AROUND_NOW_MILLIS: i64 = 86_400_000;

/// Where the database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// PostgreSQL's clock, by which all of it is judged.
    pub at: Timestamp,
    /// The time of the newest stored event; `None` when none is from the day before or after now.
    pub newest_event: Option<Timestamp>,
    /// The marked hours that began before the one that runs in UTC, oldest first: the first instant of
    /// each, and since when it is marked.
    pub marked_hours: Vec<(Timestamp, Timestamp)>,
    /// The marked days, oldest first, and since when each is marked.
    pub marked_days: Vec<(NaiveDate, Timestamp)>,
    /// When the newest hour that has been rolled up after its end was.
    pub hour_rolled_up_at: Option<Timestamp>,
    /// The same of days.
    pub day_rolled_up_at: Option<Timestamp>,
    /// Dead letters that wait for a decision, at most [`MOST_LETTERS`].
    pub new_letters: u64,
    /// How many of the days right after today have a partition, at most 30.
    pub partitions_ahead: u64,
    /// The instant before which raw events were dropped.
    pub raw_from: Option<Timestamp>,
    /// Of each entry with slots behind the newest one whose task is over, the oldest of them, 50 looked
    /// at.
    pub unfinished_slots: Vec<(&'static str, Timestamp)>,
}

impl Store {
    /// Looks at everything in [`Observation`].
    ///
    /// # Errors
    /// The transient ones.
    pub async fn observe(&self) -> Result<Observation, StoreError> {
        self.run(|conn| Ok(observe(conn)?)).await
    }
}

fn observe(conn: &mut PgConnection) -> QueryResult<Observation> {
    let at = times::timestamp(times::now(conn)?);
    Ok(Observation {
        at,
        newest_event: newest_event(conn, at)?,
        marked_hours: marked_hours(conn, at)?,
        marked_days: marked_days(conn)?,
        hour_rolled_up_at: rolled_up_at(conn, Granularity::Hour)?,
        day_rolled_up_at: rolled_up_at(conn, Granularity::Day)?,
        new_letters: new_letters(conn)?,
        partitions_ahead: partitions_ahead(conn, partitions::utc_day(at))?,
        raw_from: settings::raw_from(conn)?,
        unfinished_slots: unfinished_slots(conn)?,
    })
}

/// Bounded on both sides, so that only three partitions are planned for.
fn newest_event(conn: &mut PgConnection, now: Timestamp) -> QueryResult<Option<Timestamp>> {
    let bound = |millis| EventId::floor(now.saturating_add_millis(millis));
    let id: Option<Uuid> = events::table
        .filter(events::event_id.ge(bound(-AROUND_NOW_MILLIS)))
        .filter(events::event_id.lt(bound(AROUND_NOW_MILLIS)))
        .order(events::event_id.desc())
        .select(events::event_id)
        .first(conn)
        .optional()?;
    Ok(id.and_then(EventId::from_uuid).map(EventId::time))
}

/// An hour that runs has a mark for each batch, so its marks are left unread.
fn marked_hours(
    conn: &mut PgConnection,
    now: Timestamp,
) -> QueryResult<Vec<(Timestamp, Timestamp)>> {
    let hour_millis = 3_600_000;
    let running = now.saturating_add_millis(-hour_millis);
    let marks: Vec<(DateTime<Utc>, DateTime<Utc>)> = dirty_hours::table
        .filter(dirty_hours::hour.le(running.to_datetime()))
        .group_by(dirty_hours::hour)
        .select((
            dirty_hours::hour,
            diesel::dsl::min(dirty_hours::marked_at).assume_not_null(),
        ))
        .order(dirty_hours::hour)
        .load(conn)?;
    let both = |(hour, since)| (times::timestamp(hour), times::timestamp(since));
    Ok(marks.into_iter().map(both).collect())
}

fn marked_days(conn: &mut PgConnection) -> QueryResult<Vec<(NaiveDate, Timestamp)>> {
    let marks: Vec<(NaiveDate, DateTime<Utc>)> = dirty_days::table
        .group_by(dirty_days::day)
        .select((
            dirty_days::day,
            diesel::dsl::min(dirty_days::marked_at).assume_not_null(),
        ))
        .order(dirty_days::day)
        .load(conn)?;
    let marks = marks.into_iter();
    Ok(marks
        .map(|(day, since)| (day, times::timestamp(since)))
        .collect())
}

fn rolled_up_at(
    conn: &mut PgConnection,
    granularity: Granularity,
) -> QueryResult<Option<Timestamp>> {
    let name = match granularity {
        Granularity::Hour => "hour",
        Granularity::Day => "day",
    };
    let at: Option<DateTime<Utc>> = roll_ups::table
        .filter(roll_ups::granularity.eq(name))
        .order(roll_ups::bucket_start.desc())
        .select(roll_ups::rolled_up_at)
        .first(conn)
        .optional()?;
    Ok(at.map(times::timestamp))
}

fn new_letters(conn: &mut PgConnection) -> QueryResult<u64> {
    let new: Count = diesel::sql_query(
        "SELECT count(*) AS count FROM \
         (SELECT FROM dead_letters WHERE state = 'new' LIMIT $1) AS new",
    )
    .bind::<BigInt, _>(i64::try_from(MOST_LETTERS).unwrap_or(i64::MAX))
    .get_result(conn)?;
    Ok(u64::try_from(new.count).unwrap_or(0))
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Exists {
    #[diesel(sql_type = Bool)]
    exists: bool,
}

/// Looked up by name: the number of partitions there are makes no difference.
fn partitions_ahead(conn: &mut PgConnection, today: NaiveDate) -> QueryResult<u64> {
    let days = (1..=DAYS_LOOKED_AHEAD).filter_map(|n| today.checked_add_days(Days::new(n)));
    let names: Vec<String> = days
        .map(|day| format!("events_{}", day.format("%Y%m%d")))
        .collect();
    let found: Vec<Exists> = diesel::sql_query(
        "SELECT to_regclass(name) IS NOT NULL AS exists \
         FROM unnest($1) WITH ORDINALITY AS ahead (name, n) ORDER BY n",
    )
    .bind::<Array<Text>, _>(names)
    .load(conn)?;
    Ok(found.iter().take_while(|day| day.exists).count() as u64)
}

#[derive(QueryableByName)]
struct Run {
    #[diesel(sql_type = Timestamptz)]
    slot: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    is_over: bool,
}

fn unfinished_slots(conn: &mut PgConnection) -> QueryResult<Vec<(&'static str, Timestamp)>> {
    let mut unfinished = Vec::new();
    for entry in ENTRIES {
        let newest: Vec<Run> = diesel::sql_query(
            "SELECT slot, coalesce(state IN ('succeeded', 'discarded'), false) AS is_over \
             FROM (SELECT slot, task_id FROM schedule_runs WHERE entry = $1 \
                   ORDER BY slot DESC LIMIT $2) AS newest \
             LEFT JOIN task_runs USING (task_id) ORDER BY slot DESC",
        )
        .bind::<Text, _>(entry.name)
        .bind::<BigInt, _>(SLOTS_LOOKED_AT)
        .load(conn)?;
        let waiting = newest.iter().take_while(|run| !run.is_over);
        if let Some(oldest) = waiting.last() {
            unfinished.push((entry.name, times::timestamp(oldest.slot)));
        }
    }
    Ok(unfinished)
}
