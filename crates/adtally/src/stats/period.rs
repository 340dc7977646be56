//! From what a person types to the instants that are asked for.

use adtally_domain::{ReportingZone, Timestamp};
use adtally_service::Failure;
use adtally_store::Granularity;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;

/// The period from `from` to `to`, which ends `now` and lasts 24 hours or 30 days unless they say
/// otherwise.
///
/// # Errors
/// A usage [`Failure`] that names the flag.
pub(super) fn period(
    from: Option<&str>,
    to: Option<&str>,
    zone: ReportingZone,
    granularity: Granularity,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), Failure> {
    let to = match to {
        Some(text) => instant("--to", text, zone)?,
        None => now,
    };
    let usual = match granularity {
        Granularity::Hour => TimeDelta::hours(24),
        Granularity::Day => TimeDelta::days(30),
    };
    let from = match from {
        Some(text) => instant("--from", text, zone)?,
        None => to.saturating_add_millis(-usual.num_milliseconds()),
    };
    if from >= to {
        return Err(Failure::usage(format!(
            "--from ({from}) must be before --to ({to})"
        )));
    }
    Ok((from, to))
}

/// The instant `text` names: RFC 3339, or a date or time of `zone`, the first where clocks showed
/// it twice.
///
/// # Errors
/// A usage [`Failure`] that names the flag.
pub(crate) fn instant(flag: &str, text: &str, zone: ReportingZone) -> Result<Timestamp, Failure> {
    let instant = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Timestamp::try_from(time.to_utc()).ok(),
        Err(_) => local(text).and_then(|local| in_zone(local, zone)),
    };
    instant.ok_or_else(|| {
        Failure::usage(format!(
            "{flag}: {text:?} is no time of {zone}: write 2026-11-22, '2026-11-22 06:00' or \
             2026-11-22T06:00:00Z"
        ))
    })
}

fn local(text: &str) -> Option<NaiveDateTime> {
    let formats = [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%dT%H:%M",
    ];
    let times = formats.into_iter();
    let mut times = times.filter_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    times.next().or_else(|| {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(date.and_time(NaiveTime::MIN))
    })
}

fn in_zone(local: NaiveDateTime, zone: ReportingZone) -> Option<Timestamp> {
    if local.time() == NaiveTime::MIN {
        // Where clocks skip midnight, a day begins later.
        return zone.day(local.date()).map(|day| day.start);
    }
    let zone: Tz = zone.name().parse().ok()?;
    let time = zone.from_local_datetime(&local).earliest()?;
    Timestamp::try_from(time.to_utc()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(from: Option<&str>, to: Option<&str>, zone: &str) -> Result<[String; 2], Failure> {
        let zone = zone.parse().unwrap();
        let now = Timestamp::from_millis(1_795_327_200_000).unwrap();
        let (from, to) = period(from, to, zone, Granularity::Hour, now)?;
        Ok([from.to_string(), to.to_string()])
    }

    #[test]
    fn the_last_day_is_asked_for_unless_said_otherwise() {
        let both = asked(None, None, "UTC").unwrap();
        assert_eq!(both, ["2026-11-21T06:00:00Z", "2026-11-22T06:00:00Z"]);
    }

    #[test]
    fn times_without_offset_are_those_of_the_reporting_zone() {
        let both = asked(Some("2026-11-22"), Some("2026-11-22 06:30"), "Asia/Tehran").unwrap();
        assert_eq!(both, ["2026-11-21T20:30:00Z", "2026-11-22T03:00:00Z"]);
        let both = asked(Some("2026-11-22T00:00:00+01:00"), None, "Asia/Tehran").unwrap();
        assert_eq!(both[0], "2026-11-21T23:00:00Z");
    }

    #[test]
    fn a_period_that_makes_no_sense_is_a_matter_of_usage() {
        for (from, to) in [
            (Some("yesterday"), None),
            (None, Some("2026-13-01")),
            (Some("2026-11-22"), Some("2026-11-22")),
        ] {
            assert_eq!(asked(from, to, "UTC").unwrap_err().kind.code(), 2);
        }
        // A time that clocks in the zone skipped.
        let skipped = asked(Some("2026-03-29 02:30"), None, "Europe/Berlin");
        assert_eq!(skipped.unwrap_err().kind.code(), 2);
    }
}
