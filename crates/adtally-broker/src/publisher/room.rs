//! Room for what waits for its confirm.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::NotKept;

/// What a message costs in memory besides its bytes.
const OVERHEAD_BYTES: usize = 512;

/// A message of more bytes is large. Those of a batch are full packs.
const LARGE_BYTES: usize = 64 * 1_024;

/// Room of so many bytes. Large messages together may take three quarters: small ones, which are those of
/// single events, never wait behind a flood of batches.
#[derive(Debug)]
pub(super) struct Room {
    all: Bytes,
    large: Bytes,
}

/// A message's place in a room, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _all: OwnedSemaphorePermit,
    _large: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Bytes {
    size: usize,
    left: Arc<Semaphore>,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            all: Bytes::new(bytes),
            large: Bytes::new(bytes - bytes / 4),
        }
    }

    /// A place for a message of `bytes`, as soon as there is one. A message larger than the room
    /// takes all of it.
    pub(super) async fn enter(&self, bytes: usize, deadline: Instant) -> Result<Place, NotKept> {
        let large = if bytes > LARGE_BYTES {
            Some(self.large.take(bytes, deadline).await?)
        } else {
            None
        };
        Ok(Place {
            _all: self.all.take(bytes, deadline).await?,
            _large: large,
        })
    }

    /// Bytes that are taken.
    pub(super) fn used(&self) -> usize {
        self.all.size - self.all.left.available_permits()
    }
}

impl Bytes {
    fn new(size: usize) -> Self {
        Self {
            size,
            left: Arc::new(Semaphore::new(size)),
        }
    }

    async fn take(&self, bytes: usize, deadline: Instant) -> Result<OwnedSemaphorePermit, NotKept> {
        let cost = bytes.saturating_add(OVERHEAD_BYTES).min(self.size);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        match Arc::clone(&self.left).try_acquire_many_owned(cost) {
            Ok(permit) => Ok(permit),
            // Boxed, as it is seldom needed: otherwise all who wait for an answer would hold room for it.
            Err(_) => Box::pin(timeout_at(
                deadline,
                Arc::clone(&self.left).acquire_many_owned(cost),
            ))
            .await
            .map_err(|_| NotKept::Deadline)?
            .map_err(|_| NotKept::Closed),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const MIB: usize = 1_024 * 1_024;

    #[tokio::test]
    async fn a_flood_of_batches_leaves_room_for_single_events() {
        let room = Room::new(64 * MIB);
        let deadline = Instant::now() + std::time::Duration::from_secs(60);
        let mut batches = Vec::new();
        while let Some(place) = room.enter(126 * 1_024, deadline).now_or_never() {
            batches.push(place.unwrap());
        }
        assert!(
            room.used() > 47 * MIB && room.used() <= 48 * MIB,
            "{}",
            room.used()
        );
        // One more waits, but nobody behind it.
        let mut waiting = Box::pin(room.enter(126 * 1_024, deadline));
        assert!(waiting.as_mut().now_or_never().is_none());
        let mut single = Vec::new();
        while let Some(place) = room.enter(400, deadline).now_or_never() {
            single.push(place.unwrap());
        }
        assert!(single.len() > 15 * MIB / 1_024, "{}", single.len());
        drop(single);
        batches.pop();
        assert!(waiting.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_message_larger_than_the_room_has_it_alone() {
        let room = Room::new(MIB);
        let soon = Instant::now() + std::time::Duration::from_millis(1);
        let whole = room.enter(10 * MIB, soon).await.unwrap();
        assert_eq!(room.used(), MIB);
        assert_eq!(room.enter(1, soon).await.unwrap_err(), NotKept::Deadline);
        drop(whole);
        assert_eq!(room.used(), 0);
        assert!(room.enter(1, soon).await.is_ok());
    }
}
