use chrono::{Timelike, Utc};
use proptest::prelude::*;

use super::*;

const ZONES: [&str; 9] = [
    "UTC",
    "Asia/Tehran",
    "Asia/Kathmandu",
    "Europe/Berlin",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Africa/Monrovia",
];

fn zone(name: &str) -> ReportingZone {
    name.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse::<DateTime<Utc>>().unwrap().try_into().unwrap()
}

fn day(zone_name: &str, date: &str) -> Day {
    zone(zone_name).day(date.parse().unwrap()).unwrap()
}

fn minutes(start: Timestamp, end: Timestamp) -> i64 {
    (end.as_millis() - start.as_millis()) / 60_000
}

fn hour_lengths(zone_name: &str, date: &str) -> Vec<i64> {
    let day = day(zone_name, date);
    zone(zone_name)
        .hours(day.start, day.end)
        .map(|h| minutes(h.start, h.end))
        .collect()
}

#[test]
fn a_tehran_day_begins_at_half_past_eight_in_the_evening_utc() {
    let day = day("Asia/Tehran", "2026-11-22");
    assert_eq!(
        (day.start, day.end),
        (at("2026-11-21T20:30:00Z"), at("2026-11-22T20:30:00Z"))
    );
    let hour = zone("Asia/Tehran").hour_of(at("2026-11-22T06:29:59.999Z"));
    assert_eq!(
        (hour.start, hour.end),
        (at("2026-11-22T05:30:00Z"), at("2026-11-22T06:30:00Z"))
    );
}

#[test]
fn a_day_whose_midnight_was_skipped_begins_at_one_o_clock() {
    let day = day("Asia/Tehran", "2022-03-22");
    assert_eq!(day.start, at("2022-03-21T20:30:00Z"));
    assert_eq!(zone("Asia/Tehran").local(day.start).hour(), 1);
    assert_eq!(minutes(day.start, day.end), 23 * 60);
}

#[test]
fn days_have_23_to_25_hours_across_clock_changes() {
    assert_eq!(hour_lengths("Europe/Berlin", "2026-03-29"), [60; 23]);
    assert_eq!(hour_lengths("Europe/Berlin", "2026-10-25"), [60; 25]);
    assert_eq!(hour_lengths("Asia/Kathmandu", "2026-10-25"), [60; 24]);
}

#[test]
fn a_lord_howe_hour_lasts_thirty_minutes_when_clocks_change() {
    let forward = hour_lengths("Australia/Lord_Howe", "2026-10-04");
    assert_eq!(
        (forward.len(), forward.iter().sum::<i64>()),
        (24, 23 * 60 + 30)
    );
    assert_eq!(forward.iter().filter(|length| **length == 30).count(), 1);
    let back = hour_lengths("Australia/Lord_Howe", "2026-04-05");
    assert_eq!((back.len(), back.iter().sum::<i64>()), (25, 24 * 60 + 30));
}

#[test]
fn a_day_begins_once_even_where_clocks_went_back_over_midnight() {
    // St. John's went back at 00:01 to 23:01 of the day before.
    let day = day("America/St_Johns", "2010-11-07");
    assert_eq!(day.start, at("2010-11-07T02:30:00Z"));
    let again = at("2010-11-07T02:45:00Z");
    assert_eq!(
        zone("America/St_Johns")
            .local(again)
            .date_naive()
            .to_string(),
        "2010-11-06"
    );
    assert_eq!(zone("America/St_Johns").day_of(again), day);
}

#[test]
fn the_first_day_is_a_day_east_and_west_of_utc() {
    let epoch = Timestamp::try_from(DateTime::UNIX_EPOCH).unwrap();
    for name in ["UTC", "Asia/Tehran", "America/St_Johns"] {
        let first = zone(name).day_of(epoch);
        assert_eq!(zone(name).day(first.date), Some(first), "{name}");
        let before = first.date.pred_opt().unwrap();
        assert_eq!(zone(name).day(before), None, "{name}");
    }
}

#[test]
fn a_date_the_zone_skipped_is_no_day() {
    let apia = zone("Pacific/Apia");
    assert_eq!(apia.day("2011-12-30".parse().unwrap()), None);
    let before = day("Pacific/Apia", "2011-12-29");
    assert_eq!(before.end, day("Pacific/Apia", "2011-12-31").start);
}

#[test]
fn only_first_instants_start_an_hour() {
    let tehran = zone("Asia/Tehran");
    assert!(tehran.hour_starting(at("2026-11-22T05:30:00Z")).is_some());
    assert_eq!(tehran.hour_starting(at("2026-11-22T05:00:00Z")), None);
}

#[test]
fn names_outside_the_database_are_refused() {
    for name in ["", "Tehran", "+03:30", "asia/tehran ", "../etc/passwd"] {
        assert!(name.parse::<ReportingZone>().is_err(), "{name}");
    }
}

#[test]
fn a_zone_is_known_by_its_clock_and_not_by_its_name() {
    for (one, other) in [
        ("Europe/Kiev", "Europe/Kyiv"),
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("UTC", "Etc/UTC"),
        ("UTC", "GMT"),
        ("UTC", "Zulu"),
        ("Asia/Saigon", "Asia/Ho_Chi_Minh"),
        ("US/Eastern", "America/New_York"),
        ("Iran", "Asia/Tehran"),
    ] {
        assert!(zone(one).has_clock_of(&zone(other)), "{one} {other}");
        assert!(zone(other).has_clock_of(&zone(one)), "{other} {one}");
    }
    for (one, other) in [
        ("UTC", "Europe/London"),
        // Apart in some years only, or by an hour or two on days of change.
        ("America/Havana", "America/New_York"),
        ("America/Phoenix", "America/Denver"),
        ("Europe/Kyiv", "Europe/Chisinau"),
        ("Asia/Tehran", "Asia/Kolkata"),
        ("America/Toronto", "America/New_York"),
        ("Etc/GMT+1", "Etc/GMT-1"),
    ] {
        assert!(!zone(one).has_clock_of(&zone(other)), "{one} {other}");
    }
}

#[test]
fn no_clock_changes_twice_within_six_days_or_after_the_last_known_change() {
    // The shortest summer there was lasted a week, in some of these. All zones take two minutes.
    let short = [
        "America/Boa_Vista",
        "America/Recife",
        "Asia/Gaza",
        "Africa/Casablanca",
    ];
    for name in ZONES.into_iter().chain(short) {
        let zone = zone(name);
        let mut last = i64::MIN / 2;
        let mut from = 0;
        while from < CHANGES_UNTIL {
            // Half a day, so that two changes within a day would be seen.
            let to = from + DAY_MILLIS / 2;
            if let Some(change) = zone.first_change(from, to) {
                assert!(change - last > 6 * DAY_MILLIS, "{name} {change}");
                last = change;
            }
            from = to;
        }
        let (end, after) = (
            zone.offset_millis(from),
            zone.offset_millis(from + 200 * DAY_MILLIS),
        );
        assert_eq!(end, after, "{name}");
    }
}

#[test]
fn years_of_hours_and_days_have_no_gap_and_no_overlap() {
    // Years in which these zones changed clocks at midnight, skipped a day or changed their rules.
    let years = [
        ("2010", "2012"),
        ("2018", "2019"),
        ("2021", "2022"),
        ("2026", "2027"),
    ];
    for (name, (from, to)) in ZONES
        .iter()
        .flat_map(|name| years.map(|years| (name, years)))
    {
        let zone = zone(name);
        let (from, to) = (
            at(&format!("{from}-01-01T12:00:00Z")),
            at(&format!("{to}-01-01T12:00:00Z")),
        );
        let mut day = zone.day_of(from);
        for hour in zone.hours(day.start, to) {
            if hour.start == day.end {
                let next = zone.day_of(day.end);
                assert_eq!(next.start, day.end, "{name}");
                assert_eq!(zone.day(next.date), Some(next), "{name}");
                day = next;
            }
            assert!(
                day.start <= hour.start && hour.end <= day.end,
                "{name} {hour:?} {day:?}"
            );
            assert_eq!(zone.hour_of(hour.end).start, hour.end, "{name}");
        }
    }
}

fn instants() -> impl Strategy<Value = Timestamp> {
    // 1970 to 2037, in milliseconds: all the clock changes the zones above ever made since.
    (0..2_145_916_800_000_i64).prop_map(|millis| Timestamp::from_millis(millis).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn hours_tile_time_and_start_on_the_full_local_hour(name in prop::sample::select(&ZONES[..]), time in instants()) {
        let zone = zone(name);
        let hour = zone.hour_of(time);
        prop_assert!(hour.start <= time && time < hour.end);
        prop_assert_eq!(zone.hour_of(hour.end).start, hour.end);
        prop_assert_eq!(zone.hour_of(hour.start), hour);
        prop_assert_eq!(zone.hour_of(hour.end.saturating_add_millis(-1)), hour);
        prop_assert!(minutes(hour.start, hour.end) <= 60);
        let before = zone.local(hour.start.saturating_add_millis(-1)).offset().local_minus_utc();
        let local = zone.local(hour.start);
        let full_hour = local.minute() == 0 && local.second() == 0 && local.nanosecond() == 0;
        prop_assert!(full_hour || before != local.offset().local_minus_utc() || hour.start == Timestamp::EPOCH);
    }

    #[test]
    fn days_tile_time_and_consist_of_whole_hours(name in prop::sample::select(&ZONES[..]), time in instants()) {
        let zone = zone(name);
        let day = zone.day_of(time);
        prop_assert!(day.start <= time && time < day.end);
        let next = zone.day_of(day.end);
        prop_assert_eq!(next.start, day.end);
        prop_assert!(next.date > day.date);
        prop_assert_eq!(zone.day_of(day.start), day);
        prop_assert_eq!(zone.hour_of(day.start).start, day.start);
        let hours: Vec<_> = zone.hours(day.start, day.end).collect();
        prop_assert_eq!(hours.first().unwrap().start, day.start);
        prop_assert_eq!(hours.last().unwrap().end, day.end);
        for pair in hours.windows(2) {
            prop_assert_eq!(pair[0].end, pair[1].start);
        }
    }

    #[test]
    fn no_hour_holds_a_clock_change(name in prop::sample::select(&ZONES[..]), time in instants()) {
        let zone = zone(name);
        let hour = zone.hour_of(time);
        let offset = |time| zone.local(time).offset().local_minus_utc();
        prop_assert_eq!(offset(hour.start), offset(hour.end.saturating_add_millis(-1)));
    }
}
