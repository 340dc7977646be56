//! Ids that look like something else, beside times that agree with them, nearly or not at all.

use sha2::{Digest, Sha256};

use super::*;

/// `id` with the bits of a UUID of `version`.
fn of_version(id: u128, version: u8) -> Uuid {
    let versioned = id & !(0xf << 76) | u128::from(version) << 76;
    Uuid::from_u128(versioned & !(0b11 << 62) | 0b10 << 62)
}

/// What clients name their events by.
#[derive(Debug, Clone)]
enum Name {
    /// 32 hex digits, as MD5 or a trace id has them: any bits.
    Digest(u128),
    /// The same, but it looks like a UUIDv7.
    DigestLikeV7(u128),
    /// A UUID whose bits, but those of its version, are any.
    OfVersion(u8, u128),
    /// A UUIDv7 made this many milliseconds away from the event.
    V7(i64, [u8; 10]),
}

impl Name {
    fn written(&self, occurred_at: Timestamp) -> String {
        match self {
            Self::Digest(bits) => format!("{bits:032x}"),
            Self::DigestLikeV7(bits) => of_version(*bits, 7).simple().to_string(),
            Self::OfVersion(version, bits) => of_version(*bits, *version).to_string(),
            Self::V7(apart, random) => v7(occurred_at, *apart, *random).to_string(),
        }
    }
}

fn v7(time: Timestamp, apart: i64, random: [u8; 10]) -> EventId {
    EventId::v7(time.saturating_add_millis(apart), random)
}

fn names() -> impl Strategy<Value = Name> {
    let versions = prop::sample::select(&[1_u8, 3, 4, 5, 6, 7, 8][..]);
    prop_oneof![
        any::<u128>().prop_map(Name::Digest),
        any::<u128>().prop_map(Name::DigestLikeV7),
        (versions, any::<u128>()).prop_map(|(version, bits)| Name::OfVersion(version, bits)),
        (-5_000_i64..5_000, any::<[u8; 10]>()).prop_map(|(apart, random)| Name::V7(apart, random)),
        (any::<i32>(), any::<[u8; 10]>())
            .prop_map(|(apart, random)| Name::V7(apart.into(), random)),
    ]
}

/// Times that are let in, and more than 2 s away from those that are not.
fn times() -> impl Strategy<Value = Timestamp> {
    let now = at(NOW).as_millis();
    (now - 35 * 86_400_000 + 2_001..now + 290_000)
        .prop_map(|millis| Timestamp::from_millis(millis).unwrap())
}

fn click(ad_id: i64, event_id: &str, occurred_at: Option<Timestamp>) -> Value {
    let mut event = json!({"ad_id": ad_id, "kind": "click", "event_id": event_id});
    if let Some(time) = occurred_at {
        event["occurred_at"] = json!(time.to_string());
    }
    event
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn no_event_is_refused_for_what_its_id_looks_like(name in names(), time in times(), ad in 1_i64..) {
        let written = name.written(time);
        let sent = click(ad, &written, Some(time));
        let event = accept(&sent);
        let event = event.map_err(|refused| TestCaseError::fail(format!("{sent}: {refused}")))?;
        prop_assert_eq!(accept(&sent).unwrap().id, event.id, "a retry");
        let uuid = Uuid::parse_str(&written).unwrap();
        match EventId::from_v7(uuid).filter(|id| id.time().as_millis().abs_diff(time.as_millis()) <= 2_000) {
            Some(id) => prop_assert_eq!(event.id, id),
            None => {
                let ad = AdId::new(ad).unwrap();
                prop_assert_eq!(event.id, EventId::derive(EventKind::Click, ad, time, &written));
                prop_assert_eq!(event.occurred_at(), time);
            }
        }
    }

    #[test]
    fn an_id_alone_is_a_time_only_where_that_time_makes_sense(name in names(), made in times()) {
        let written = name.written(made);
        let refused = code_of(&click(1, &written, None));
        let uuid = Uuid::parse_str(&written).unwrap();
        let now = at(NOW).as_millis();
        let year = 366 * 86_400_000;
        let expected = match EventId::from_v7(uuid).map(|id| id.time().as_millis()) {
            Some(time) if time < now - 35 * 86_400_000 - year => "occurred_at_required",
            Some(time) if time < now - 35 * 86_400_000 => "too_old",
            Some(time) if time <= now + 300_000 => "accepted",
            Some(time) if time <= now + 300_000 + year => "in_future",
            _ => "occurred_at_required",
        };
        prop_assert_eq!(refused, expected);
    }

    #[test]
    fn clocks_read_one_after_the_other_make_one_event(ahead in -2_000_i64..=2_000, random: [u8; 10], time in times()) {
        let id = v7(time, ahead, random);
        let event = accept(&click(1, &id.to_string(), Some(time))).unwrap();
        prop_assert_eq!(event.id, id);
        prop_assert_eq!(event.occurred_at(), id.time());
    }

    #[test]
    fn an_id_of_another_moment_is_a_name_like_any_other(apart in 2_001_i64.., back: bool, random: [u8; 10], time in times()) {
        let id = v7(time, if back { -apart } else { apart }, random);
        let event = accept(&click(1, &id.to_string(), Some(time))).unwrap();
        prop_assert_eq!(event.id.as_uuid().get_version_num(), 8);
        prop_assert_eq!(event.occurred_at(), time);
        let other_ad = accept(&click(2, &id.to_string(), Some(time))).unwrap();
        prop_assert_ne!(other_ad.id, event.id);
    }
}

#[test]
fn every_one_of_many_digests_is_taken_with_a_time_and_none_without() {
    for number in 0..20_000_u32 {
        let digest = Sha256::digest(number.to_be_bytes());
        let hex: String = digest[..16].iter().map(|b| format!("{b:02x}")).collect();
        let sent = click(78, &hex, Some(at("2026-11-22T05:59:59.123Z")));
        assert_eq!(code_of(&sent), "accepted", "{hex}");
        assert_eq!(
            code_of(&click(78, &hex, None)),
            "occurred_at_required",
            "{hex}"
        );
    }
}

#[test]
fn times_are_floored_to_milliseconds_before_they_are_compared() {
    let id = EventId::v7(at("2026-11-22T05:00:00.123Z"), [1; 10]).to_string();
    let mut event = with("event_id", json!(id));
    for (time, stands) in [
        ("2026-11-22T08:30:00.123999+03:30", true),
        ("2026-11-22T05:00:02.123999Z", true),
        ("2026-11-22T05:00:02.124Z", false),
        ("2026-11-22T04:59:58.123Z", true),
        ("2026-11-22T04:59:58.122999Z", false),
    ] {
        event["occurred_at"] = json!(time);
        let taken = accept(&event).unwrap().id.to_string();
        assert_eq!(taken == id, stands, "{time}");
    }
}
