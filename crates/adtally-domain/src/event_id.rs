//! The id of an event, whose first 48 bits are the event's time.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{AdId, EventKind, Timestamp};

/// The id that makes an event count once: a UUID that begins with the event's time in Unix
/// milliseconds (48 bits, big-endian).
///
/// Ids therefore sort by time, an hour is a range of ids, and one primary key on the id both
/// deduplicates and serves the hourly scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// A new UUIDv7 at `time` (RFC 9562, section 5.7).
    #[must_use]
    pub fn v7(time: Timestamp, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(millis(time), &random).into_uuid())
    }

    /// Whether `uuid` is a UUIDv7 of the RFC's own variant.
    #[must_use]
    pub fn is_v7(uuid: &Uuid) -> bool {
        uuid.get_version_num() == 7 && uuid.get_variant() == uuid::Variant::RFC4122
    }

    /// `uuid` itself, when it is a UUIDv7 and so says its own time.
    ///
    /// `None` for any other version, and for a time past the year 9999.
    #[must_use]
    pub fn from_v7(uuid: Uuid) -> Option<Self> {
        if Self::is_v7(&uuid) {
            Self::from_uuid(uuid)
        } else {
            None
        }
    }

    /// The UUIDv8 of an event whose sender named it `client_id`, a text or another kind of UUID.
    ///
    /// The same event always gets the same id. Kind and ad are part of it, so one auction id may
    /// name an impression and a click, or several ads.
    #[must_use]
    pub fn derive(kind: EventKind, ad_id: AdId, time: Timestamp, client_id: &str) -> Self {
        let canonical = Uuid::parse_str(client_id).map(|uuid| uuid.hyphenated().to_string());
        let digest = Sha256::new()
            .chain_update([kind.code()])
            .chain_update(ad_id.get().to_be_bytes())
            .chain_update(canonical.as_deref().unwrap_or(client_id))
            .finalize();
        let mut head = [0; 16];
        for (to, from) in head.iter_mut().zip(digest) {
            *to = from;
        }
        // The first 74 bits of the digest: 12 beside the version, 62 beside the variant.
        let digest = u128::from_be_bytes(head);
        let twelve = digest >> 116;
        let sixty_two = (digest >> 54) & ((1 << 62) - 1);
        let id = (u128::from(millis(time)) << 80)
            | (8 << 76)
            | (twelve << 64)
            | (0b10 << 62)
            | sixty_two;
        Self(Uuid::from_u128(id))
    }

    /// An id that was stored or published before; `None` when its time is past the year 9999.
    #[must_use]
    pub fn from_uuid(uuid: Uuid) -> Option<Self> {
        (leading_millis(uuid) <= Timestamp::MAX.as_millis()).then_some(Self(uuid))
    }

    /// The id as a bare UUID.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }

    /// The event's time.
    #[must_use]
    pub fn time(self) -> Timestamp {
        // Every constructor checked the range; the fallback is never taken.
        Timestamp::from_millis(leading_millis(self.0)).unwrap_or(Timestamp::MAX)
    }

    /// The smallest UUID of all ids at or after `time`.
    ///
    /// Ids of the half-open interval `[a, b)` are those from `floor(a)` up to, not including,
    /// `floor(b)`.
    #[must_use]
    pub fn floor(time: Timestamp) -> Uuid {
        Uuid::from_u128(u128::from(millis(time)) << 80)
    }
}

fn millis(time: Timestamp) -> u64 {
    // A timestamp is never negative and fits 48 bits up to the year 10889.
    time.as_millis().unsigned_abs()
}

fn leading_millis(uuid: Uuid) -> i64 {
    i64::try_from(uuid.as_u128() >> 80).unwrap_or(i64::MAX)
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse::<DateTime<Utc>>().unwrap().try_into().unwrap()
    }

    #[test]
    fn derived_ids_match_the_published_vectors() {
        let vectors = [
            (
                "2026-11-22T06:00:00.123Z",
                EventKind::Impression,
                42,
                "auction-7f3a/1",
                "01a201d7-0b7b-88c2-a977-29f3687d4dae",
            ),
            (
                "2017-11-07T09:30:00Z",
                EventKind::Click,
                12,
                "9b2f8f0e-2c1d-4e6a-9d43-0c6f7a1b2c3d",
                "015f95d0-a5c0-8930-baca-bd0b57e1bae8",
            ),
            (
                "2026-03-29T01:59:59.999Z",
                EventKind::Click,
                i64::MAX,
                "کلیک-۱",
                "019d3751-c8ff-8ad9-bab3-b966420926c1",
            ),
        ];
        for (time, kind, ad, client_id, expected) in vectors {
            let id = EventId::derive(kind, AdId::new(ad).unwrap(), at(time), client_id);
            assert_eq!(id.to_string(), expected);
        }
    }

    #[test]
    fn every_spelling_of_a_uuid_gives_the_same_event() {
        let ad = AdId::new(7).unwrap();
        let derive = |text| EventId::derive(EventKind::Click, ad, at("2026-01-01T00:00:00Z"), text);
        let expected = derive("9b2f8f0e-2c1d-4e6a-9d43-0c6f7a1b2c3d");
        for spelling in [
            "9B2F8F0E-2C1D-4E6A-9D43-0C6F7A1B2C3D",
            "9b2f8f0e2c1d4e6a9d430c6f7a1b2c3d",
            "{9b2f8f0e-2c1d-4e6a-9d43-0c6f7a1b2c3d}",
            "urn:uuid:9b2f8f0e-2c1d-4e6a-9d43-0c6f7a1b2c3d",
        ] {
            assert_eq!(derive(spelling), expected, "{spelling}");
        }
    }

    proptest! {
        #[test]
        fn ids_sort_by_time(a in 0..=Timestamp::MAX.as_millis(), b in 0..=Timestamp::MAX.as_millis(), random: [u8; 10], ad in 1_i64.., text in ".{0,40}") {
            let (a, b) = (Timestamp::from_millis(a).unwrap(), Timestamp::from_millis(b).unwrap());
            let early = EventId::v7(a, random);
            let late = EventId::derive(EventKind::Click, AdId::new(ad).unwrap(), b, &text);
            prop_assert_eq!(early.time(), a);
            prop_assert_eq!(late.time(), b);
            if a != b {
                prop_assert_eq!(early < late, a < b);
            }
            prop_assert!(EventId::floor(a) <= early.as_uuid());
            prop_assert_eq!(EventId::floor(b) > early.as_uuid(), b > a);
        }

        #[test]
        fn a_derived_id_is_stable_and_a_valid_uuid_v8(millis in 0..=Timestamp::MAX.as_millis(), ad in 1_i64.., text in ".{0,40}") {
            let derive = || EventId::derive(EventKind::Impression, AdId::new(ad).unwrap(), Timestamp::from_millis(millis).unwrap(), &text);
            prop_assert_eq!(derive(), derive());
            prop_assert_eq!(derive().as_uuid().get_version_num(), 8);
            prop_assert_eq!(derive().as_uuid().get_variant(), uuid::Variant::RFC4122);
        }

        #[test]
        fn kind_ad_and_name_each_change_a_derived_id(ad in 1_i64..i64::MAX, text in "[a-z]{1,40}") {
            let time = Timestamp::EPOCH;
            let (this, other) = (AdId::new(ad).unwrap(), AdId::new(ad + 1).unwrap());
            let id = EventId::derive(EventKind::Impression, this, time, &text);
            prop_assert_ne!(id, EventId::derive(EventKind::Click, this, time, &text));
            prop_assert_ne!(id, EventId::derive(EventKind::Impression, other, time, &text));
            prop_assert_ne!(id, EventId::derive(EventKind::Impression, this, time, &format!("{text}!")));
        }
    }
}
