//! Counts the instructions of what every event passes through in the API and the roll-up.
//!
//! See "Instruction counts" in `BENCHMARKS.md`.

#![expect(missing_docs, reason = "gungraun's macros write public items without")]

use std::hint::black_box;
use std::time::Duration;

use adtally_domain::{
    AdId, Event, EventId, EventInput, EventKind, Hour, Intake, ReportingZone, Timestamp,
};
use gungraun::{Callgrind, EventKind as Metric, prelude::*};

/// Enough that what happens once, such as the growth of a vector, weighs little.
const EVENTS: usize = 100;
/// 2026-11-22T06:00:00.500Z, shortly after what [`bodies`] says.
const NOW: i64 = 1_795_327_200_500;

/// Fails the run above so many instructions: a tenth more than the count in `BENCHMARKS.md`, of
/// which processors without AVX2 take half, for glibc then has other ways to copy memory.
fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.hard_limits([(Metric::Ir, instructions)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

/// The event of the bars, as a client sends it.
fn bodies() -> Vec<String> {
    (1..=EVENTS)
        .map(|number| {
            let kind = if number.is_multiple_of(50) {
                "click"
            } else {
                "impression"
            };
            format!(
                concat!(
                    r#"{{"ad_id":{},"kind":"{}","occurred_at":"2026-11-22T06:00:00.123Z","#,
                    r#""ip":"198.51.{}.{}","#,
                    r#""user_agent":"Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}}"#
                ),
                number * 97,
                kind,
                number + 100,
                number
            )
        })
        .collect()
}

#[library_benchmark(config = at_most(560_000))]
#[bench::standard(args = (), setup = bodies, teardown = every_one)]
fn accept(bodies: Vec<String>) -> Vec<Event> {
    let intake = Intake {
        max_event_age: Duration::from_secs(35 * 86_400),
        keep_ip: false,
    };
    let mut events = Vec::with_capacity(bodies.len());
    for body in black_box(&bodies) {
        if let Ok(input) = serde_json::from_str::<EventInput<'_>>(body)
            && let Ok(event) = intake.accept(&input, now(), None, || [7; 10])
        {
            events.push(event);
        }
    }
    events
}

fn now() -> Timestamp {
    Timestamp::from_millis(NOW).unwrap_or(Timestamp::MAX)
}

/// A refused event costs less, and would hide what a sound one costs.
fn every_one<T>(made: Vec<T>) {
    assert_eq!(made.len(), EVENTS);
}

/// What ad servers call their events.
fn client_ids() -> Vec<(AdId, String)> {
    let numbers = (1..).zip(std::iter::repeat("auction-7f3a9c"));
    numbers
        .filter_map(|(number, auction)| Some((AdId::new(number)?, format!("{auction}/{number}"))))
        .take(EVENTS)
        .collect()
}

#[library_benchmark(config = at_most(427_000))]
#[bench::client_id(args = (), setup = client_ids, teardown = every_one)]
fn derive(ids: Vec<(AdId, String)>) -> Vec<EventId> {
    let ids = black_box(&ids).iter();
    ids.map(|(ad_id, id)| EventId::derive(EventKind::Impression, *ad_id, now(), id))
        .collect()
}

/// Times over a year and more, in a zone whose hours begin at minute 30.
fn times() -> Option<(ReportingZone, Vec<Timestamp>)> {
    let zone = "Asia/Tehran".parse().ok()?;
    let days = (0..).map(|day| now().saturating_add_millis(day * 4 * 86_400_000));
    Some((zone, days.take(EVENTS).collect()))
}

#[library_benchmark(config = at_most(284_000))]
#[bench::tehran(args = (), setup = times, teardown = every_one)]
fn hour_of(times: Option<(ReportingZone, Vec<Timestamp>)>) -> Vec<Hour> {
    let Some((zone, times)) = black_box(times) else {
        return Vec::new();
    };
    times.iter().map(|time| zone.hour_of(*time)).collect()
}

library_benchmark_group!(name = domain, benchmarks = [accept, derive, hour_of]);
main!(library_benchmark_groups = domain);
