//! Batches that are done with, whose memory the next ones use.

use std::sync::{Arc, Mutex, PoisonError};

use adtally_store::EventBatch;

/// The memory of one queue's batches. New memory would come page by page from the system, and how much
/// of it the allocator keeps afterwards depends on how many threads have asked for it.
///
/// Every batch begins here. So there are never more than were in use at one time, each as large as the
/// largest it has held.
#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<Vec<EventBatch>>);

impl Spares {
    /// An empty batch.
    pub(super) fn take(&self) -> EventBatch {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spares.pop().unwrap_or_default()
    }

    /// Gives a batch back, unless somebody else still needs it.
    pub(super) fn put(&self, batch: Arc<EventBatch>) {
        if let Some(mut batch) = Arc::into_inner(batch) {
            batch.clear();
            let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            spares.push(batch);
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::click;
    use super::*;

    #[test]
    fn a_batch_given_back_comes_out_empty() {
        let spares = Spares::default();
        spares.put(Arc::new(EventBatch::new(&[click(), click()], Vec::new())));
        assert_eq!(spares.take().len(), 0);
    }

    #[test]
    fn a_batch_that_somebody_still_needs_is_left_to_them() {
        let spares = Spares::default();
        let batch = Arc::new(EventBatch::new(&[click()], Vec::new()));
        spares.put(Arc::clone(&batch));
        assert_eq!(batch.len(), 1);
        assert_eq!(spares.count(), 0);
    }
}
