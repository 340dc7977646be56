//! Why consuming stops, and what is in hand then.

use adtally_broker::{BrokerError, Delivery};
use adtally_store::StoreError;

use crate::refused_batch::RefusedBatch;

/// Why a consumer, or a whole session, stopped.
#[derive(Debug)]
pub(crate) enum StopReason {
    /// It was asked to.
    Requested,
    /// The connection or a subscription ended.
    Broker(String),
    /// The database went away, or refuses to store, perhaps this batch.
    Database(StoreError, Option<RefusedBatch>),
}

impl StopReason {
    /// Of two reasons of one session the first counts: the other follows from it. Only a batch that the
    /// database refused replaces a reason without one.
    pub(crate) fn or(self, later: Self) -> Self {
        match (self, later) {
            (Self::Broker(_) | Self::Database(_, None), later @ Self::Database(_, Some(_))) => {
                later
            }
            (first, _) => first,
        }
    }
}

impl From<BrokerError> for StopReason {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error.to_string())
    }
}

impl From<StoreError> for StopReason {
    fn from(error: StoreError) -> Self {
        Self::Database(error, None)
    }
}

/// Messages that a consumer cannot acknowledge, and why it stops. They go back to their queue after the
/// subscription is cancelled: before, they would be delivered again at once and count as failed each time.
#[derive(Debug)]
pub(crate) struct Unacked {
    pub(crate) reason: StopReason,
    pub(crate) deliveries: Vec<Delivery>,
}

impl Unacked {
    pub(crate) fn new(reason: StopReason, deliveries: Vec<Delivery>) -> Self {
        Self { reason, deliveries }
    }
}

impl<Reason: Into<StopReason>> From<Reason> for Unacked {
    fn from(reason: Reason) -> Self {
        Self::new(reason.into(), Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use adtally_store::EventBatch;

    use super::*;

    #[test]
    fn the_first_reason_counts_but_a_refused_batch_is_never_forgotten() {
        let away = || StoreError::Unavailable("away".to_owned());
        let batch = || RefusedBatch::new(Arc::new(EventBatch::default()));
        let refused = || StopReason::Database(away(), Some(batch()));
        let gone = || StopReason::from(away());
        let lost = || StopReason::Broker("lost".to_owned());
        let is_refused = |reason| matches!(reason, StopReason::Database(_, Some(_)));
        assert!(matches!(
            StopReason::Requested.or(refused()),
            StopReason::Requested
        ));
        for later in [StopReason::Requested, gone()] {
            assert!(matches!(lost().or(later), StopReason::Broker(_)));
        }
        assert!(is_refused(lost().or(refused())));
        assert!(is_refused(gone().or(refused())));
        assert!(is_refused(refused().or(lost())));
    }
}
