//! Counts the instructions of writing and reading packs.
//!
//! See "Instruction counts" in `BENCHMARKS.md`.

#![expect(missing_docs, reason = "gungraun's macros write public items without")]

use std::hint::black_box;

use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use adtally_wire::pack;
use gungraun::{Callgrind, EventKind as Metric, prelude::*};

/// About half of what a full pack holds.
const EVENTS: u32 = 512;
/// 2026-11-22T06:00:00.123Z.
const TIME: i64 = 1_795_327_200_123;

/// Fails the run above so many instructions: a tenth more than the count in `BENCHMARKS.md`.
fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.hard_limits([(Metric::Ir, instructions)]);
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

/// The event of the bars, as the API hands it on.
fn events() -> Vec<Event> {
    (1..=EVENTS).filter_map(event).collect()
}

fn event(number: u32) -> Option<Event> {
    let time = Timestamp::from_millis(TIME).ok()?;
    let [.., third, fourth] = number.to_be_bytes();
    Some(Event {
        ip: Some([198, 51, 100 + third, fourth].into()),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0".to_owned()),
        ..Event::new(
            EventId::v7(time, [fourth; 10]),
            EventKind::Impression,
            AdId::new(i64::from(number) * 19)?,
            time,
        )
    })
}

#[library_benchmark(config = at_most(693_000))]
#[bench::full(args = (), setup = events, teardown = holds_all)]
fn encode(events: Vec<Event>) -> Vec<u8> {
    pack::encode(EventKind::Impression, black_box(&events))
}

fn holds_all(pack: Vec<u8>) {
    every_one(sound(&pack));
}

fn full_pack() -> Vec<u8> {
    pack::encode(EventKind::Impression, &events())
}

#[library_benchmark(config = at_most(479_000))]
#[bench::full(args = (), setup = full_pack, teardown = every_one)]
fn read(body: Vec<u8>) -> usize {
    sound(&body)
}

/// A bad entry takes another path, and would hide what a sound one costs.
fn sound(body: &[u8]) -> usize {
    let mut sound = 0;
    let read = pack::read(black_box(body), |entry| {
        sound += usize::from(black_box(entry).is_ok());
    });
    read.map_or(0, |()| sound)
}

fn every_one(sound: usize) {
    assert_eq!(sound, events().len());
}

library_benchmark_group!(name = packs, benchmarks = [encode, read]);
main!(library_benchmark_groups = packs);
