//! When a call that reads for long must end: at its limit, or once nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;

use crate::StoreError;

/// Shared by who waits for a call and by the thread that works on it.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    at: Instant,
    is_given_up: Arc<AtomicBool>,
}

/// Gives the call up when it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<AtomicBool>);

impl Deadline {
    /// A call that may take as long as `limit` from now on, and its waiting end.
    pub(crate) fn within(limit: Duration) -> (Self, Waiting) {
        let is_given_up = Arc::new(AtomicBool::new(false));
        let now = Instant::now();
        let deadline = Self {
            at: now.checked_add(limit).unwrap_or(now),
            is_given_up: Arc::clone(&is_given_up),
        };
        (deadline, Waiting(is_given_up))
    }

    /// Goes on only while somebody waits.
    ///
    /// # Errors
    /// [`StoreError::GivenUp`] when nobody does.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.is_given_up.load(Ordering::Relaxed) || self.at <= Instant::now() {
            return Err(StoreError::GivenUp);
        }
        Ok(())
    }

    /// Has the server end each statement of the transaction that begins after the time that is left.
    pub(crate) fn bound(&self, conn: &mut PgConnection) -> Result<(), StoreError> {
        self.check()?;
        let left = self.at.saturating_duration_since(Instant::now());
        // Zero would be no limit.
        let millis = left.as_millis().max(1);
        conn.batch_execute(&format!("SET LOCAL statement_timeout = {millis}"))?;
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_when_its_time_is_over_or_nobody_waits() {
        let (deadline, waiting) = Deadline::within(Duration::from_secs(60));
        deadline.check().unwrap();
        drop(waiting);
        assert!(matches!(deadline.check(), Err(StoreError::GivenUp)));
        let (deadline, _waiting) = Deadline::within(Duration::ZERO);
        assert!(matches!(deadline.check(), Err(StoreError::GivenUp)));
    }
}
