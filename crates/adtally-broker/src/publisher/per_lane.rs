//! One of a thing for each lane of messages.

use adtally_domain::EventKind;

/// One for each kind of event, and one for finished single messages.
#[derive(Debug, Default)]
pub(super) struct PerLane<T> {
    clicks: T,
    single: T,
    impressions: T,
}

impl<T> PerLane<T> {
    pub(super) fn from_fn(mut make: impl FnMut() -> T) -> Self {
        Self {
            clicks: make(),
            single: make(),
            impressions: make(),
        }
    }

    /// The one of events of a kind, or of messages that hold no events.
    pub(super) fn of(&self, kind: Option<EventKind>) -> &T {
        match kind {
            Some(EventKind::Click) => &self.clicks,
            None => &self.single,
            Some(EventKind::Impression) => &self.impressions,
        }
    }

    pub(super) fn of_mut(&mut self, kind: Option<EventKind>) -> &mut T {
        match kind {
            Some(EventKind::Click) => &mut self.clicks,
            None => &mut self.single,
            Some(EventKind::Impression) => &mut self.impressions,
        }
    }

    /// Rare messages first, so that a flood of impressions never delays them.
    pub(super) fn all_mut(&mut self) -> [&mut T; 3] {
        [&mut self.clicks, &mut self.single, &mut self.impressions]
    }

    pub(super) fn all(&self) -> [&T; 3] {
        [&self.clicks, &self.single, &self.impressions]
    }

    pub(super) fn into_all(self) -> [T; 3] {
        [self.clicks, self.single, self.impressions]
    }
}
