use std::net::IpAddr;

use super::*;

const MIB: usize = 1_024 * 1_024;
/// As much as the API has unless told otherwise.
const LIMIT: usize = 256 * MIB;
const LARGE: usize = 4 * MIB;

fn memory() -> BodyMemory {
    BodyMemory::new(LIMIT, &Registry::new())
}

fn network(number: u8) -> ClientNetwork {
    ClientNetwork::from(IpAddr::from([203, 0, 113, number]))
}

/// As many reservations of `bytes` as `network` gets.
fn fill(memory: &BodyMemory, network: ClientNetwork, bytes: usize) -> Vec<Reservation> {
    let mut reservations = Vec::new();
    loop {
        let mut reservation = memory.reserve(network);
        if reservation.grow_to(bytes).is_err() {
            return reservations;
        }
        reservations.push(reservation);
    }
}

#[test]
fn large_bodies_leave_a_quarter_to_small_ones_of_the_same_client() {
    let memory = memory();
    let large = fill(&memory, network(1), LARGE);
    assert!(!large.is_empty());
    let small = fill(&memory, network(1), SMALL);
    assert!(small.len() * SMALL > LIMIT / 4 - SMALL, "{}", small.len());
}

#[test]
fn what_begins_small_and_grows_is_large_as_a_whole() {
    let memory = memory();
    let mut reservation = memory.reserve(network(1));
    reservation.grow_to(SMALL).unwrap();
    assert_eq!(memory.0.small_used.load(Ordering::Relaxed), SMALL);
    reservation.grow_to(SMALL + 1).unwrap();
    assert_eq!(memory.0.small_used.load(Ordering::Relaxed), 0);
    assert_eq!(memory.used(), SMALL + 1);
    drop(reservation);
    assert_eq!(memory.used(), 0);
    assert!(memory.0.large().held.is_empty());
}

#[test]
fn one_network_alone_may_hold_nearly_all_and_gives_way_to_others() {
    let memory = memory();
    let first = network(1);
    let mut alone = fill(&memory, first, LARGE);
    assert!(
        alone.len() * LARGE > LIMIT * 3 / 4 * 5 / 6,
        "{}",
        alone.len()
    );
    // Another finds room at once, and more as the first ones end; the first gets none of it back
    // before both have the same.
    let mut others = fill(&memory, network(2), LARGE);
    assert!(!others.is_empty());
    for _ in 0..alone.len() {
        alone.pop();
        others.extend(fill(&memory, network(2), LARGE));
        alone.extend(fill(&memory, first, LARGE));
    }
    let (ours, theirs) = (alone.len(), others.len());
    assert!(ours.abs_diff(theirs) <= 4, "{ours} and {theirs}");
}

#[test]
fn many_networks_come_to_equal_shares_and_leave_room_for_one_more() {
    let memory = memory();
    let bytes = 256 * 1_024;
    let mut held: Vec<Vec<Reservation>> = (1..20)
        .map(|number| fill(&memory, network(number), bytes))
        .collect();
    // Whoever holds most is done with one, and all ask for more.
    for _ in 0..2_000 {
        let most = held
            .iter_mut()
            .max_by_key(|reservations| reservations.len())
            .unwrap();
        most.pop();
        for (number, reservations) in (1..20).zip(&mut held) {
            reservations.extend(fill(&memory, network(number), bytes));
        }
    }
    let counts: Vec<_> = held.iter().map(Vec::len).collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= 2, "{counts:?}");
    let mut newcomer = memory.reserve(network(200));
    newcomer.grow_to(bytes).unwrap();
}

#[test]
fn what_is_refused_is_counted_and_changes_nothing() {
    let registry = Registry::new();
    let memory = BodyMemory::new(LIMIT, &registry);
    let held = fill(&memory, network(1), LARGE);
    assert_eq!(memory.used(), held.len() * LARGE);
    let mut reservation = memory.reserve(network(2));
    let problem = reservation.grow_to(LIMIT).unwrap_err();
    assert_eq!(problem.code(), ProblemCode::Overloaded);
    memory.refresh();
    let metrics = registry.render();
    for line in [
        "adtally_bodies_refused_total{reason=\"memory\"} 1".to_owned(),
        "adtally_bodies_refused_total{reason=\"share\"} 1".to_owned(),
        "adtally_bodies_refused_total{reason=\"slow\"} 0".to_owned(),
        format!(
            "adtally_body_memory_bytes{{part=\"large\"}} {}",
            held.len() * LARGE
        ),
        format!(
            "adtally_body_memory_limit_bytes{{part=\"small\"}} {}",
            LIMIT / 4
        ),
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
}

#[test]
fn a_shortage_is_told_before_the_last_byte_is_gone() {
    let memory = memory();
    assert_eq!(memory.shortage(), None);
    let large: Vec<_> = (1..=4)
        .flat_map(|number| fill(&memory, network(number), LARGE))
        .collect();
    assert_eq!(memory.shortage(), Some(Shortage::Large));
    let small = fill(&memory, network(9), SMALL);
    assert_eq!(memory.shortage(), Some(Shortage::Most));
    drop((large, small));
    assert_eq!(memory.shortage(), None);
    let all = crate::testing::exhaust(&memory);
    assert_eq!(memory.shortage(), Some(Shortage::All));
    drop(all);
    assert_eq!(memory.shortage(), None);
}

#[test]
fn two_networks_that_take_all_they_may_leave_the_process_ready() {
    let memory = memory();
    let reservations: Vec<_> = [1, 2]
        .into_iter()
        .flat_map(|number| fill(&memory, network(number), SMALL))
        .collect();
    assert_eq!(memory.shortage(), Some(Shortage::Most));
    let mut other = memory.reserve(network(3));
    assert!(other.grow_to(SMALL).is_ok() && reservations.len() > 1_000);
}
