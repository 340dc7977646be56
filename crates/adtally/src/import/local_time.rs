//! Times as files write them.

use adtally_domain::Timestamp;
use chrono::format::{Fixed, Item, Numeric, Parsed, StrftimeItems};
use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use thiserror::Error;

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum TimeFault {
    /// The text does not look like the format.
    #[error("{text:?} does not match --time-format '{format}'")]
    Mismatch {
        /// The text, at most its first 40 characters.
        text: String,
        /// The format it should have.
        format: String,
    },
    /// Clocks in the zone went over this time.
    #[error("{text:?} does not exist in {zone}: clocks went forward over it")]
    Skipped {
        /// The text.
        text: String,
        /// The zone.
        zone: Tz,
    },
    /// Before 1970 or after 9999.
    #[error("{text:?} is not between the years 1970 and 9999")]
    OutOfRange {
        /// The text.
        text: String,
    },
}

/// Reads times of one format.
#[derive(Debug, Clone)]
pub(crate) struct TimeReader {
    format: String,
    items: Vec<Item<'static>>,
    kind: Kind,
    zone: Tz,
}

/// What a format says about the offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing: the clock of a zone.
    Local,
    /// The offset itself.
    WithOffset,
    /// Seconds since 1970, which need none.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMillis,
}

impl TimeReader {
    /// A reader of `format`, in chrono's notation of strftime, or `unix` or `unix-ms`. Times
    /// without an offset are those of `zone`.
    ///
    /// # Errors
    /// What is wrong with the format.
    pub(crate) fn new(format: &str, zone: Tz) -> Result<Self, String> {
        let (pattern, kind) = match format {
            "unix" => ("%s", Kind::UnixSeconds),
            "unix-ms" => ("", Kind::UnixMillis),
            "rfc3339" => ("%+", Kind::WithOffset),
            other => (other, Kind::Local),
        };
        let items = StrftimeItems::new(pattern)
            .parse_to_owned()
            .map_err(|_| format!("'{format}' holds a specifier that does not exist"))?;
        let reader = Self {
            format: format.to_owned(),
            kind: kind.refined(&items),
            items,
            zone,
        };
        reader.check_complete()?;
        Ok(reader)
    }

    /// The instant `text` names. Where clocks went back and it names two, the earlier.
    ///
    /// # Errors
    /// Why it names none.
    pub(crate) fn read(&self, text: &str) -> Result<Timestamp, TimeFault> {
        let time = match self.kind {
            Kind::UnixMillis => text.parse().ok().and_then(DateTime::from_timestamp_millis),
            Kind::UnixSeconds => self.naive(text).map(|time| time.and_utc()),
            Kind::WithOffset => self
                .parsed(text)
                .and_then(|parsed| parsed.to_datetime().ok())
                .map(|time| time.to_utc()),
            Kind::Local => return self.read_local(text),
        };
        let time = time.ok_or_else(|| self.mismatch(text))?;
        in_range(time, text)
    }

    fn read_local(&self, text: &str) -> Result<Timestamp, TimeFault> {
        let naive = self.naive(text).ok_or_else(|| self.mismatch(text))?;
        match self.zone.from_local_datetime(&naive) {
            LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => {
                in_range(time.with_timezone(&Utc), text)
            }
            LocalResult::None => Err(TimeFault::Skipped {
                text: shortened(text),
                zone: self.zone,
            }),
        }
    }

    fn naive(&self, text: &str) -> Option<NaiveDateTime> {
        self.parsed(text)?.to_naive_datetime_with_offset(0).ok()
    }

    fn parsed(&self, text: &str) -> Option<Parsed> {
        let mut parsed = Parsed::new();
        chrono::format::parse(&mut parsed, text, self.items.iter()).ok()?;
        Some(parsed)
    }

    /// Refuses a format that leaves out the day or the hour, by reading back what it writes.
    fn check_complete(&self) -> Result<(), String> {
        let sample = NaiveDate::from_ymd_opt(2001, 11, 22)
            .and_then(|day| day.and_hms_opt(13, 45, 56))
            .unwrap_or_default()
            .and_utc();
        let text = match self.kind {
            Kind::UnixMillis => sample.timestamp_millis().to_string(),
            _ => sample.format_with_items(self.items.iter()).to_string(),
        };
        let read = self.read(&text).map_err(|_| {
            format!(
                "'{}' does not say both the date and the time of day",
                self.format
            )
        })?;
        let same_minute = self.kind == Kind::Local
            || read.to_datetime().timestamp() / 60 == sample.timestamp() / 60;
        if same_minute {
            Ok(())
        } else {
            Err(format!("'{}' does not say the whole time", self.format))
        }
    }

    fn mismatch(&self, text: &str) -> TimeFault {
        TimeFault::Mismatch {
            text: shortened(text),
            format: self.format.clone(),
        }
    }
}

impl Kind {
    /// The kind that the items of a format of one's own show.
    fn refined(self, items: &[Item<'_>]) -> Self {
        let has = |test: fn(&Item<'_>) -> bool| items.iter().any(test);
        if self != Self::Local {
            self
        } else if has(|item| matches!(item, Item::Numeric(Numeric::Timestamp, _))) {
            Self::UnixSeconds
        } else if has(|item| matches!(item, Item::Fixed(fixed) if says_offset(fixed))) {
            Self::WithOffset
        } else {
            Self::Local
        }
    }
}

fn says_offset(fixed: &Fixed) -> bool {
    matches!(
        fixed,
        Fixed::TimezoneOffset
            | Fixed::TimezoneOffsetColon
            | Fixed::TimezoneOffsetDoubleColon
            | Fixed::TimezoneOffsetTripleColon
            | Fixed::TimezoneOffsetColonZ
            | Fixed::TimezoneOffsetZ
            | Fixed::RFC2822
            | Fixed::RFC3339
    )
}

fn in_range(time: DateTime<Utc>, text: &str) -> Result<Timestamp, TimeFault> {
    Timestamp::try_from(time).map_err(|_| TimeFault::OutOfRange {
        text: shortened(text),
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, zone: &str, text: &str) -> Result<String, TimeFault> {
        let reader = TimeReader::new(format, zone.parse().unwrap()).unwrap();
        reader.read(text).map(|time| time.to_string())
    }

    #[test]
    fn an_hour_may_lack_its_leading_zero() {
        let minutes = "%Y-%m-%d %H:%M";
        assert_eq!(
            read(minutes, "UTC", "2017-11-07 9:30").unwrap(),
            "2017-11-07T09:30:00Z"
        );
        assert_eq!(
            read(minutes, "UTC", "2017-11-07 09:30").unwrap(),
            "2017-11-07T09:30:00Z"
        );
        assert_eq!(
            read(minutes, "Asia/Tehran", "2017-11-07 9:30").unwrap(),
            "2017-11-07T06:00:00Z"
        );
    }

    #[test]
    fn a_time_that_clocks_showed_twice_is_the_earlier_one() {
        let minutes = "%Y-%m-%d %H:%M";
        assert_eq!(
            read(minutes, "Europe/Berlin", "2026-10-25 02:30").unwrap(),
            "2026-10-25T00:30:00Z"
        );
        let fault = read(minutes, "Europe/Berlin", "2026-03-29 02:30").unwrap_err();
        assert!(matches!(fault, TimeFault::Skipped { .. }), "{fault}");
    }

    #[test]
    fn an_offset_in_the_text_wins_over_the_zone() {
        for (format, text) in [
            ("rfc3339", "2026-11-22T09:30:00.123+03:30"),
            ("%Y-%m-%d %H:%M:%S%.f %z", "2026-11-22 09:30:00.123 +0330"),
            ("%Y-%m-%dT%H:%M:%S%.f%:z", "2026-11-22T09:30:00.123+03:30"),
            ("unix-ms", "1795327200123"),
        ] {
            let time = read(format, "America/New_York", text).unwrap();
            assert_eq!(time, "2026-11-22T06:00:00.123Z", "{format}");
        }
        assert_eq!(
            read("unix", "America/New_York", "1795327200").unwrap(),
            "2026-11-22T06:00:00Z"
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "2017-11-07",
            "2017-11-07 25:00",
            "2017-11-07 9:30 x",
            "07.11.2017 9:30",
        ] {
            let fault = read("%Y-%m-%d %H:%M", "UTC", text).unwrap_err();
            assert!(matches!(fault, TimeFault::Mismatch { .. }), "{fault}");
        }
        let fault = read("%Y-%m-%d %H:%M", "UTC", "1969-12-31 23:59").unwrap_err();
        assert!(matches!(fault, TimeFault::OutOfRange { .. }), "{fault}");
    }

    #[test]
    fn a_format_that_cannot_work_is_refused_at_once() {
        for format in ["%Y-%m-%d", "%H:%M", "%Q", "", "%Y-%m-%d %H:%M %"] {
            assert!(TimeReader::new(format, Tz::UTC).is_err(), "{format}");
        }
        for format in [
            "%Y-%m-%d %I:%M %p",
            "%d/%b/%Y:%H:%M:%S %z",
            "%s",
            "%Y%m%d%H%M%S",
            "%c",
            "%+",
        ] {
            assert!(TimeReader::new(format, Tz::UTC).is_ok(), "{format}");
        }
    }
}
