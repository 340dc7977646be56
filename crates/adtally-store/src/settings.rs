//! What a deployment decided once.

use adtally_domain::{ReportingZone, Timestamp};
use chrono::{DateTime, SecondsFormat, Utc};
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text, Timestamptz};

use crate::schema::settings::dsl;
use crate::{Store, StoreError, times};

const TIMEZONE: &str = "timezone";
const RAW_FROM: &str = "raw_from";
const SCHEDULE_FROM: &str = "schedule_from";

impl Store {
    /// The zone this deployment reports in. The first process to ask decides it for good: the zone
    /// it asks for, or UTC when it asks for none. The stored name stays; another name of the same
    /// zone is as good.
    ///
    /// # Errors
    /// [`StoreError::ZoneMismatch`] when clocks in `asked` and in the stored zone differ, and the
    /// transient ones.
    pub async fn claim_zone(
        &self,
        asked: Option<ReportingZone>,
    ) -> Result<ReportingZone, StoreError> {
        self.run(move |conn| claim_zone(conn, asked)).await
    }

    /// The zone this deployment reports in, when one is stored.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn zone(&self) -> Result<Option<ReportingZone>, StoreError> {
        self.run(|conn| get(conn, TIMEZONE)?.map(|name| parse(&name)).transpose())
            .await
    }

    /// The instant since which slots are kept in beat's ledger, by PostgreSQL's clock. The first
    /// beat to ask decides it, so that one that stops before its first slot misses none. An instant
    /// still to come, from a clock that was ahead, is replaced by now.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn schedule_from(&self) -> Result<Timestamp, StoreError> {
        self.run(|conn| Ok(schedule_from(conn)?)).await
    }

    /// The instant before which raw events were dropped; `None` while all are kept. Totals of
    /// earlier hours and days are never rebuilt.
    ///
    /// # Errors
    /// The transient ones.
    pub async fn raw_from(&self) -> Result<Option<Timestamp>, StoreError> {
        self.run(|conn| Ok(raw_from(conn)?)).await
    }
}

fn claim_zone(
    conn: &mut PgConnection,
    asked: Option<ReportingZone>,
) -> Result<ReportingZone, StoreError> {
    let name = asked.unwrap_or(ReportingZone::UTC).name();
    diesel::insert_into(dsl::settings)
        .values((dsl::key.eq(TIMEZONE), dsl::value.eq(name)))
        .on_conflict_do_nothing()
        .execute(conn)?;
    let stored = get(conn, TIMEZONE)?.map_or(Ok(ReportingZone::UTC), |name| parse(&name))?;
    match asked {
        Some(asked) if !asked.has_clock_of(&stored) => Err(StoreError::ZoneMismatch {
            stored: stored.name().to_owned(),
            asked: asked.name().to_owned(),
        }),
        _ => Ok(stored),
    }
}

/// Refuses to go on for a process that reports in another zone than the database: the zone was changed
/// since it started, and its hours are none any more.
pub(crate) fn require_zone(conn: &mut PgConnection, zone: ReportingZone) -> Result<(), StoreError> {
    same_zone(get(conn, TIMEZONE)?.as_deref(), zone)
}

/// The same, and [`raw_from`], in one question: each roll-up asks it.
pub(crate) fn raw_from_in_zone(
    conn: &mut PgConnection,
    zone: ReportingZone,
) -> Result<Option<Timestamp>, StoreError> {
    let (stored, raw_from): (Option<String>, Option<DateTime<Utc>>) = diesel::select((
        sql::<Nullable<Text>>("(SELECT value FROM settings WHERE key = 'timezone')"),
        sql::<Nullable<Timestamptz>>(
            "(SELECT value::timestamptz FROM settings WHERE key = 'raw_from')",
        ),
    ))
    .get_result(conn)?;
    same_zone(stored.as_deref(), zone)?;
    Ok(raw_from.map(times::timestamp))
}

/// The same for the zone whose name is `stored`, if one is.
pub(crate) fn same_zone(stored: Option<&str>, zone: ReportingZone) -> Result<(), StoreError> {
    match stored {
        Some(name) if name != zone.name() && !parse(name)?.has_clock_of(&zone) => {
            Err(StoreError::ZoneMismatch {
                stored: name.to_owned(),
                asked: zone.name().to_owned(),
            })
        }
        _ => Ok(()),
    }
}

pub(crate) fn set_zone(conn: &mut PgConnection, zone: ReportingZone) -> QueryResult<usize> {
    diesel::insert_into(dsl::settings)
        .values((dsl::key.eq(TIMEZONE), dsl::value.eq(zone.name())))
        .on_conflict(dsl::key)
        .do_update()
        .set(dsl::value.eq(zone.name()))
        .execute(conn)
}

fn parse(name: &str) -> Result<ReportingZone, StoreError> {
    name.parse()
        .map_err(|error| StoreError::Database(format!("settings.timezone: {error}")))
}

fn schedule_from(conn: &mut PgConnection) -> QueryResult<Timestamp> {
    let now = times::now(conn)?;
    let text = rfc3339(times::timestamp(now));
    diesel::insert_into(dsl::settings)
        .values((dsl::key.eq(SCHEDULE_FROM), dsl::value.eq(&text)))
        .on_conflict_do_nothing()
        .execute(conn)?;
    let still_to_come = dsl::settings
        .find(SCHEDULE_FROM)
        .filter(sql::<Timestamptz>("value::timestamptz").gt(now));
    diesel::update(still_to_come)
        .set(dsl::value.eq(&text))
        .execute(conn)?;
    let from: DateTime<Utc> = dsl::settings
        .find(SCHEDULE_FROM)
        .select(sql::<Timestamptz>("value::timestamptz"))
        .first(conn)?;
    Ok(times::timestamp(from))
}

pub(crate) fn raw_from(conn: &mut PgConnection) -> QueryResult<Option<Timestamp>> {
    let at: Option<DateTime<Utc>> = dsl::settings
        .find(RAW_FROM)
        .select(sql::<Timestamptz>("value::timestamptz"))
        .first(conn)
        .optional()?;
    Ok(at.map(times::timestamp))
}

pub(crate) fn set_raw_from(conn: &mut PgConnection, at: Timestamp) -> QueryResult<usize> {
    let text = rfc3339(at);
    diesel::insert_into(dsl::settings)
        .values((dsl::key.eq(RAW_FROM), dsl::value.eq(&text)))
        .on_conflict(dsl::key)
        .do_update()
        .set(dsl::value.eq(&text))
        .execute(conn)
}

fn rfc3339(at: Timestamp) -> String {
    at.to_datetime()
        .to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn get(conn: &mut PgConnection, key: &str) -> QueryResult<Option<String>> {
    dsl::settings
        .find(key)
        .select(dsl::value)
        .first(conn)
        .optional()
}
