//! The memory of batches, used again and again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adtally_store::EventBatch;

/// The free batches of one queue. New memory would come page by page from the system, and how much of it
/// the allocator keeps afterwards depends on how many threads have asked for it.
///
/// Every batch begins here. So there are never more than were in use at one time, each as large as the
/// largest it has held.
#[derive(Debug, Clone, Default)]
pub(super) struct BatchPool(Arc<Mutex<Vec<EventBatch>>>);

impl BatchPool {
    /// An empty batch.
    pub(super) fn take(&self) -> EventBatch {
        self.free().pop().unwrap_or_default()
    }

    /// Gives a batch back, unless somebody else still needs it.
    pub(super) fn put(&self, batch: Arc<EventBatch>) {
        if let Some(mut batch) = Arc::into_inner(batch) {
            batch.clear();
            self.free().push(batch);
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<EventBatch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.free().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::click;

    #[test]
    fn a_batch_given_back_comes_out_empty() {
        let pool = BatchPool::default();
        pool.put(Arc::new(EventBatch::new(&[click(), click()], Vec::new())));
        assert_eq!(pool.take().len(), 0);
    }

    #[test]
    fn a_batch_that_somebody_still_needs_is_left_to_them() {
        let pool = BatchPool::default();
        let batch = Arc::new(EventBatch::new(&[click()], Vec::new()));
        pool.put(Arc::clone(&batch));
        assert_eq!(batch.len(), 1);
        assert_eq!(pool.count(), 0);
    }
}
