//! Years of daily partitions on a server with room for few locks: whatever the store does, it asks for a
//! number of them that does not depend on how many days there are.

use std::time::Duration;

use adtally_devstack::{PostgresOptions, PostgresServer, testing};
use adtally_domain::{DeadLetterReason, Event, ReportingZone};
use adtally_store::{
    EventBatch, Granularity, Measure, NewDeadLetter, StatsSpan, Store, StoreError,
};
use chrono::NaiveDate;

use crate::support::{ad, config, impression, task};

const DAYS: usize = 600;
/// As many as a batch may span on this server: inserting a row locks its partition.
const DAYS_AT_ONCE: usize = 20;

struct Years {
    server: PostgresServer,
    store: Store,
    zone: ReportingZone,
    events: Vec<Event>,
}

impl Years {
    /// An event a day, none of them rolled up.
    async fn start() -> Self {
        let options = PostgresOptions::new(&testing::programs().await.unwrap())
            .max_connections(20)
            .setting("max_locks_per_transaction", "10")
            .setting("max_wal_senders", "0")
            .setting("max_worker_processes", "2")
            .setting("max_parallel_workers_per_gather", "0");
        let server = PostgresServer::start(options).await.unwrap();
        let mut config = config(&server.url());
        config.pool_size = 2;
        let store = Store::connect(config);
        store.migrate().await.unwrap();
        let first: NaiveDate = "2020-01-01".parse().unwrap();
        let events: Vec<Event> = first
            .iter_days()
            .take(DAYS)
            .map(|day| impression(&format!("{day}T10:15:00Z")))
            .collect();
        let years = Self {
            server,
            store,
            zone: ReportingZone::UTC,
            events,
        };
        for part in years.events.chunks(DAYS_AT_ONCE) {
            assert_eq!(years.save(part).await.unwrap(), part.len() as u64);
        }
        years
    }

    async fn save(&self, events: &[Event]) -> Result<u64, StoreError> {
        let batch = EventBatch::new(events, Vec::new());
        Ok(self.store.store_events(self.zone, batch).await?.inserted())
    }

    fn span(&self) -> StatsSpan {
        StatsSpan {
            granularity: Granularity::Day,
            from: self.events[0].occurred_at(),
            to: self.events[DAYS - 1].occurred_at(),
            final_after: Duration::ZERO,
        }
    }
}

#[tokio::test]
async fn no_statement_locks_more_partitions_the_more_there_are() {
    let years = Years::start().await;
    let (store, zone, events) = (&years.store, years.zone, &years.events);
    // What the store must not ask: on this server it fails.
    let open_ended = "SELECT event_id FROM events WHERE event_id >= adtally_day_floor('2020-01-01') \
                      ORDER BY event_id LIMIT 1";
    let refused = years.server.psql(open_ended).await.unwrap_err();
    assert!(
        refused.to_string().contains("out of shared memory"),
        "{refused}"
    );

    // Events of the first and the last day that are known, and one between them that is new.
    let middle = impression(&events[DAYS / 2].occurred_at().to_string());
    let ends = [events[0].clone(), middle, events[DAYS - 1].clone()];
    assert_eq!(years.save(&ends).await.unwrap(), 1);
    let found = store
        .find_events(vec![ends[0].id, ends[2].id])
        .await
        .unwrap();
    assert_eq!(found.stored.len(), 2);

    // Letters of both ends, settled as their events are stored again.
    let letters = ends
        .each_ref()
        .map(|event| NewDeadLetter::of_event(event, DeadLetterReason::TooOld, ""));
    store.insert_dead_letters(letters.to_vec()).await.unwrap();
    assert_eq!(years.save(&ends).await.unwrap(), 0);
    let open = "SELECT count(*) FROM dead_letters WHERE state <> 'requeued'";
    assert_eq!(years.server.psql(open).await.unwrap().trim(), "0");

    // Every day is marked: its readers count it live.
    let rows = store.ad_stats(zone, ad(1), years.span()).await.unwrap();
    assert_eq!(
        rows.iter()
            .map(|row| row.counts.get(Measure::Impressions))
            .sum::<u64>(),
        DAYS as u64 + 1
    );
    let page = store
        .all_stats(zone, years.span(), None, 10_000)
        .await
        .unwrap();
    assert_eq!(page.rows.len(), DAYS);

    for event in [&events[0], &events[DAYS / 2], &events[DAYS - 1]] {
        let hour = zone.hour_of(event.occurred_at());
        let rolled_up = store.roll_up_hour(task("hour"), zone, hour).await.unwrap();
        assert_eq!(rolled_up.written, 1);
        let day = zone.day_of(event.occurred_at());
        store.roll_up_day(task("day"), zone, day).await.unwrap();
    }
    // The other hours as if they had been rolled up, to have the audit count all of them.
    years
        .server
        .psql(
            "INSERT INTO ad_hourly_stats SELECT hour, 1, 1, 0, now() FROM dirty_hours \
             ON CONFLICT DO NOTHING; INSERT INTO ad_daily_stats SELECT hour::date, 1, 1, 0, now() \
             FROM dirty_hours ON CONFLICT DO NOTHING; DELETE FROM dirty_hours; DELETE FROM dirty_days",
        )
        .await
        .unwrap();
    let report = store.audit(zone).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.hours_checked, DAYS as u64);

    let last = events[29].occurred_at().to_datetime().date_naive();
    store
        .drop_partition(zone, last, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(store.partitions().await.unwrap().len(), DAYS - 30);
    assert!(store.audit(zone).await.unwrap().is_clean());
}
