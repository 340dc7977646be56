//! Another reporting zone for a database that has totals.
//!
//! Hours and days of another zone are other hours and days. So all totals go, and every hour of the new
//! zone that overlaps one with a total or a mark is marked: readers get it counted live until a roll-up
//! has made it. Nothing is lost by that as long as all raw events are there, which an audit tells first.

use std::collections::BTreeSet;

use adtally_domain::{ReportingZone, Timestamp};
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::rollup::STATEMENT_LIMIT;
use crate::schema::{ad_daily_stats, ad_hourly_stats, dirty_days, dirty_hours, roll_ups};
use crate::{
    AuditReport, ClosedHour, Store, StoreError, closed_hours, marks, partitions, settings, totals,
};

/// What a change of the zone came to, or would come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneChange {
    /// The zone before.
    pub before: ReportingZone,
    /// Hours of the new zone whose totals are made anew.
    pub hours: u64,
    /// Days of the new zone whose totals are made anew.
    pub days: u64,
    /// Who is connected and reports in the zone before until it is restarted.
    pub clients: Vec<Client>,
}

/// Connections to the database with one name, from one address.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Client {
    /// The application's name.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// Where it connects from; `None` for a local socket.
    #[diesel(sql_type = Nullable<Text>)]
    pub address: Option<String>,
    /// How many connections it has.
    #[diesel(sql_type = BigInt)]
    pub connections: i64,
}

impl Store {
    /// Makes `zone` the reporting zone and marks all of its hours that have anything in them; with
    /// `dry_run` only says what that would come to. Takes as long as an audit, and then holds up
    /// what stores events for a moment.
    ///
    /// # Errors
    /// [`StoreError::RawGone`] when totals could not be made anew, and the transient ones.
    pub async fn change_zone(
        &self,
        zone: ReportingZone,
        dry_run: bool,
    ) -> Result<ZoneChange, StoreError> {
        let before = self.zone().await?.unwrap_or(ReportingZone::UTC);
        refuse_if_gone(&self.audit(before).await?)?;
        self.run_unbounded(move |conn| {
            conn.build_transaction()
                .repeatable_read()
                .run(|conn| change(conn, before, zone, dry_run))
        })
        .await
    }
}

fn refuse_if_gone(report: &AuditReport) -> Result<(), StoreError> {
    refuse_if_closed(report.raw_from, &report.closed_hours)?;
    if let Some(day) = report.missing_partitions.first() {
        return Err(StoreError::RawGone(format!(
            "the raw events of {day} are gone"
        )));
    }
    match report.mismatches.first() {
        Some(total) => Err(StoreError::RawGone(format!(
            "the {} {} is not what its events add up to",
            total.granularity.as_str(),
            total.start
        ))),
        None => Ok(()),
    }
}

fn refuse_if_closed(
    raw_from: Option<Timestamp>,
    closed_hours: &[ClosedHour],
) -> Result<(), StoreError> {
    let reason = match (raw_from, closed_hours.first()) {
        (Some(raw_from), _) => format!("the raw events before {raw_from} were dropped"),
        (None, Some(hour)) => format!("the hour {} is closed", hour.start),
        (None, None) => return Ok(()),
    };
    Err(StoreError::RawGone(reason))
}

fn change(
    conn: &mut PgConnection,
    before: ReportingZone,
    zone: ReportingZone,
    dry_run: bool,
) -> Result<ZoneChange, StoreError> {
    conn.batch_execute(STATEMENT_LIMIT)?;
    if dry_run {
        partitions::hold(conn)?;
    } else {
        // What stores events or rolls up locks events to its end, and reads the zone behind that lock.
        conn.batch_execute("LOCK TABLE ONLY events IN ACCESS EXCLUSIVE MODE")?;
    }
    settings::require_zone(conn, before)?;
    // The audit took minutes, in which raw events may have been dropped.
    let closed = closed_hours::between(conn, Timestamp::EPOCH, Timestamp::MAX)?;
    refuse_if_closed(settings::raw_from(conn)?, &closed)?;
    let hours = hours_of(conn, before, zone)?;
    let days: BTreeSet<_> = hours.iter().map(|hour| zone.day_of(*hour).date).collect();
    if !dry_run && before != zone {
        start_anew(conn, zone, &hours)?;
    }
    Ok(ZoneChange {
        before,
        hours: hours.len() as u64,
        days: days.len() as u64,
        clients: clients(conn)?,
    })
}

/// The hours of `zone` that overlap an hour of `before` with a total or a mark.
fn hours_of(
    conn: &mut PgConnection,
    before: ReportingZone,
    zone: ReportingZone,
) -> QueryResult<BTreeSet<Timestamp>> {
    let mut hours = totals::hours_between(conn, Timestamp::EPOCH, Timestamp::MAX)?;
    hours.extend(marks::hours_between(
        conn,
        Timestamp::EPOCH,
        Timestamp::MAX,
    )?);
    let hours = hours.into_iter().map(|start| before.hour_of(start));
    let hours = hours.flat_map(|hour| zone.hours(hour.start, hour.end));
    Ok(hours.map(|hour| hour.start).collect())
}

fn start_anew(
    conn: &mut PgConnection,
    zone: ReportingZone,
    hours: &BTreeSet<Timestamp>,
) -> QueryResult<()> {
    diesel::delete(ad_hourly_stats::table).execute(conn)?;
    diesel::delete(ad_daily_stats::table).execute(conn)?;
    diesel::delete(roll_ups::table).execute(conn)?;
    diesel::delete(dirty_hours::table).execute(conn)?;
    diesel::delete(dirty_days::table).execute(conn)?;
    marks::append_hours(conn, hours)?;
    settings::set_zone(conn, zone).map(drop)
}

/// Everybody else who is connected, but for tools that end by themselves.
fn clients(conn: &mut PgConnection) -> QueryResult<Vec<Client>> {
    diesel::sql_query(
        "SELECT application_name AS name, host(client_addr) AS address, count(*) AS connections \
         FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
             AND backend_type = 'client backend' AND application_name NOT IN ('', 'adtally', 'psql') \
         GROUP BY 1, 2 ORDER BY 1, 2",
    )
    .load(conn)
}
