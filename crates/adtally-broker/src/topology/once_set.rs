//! What this process does once, such as to warn of a queue with other arguments.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Keys of what was done. All sessions of one configuration share it.
#[derive(Debug, Default)]
pub(crate) struct OnceSet(Mutex<HashSet<String>>);

impl OnceSet {
    /// Adds `key`. Whether it was missing.
    pub(crate) fn insert(&self, key: String) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key)
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(key)
    }

    pub(crate) fn remove(&self, key: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}
