//! Events on their way into the table, each already the row that COPY takes.
//!
//! A row is all of an event, so events need not be kept beside their rows; what is asked of each of
//! them is kept in a form of its own.

use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};

use super::row;

/// Rows, one after the other in one buffer.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    data: Vec<u8>,
    places: Vec<Place>,
}

/// Where a row is, and what is in it. There are as many as rows, and they are moved to sort them: each
/// byte counts.
#[derive(Debug, Clone, Copy)]
struct Place {
    id: EventId,
    ad_id: AdId,
    received_at: Timestamp,
    start: u32,
    payload: u32,
    end: u32,
    columns: u8,
    kind: EventKind,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    rows: &'a Rows,
    place: &'a Place,
}

impl Rows {
    pub(super) fn push<Text: AsRef<str>>(&mut self, event: &Event<Text>) {
        let start = offset(self.data.len());
        let appended = row::append(&mut self.data, event);
        self.places.push(Place {
            id: event.id,
            ad_id: event.ad_id,
            kind: event.kind,
            received_at: event.received_at,
            start,
            payload: start.saturating_add(offset(appended.before_payload)),
            end: offset(self.data.len()),
            columns: appended.columns,
        });
    }

    /// Room for as much as there is in `other`.
    pub(super) fn reserve_as_for(&mut self, other: &Self) {
        self.places.reserve_exact(other.places.len());
        self.data.reserve_exact(other.data.len());
    }

    pub(super) fn clear(&mut self) {
        self.data.clear();
        self.places.clear();
    }

    /// Takes out the rows that were added last, beyond the first `count`. Those have not been sorted.
    pub(super) fn truncate(&mut self, count: usize) {
        if let Some(first) = self.places.get(count) {
            self.data.truncate(first.start as usize);
            self.places.truncate(count);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// By id. Of events with one id the first stays first.
    pub(super) fn sort(&mut self) {
        // Ids begin with their time, in whose order events mostly come.
        if self.places.is_sorted_by_key(Place::time) {
            let of_one_time = |one: &Place, next: &Place| one.time() == next.time();
            for places in self.places.chunk_by_mut(of_one_time) {
                places.sort_unstable_by_key(Place::order);
            }
        } else {
            self.places.sort_unstable_by_key(Place::order);
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Row<'_>> {
        self.places.get(index).map(|place| self.row(place))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Row<'_>> + Clone {
        self.places.iter().map(|place| self.row(place))
    }

    fn row<'a>(&'a self, place: &'a Place) -> Row<'a> {
        Row { rows: self, place }
    }
}

impl Place {
    /// What rows are sorted by: the id, and for one id the place. A stable sort would need memory for
    /// half of the rows each time, which the allocator then keeps for each thread that has sorted.
    fn order(&self) -> (u128, u32) {
        // Compared as one number: as bytes, each comparison would be a call.
        (self.id.as_uuid().as_u128(), self.start)
    }

    fn time(&self) -> Timestamp {
        self.id.time()
    }
}

impl<'a> Row<'a> {
    /// By id, and for one id by arrival.
    pub(super) fn order(&self) -> (u128, u32) {
        self.place.order()
    }

    pub(super) fn id(&self) -> EventId {
        self.place.id
    }

    pub(super) fn kind(&self) -> EventKind {
        self.place.kind
    }

    pub(super) fn occurred_at(&self) -> Timestamp {
        self.place.time()
    }

    /// Columns up to the last one that is not NULL.
    pub(super) fn columns(&self) -> u8 {
        self.place.columns
    }

    /// All fields, as COPY takes them.
    pub(super) fn fields(&self) -> &'a [u8] {
        self.from(self.place.start)
    }

    /// What its sender said. When and through whom it came is not the sender's.
    pub(super) fn payload(&self) -> &'a [u8] {
        self.from(self.place.payload)
    }

    fn from(&self, start: u32) -> &'a [u8] {
        let range = start as usize..self.place.end as usize;
        // Both ends were taken from the data's own length.
        self.rows.data.get(range).unwrap_or_default()
    }

    /// The event itself.
    pub(super) fn event(&self) -> Event {
        let place = self.place;
        row::event(
            place.id,
            place.ad_id,
            place.kind,
            place.received_at,
            self.fields(),
        )
    }
}

/// A place in the data. Rows are shorter than the JSON they were read from, and of that a batch has a few
/// megabytes and one message, which RabbitMQ bounds at 512 MB.
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    prop_compose! {
        fn any_event()(
            (id, millis) in (any::<[u8; 10]>(), 0_i64..4_000_000_000_000),
            (ad_id, is_click) in (1..=i64::MAX, any::<bool>()),
            received_at in 0_i64..4_000_000_000_000,
            impression_id in proptest::option::of(any::<u128>()),
            ip in proptest::option::of(any::<IpAddr>()),
            texts in prop::array::uniform5(proptest::option::of("\\PC{0,40}")),
        ) -> Event {
            let [visitor_id, user_agent, referer, placement, source] = texts;
            Event {
                id: EventId::v7(Timestamp::from_millis(millis).unwrap(), id),
                kind: if is_click { EventKind::Click } else { EventKind::Impression },
                ad_id: AdId::new(ad_id).unwrap(),
                received_at: Timestamp::from_millis(received_at).unwrap(),
                impression_id: impression_id.map(Uuid::from_u128),
                ip,
                visitor_id,
                user_agent,
                referer,
                placement,
                source,
            }
        }
    }

    proptest! {
        #[test]
        fn a_row_is_all_of_its_event(events in prop::collection::vec(any_event(), 0..20)) {
            let mut rows = Rows::default();
            for event in &events {
                rows.push(event);
            }
            let read: Vec<Event> = rows.iter().map(|row| row.event()).collect();
            prop_assert_eq!(read, events);
        }

        #[test]
        fn what_was_added_last_can_be_taken_out(
            events in prop::collection::vec(any_event(), 0..20),
            more in prop::collection::vec(any_event(), 0..20),
            is_sorted: bool,
        ) {
            let mut rows = Rows::default();
            events.iter().for_each(|event| rows.push(event));
            if is_sorted {
                rows.sort();
            }
            let before = rows.clone();
            more.iter().for_each(|event| rows.push(event));
            rows.truncate(events.len());
            prop_assert_eq!(&rows.data, &before.data);
            prop_assert!(rows.iter().map(|row| row.event()).eq(before.iter().map(|row| row.event())));
        }

        #[test]
        fn of_one_id_the_first_stays_first(
            event in any_event(),
            picks in prop::collection::vec(0..5_usize, 0..300),
        ) {
            let ids = [9, 3, 7, 1, 5].map(|byte| EventId::v7(Timestamp::EPOCH, [byte; 10]));
            let mut rows = Rows::default();
            for (arrival, pick) in picks.iter().enumerate() {
                let placement = Some(arrival.to_string());
                rows.push(&Event { id: ids[*pick], placement, ..event.clone() });
            }
            rows.sort();
            let sorted: Vec<(EventId, String)> = rows
                .iter()
                .map(|row| (row.id(), row.event().placement.unwrap()))
                .collect();
            let mut expected: Vec<_> = picks
                .iter()
                .enumerate()
                .map(|(arrival, pick)| (ids[*pick], arrival.to_string()))
                .collect();
            expected.sort_by_key(|(id, _)| *id);
            prop_assert_eq!(sorted, expected);
        }

        #[test]
        fn rows_are_sorted_by_id_in_whatever_order_their_times_are(
            times in prop::collection::vec((0..4_i64, any::<u8>()), 0..100),
            event in any_event(),
            is_in_time: bool,
        ) {
            let mut times = times;
            if is_in_time {
                times.sort_by_key(|(millis, _)| *millis);
            }
            let id = |(millis, byte)| EventId::v7(Timestamp::from_millis(millis).unwrap(), [byte; 10]);
            let mut ids: Vec<EventId> = times.into_iter().map(id).collect();
            let mut rows = Rows::default();
            ids.iter().for_each(|&id| rows.push(&Event { id, ..event.clone() }));
            rows.sort();
            ids.sort();
            prop_assert!(rows.iter().map(|row| row.id()).eq(ids));
        }

        #[test]
        fn the_payload_is_what_the_sender_said(event in any_event(), other in any_event()) {
            let theirs = Event {
                id: other.id,
                received_at: other.received_at,
                source: other.source.clone(),
                ..event.clone()
            };
            let mut rows = Rows::default();
            rows.push(&event);
            rows.push(&theirs);
            rows.push(&other);
            let payloads: Vec<&[u8]> = rows.iter().map(|row| row.payload()).collect();
            prop_assert_eq!(payloads[0], payloads[1]);
            // Another ad at least, in all likelihood.
            prop_assert_eq!(payloads[0] == payloads[2], event.ad_id == other.ad_id
                && event.kind == other.kind && event.impression_id == other.impression_id
                && event.ip == other.ip && event.visitor_id == other.visitor_id
                && event.user_agent == other.user_agent && event.referer == other.referer
                && event.placement == other.placement);
        }
    }
}
