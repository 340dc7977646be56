use std::time::Duration;

use adtally_domain::{AdId, Timestamp};
use adtally_store::{BucketStatus, Granularity, Measure, StatsCursor, StatsRow, StatsSpan};

use crate::support::{TestStore, ad, at, click, impression, store, store_in};

fn span(granularity: Granularity, from: &str, to: &str) -> StatsSpan {
    StatsSpan {
        granularity,
        from: at(from),
        to: at(to),
        final_after: Duration::from_secs(86_400),
    }
}

fn hours(from: &str, to: &str) -> StatsSpan {
    span(Granularity::Hour, from, to)
}

fn days(from: &str, to: &str) -> StatsSpan {
    span(Granularity::Day, from, to)
}

/// Rows as text: start, ad, impressions, clicks, status.
fn text(rows: &[StatsRow]) -> Vec<String> {
    rows.iter()
        .map(|row| {
            let start = row.start.to_datetime().format("%dT%H:%M");
            let status = row.status.as_str();
            let (ad, impressions, clicks) = (
                row.ad_id,
                row.counts.get(Measure::Impressions),
                row.counts.get(Measure::Clicks),
            );
            format!("{start} {ad}: {impressions} {clicks} {status}")
        })
        .collect()
}

async fn of_ad(store: &TestStore, span: StatsSpan) -> Vec<StatsRow> {
    store.store.ad_stats(store.zone, ad(1), span).await.unwrap()
}

#[tokio::test]
async fn hours_are_in_order_and_filled_with_zeros() {
    let store = store();
    store
        .save(vec![
            impression("2026-06-01T10:15:00Z"),
            click("2026-06-01T12:00:00Z"),
        ])
        .await;
    store.roll_up_all().await;
    let rows = of_ad(
        &store,
        hours("2026-06-01T10:59:00Z", "2026-06-01T12:00:00.001Z"),
    )
    .await;
    let expected = [
        "01T10:00 1: 1 0 final",
        "01T11:00 1: 0 0 final",
        "01T12:00 1: 0 1 final",
    ];
    assert_eq!(text(&rows), expected);
    assert_eq!(rows[0].end, at("2026-06-01T11:00:00Z"));
}

#[tokio::test]
async fn a_marked_bucket_is_open_and_counted_live() {
    let store = store();
    store.save(vec![impression("2026-06-01T10:15:00Z")]).await;
    store.roll_up_all().await;
    store
        .save(vec![
            click("2026-06-01T10:20:00Z"),
            click("2026-06-01T13:00:00Z"),
        ])
        .await;

    let rows = of_ad(
        &store,
        hours("2026-06-01T10:00:00Z", "2026-06-01T12:00:00Z"),
    )
    .await;
    assert_eq!(
        text(&rows),
        ["01T10:00 1: 1 1 open", "01T11:00 1: 0 0 final"]
    );
    let rows = of_ad(&store, days("2026-06-01T10:00:00Z", "2026-06-02T12:00:00Z")).await;
    assert_eq!(
        text(&rows),
        ["01T00:00 1: 1 2 open", "02T00:00 1: 0 0 final"]
    );

    // Hours done and the day not: still open, still right.
    for start in store.store.pending_hours().await.unwrap() {
        store
            .roll_up_hour(store.zone.hour_starting(start).unwrap())
            .await;
    }
    let rows = of_ad(&store, days("2026-06-01T10:00:00Z", "2026-06-01T12:00:00Z")).await;
    assert_eq!(text(&rows), ["01T00:00 1: 1 2 open"]);
    store.roll_up_all().await;
    let rows = of_ad(&store, days("2026-06-01T10:00:00Z", "2026-06-01T12:00:00Z")).await;
    assert_eq!(text(&rows), ["01T00:00 1: 1 2 final"]);
}

#[tokio::test]
async fn the_hour_that_runs_is_open_and_the_last_one_provisional() {
    let store = store();
    let now = store.store.clock().await.unwrap();
    let hour = store.zone.hour_of(now);
    let before = hour.start.saturating_add_millis(-1);
    store
        .save(vec![
            impression(&now.to_string()),
            impression(&before.to_string()),
        ])
        .await;
    store.roll_up_hour(store.zone.hour_of(before)).await;
    let span = StatsSpan {
        from: before,
        to: hour.end,
        ..hours("2026-06-01T10:00:00Z", "2026-06-01T10:00:00Z")
    };
    let rows = of_ad(&store, span).await;
    let of = |status: BucketStatus| rows.iter().find(|row| row.status == status).unwrap();
    assert_eq!(
        of(BucketStatus::Provisional)
            .counts
            .get(Measure::Impressions),
        1
    );
    assert_eq!(of(BucketStatus::Open).counts.get(Measure::Impressions), 1);

    // Rolled up before it is over: no mark, and still open.
    store.roll_up_hour(hour).await;
    assert_eq!(of_ad(&store, span).await, rows);
}

async fn all(store: &TestStore, span: StatsSpan, limit: u32) -> Vec<StatsRow> {
    let mut rows = Vec::new();
    let mut after: Option<StatsCursor> = None;
    loop {
        let page = store
            .store
            .all_stats(store.zone, span, after, limit)
            .await
            .unwrap();
        assert!(page.rows.len() <= limit as usize);
        rows.extend(page.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => return rows,
        }
    }
}

#[tokio::test]
async fn all_rows_come_page_by_page_kept_and_live_ones_alike() {
    let store = store_in("Asia/Tehran");
    let mut events = Vec::new();
    for hour in 8..14 {
        for id in [7, 3, 5] {
            let mut event = impression(&format!("2026-06-01T{hour:02}:45:00Z"));
            event.ad_id = AdId::new(id).unwrap();
            events.push(event);
        }
    }
    store.save(events.clone()).await;
    let whole = hours("2026-06-01T08:45:00Z", "2026-06-01T14:00:00Z");
    let live = all(&store, whole, 1_000).await;
    assert_eq!(live.len(), 18);
    assert!(live.is_sorted_by_key(|row| (row.start, row.ad_id)));
    assert!(live.iter().all(|row| row.status == BucketStatus::Open));

    // Some rolled up, some not.
    for hour in ["08", "10", "11"] {
        store
            .roll_up_hour(store.hour(&format!("2026-06-01T{hour}:45:00Z")))
            .await;
    }
    let counts = |rows: &[StatsRow]| -> Vec<(Timestamp, AdId, u64)> {
        rows.iter()
            .map(|row| (row.start, row.ad_id, row.counts.get(Measure::Impressions)))
            .collect()
    };
    for limit in [1, 2, 4, 17, 18, 1_000] {
        let rows = all(&store, whole, limit).await;
        assert_eq!(counts(&rows), counts(&live), "pages of {limit}");
        let open = rows
            .iter()
            .filter(|row| row.status == BucketStatus::Open)
            .count();
        assert_eq!(open, 9);
    }
    let days = days("2026-06-01T08:45:00Z", "2026-06-01T14:00:00Z");
    for limit in [1, 2, 1_000] {
        let rows = all(&store, days, limit).await;
        let rows: Vec<_> = counts(&rows)
            .into_iter()
            .map(|row| (row.1.get(), row.2))
            .collect();
        assert_eq!(rows, [(3, 6), (5, 6), (7, 6)]);
    }
    store.roll_up_all().await;
    for limit in [1, 1_000] {
        assert_eq!(counts(&all(&store, whole, limit).await), counts(&live));
        assert_eq!(all(&store, days, limit).await.len(), 3);
    }
}

#[tokio::test]
async fn an_empty_span_has_no_rows() {
    let store = store();
    store.save(vec![impression("2026-06-01T10:15:00Z")]).await;
    let nothing = hours("2026-06-01T10:15:00Z", "2026-06-01T10:15:00Z");
    assert_eq!(of_ad(&store, nothing).await, []);
    assert_eq!(all(&store, nothing, 10).await, []);
}
