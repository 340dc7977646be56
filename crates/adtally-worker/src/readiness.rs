//! What a worker says of itself at `/readyz`.

use adtally_service::{Check, Health};

use crate::stop_reason::StopReason;

/// The checks of a worker, but for that of the schema.
pub(crate) struct Checks {
    health: Health,
    pub(crate) database: Check,
    pub(crate) broker: Check,
    pub(crate) packs: Check,
}

impl Checks {
    pub(crate) fn new(health: &Health) -> Self {
        Self {
            health: health.clone(),
            database: health.check("database"),
            broker: health.check("broker"),
            packs: health.check("packs"),
        }
    }

    /// Shows why a session stops as soon as that is known, before its consumers have stopped.
    pub(crate) fn show(&self, reason: &StopReason) {
        match reason {
            StopReason::Requested => self.health.stopping(),
            StopReason::Broker(trouble) => self.broker.not_ready(trouble.clone()),
            StopReason::Database(error, _) => {
                self.database.not_ready(error.to_string());
                self.broker.not_ready("not subscribed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use adtally_store::StoreError;

    use super::*;

    #[test]
    fn a_worker_that_left_its_queues_is_ready_only_once_it_has_subscribed_again() {
        let health = Health::new();
        let checks = Checks::new(&health);
        for check in [&checks.database, &checks.broker, &checks.packs] {
            check.ready();
        }
        let away = StoreError::Unavailable("away".to_owned());
        checks.show(&StopReason::from(away));
        checks.database.ready();
        assert!(!health.readiness().ready);
        checks.broker.ready();
        assert!(health.readiness().ready);
    }
}
