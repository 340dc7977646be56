use adtally_domain::{DeadLetterReason, Event, EventKind};
use adtally_store::{EventBatch, NewDeadLetter, StoreError, Stored};

use super::{store, store_in};
use crate::support::{ad, at, click, config, impression};

const HOUR: &str = "2026-06-01T10:15:00Z";

fn date(time: &str) -> chrono::NaiveDate {
    at(time).to_datetime().date_naive()
}

#[tokio::test]
async fn an_event_is_kept_as_it_was_sent() {
    let store = store();
    let event = Event {
        ad_id: ad(i64::MAX),
        impression_id: Some(impression(HOUR).id.as_uuid()),
        ip: Some("2001:db8:1::".parse().unwrap()),
        user_agent: Some("Mozilla/5.0 \"ü\" \\ \u{1f600}".to_owned()),
        referer: Some(String::new()),
        ..click(HOUR)
    };
    let stored = store.save(vec![event.clone()]).await;
    assert_eq!(
        stored,
        Stored {
            inserted_clicks: 1,
            ..Stored::default()
        }
    );
    let row = store.sql(
        "SELECT event_id, ad_id, kind, verdict, rule_version, received_at AT TIME ZONE 'UTC', \
         impression_id, ip, visitor_id, user_agent, referer = '', placement IS NULL, source \
         FROM events",
    );
    let expected = [
        event.id.to_string(),
        i64::MAX.to_string(),
        "1|0|0|2026-06-01 10:15:00.25".to_owned(),
        event.impression_id.unwrap().to_string(),
        "2001:db8:1::|v-1|Mozilla/5.0 \"ü\" \\ \u{1f600}|t|t|tests".to_owned(),
    ];
    assert_eq!(row.trim(), expected.join("|"));
}

/// A batch leaves out the last columns that none of its events fills.
#[tokio::test]
async fn whichever_field_is_the_last_that_is_filled_all_of_them_are_kept() {
    let store = store();
    let mut event = Event {
        ip: None,
        user_agent: None,
        visitor_id: None,
        source: None,
        ..click(HOUR)
    };
    let fill: [fn(&mut Event); 7] = [
        |_| {},
        |event| event.ip = Some("198.51.100.0".parse().unwrap()),
        |event| event.user_agent = Some("browser".to_owned()),
        |event| event.referer = Some("page".to_owned()),
        |event| event.placement = Some("place".to_owned()),
        |event| event.visitor_id = Some("visitor".to_owned()),
        |event| event.impression_id = Some(event.id.as_uuid()),
    ];
    for (filled, fill) in fill.into_iter().enumerate() {
        event.id = click(HOUR).id;
        fill(&mut event);
        assert_eq!(store.save(vec![event.clone()]).await.inserted(), 1);
        let row = store.sql(&format!(
            "SELECT num_nonnulls(ip, user_agent, referer, placement, visitor_id, impression_id), \
                    ip, user_agent, referer, placement, visitor_id, impression_id IS NULL, \
                    source IS NULL, verdict, rule_version \
             FROM events WHERE event_id = '{}'",
            event.id
        ));
        let texts = [
            event.ip.map(|ip| ip.to_string()),
            event.user_agent.clone(),
            event.referer.clone(),
            event.placement.clone(),
            event.visitor_id.clone(),
        ];
        let texts = texts.map(Option::unwrap_or_default).join("|");
        let without = if event.impression_id.is_none() {
            "t"
        } else {
            "f"
        };
        assert_eq!(row.trim(), format!("{filled}|{texts}|{without}|t|0|0"));

        let known = store.save(vec![event.clone()]).await;
        assert_eq!((known.duplicates, known.conflicts), (1, 0), "{filled}");
        let other = Event {
            placement: Some("elsewhere".to_owned()),
            ..event.clone()
        };
        let conflict = store.save(vec![other]).await;
        assert_eq!(
            (conflict.duplicates, conflict.conflicts),
            (1, 1),
            "{filled}"
        );
    }
}

#[tokio::test]
async fn an_event_redelivered_after_commit_is_counted_once() {
    let store = store();
    let events = vec![impression(HOUR), impression(HOUR), click(HOUR)];
    let first = store.save(events.clone()).await;
    assert_eq!((first.inserted_impressions, first.inserted_clicks), (2, 1));
    let marks = store.count("dirty_hours");

    let second = store.save(events).await;
    assert_eq!(
        second,
        Stored {
            duplicates: 3,
            ..Stored::default()
        }
    );
    assert_eq!(store.count("events"), 3);
    assert_eq!(
        store.count("dirty_hours"),
        marks,
        "nothing new, nothing marked"
    );
}

#[tokio::test]
async fn a_batch_with_some_known_events_stores_the_others() {
    let store = store();
    let known = vec![impression(HOUR), impression("2026-06-03T00:00:00Z")];
    store.save(known.clone()).await;
    store.sql("DELETE FROM dirty_hours");

    let mut events = known;
    events.push(click("2026-06-02T12:00:00Z"));
    events.push(impression("2026-06-02T12:59:59.999Z"));
    let stored = store.save(events).await;
    assert_eq!(
        stored,
        Stored {
            inserted_impressions: 1,
            inserted_clicks: 1,
            duplicates: 2,
            ..Stored::default()
        }
    );
    let marks = store.sql("SELECT hour AT TIME ZONE 'UTC' FROM dirty_hours");
    assert_eq!(marks.trim(), "2026-06-02 12:00:00");
}

#[tokio::test]
async fn of_two_events_with_one_id_the_first_wins_and_the_other_is_a_conflict() {
    let store = store();
    let first = impression(HOUR);
    let changed = |change: fn(&mut Event)| {
        let mut event = first.clone();
        change(&mut event);
        event
    };
    let others = vec![
        changed(|event| event.kind = EventKind::Click),
        changed(|event| event.ad_id = ad(2)),
        changed(|event| event.impression_id = Some(uuid::Uuid::nil())),
        changed(|event| event.ip = None),
        changed(|event| event.visitor_id = None),
        changed(|event| event.user_agent = Some(String::new())),
        changed(|event| event.referer = Some("r".to_owned())),
        changed(|event| event.placement = Some("p".to_owned())),
    ];
    let same = vec![
        changed(|event| event.source = None),
        changed(|event| event.received_at = event.received_at.saturating_add_millis(1)),
    ];

    let mut together = vec![first.clone()];
    together.extend(others.iter().chain(&same).cloned());
    let stored = store.save(together).await;
    assert_eq!(
        (stored.inserted(), stored.duplicates, stored.conflicts),
        (1, 10, 8)
    );

    for other in others {
        let stored = store.save(vec![other.clone()]).await;
        assert_eq!((stored.duplicates, stored.conflicts), (1, 1), "{other:?}");
        // The first of a batch is not the first of all: what is stored decides.
        let again = vec![other.clone(), first.clone(), other.clone()];
        let stored = store.save(again).await;
        assert_eq!((stored.duplicates, stored.conflicts), (3, 2), "{other:?}");
    }
    let stored = store.save(same[..1].to_vec()).await;
    assert_eq!((stored.duplicates, stored.conflicts), (1, 0));
    assert_eq!(store.sql("SELECT ad_id, kind FROM events").trim(), "1|0");
}

#[tokio::test]
async fn every_hour_with_a_new_event_is_marked_once_for_each_batch() {
    let store = store_in("Asia/Tehran");
    let events = [
        "2026-06-01T10:29:59.999Z",
        "2026-06-01T10:30:00Z",
        "2026-06-01T11:29:59.999Z",
        "2026-06-01T11:30:00Z",
    ];
    store.save(events.map(impression).into()).await;
    let marks = store.sql("SELECT hour AT TIME ZONE 'UTC' FROM dirty_hours ORDER BY hour");
    let expected = ["09:30:00", "10:30:00", "11:30:00"].map(|t| format!("2026-06-01 {t}"));
    assert_eq!(marks.trim(), expected.join("\n"));
    store.save(vec![impression(events[1])]).await;
    assert_eq!(store.count("dirty_hours"), 4);
}

#[tokio::test]
async fn an_event_the_table_refuses_becomes_a_dead_letter_and_its_neighbours_are_stored() {
    let store = store();
    store.sql("ALTER TABLE events ADD CONSTRAINT not_there CHECK (placement <> 'nowhere')");
    store
        .store
        .ensure_partitions(date(HOUR), date(HOUR))
        .await
        .unwrap();
    store.sql("CREATE UNIQUE INDEX ON events_20260601 (referer)");
    let mut events: Vec<Event> = (0..200).map(|_| impression(HOUR)).collect();
    events[17].user_agent = Some("a\0b".to_owned());
    events[18].placement = Some("nowhere".to_owned());
    events[19].referer = Some("twice".to_owned());
    events[20].referer = Some("twice".to_owned());
    let refused = [events[17].id, events[18].id, events[20].id];

    let stored = store.save(events.clone()).await;
    assert_eq!((stored.inserted_impressions, stored.invalid), (197, 3));
    let letters = store.sql(
        "SELECT event_id, reason, state, ad_id, detail ~ 'SQLSTATE 2[23]', \
         position(event_id::text IN convert_from(body, 'UTF8')) > 0 \
         FROM dead_letters ORDER BY event_id",
    );
    let expected = refused.map(|id| format!("{id}|invalid_event|new|1|t|t"));
    assert_eq!(letters.trim(), expected.join("\n"));

    let again = store.save(events).await;
    assert_eq!((again.duplicates, again.invalid), (197, 3));
    assert_eq!(store.count("dead_letters"), 3, "a redelivery adds none");
}

#[tokio::test]
async fn an_error_that_is_not_the_events_fault_never_becomes_a_dead_letter() {
    let store = store();
    for (code, name) in [
        ("53100", "disk_full"),
        ("XX000", "internal_error"),
        ("P0001", "raise"),
    ] {
        store.sql(&format!(
            "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.ad_id = 2 THEN RAISE EXCEPTION '{name}' USING ERRCODE = '{code}'; END IF; \
             RETURN NEW; END $$; \
             CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON events \
             FOR EACH ROW EXECUTE FUNCTION fail()"
        ));
        let mut events = vec![impression(HOUR), impression(HOUR)];
        events[1].ad_id = ad(2);
        let error = store.try_save(events).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!((store.count("events"), store.count("dead_letters")), (0, 0));
    }
}

#[tokio::test]
async fn a_locked_table_is_waited_for_and_then_reported_not_dropped() {
    let mut store = store();
    let mut config = config(store.database.url());
    config.lock_timeout = std::time::Duration::from_millis(200);
    store.store = adtally_store::Store::connect(config);
    let event = impression(HOUR);
    store.save(vec![impression(HOUR)]).await;

    let lock = "BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1.5); COMMIT";
    std::thread::scope(|scope| {
        scope.spawn(|| store.sql(lock));
        crate::support::blocking(async {
            store
                .until(
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' \
                        AND relation = 'events'::regclass AND granted)",
                )
                .await;
            let error = store.try_save(vec![event.clone()]).await.unwrap_err();
            assert!(error.is_transient(), "{error}");
        });
    });
    assert_eq!(store.save(vec![event]).await.inserted(), 1);
}

#[tokio::test]
async fn known_events_are_found_at_the_first_look_and_after_a_failed_copy_alike() {
    let store = store();
    let mut all = Vec::new();
    for round in 0..12 {
        let mut events: Vec<Event> = (0..10).map(|_| click(HOUR)).collect();
        let known = if round % 6 == 1 { 3 } else { 0 };
        events.extend(all.iter().take(known).cloned());
        let stored = store.save(events.clone()).await;
        assert_eq!(
            (stored.inserted_clicks, stored.duplicates),
            (10, known as u64)
        );
        all.extend(events.into_iter().take(10));
    }
    assert_eq!(store.count("events"), 120);
}

#[tokio::test]
async fn an_empty_batch_stores_nothing_and_marks_nothing() {
    let store = store();
    assert_eq!(store.save(Vec::new()).await, Stored::default());
    assert_eq!(store.count("dirty_hours"), 0);
}

#[tokio::test]
async fn dead_letters_are_kept_with_the_events_of_their_batch_and_counted_once() {
    let store = store();
    let event = impression(HOUR);
    let letter = |reason| NewDeadLetter::of_event(&impression(HOUR), reason, "why");
    let (known, new) = (
        letter(DeadLetterReason::NotAPack),
        letter(DeadLetterReason::MaxLen),
    );
    let mut refused = click(HOUR);
    refused.referer = Some("\0".to_owned());
    let insert = store.store.insert_dead_letters(vec![known.clone()]);
    assert_eq!(insert.await.unwrap(), 1);
    let batch = EventBatch::new(&[event, refused], vec![known, new.clone(), new]);
    let batch = std::sync::Arc::new(batch);
    let stored = store
        .store
        .store_events(store.zone, batch.clone())
        .await
        .unwrap();
    let new = [DeadLetterReason::InvalidEvent, DeadLetterReason::MaxLen].map(|reason| (reason, 1));
    assert_eq!((stored.inserted(), stored.invalid), (1, 1));
    assert_eq!(stored.dead_letters, new.into());
    let again = store.store.store_events(store.zone, batch).await.unwrap();
    assert_eq!((again.duplicates, again.invalid), (1, 1));
    assert!(again.dead_letters.is_empty(), "{again:?}");
}

#[tokio::test]
async fn events_are_found_where_they_came_to_rest() {
    let store = store();
    let (stored, unknown) = (impression(HOUR), impression(HOUR));
    let mut refused = click(HOUR);
    refused.referer = Some("\0".to_owned());
    store.save(vec![stored.clone(), refused.clone()]).await;
    let ids = vec![stored.id, unknown.id, refused.id];
    let found = store.store.find_events(ids).await.unwrap();
    assert_eq!(found.stored, [stored.id]);
    assert_eq!(found.dead_letters, [refused.id]);
}

#[tokio::test]
async fn a_database_without_tables_says_so() {
    let database = adtally_devstack::testing::TestStack::shared().database("no tables");
    let store = adtally_store::Store::connect(config(database.url()));
    let batch = EventBatch::new(&[impression(HOUR)], Vec::new());
    let error = store
        .store_events(adtally_domain::ReportingZone::UTC, batch)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::SchemaMissing), "{error}");
}
