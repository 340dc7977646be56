use std::net::IpAddr;

use adtally_domain::AdId;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::column_value::next_field;
use super::super::columns::{CopyList, Longest, to_json};
use super::super::copy::write_row;
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
        let mut buffer = CopyBuffer::default();
        for event in &events {
            buffer.push(event);
        }
        let read: Vec<Event> = buffer.iter().map(|row| row.event()).collect();
        prop_assert_eq!(&read, &events);
        let ads: Vec<i64> = buffer.iter().map(|row| row.ad_id()).collect();
        prop_assert!(events.iter().map(|event| event.ad_id.get()).eq(ads));
    }

    #[test]
    fn the_body_of_a_letter_names_every_field_that_is_there(event in any_event()) {
        let body = to_json(&event);
        let nullable = event.texts().count()
            + usize::from(event.ip.is_some())
            + usize::from(event.impression_id.is_some());
        prop_assert_eq!(body.len(), 4 + nullable);
        prop_assert_eq!(&body["event_id"], &event.id.to_string());
        prop_assert_eq!(&body["kind"], event.kind.as_str());
        prop_assert_eq!(&body["ad_id"], event.ad_id.get());
        prop_assert_eq!(&body["received_at"], &event.received_at.to_string());
    }

    #[test]
    fn what_copy_takes_has_as_many_fields_as_it_says(
        event in any_event(),
        more in 0..=Longest::OTHERS,
        source: bool,
    ) {
        let mut buffer = CopyBuffer::default();
        buffer.push(&event);
        let row = buffer.get(0).unwrap();
        let present = row.columns();
        let sent = ColumnSet {
            source: present.source || source,
            others: Longest::OTHERS.min(present.others + more),
        };
        let mut data = Vec::new();
        write_row(&mut data, row.id(), row.fields(), present, sent);
        let (count, mut fields) = data.split_first_chunk().unwrap();
        let count = i16::from_be_bytes(*count);
        prop_assert_eq!(count, i16::from(sent.others) + i16::from(sent.source));
        let values: Vec<_> = (0..count).map(|_| next_field(&mut fields)).collect();
        prop_assert!(fields.is_empty());
        let id = event.id.as_uuid();
        prop_assert_eq!(values[0], Some(id.as_bytes().as_slice()));
        if sent.source {
            prop_assert_eq!(values[1], event.source.as_ref().map(|source| source.as_bytes()));
        }
        let last = values.iter().rposition(|value| value.is_some()).unwrap();
        prop_assert!(last < usize::from(present.others) + usize::from(sent.source));
    }

    #[test]
    fn what_was_added_last_can_be_taken_out(
        events in prop::collection::vec(any_event(), 0..20),
        more in prop::collection::vec(any_event(), 0..20),
        is_sorted: bool,
    ) {
        let mut buffer = CopyBuffer::default();
        events.iter().for_each(|event| buffer.push(event));
        if is_sorted {
            buffer.sort();
        }
        let before = buffer.clone();
        more.iter().for_each(|event| buffer.push(event));
        buffer.truncate(events.len());
        prop_assert_eq!((&buffer.first, &buffer.second), (&before.first, &before.second));
        prop_assert!(buffer.iter().map(|row| row.event()).eq(before.iter().map(|row| row.event())));
    }

    #[test]
    fn of_one_id_the_first_stays_first(
        event in any_event(),
        picks in prop::collection::vec(0..5_usize, 0..300),
    ) {
        let ids = [9, 3, 7, 1, 5].map(|byte| EventId::v7(Timestamp::EPOCH, [byte; 10]));
        let mut buffer = CopyBuffer::default();
        for (arrival, pick) in picks.iter().enumerate() {
            let placement = Some(arrival.to_string());
            buffer.push(&Event { id: ids[*pick], placement, ..event.clone() });
        }
        buffer.sort();
        let sorted: Vec<(EventId, String)> = buffer
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
        let mut buffer = CopyBuffer::default();
        ids.iter().for_each(|&id| buffer.push(&Event { id, ..event.clone() }));
        buffer.sort();
        ids.sort();
        prop_assert!(buffer.iter().map(|row| row.id()).eq(ids));
    }

    #[test]
    fn the_payload_is_what_the_sender_said(event in any_event(), other in any_event()) {
        let theirs = Event {
            id: other.id,
            received_at: other.received_at,
            source: other.source.clone(),
            ..event.clone()
        };
        let mut buffer = CopyBuffer::default();
        buffer.push(&event);
        buffer.push(&theirs);
        buffer.push(&other);
        let payloads: Vec<&[u8]> = buffer.iter().map(|row| row.payload()).collect();
        prop_assert_eq!(payloads[0], payloads[1]);
        // Another ad at least, in all likelihood.
        prop_assert_eq!(payloads[0] == payloads[2], event.ad_id == other.ad_id
            && event.kind == other.kind && event.impression_id == other.impression_id
            && event.ip == other.ip && event.visitor_id == other.visitor_id
            && event.user_agent == other.user_agent && event.referer == other.referer
            && event.placement == other.placement);
    }
}
