//! Every statement of ours suits what may lie between us and the tables.
//!
//! A pooler, a proxy or a distributed table may take one statement at a time only, and refuses a
//! function that is not immutable where an upsert changes a row.

use std::time::Duration;

use adtally_devstack::testing::TestStack;
use adtally_domain::{AdvertiserId, DeadLetterReason, Entry, Slot};
use adtally_store::{
    AdPatch, DeadLetter, DeadLetterFilter, EventBatch, Granularity, NewAd, NewAdvertiser,
    NewDeadLetter, StatsSpan, Store,
};

use crate::support::{TestStore, ad, at, click, config, impression, store, task};

const HOUR: &str = "2026-06-01T10:15:00Z";
const NAME: &str = "adtally whose statements are read";

#[tokio::test]
async fn each_query_is_one_statement_and_no_upsert_calls_a_clock() {
    let mut store = store();
    store.sql(&format!(
        "ALTER DATABASE {} SET log_statement = 'all'",
        store.database.name()
    ));
    let mut config = config(store.database.url());
    config.application_name = NAME.to_owned();
    store.store = Store::connect(config);
    use_everything(&store).await;

    let statements = statements_of(NAME);
    for part in [
        "COPY \"",
        "adtally_refused_events(",
        "adtally_ensure_partition(",
        "LATERAL (SELECT * FROM events",
        "UPDATE dead_letters SET state = 'requeued'",
        "INSERT INTO \"dead_letters\"",
        "INSERT INTO \"task_runs\"",
        "INSERT INTO \"schedule_runs\"",
        "UPDATE \"settings\"",
        "INSERT INTO ad_hourly_stats",
        "INSERT INTO ad_daily_stats",
        "INSERT INTO restatements",
        "DROP TABLE events_",
        "UPDATE \"ads\"",
    ] {
        assert!(
            statements.iter().any(|statement| statement.contains(part)),
            "nothing sent {part}; the test reads too little: {statements:#?}"
        );
    }
    let at_fault: Vec<&String> = statements
        .iter()
        .filter(|statement| is_several(statement) || calls_a_clock_where_rows_change(statement))
        .collect();
    assert!(at_fault.is_empty(), "{at_fault:#?}");
}

fn is_several(statement: &str) -> bool {
    let mut in_text = false;
    let end = statement.trim_end().trim_end_matches(';');
    end.chars().any(|letter| {
        in_text ^= letter == '\'';
        letter == ';' && !in_text
    })
}

fn calls_a_clock_where_rows_change(statement: &str) -> bool {
    let upper = statement.to_uppercase();
    let has_clock = |part: &str| {
        ["NOW()", "_TIMESTAMP", "::TIMESTAMPTZ"]
            .iter()
            .any(|clock| part.contains(clock))
    };
    let upserted = upper
        .split_once("DO UPDATE")
        .is_some_and(|(_, rest)| has_clock(rest));
    let coalesced = upper.split("COALESCE(").skip(1).any(|rest| {
        let end = rest.find(" WHERE").unwrap_or(rest.len());
        has_clock(&rest[..end])
    });
    upserted || coalesced
}

#[test]
fn what_the_test_looks_for_is_found() {
    assert!(is_several("SET a = 1; SET b = 2"));
    assert!(!is_several("SELECT ';';"));
    let upsert = "INSERT INTO t VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = ";
    assert!(calls_a_clock_where_rows_change(&format!("{upsert}now()")));
    assert!(calls_a_clock_where_rows_change(&format!(
        "{upsert}CURRENT_TIMESTAMP"
    )));
    assert!(!calls_a_clock_where_rows_change(&format!(
        "{upsert}excluded.b"
    )));
    assert!(calls_a_clock_where_rows_change(
        "UPDATE t SET a = coalesce(a, now()) WHERE b"
    ));
}

/// What the server was sent over connections that carry `name`, each as its log has it.
fn statements_of(name: &str) -> Vec<String> {
    let log = std::fs::read(TestStack::shared().postgres().log_file()).unwrap();
    let log = String::from_utf8_lossy(&log);
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in log.lines() {
        let entry = line.split_once("] ").and_then(|(head, text)| {
            let (_, pid) = head.rsplit_once('[')?;
            let (_, text) = text.split_once(':')?;
            Some((pid.to_owned(), text.trim().to_owned()))
        });
        match (entry, entries.last_mut()) {
            (Some(entry), _) => entries.push(entry),
            (None, Some((_, text))) => {
                text.push('\n');
                text.push_str(line);
            }
            (None, None) => {}
        }
    }
    let pids: Vec<String> = entries
        .iter()
        .filter(|(_, text)| text.contains(name))
        .map(|(pid, _)| pid.clone())
        .collect();
    let sent = entries.into_iter().filter(|(pid, _)| pids.contains(pid));
    let statement = |text: String| {
        let (how, statement) = text.split_once(": ")?;
        (how == "statement" || how.starts_with("execute ")).then(|| statement.to_owned())
    };
    sent.filter_map(|(_, text)| statement(text)).collect()
}

async fn use_everything(test: &TestStore) {
    let store = &test.store;
    store_events(test).await;
    run_tasks(test).await;
    let now = store.clock().await.unwrap().to_datetime().to_rfc3339();
    test.save(vec![impression(&now)]).await;
    assert_eq!(store.count_open_hours(test.zone).await.unwrap(), 1);
    test.roll_up_all().await;
    // Once more, for a restatement.
    test.save(vec![impression(HOUR)]).await;
    test.roll_up_all().await;
    store.audit(test.zone).await.unwrap();
    store.claim_zone(None).await.unwrap();
    let span = StatsSpan {
        granularity: Granularity::Hour,
        from: at("2026-06-01T00:00:00Z"),
        to: at("2026-06-02T00:00:00Z"),
        final_after: Duration::from_secs(1),
    };
    store.ad_stats(test.zone, ad(1), span).await.unwrap();
    keep_ads(store).await;
    let day = "2026-06-01".parse().unwrap();
    store
        .drop_partition(test.zone, day, Duration::ZERO)
        .await
        .unwrap();
    store.find_events(vec![click(HOUR).id]).await.unwrap();
}

/// New, known, refused and too old ones, and letters that are settled, put back and given up.
async fn store_events(test: &TestStore) {
    let store = &test.store;
    let mut refused = click(HOUR);
    refused.referer = Some("\0".to_owned());
    let mut events: Vec<_> = (0..100).map(|_| impression(HOUR)).collect();
    events.push(refused);
    let letter = NewDeadLetter::of_event(&events[0], DeadLetterReason::InvalidEvent, "why");
    store
        .insert_dead_letters(vec![letter.clone()])
        .await
        .unwrap();
    for letters in [vec![letter.clone()], Vec::new()] {
        let batch = EventBatch::new(&events, letters);
        store.store_events(test.zone, batch).await.unwrap();
    }
    let letter = NewDeadLetter::of_event(&click(HOUR), DeadLetterReason::MaxLen, "why");
    store
        .insert_dead_letters(vec![letter.clone()])
        .await
        .unwrap();
    store.discard_dead_letters(vec![letter.id]).await.unwrap();
    let send = |letters: Vec<DeadLetter>| async move {
        letters.iter().map(|_| Ok::<(), ()>(())).collect::<Vec<_>>()
    };
    let requeued = store.requeue_dead_letters(vec![letter.id], true, |_| None, send);
    requeued.await.unwrap();
    store
        .dead_letter_counts(DeadLetterFilter::default())
        .await
        .unwrap();
}

async fn run_tasks(test: &TestStore) {
    let (store, task) = (&test.store, task("adtally.sweep_dirty"));
    store.begin_task(task.clone()).await.unwrap();
    let fail = store.fail_task(task.clone(), "not now".to_owned(), false);
    fail.await.unwrap();
    store.begin_task(task.clone()).await.unwrap();
    let letter = NewDeadLetter::of_event(&click(HOUR), DeadLetterReason::MaxAttempts, "why");
    let given_up = store.give_task_up(task.clone(), "never".to_owned(), letter);
    given_up.await.unwrap();
    store.requeue_task(task.task_id).await.unwrap();
    store.finish_task(task).await.unwrap();

    store.schedule_from().await.unwrap();
    let slot = Slot {
        entry: Entry::named("aggregate-last-hour").unwrap(),
        at: at("2026-06-01T10:00:00Z"),
    };
    store.insert_slots(vec![slot]).await.unwrap();
    store.unsent_slots(Duration::ZERO).await.unwrap();
    let entry = slot.entry.name.to_owned();
    store.mark_enqueued(entry, slot.at).await.unwrap();
    store.forget_old_runs(Duration::ZERO).await.unwrap();
}

async fn keep_ads(store: &Store) {
    let advertiser_id = AdvertiserId::new(7).unwrap();
    let advertiser = NewAdvertiser {
        id: Some(advertiser_id),
        name: "Acme".to_owned(),
    };
    store.create_advertiser(advertiser).await.unwrap();
    let new = NewAd {
        id: None,
        advertiser_id,
        title: "Anvils".to_owned(),
        image_url: None,
        target_url: None,
        approved: false,
    };
    let made = store.create_ad(new).await.unwrap();
    let patch = AdPatch {
        approved: Some(true),
        ..AdPatch::default()
    };
    store.update_ad(made.id, patch).await.unwrap();
    let since = store.ads_watermark().await.unwrap();
    store.ad_targets(None, 10).await.unwrap();
    store.ad_changes(since).await.unwrap();
}
