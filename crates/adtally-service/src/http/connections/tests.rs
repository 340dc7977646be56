use std::net::IpAddr;

use super::*;

const LIMIT: usize = 64;

fn connections() -> (Connections, Registry) {
    let registry = Registry::new();
    let metrics = ConnectionMetrics::new(&registry, LIMIT, None);
    (Connections::new(LIMIT, metrics), registry)
}

fn network(number: u8) -> ClientNetwork {
    ClientNetwork::from(IpAddr::from([203, 0, 113, number]))
}

fn acquire(connections: &Connections, number: u8) -> ConnectionGuard {
    let held = connections.acquire(network(number)).unwrap();
    held.wake_on_close(Waker::noop());
    held
}

fn open(held: &[ConnectionGuard]) -> usize {
    held.iter().filter(|held| !held.is_closed()).count()
}

#[test]
fn one_network_alone_may_have_all() {
    let (connections, registry) = connections();
    let held: Vec<_> = (0..LIMIT).map(|_| acquire(&connections, 1)).collect();
    assert_eq!(open(&held), LIMIT);
    let metrics = registry.render();
    assert!(
        metrics.contains("\nadtally_http_connections 64\n"),
        "{metrics}"
    );
    drop(held);
    assert!(registry.render().contains("\nadtally_http_connections 0\n"));
}

#[test]
fn a_newcomer_takes_the_place_of_the_longest_idle() {
    let (connections, registry) = connections();
    let held: Vec<_> = (0..LIMIT).map(|_| acquire(&connections, 1)).collect();
    // The first has just been used, so the second is idle for the longest time.
    held[0].add_requests(1);
    held[0].tracker().answered();
    let _newcomer = acquire(&connections, 1);
    let closed: Vec<_> = (0..LIMIT).filter(|&n| held[n].is_closed()).collect();
    assert_eq!(closed, [1, 2]);
    drop(held);
    assert!(registry.render().contains("\nadtally_http_connections 1\n"));
}

#[test]
fn whoever_has_less_than_their_share_is_closed_for_nobody() {
    let (connections, _) = connections();
    let few: Vec<_> = (0..4).map(|_| acquire(&connections, 1)).collect();
    let mut many = Vec::new();
    for _ in 0..10 * LIMIT {
        many.push(acquire(&connections, 2));
    }
    assert_eq!(open(&few), 4);
    assert!(open(&many) <= LIMIT);
}

#[test]
fn what_is_at_work_is_never_closed_and_others_get_what_is_kept_for_them() {
    let (connections, registry) = connections();
    let busy: Vec<_> = (0..LIMIT)
        .map(|_| {
            let held = acquire(&connections, 1);
            held.add_requests(1);
            held
        })
        .collect();
    assert!(connections.acquire(network(1)).is_none());
    let others: Vec<_> = (2..100)
        .map_while(|number| {
            let held = connections.acquire(network(number))?;
            held.wake_on_close(Waker::noop());
            Some(held)
        })
        .collect();
    assert_eq!(others.len(), max_connections(LIMIT) - LIMIT);
    assert_eq!(open(&busy), LIMIT);
    let metrics = registry.render();
    let refused = "adtally_http_connections_closed_total{reason=\"refused\"} 2";
    assert!(metrics.lines().any(|line| line == refused), "{metrics}");
}

#[test]
fn many_that_come_at_once_are_all_looked_at() {
    let (connections, _) = connections();
    let burst: Vec<_> = (0..2 * LIMIT)
        .map(|_| connections.acquire(network(1)).unwrap())
        .collect();
    assert_eq!(open(&burst), 2 * LIMIT);
    // Those that brought a request stay, the others make room.
    for held in &burst[1..] {
        held.wake_on_close(Waker::noop());
    }
    burst[0].add_requests(1);
    let _newcomer = acquire(&connections, 1);
    assert!(open(&burst) < 2 * LIMIT && !burst[0].is_closed());
}

#[test]
fn readyz_tells_while_all_are_taken() {
    let health = crate::Health::new();
    let check = Some(health.check("connections"));
    let metrics = ConnectionMetrics::new(&Registry::new(), LIMIT, check);
    let connections = Connections::new(LIMIT, metrics);
    let told = || serde_json::to_string(&health.readiness()).unwrap();
    let mut held: Vec<_> = (1..LIMIT).map(|_| acquire(&connections, 1)).collect();
    assert!(!told().contains("taken"), "{}", told());
    held.push(acquire(&connections, 1));
    assert!(
        told().contains("taken") && health.readiness().ready,
        "{}",
        told()
    );
    held.pop();
    assert!(!told().contains("taken"), "{}", told());
}

#[test]
fn a_closed_one_is_woken() {
    let (connections, _) = connections();
    let held: Vec<_> = (0..LIMIT).map(|_| acquire(&connections, 1)).collect();
    let woken = std::sync::Arc::new(Woken::default());
    held[0].wake_on_close(&Waker::from(woken.clone()));
    let _newcomer = acquire(&connections, 1);
    assert!(held[0].is_closed() && woken.0.load(std::sync::atomic::Ordering::SeqCst));
}

#[derive(Default)]
struct Woken(std::sync::atomic::AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}
