//! What came back too often to the last queue, on real servers.

mod unsent;

use std::time::Duration;

use adtally_broker::{BrokerConfig, ConsumerSession, PublisherOptions};
use adtally_devstack::testing::{TestDatabase, TestStack};
use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use adtally_service::Health;
use adtally_service::metrics::Registry;
use adtally_store::StoreConfig;

use super::batch::{Gathering, MANY};
use super::*;
use crate::patience::insist;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Bench {
    database: TestDatabase<'static>,
    pub(crate) config: BrokerConfig,
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let stack = TestStack::shared();
        let database = stack.database("worker");
        let store = Store::connect(StoreConfig::new(database.url()));
        store.migrate().await.unwrap();
        let prefix = stack.queue_prefix("worker");
        let config = BrokerConfig::new(&[&stack.amqp_url()], &prefix, "tests").unwrap();
        let publisher = Publisher::start(config.clone(), PublisherOptions::default());
        Self {
            database,
            config,
            store,
            publisher,
        }
    }

    async fn subscribe(&self, queue: &str) -> (ConsumerSession, Subscription) {
        let session = ConsumerSession::connect(&self.config).await.unwrap();
        let subscription = session.subscribe(queue, 5).await.unwrap();
        (session, subscription)
    }

    async fn publish(&self, events: &[Event]) {
        let stop = Shutdown::manual();
        let sent = insist(&stop, || self.publisher.publish_pack(events));
        sent.await.unwrap();
    }

    /// Moves a pack from the clicks to the dead queue.
    async fn die(&self) {
        let clicks = self.config.topology().clicks_queue();
        let (_session, mut clicks) = self.subscribe(&clicks).await;
        let delivery = next(&mut clicks).await;
        self.publisher.publish_dead(&delivery).await.unwrap();
        delivery.ack().await.unwrap();
    }

    /// Has the one message of a queue come back to it so many `times`.
    async fn come_back(&self, queue: &str, times: u64) {
        let (_session, mut subscription) = self.subscribe(queue).await;
        let mut delivery = next(&mut subscription).await;
        while delivery.delivery_count < times - 1 {
            delivery.give_back().await.unwrap();
            delivery = next(&mut subscription).await;
        }
        // Once it is back, nobody here must take it again.
        subscription.cancel().await.unwrap();
        delivery.give_back().await.unwrap();
    }

    /// Leaves a pack of one event in the dead queue that came back to it so many `times`.
    async fn given_up(&self, times: u64) -> Event {
        let event = click();
        self.publish(std::slice::from_ref(&event)).await;
        self.die().await;
        self.come_back(&self.config.topology().dead_queue(), times)
            .await;
        event
    }

    /// Works on the dead queue until it ends by itself, or `sql` answers `t`.
    async fn work_until(&self, sql: &str) -> End {
        let dead = self.config.topology().dead_queue();
        self.work_on(&dead, self.publisher.clone(), sql).await
    }

    /// Works on `queue` likewise.
    async fn work_on(&self, queue: &str, publisher: Publisher, sql: &str) -> End {
        let (session, subscription) = self.subscribe(queue).await;
        let stop = Shutdown::manual();
        let consumer = EventConsumer {
            store: self.store.clone(),
            publisher,
            zone: ReportingZone::UTC,
            metrics: Metrics::new(&Registry::new(), self.config.topology()),
            notice: notice(),
            is_last: queue == self.config.topology().dead_queue(),
            at_once: 1,
            full: Full::of_bytes(1),
            gives_way: true,
            stop: stop.clone(),
            spares: Spares::default(),
        };
        let watch = async {
            while self.sql(sql) != "t" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            stop.trigger();
            std::future::pending().await
        };
        let work = async {
            tokio::select! {
                end = Arc::new(consumer).run(subscription) => end,
                end = watch => end,
            }
        };
        let end = tokio::time::timeout(PATIENCE, work).await;
        session.close().await;
        end.expect("it ends")
    }

    fn held(&self) -> Held {
        Held::new(self.publisher.clone(), notice())
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.database.psql(sql).unwrap().trim().to_owned()
    }

    /// Makes the partition of the event's day, and says how to lock it against inserts.
    pub(crate) fn lock_on_day_of(&self, event: &Event) -> String {
        let day = event.id.time().to_datetime().date_naive();
        self.sql(&format!("SELECT adtally_ensure_partition('{day}')"));
        format!("LOCK TABLE events_{} IN SHARE MODE", day.format("%Y%m%d"))
    }

    /// Does `work` while another session holds a lock. In a runtime of several threads.
    pub(crate) fn while_held<T>(&self, lock: &str, work: impl Future<Output = T>) -> T {
        let sleeps = "FROM pg_stat_activity \
                      WHERE wait_event = 'PgSleep' AND datname = current_database()";
        let hold = format!("BEGIN; {lock}; SELECT pg_sleep(120)");
        let do_work = async {
            while self.sql(&format!("SELECT EXISTS (SELECT {sleeps})")) != "t" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            work.await
        };
        std::thread::scope(|scope| {
            scope.spawn(|| self.database.psql(&hold));
            let runtime = tokio::runtime::Handle::current();
            let done = tokio::task::block_in_place(|| runtime.block_on(do_work));
            self.sql(&format!("SELECT pg_terminate_backend(pid) {sleeps}"));
            done
        })
    }
}

fn notice() -> Notice {
    Notice::new(Health::new().check("packs"))
}

pub(crate) fn click() -> Event {
    let time = Timestamp::try_from(adtally_service::clock::now()).unwrap();
    Event {
        id: EventId::v7(time, [7; 10]),
        kind: EventKind::Click,
        ad_id: AdId::new(1).unwrap(),
        received_at: time,
        impression_id: None,
        ip: None,
        visitor_id: None,
        user_agent: None,
        referer: None,
        placement: None,
        source: None,
    }
}

async fn next(subscription: &mut Subscription) -> Delivery {
    let next = tokio::time::timeout(PATIENCE, subscription.next()).await;
    next.expect("a message comes").unwrap().unwrap()
}

const STORED: &str = "SELECT EXISTS (SELECT FROM events)";
const LETTERS: &str = "SELECT count(*) FROM dead_letters";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_came_back_for_no_fault_of_its_own_is_stored_at_the_last_try() {
    let bench = Bench::new().await;
    bench.given_up(8).await;
    let end = bench.work_until(STORED).await;
    assert!(matches!(end, End::Stopped), "{end:?}");
    assert_eq!(bench.sql(LETTERS), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_nothing_makes_no_dead_letter_of_an_event() {
    let bench = Bench::new().await;
    bench.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE 'no space'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON dirty_hours EXECUTE FUNCTION refuse()",
    );
    for returns in [5, 8, 9] {
        bench.given_up(returns).await;
        if returns == 9 {
            bench.sql(
                "CREATE TRIGGER refuse BEFORE INSERT ON dead_letters EXECUTE FUNCTION refuse()",
            );
        }
        let end = bench.work_until("SELECT false").await;
        assert!(matches!(end, End::Database(..)), "{end:?}");
        let dead = bench.config.topology().dead_queue();
        let (_session, mut dead) = bench.subscribe(&dead).await;
        let delivery = next(&mut dead).await;
        assert!(delivery.delivery_count < 3, "{delivery:?}");
        delivery.ack().await.unwrap();
        assert_eq!(bench.sql(LETTERS), "0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_last_try_was_stored_but_not_acknowledged_waits_for_nobody() {
    let bench = Bench::new().await;
    let event = bench.given_up(9).await;
    let batch = EventBatch::new(&[event], Vec::new());
    let stored = bench.store.store_events(ReportingZone::UTC, batch).await;
    assert_eq!(stored.unwrap().inserted(), 1);
    let end = bench
        .work_until("SELECT EXISTS (SELECT FROM dead_letters)")
        .await;
    assert!(matches!(end, End::Stopped), "{end:?}");
    assert_eq!(bench.sql("SELECT state FROM dead_letters"), "requeued");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_ends_its_last_try_is_kept_as_a_dead_letter() {
    let bench = Bench::new().await;
    bench.given_up(9).await;
    let end = bench
        .work_until("SELECT EXISTS (SELECT FROM dead_letters)")
        .await;
    assert!(matches!(end, End::Stopped), "{end:?}");
    assert_eq!(
        bench.sql("SELECT reason FROM dead_letters"),
        "returned_too_often"
    );
    assert_eq!(bench.sql(STORED), "f");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_back_ten_times_to_the_last_queue_is_sent_again_before_anything_else() {
    let bench = Bench::new().await;
    let event = bench.given_up(10).await;
    let dead = bench.config.topology().dead_queue();
    let (_session, mut dead) = bench.subscribe(&dead).await;
    let mut intake = Intake::new(bench.held(), true, Full::of_bytes(1));
    let worn = next(&mut dead).await;
    assert_eq!(worn.delivery_count, 10);
    intake.add(worn);
    let again = next(&mut dead).await;
    assert_eq!((again.delivery_count, again.redelivered), (0, false));
    let batch = Batch::alone(again, &Spares::default()).unwrap();
    let ids: Vec<_> = batch.content.events().map(|event| event.id).collect();
    assert_eq!(ids, [event.id]);
    assert!(intake.into_deliveries().await.is_empty(), "it is done with");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_small_batch_that_follows_another_waits() {
    let bench = Bench::new().await;
    let clicks = bench.config.topology().clicks_queue();
    let (_session, mut clicks) = bench.subscribe(&clicks).await;
    let (spares, later) = (Spares::default(), Duration::from_secs(1));
    let much = 1 << 20;
    for (is_last, bytes, waits) in [(false, much, true), (true, much, false), (false, 1, false)] {
        let mut intake = Intake::new(bench.held(), is_last, Full::of_bytes(bytes));
        let now = Instant::now();
        assert!(intake.looks(now) && !intake.rests(now), "nothing is there");
        for waits in [false, waits] {
            bench.publish(&[click()]).await;
            intake.add(next(&mut clicks).await);
            assert_eq!(intake.is_due(now), !waits);
            assert_eq!(intake.rests(now), waits);
            assert_eq!(intake.looks(now), !waits && !intake.is_full());
            assert!(intake.is_due(now + later) && !intake.rests(now + later));
            ack_all(intake.take(&spares, now).deliveries).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_messages_do_not_wait() {
    let bench = Bench::new().await;
    let clicks = bench.config.topology().clicks_queue();
    let session = ConsumerSession::connect(&bench.config).await.unwrap();
    let mut clicks = session.subscribe(&clicks, 100).await.unwrap();
    let mut intake = Intake::new(bench.held(), false, Full::of_bytes(1 << 20));
    let now = Instant::now();
    for number in 0..=MANY {
        bench.publish(&[click()]).await;
        intake.add(next(&mut clicks).await);
        if number == 0 {
            intake.take(&Spares::default(), now);
            continue;
        }
        assert_eq!(intake.is_due(now), number == MANY);
        assert_eq!(intake.rests(now), number < MANY);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_may_be_sent_again_keeps_its_body() {
    let bench = Bench::new().await;
    let clicks = bench.config.topology().clicks_queue();
    let (_session, mut clicks) = bench.subscribe(&clicks).await;
    for _ in 0..3 {
        bench.publish(&[click()]).await;
    }
    let (first, mut newer) = (next(&mut clicks).await, next(&mut clicks).await);
    let alone = next(&mut clicks).await;
    newer.body = br#"{"v": 3, "rows": []}"#.to_vec();
    let (sent_newer, sent_alone) = (newer.body.clone(), alone.body.clone());

    let (spares, mut gathering) = (Spares::default(), Gathering::default());
    gathering.add(first).unwrap();
    assert_eq!(gathering.add(newer).unwrap_err().delivery.body, sent_newer);
    let batch = gathering.take(&spares);
    assert_eq!(batch.content.len(), 1);
    assert!(batch.deliveries[0].body.is_empty());

    let batch = Batch::alone(alone, &spares).unwrap();
    assert_eq!(batch.content.len(), 1);
    assert_eq!(batch.deliveries[0].body, sent_alone);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_pack_that_breaks_off_no_event_is_stored() {
    let bench = Bench::new().await;
    let clicks = bench.config.topology().clicks_queue();
    let (_session, mut clicks) = bench.subscribe(&clicks).await;
    let mut gathering = Gathering::default();
    for is_cut in [false, true, false] {
        bench.publish(&[click()]).await;
        let mut delivery = next(&mut clicks).await;
        if is_cut {
            // All of its event is there, and nothing after it.
            delivery.body.truncate(delivery.body.len() - "]}".len());
        }
        gathering.add(delivery).unwrap();
    }
    let batch = gathering.take(&Spares::default());
    assert_eq!(batch.content.len(), 2);
    let letters = &batch.content.dead_letters;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, "not_a_pack");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_entry_has_a_letter_of_its_own_that_says_where_it_came_from() {
    let bench = Bench::new().await;
    let clicks = bench.config.topology().clicks_queue();
    let (_session, mut clicks) = bench.subscribe(&clicks).await;
    bench.publish(&[click()]).await;
    let mut delivery = next(&mut clicks).await;
    delivery.body = br#"{"v": 1, "events": [7, {"ad_id": 3}]}"#.to_vec();
    let whole = letter_of_message(&delivery, "", "");
    let batch = Batch::alone(delivery, &Spares::default()).unwrap();
    let letters = &batch.content.dead_letters;
    let bodies: Vec<_> = letters.iter().map(|letter| &letter.body[..]).collect();
    assert_eq!(bodies, [&b"7"[..], br#"{"ad_id": 3}"#]);
    assert_eq!(letters[0].id, whole.id, "the first may have been put back");
    assert_ne!(letters[1].id, whole.id);
    assert_eq!(letters[1].ad_id, AdId::new(3));
    for letter in letters {
        assert_eq!(
            (&letter.source, &letter.headers),
            (&whole.source, &whole.headers)
        );
        assert_eq!(letter.reason, "invalid_event");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_handled_alone_use_one_batch_again_and_again() {
    let bench = Bench::new().await;
    let clicks = bench.config.topology().clicks_queue();
    let (_session, mut clicks) = bench.subscribe(&clicks).await;
    let spares = Spares::default();
    for newer in [false, true, false] {
        bench.publish(&[click()]).await;
        let mut delivery = next(&mut clicks).await;
        if newer {
            delivery.body = br#"{"v": 3, "rows": []}"#.to_vec();
        }
        if let Ok(batch) = Batch::alone(delivery, &spares) {
            assert_eq!(batch.content.len(), 1);
            spares.put(batch.content);
        }
        assert_eq!(spares.count(), 1);
    }
}
