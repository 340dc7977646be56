//! What this process has seen of the topology, so that it asks and warns once.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Shared by all sessions of one configuration.
#[derive(Debug, Default)]
pub(crate) struct Sightings(Mutex<HashSet<String>>);

impl Sightings {
    /// Whether `sight` is new, which it is no longer afterwards.
    pub(crate) fn is_first(&self, sight: String) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(sight)
    }

    pub(crate) fn contains(&self, sight: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(sight)
    }

    pub(crate) fn forget(&self, sight: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(sight);
    }
}
