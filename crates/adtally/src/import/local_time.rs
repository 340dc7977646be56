//! Times as files write them.

mod pattern;
#[cfg(test)]
mod tests;

use adtally_domain::Timestamp;
use chrono::{DateTime, LocalResult, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use thiserror::Error;

use pattern::{Pattern, Says, sample};

/// The first number that is taken for milliseconds since 1970, in 1973. Seconds of our time are
/// less.
const MIN_UNIX_MILLIS: i64 = 100_000_000_000;

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
    /// Before any ad was shown: seconds, though milliseconds were promised.
    #[error("{text:?} would be milliseconds of 1970 to 1973: for seconds say --time-format unix")]
    Seconds {
        /// The text.
        text: String,
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
    pattern: Pattern,
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
        let pattern = Pattern::new(pattern).map_err(|fault| format!("'{format}' {fault}"))?;
        let reader = Self {
            format: format.to_owned(),
            kind: kind.refined(pattern.says()),
            pattern,
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
            Kind::UnixMillis => return self.read_unix_millis(text),
            Kind::UnixSeconds => self.naive(text).map(|time| time.and_utc()),
            Kind::WithOffset => self
                .pattern
                .parse(text)
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

    fn read_unix_millis(&self, text: &str) -> Result<Timestamp, TimeFault> {
        let millis: i64 = text.parse().map_err(|_| self.mismatch(text))?;
        if (0..MIN_UNIX_MILLIS).contains(&millis) {
            return Err(TimeFault::Seconds {
                text: shortened(text),
            });
        }
        let time = DateTime::from_timestamp_millis(millis);
        in_range(time.ok_or_else(|| self.mismatch(text))?, text)
    }

    fn naive(&self, text: &str) -> Option<NaiveDateTime> {
        let parsed = self.pattern.parse(text)?;
        parsed.to_naive_datetime_with_offset(0).ok()
    }

    /// Refuses a format that leaves out the day or the hour, by reading back what it writes.
    fn check_complete(&self) -> Result<(), String> {
        let sample = sample();
        let text = match self.kind {
            Kind::UnixMillis => sample.timestamp_millis().to_string(),
            _ => self.pattern.write(sample),
        };
        let read = self.read(&text).map_err(|_| {
            format!(
                "'{}' does not say both the date and the time of day",
                self.format
            )
        })?;
        let (read, sample) = (read.to_datetime().timestamp(), sample.timestamp());
        let same = read / 60 == sample / 60
            || self.pattern.says().hour_only && read / 3_600 == sample / 3_600;
        if same || self.kind == Kind::Local {
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
    /// The kind of a format of one's own.
    fn refined(self, says: Says) -> Self {
        match self {
            Self::Local if says.offset => Self::WithOffset,
            Self::Local if says.timestamp => Self::UnixSeconds,
            kind => kind,
        }
    }
}

fn in_range(time: DateTime<Utc>, text: &str) -> Result<Timestamp, TimeFault> {
    Timestamp::try_from(time).map_err(|_| TimeFault::OutOfRange {
        text: shortened(text),
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}
