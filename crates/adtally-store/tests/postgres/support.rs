//! Builders of events and a migrated database for each test.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adtally_devstack::testing::{TestDatabase, TestStack};
use adtally_domain::{AdId, Event, EventId, EventKind, Hour, ReportingZone, Timestamp};
use adtally_store::{EventBatch, RollUp, Store, StoreConfig, Stored, TaskRun};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

const SLEEPS: &str = "wait_event = 'PgSleep' AND datname = current_database()";

pub(crate) struct TestStore {
    pub(crate) database: TestDatabase<'static>,
    pub(crate) store: Store,
    /// What the store connects to.
    pub(crate) url: String,
    pub(crate) zone: ReportingZone,
}

/// A migrated database of the test's own that reports in UTC.
pub(crate) fn store() -> TestStore {
    store_in("UTC")
}

/// A migrated database of the test's own that reports in `zone`.
pub(crate) fn store_in(zone: &str) -> TestStore {
    let database = TestStack::shared().prepared_database("store", |url| {
        let store = Store::connect(StoreConfig::new(url));
        blocking(async move { store.migrate().await.unwrap() });
    });
    let url = database.url().to_owned();
    let store = Store::connect(config(&url));
    TestStore {
        database,
        url,
        store,
        zone: zone.parse().unwrap(),
    }
}

pub(crate) fn config(url: &str) -> StoreConfig {
    let mut config = StoreConfig::new(url);
    config.pool_size = 8;
    config
}

/// Runs `work` to its end on a thread of its own: tests may be in a runtime already.
pub(crate) fn blocking<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work)
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

impl TestStore {
    /// Connects anew, so that statements wait for a lock for at most `limit`.
    pub(crate) fn limit_lock_waits(&mut self, limit: Duration) {
        let mut config = config(&self.url);
        config.lock_timeout = limit;
        self.store = Store::connect(config);
    }

    pub(crate) async fn save(&self, events: Vec<Event>) -> Stored {
        self.try_save(events).await.unwrap()
    }

    pub(crate) async fn try_save(
        &self,
        events: Vec<Event>,
    ) -> Result<Stored, adtally_store::StoreError> {
        let batch = EventBatch::new(&events, Vec::new());
        self.store.store_events(self.zone, batch).await
    }

    pub(crate) fn hour(&self, time: &str) -> Hour {
        self.zone.hour_of(at(time))
    }

    pub(crate) async fn roll_up_hour(&self, hour: Hour) -> RollUp {
        let task = task("adtally.aggregate_hour");
        self.store
            .roll_up_hour(task, self.zone, hour)
            .await
            .unwrap()
    }

    pub(crate) async fn roll_up_day(&self, date: &str) -> RollUp {
        let day = self.zone.day(date.parse().unwrap()).unwrap();
        let task = task("adtally.aggregate_day");
        self.store.roll_up_day(task, self.zone, day).await.unwrap()
    }

    /// Rolls up whatever is marked, hours first, as sweeps would do in the end.
    pub(crate) async fn roll_up_all(&self) {
        for start in self.store.pending_hours().await.unwrap() {
            let hour = self.zone.hour_starting(start).unwrap();
            self.roll_up_hour(hour).await;
        }
        for date in self.store.pending_days().await.unwrap() {
            self.roll_up_day(&date.to_string()).await;
        }
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.database.psql(sql).unwrap()
    }

    pub(crate) fn count(&self, table: &str) -> u64 {
        self.sql(&format!("SELECT count(*) FROM {table}"))
            .trim()
            .parse()
            .unwrap()
    }

    /// All stored events and totals, as text that is equal when they are.
    pub(crate) fn tables(&self) -> String {
        self.sql(
            "SELECT event_id, ad_id, kind, verdict, rule_version, impression_id, ip, visitor_id, \
                    user_agent, referer, placement FROM events ORDER BY event_id; \
             SELECT hour, ad_id, impressions, clicks FROM ad_hourly_stats ORDER BY hour, ad_id; \
             SELECT day, ad_id, impressions, clicks FROM ad_daily_stats ORDER BY day, ad_id",
        )
    }

    /// Ends whoever holds a lock for [`while_held`].
    pub(crate) fn let_go(&self) {
        self.sql(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {SLEEPS}"
        ));
    }

    /// Polls until `sql` answers `t`.
    pub(crate) async fn until(&self, sql: &str) {
        for _ in 0..400 {
            if self.sql(sql).trim() == "t" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never true: {sql}");
    }
}

/// Does `work` while another session holds a lock.
pub(crate) fn while_held<T: Send>(
    store: &TestStore,
    lock: &str,
    work: impl Future<Output = T> + Send,
) -> T {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let hold = format!("BEGIN; {lock}; SELECT pg_sleep(120)");
            store.database.psql(&hold)
        });
        let done = blocking(async {
            let held = format!("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE {SLEEPS})");
            store.until(&held).await;
            work.await
        });
        store.let_go();
        done
    })
}
pub(crate) fn at(time: &str) -> Timestamp {
    time.parse::<DateTime<Utc>>().unwrap().try_into().unwrap()
}

pub(crate) fn ad(id: i64) -> AdId {
    AdId::new(id).unwrap()
}

/// An impression of ad 1 at `time` with an id no other event has.
pub(crate) fn impression(time: &str) -> Event {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number);
    let time = at(time);
    Event {
        ip: Some("203.0.113.0".parse().unwrap()),
        visitor_id: Some("v-1".to_owned()),
        source: Some("tests".to_owned()),
        ..Event::new(
            EventId::v7(time, random),
            EventKind::Impression,
            ad(1),
            time.saturating_add_millis(250),
        )
    }
}

pub(crate) fn click(time: &str) -> Event {
    Event {
        kind: EventKind::Click,
        ..impression(time)
    }
}

pub(crate) fn task(name: &str) -> TaskRun {
    TaskRun {
        task_id: Uuid::now_v7(),
        name: name.to_owned(),
        arguments: json!({}),
        worker: "tests".to_owned(),
    }
}
