//! The spool beside a broker that comes and goes.

use adtally_broker::NotKept;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::*;
use crate::ingest::sink::{Durability, EventSink, FallbackSink};

/// Takes what it is given, in order, or refuses.
#[derive(Debug, Clone)]
struct TestBroker {
    open: watch::Sender<bool>,
    refuses: Arc<Mutex<Option<NotKept>>>,
    got: watch::Sender<Vec<Event>>,
}

impl TestBroker {
    fn new(open: bool) -> Self {
        Self {
            open: watch::Sender::new(open),
            refuses: Arc::default(),
            got: watch::Sender::new(Vec::new()),
        }
    }

    async fn until_got(&self, count: usize) -> Vec<Event> {
        let mut got = self.got.subscribe();
        let enough = got.wait_for(|events| events.len() >= count);
        let events = tokio::time::timeout(Duration::from_secs(30), enough).await;
        events.expect("the broker gets them").unwrap().clone()
    }
}

impl Broker for TestBroker {
    fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    fn opened(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut open = self.open.subscribe();
            open.wait_for(|open| *open).await.unwrap();
        })
    }

    fn publish<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<(), NotKept>>> {
        Box::pin(async move {
            if let Some(reason) = *lock(&self.refuses) {
                return vec![Err(reason); events.len()];
            }
            // Every third is lost on the way, if there are several.
            let is_confirmed = |index: usize, all: usize| all == 1 || index % 3 != 2;
            let all = events.len();
            let results = (0..all).map(|index| match is_confirmed(index, all) {
                true => Ok(()),
                false => Err(NotKept::Deadline),
            });
            let results: Vec<_> = results.collect();
            let confirmed = events.iter().cloned().zip(&results);
            let confirmed = confirmed.filter(|(_, result)| result.is_ok());
            let confirmed: Vec<_> = confirmed.map(|(event, _)| event).collect();
            self.got.send_modify(|got| got.extend(confirmed));
            results
        })
    }
}

fn sink(directory: &TempDir, broker: &TestBroker, max: u64) -> (FallbackSink<TestBroker>, Spool) {
    let spool = opened(directory, max, &TestDisk::default());
    (FallbackSink::new(broker.clone(), spool.clone()), spool)
}

#[tokio::test]
async fn what_the_broker_confirms_never_touches_the_disk() {
    let (directory, broker) = (TempDir::new().unwrap(), TestBroker::new(true));
    let (sink, spool) = sink(&directory, &broker, 1 << 30);
    assert_eq!(sink.send(events(0..1)).await, [Durability::Durable]);
    assert_eq!(spool.ledger().metrics.written.get(), 0);
}

#[tokio::test]
async fn only_what_the_broker_does_not_confirm_goes_to_disk() {
    let (directory, broker) = (TempDir::new().unwrap(), TestBroker::new(true));
    let (sink, spool) = sink(&directory, &broker, 1 << 30);
    assert_eq!(sink.send(events(0..6)).await, [Durability::Durable; 6]);
    assert_eq!(drained(&spool), [event(2), event(5)]);
}

#[tokio::test]
async fn while_the_broker_is_away_all_goes_to_disk_and_comes_back_in_order() {
    let (directory, broker) = (TempDir::new().unwrap(), TestBroker::new(false));
    let (sink, spool) = sink(&directory, &broker, 1 << 30);
    let replaying = tokio::spawn(spool.clone().replay(broker.clone()));
    for n in 0..20 {
        assert_eq!(sink.send(events(n..n + 1)).await, [Durability::Durable]);
    }
    assert!(broker.got.borrow().is_empty());
    broker.open.send_replace(true);
    let mut got = broker.until_got(20).await;
    got.sort_by_key(|event| event.ad_id);
    assert_eq!(got, events(0..20));
    tokio::time::timeout(Duration::from_secs(30), async {
        while spool.ledger().metrics.bytes.get() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the spool gets empty");
    assert_eq!(spool.ledger().metrics.replayed.get(), 20);
    replaying.abort();
}

#[tokio::test]
async fn what_neither_takes_is_lost_and_what_may_have_arrived_is_unknown() {
    let (directory, broker) = (TempDir::new().unwrap(), TestBroker::new(false));
    let (sink, _spool) = sink(&directory, &broker, 10);
    assert_eq!(sink.send(events(0..2)).await, [Durability::Lost; 2]);
    broker.open.send_replace(true);
    *lock(&broker.refuses) = Some(NotKept::Deadline);
    assert_eq!(sink.send(events(0..2)).await, [Durability::Unknown; 2]);
    *lock(&broker.refuses) = Some(NotKept::Nacked);
    assert_eq!(sink.send(events(0..2)).await, [Durability::Lost; 2]);
}

#[tokio::test]
async fn a_segment_that_cannot_be_read_for_a_while_holds_up_nothing_and_comes_later() {
    let (directory, broker) = (TempDir::new().unwrap(), TestBroker::new(true));
    let mut left = Vec::new();
    for n in 0..2 {
        let spool = opened(&directory, 1 << 30, &TestDisk::default());
        spool.append(&events(n..n + 1)).await.unwrap();
        spool.close().await;
        left = segments(&directory);
    }
    let spool = opened(&directory, 1 << 30, &TestDisk::default());
    let (first, elsewhere) = (left.remove(0), directory.path().join("elsewhere"));
    std::fs::rename(&first, &elsewhere).unwrap();
    let replaying = tokio::spawn(spool.clone().replay(broker.clone()));
    assert_eq!(broker.until_got(1).await, [event(1)]);
    std::fs::rename(&elsewhere, &first).unwrap();
    assert_eq!(broker.until_got(2).await, [event(1), event(0)]);
    replaying.abort();
}

#[tokio::test]
async fn a_reader_says_why_nothing_can_be_read() {
    let directory = TempDir::new().unwrap();
    let spool = opened(&directory, 1 << 30, &TestDisk::default());
    spool.append(&events(0..1)).await.unwrap();
    let (segment, elsewhere) = (segments(&directory).remove(0), directory.path().join("e"));
    std::fs::rename(&segment, &elsewhere).unwrap();
    for _ in 0..2 {
        let next = lock(&spool.0.reader).as_mut().unwrap().next();
        assert_eq!(next.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
    std::fs::rename(&elsewhere, &segment).unwrap();
    assert_eq!(drained(&spool), [event(0)]);
}

#[tokio::test]
async fn replaying_goes_on_with_what_comes_later() {
    let (directory, broker) = (TempDir::new().unwrap(), TestBroker::new(true));
    let spool = opened(&directory, 1 << 30, &TestDisk::default());
    let replaying = tokio::spawn(spool.clone().replay(broker.clone()));
    for n in 0..50 {
        spool.append(&events(n..n + 1)).await.unwrap();
        if n % 10 == 0 {
            broker.until_got(n as usize + 1).await;
        }
    }
    assert_eq!(broker.until_got(50).await.len(), 50);
    replaying.abort();
}
