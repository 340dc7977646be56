//! Instants in whole Unix milliseconds, the precision of an event id.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// An instant before 1970 or past the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("times run from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59.999Z")]
pub struct InvalidTimestamp;

/// An instant in whole milliseconds since 1970-01-01T00:00:00Z, up to the year 9999.
///
/// Finer times are floored, so that two processes that saw the same event agree on its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first instant there is: 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// The last instant there is: 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The instant `millis` milliseconds after 1970, within [`Self::EPOCH`] and [`Self::MAX`].
    ///
    /// # Errors
    /// [`InvalidTimestamp`] outside that range.
    pub const fn from_millis(millis: i64) -> Result<Self, InvalidTimestamp> {
        if millis >= 0 && millis <= Self::MAX.0 {
            Ok(Self(millis))
        } else {
            Err(InvalidTimestamp)
        }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The same instant for chrono.
    #[must_use]
    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }

    /// This instant moved by `millis`, held within the range of valid instants.
    #[must_use]
    pub const fn saturating_add_millis(self, millis: i64) -> Self {
        let moved = self.0.saturating_add(millis);
        if moved < 0 {
            Self::EPOCH
        } else if moved > Self::MAX.0 {
            Self::MAX
        } else {
            Self(moved)
        }
    }

    /// This instant moved by `duration`, held within the range of valid instants.
    #[must_use]
    pub fn saturating_add(self, duration: chrono::TimeDelta) -> Self {
        self.saturating_add_millis(duration.num_milliseconds())
    }
}

impl TryFrom<DateTime<Utc>> for Timestamp {
    type Error = InvalidTimestamp;

    fn try_from(time: DateTime<Utc>) -> Result<Self, InvalidTimestamp> {
        // chrono's `timestamp_millis` floors, also before 1970.
        Self::from_millis(time.timestamp_millis())
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(time: Timestamp) -> Self {
        time.to_datetime()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &self
                .to_datetime()
                .to_rfc3339_opts(SecondsFormat::AutoSi, true),
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time = DateTime::<Utc>::deserialize(deserializer)?;
        Self::try_from(time).map_err(de::Error::custom)
    }
}
