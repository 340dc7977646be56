//! Our exchanges and queues: their names, their arguments, what is bound to what.

mod ensure;
mod objects;
mod once_set;
mod retry;
mod route;

use adtally_domain::{EventKind, Prefix};

use crate::BrokerError;
pub(crate) use ensure::ensure;
pub(crate) use once_set::OnceSet;
pub use route::Route;
pub(crate) use route::{event_retry_key, event_routing_key};

/// The names of our queues and exchanges, all beginning with the deployment's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    prefix: Prefix,
}

impl Topology {
    /// The names that begin with `prefix`, which is one by the rule of [`Prefix`].
    ///
    /// # Errors
    /// [`BrokerError::InvalidPrefix`] for any other text.
    pub fn new(prefix: &str) -> Result<Self, BrokerError> {
        let invalid = |_| BrokerError::InvalidPrefix(prefix.to_owned());
        let prefix = prefix.parse().map_err(invalid)?;
        Ok(Self { prefix })
    }

    /// The prefix itself.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Topic exchange that takes packs of events.
    #[must_use]
    pub fn events_exchange(&self) -> String {
        self.name("events")
    }

    /// Topic exchange that takes tasks; the routing key is the name of the queue.
    #[must_use]
    pub fn tasks_exchange(&self) -> String {
        self.name("tasks")
    }

    /// The queue of packs with events of `kind`.
    #[must_use]
    pub fn events_queue(&self, kind: EventKind) -> String {
        match kind {
            EventKind::Impression => self.impressions_queue(),
            EventKind::Click => self.clicks_queue(),
        }
    }

    /// The queue of packs with impressions.
    #[must_use]
    pub fn impressions_queue(&self) -> String {
        self.name("impressions")
    }

    /// The queue of packs with clicks.
    #[must_use]
    pub fn clicks_queue(&self) -> String {
        self.name("clicks")
    }

    /// The queue of tasks.
    #[must_use]
    pub fn tasks_queue(&self) -> String {
        self.name("tasks")
    }

    /// The exchange and the queue of what a queue's own limits or a worker's refusal put aside.
    #[must_use]
    pub fn dead_queue(&self) -> String {
        self.name("dead")
    }

    /// The exchange and the queue of messages that were routed to no queue.
    #[must_use]
    pub fn unrouted_queue(&self) -> String {
        self.name("unrouted")
    }

    /// Every queue that workers read: both event queues, the tasks, the dead and the unrouted.
    #[must_use]
    pub fn consumed_queues(&self) -> [String; 5] {
        ["impressions", "clicks", "tasks", "dead", "unrouted"].map(|name| self.name(name))
    }

    fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.prefix)
    }
}
