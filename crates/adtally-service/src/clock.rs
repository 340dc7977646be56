//! The wall clock. Everything below the edges of a process takes the time as an argument.

use chrono::{DateTime, Utc};

/// The current time.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the wall clock"
)]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
