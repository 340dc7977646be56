//! Real servers for the tests of this crate.

use std::time::Duration;

use adtally_broker::{
    BrokerConfig, ConsumerSession, Delivery, Publisher, PublisherOptions, Subscription,
};
use adtally_devstack::testing::{TestDatabase, TestStack};
use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use adtally_service::Shutdown;
use adtally_store::{Store, StoreConfig};

use crate::publish::publish_until_accepted;

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A database and queues of a test's own.
pub(crate) struct TestServers {
    database: TestDatabase<'static>,
    pub(crate) broker: BrokerConfig,
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
}

impl TestServers {
    pub(crate) async fn new() -> Self {
        let stack = TestStack::shared();
        let database = stack.database("worker");
        let store = Store::connect(StoreConfig::new(database.url()));
        store.migrate().await.unwrap();
        let prefix = stack.queue_prefix("worker");
        let broker = BrokerConfig::new(&[&stack.amqp_url()], &prefix, "tests").unwrap();
        let publisher = Publisher::start(broker.clone(), PublisherOptions::default());
        Self {
            database,
            broker,
            store,
            publisher,
        }
    }

    pub(crate) async fn subscribe(&self, queue: &str) -> (ConsumerSession, Subscription) {
        let session = ConsumerSession::connect(&self.broker).await.unwrap();
        let subscription = session.subscribe(queue, 5).await.unwrap();
        (session, subscription)
    }

    pub(crate) async fn publish(&self, events: &[Event]) {
        let stop = Shutdown::manual();
        let publish = || self.publisher.publish_pack(events);
        publish_until_accepted(&stop, publish).await.unwrap();
    }

    /// Moves a pack from the clicks to the dead queue.
    pub(crate) async fn move_to_dead_queue(&self) {
        let clicks = self.broker.topology().clicks_queue();
        let (_session, mut clicks) = self.subscribe(&clicks).await;
        let delivery = next(&mut clicks).await;
        self.publisher.publish_dead(&delivery).await.unwrap();
        delivery.ack().await.unwrap();
    }

    /// Has the one message of a queue come back to it so many `times`.
    pub(crate) async fn come_back(&self, queue: &str, times: u64) {
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
    pub(crate) async fn given_up(&self, times: u64) -> Event {
        let event = click();
        self.publish(std::slice::from_ref(&event)).await;
        self.move_to_dead_queue().await;
        let dead = self.broker.topology().dead_queue();
        self.come_back(&dead, times).await;
        event
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.database.psql(sql).unwrap().trim().to_owned()
    }

    /// Waits until `sql` answers `t`.
    pub(crate) async fn until(&self, sql: &str) {
        while self.sql(sql) != "t" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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
        let is_held = format!("SELECT EXISTS (SELECT {sleeps})");
        let do_work = async {
            self.until(&is_held).await;
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

/// A click of now.
pub(crate) fn click() -> Event {
    let time = Timestamp::try_from(adtally_service::clock::now()).unwrap();
    Event::new(
        EventId::v7(time, [7; 10]),
        EventKind::Click,
        AdId::new(1).unwrap(),
        time,
    )
}

/// The next message.
pub(crate) async fn next(subscription: &mut Subscription) -> Delivery {
    let next = tokio::time::timeout(LIMIT, subscription.next()).await;
    next.expect("a message comes").unwrap().unwrap()
}
