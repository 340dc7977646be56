//! Commands against a real PostgreSQL.

use adtally_devstack::testing::{TestDatabase, TestStack};
use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use adtally_store::EventBatch;
use clap::{Args, FromArgMatches};
use serde_json::Value;

use super::*;
use crate::{AuditArgs, MigrateArgs, StatsArgs, audit, migrate, stats};

/// The flags of a command, with the database among them.
fn flags<A: Args + FromArgMatches>(database: &TestDatabase<'_>, more: &str) -> A {
    let command = A::augment_args(clap::Command::new("test"));
    let fixed = ["test", "--database-url", database.url()];
    let matches = command.get_matches_from(fixed.into_iter().chain(more.split_whitespace()));
    A::from_arg_matches(&matches).unwrap()
}

pub(crate) async fn migrated(database: &TestDatabase<'_>, more: &str) -> anyhow::Result<String> {
    let mut out = Vec::new();
    migrate::run(&flags::<MigrateArgs>(database, more), &mut out).await?;
    Ok(String::from_utf8(out)?)
}

async fn audited(database: &TestDatabase<'_>) -> (Value, anyhow::Result<()>) {
    let mut out = Vec::new();
    let args = flags::<AuditArgs>(database, "--json");
    let result = audit::run(&args, &mut out).await;
    (serde_json::from_slice(&out).unwrap(), result)
}

pub(crate) fn store(database: &TestDatabase<'_>) -> Store {
    Store::connect(StoreConfig::new(database.url()))
}

/// An event some hours after 2026-01-01T00:00:00Z.
pub(crate) fn event(hours: i64, ad: i64, kind: EventKind, number: u8) -> Event {
    let time = Timestamp::from_millis(1_767_225_600_000 + hours * 3_600_000).unwrap();
    Event::new(
        EventId::v7(time, [number; 10]),
        kind,
        AdId::new(ad).unwrap(),
        time,
    )
}

async fn store_events(database: &TestDatabase<'_>, events: Vec<Event>) {
    let batch = EventBatch::new(&events, Vec::new());
    let zone = zone(&store(database)).await.unwrap();
    store(database).store_events(zone, batch).await.unwrap();
}

#[actix_web::test]
async fn migrating_twice_applies_once() {
    let database = TestStack::shared().database("migrate");
    let first = migrated(&database, "").await.unwrap();
    assert!(first.contains(" applied\n"), "{first}");
    let second = migrated(&database, "").await.unwrap();
    assert_eq!(second, "the tables are up to date\n");
}

#[actix_web::test]
async fn the_reporting_zone_is_chosen_once() {
    let database = TestStack::shared().database("zone");
    let text = migrated(&database, "--timezone Asia/Tehran").await.unwrap();
    assert!(
        text.ends_with("the reporting zone is Asia/Tehran\n"),
        "{text}"
    );
    let error = migrated(&database, "--timezone UTC").await.unwrap_err();
    assert_eq!(error.downcast_ref::<Failure>().unwrap().kind.code(), 78);
}

#[actix_web::test]
async fn a_database_that_is_away_is_unavailable() {
    let args = flags_of_nothing();
    let failure = open(&args).await.err().unwrap();
    assert_eq!(failure.kind.code(), 69);
    assert!(
        failure
            .message
            .starts_with("the database at postgres://u:***@127.0.0.1:1/d ")
    );
    assert!(!failure.message.contains("secret"), "{failure}");
}

fn flags_of_nothing() -> DatabaseArgs {
    let command = DatabaseArgs::augment_args(clap::Command::new("test"));
    let url = "postgres://u:secret@127.0.0.1:1/d";
    let matches = command.get_matches_from(["test", "--database-url", url]);
    DatabaseArgs::from_arg_matches(&matches).unwrap()
}

#[actix_web::test]
async fn an_audit_fails_only_for_a_difference_without_a_mark() {
    let database = TestStack::shared().database("audit");
    migrated(&database, "").await.unwrap();
    let (report, result) = audited(&database).await;
    result.unwrap();
    assert_eq!(report["ok"], true);

    store_events(&database, vec![event(0, 7, EventKind::Click, 1)]).await;
    let (report, result) = audited(&database).await;
    result.unwrap();
    assert_eq!(
        report["pending_hours"][0], "2026-01-01T00:00:00Z",
        "{report}"
    );

    database.psql("DELETE FROM dirty_hours").unwrap();
    let (report, result) = audited(&database).await;
    let error = result.unwrap_err();
    assert!(error.downcast_ref::<Failure>().is_none());
    assert!(error.to_string().starts_with("1 total is not"), "{error}");
    assert_eq!(report["mismatches"][0]["ad_id"], 7, "{report}");
    assert_eq!(report["mismatches"][0]["expected_clicks"], 1, "{report}");
}

#[actix_web::test]
async fn totals_come_per_bucket_per_ad_and_of_one_ad() {
    let database = TestStack::shared().database("stats");
    migrated(&database, "").await.unwrap();
    let events = vec![
        event(0, 7, EventKind::Impression, 1),
        event(0, 7, EventKind::Impression, 2),
        event(0, 8, EventKind::Impression, 3),
        event(0, 8, EventKind::Click, 4),
        event(2, 7, EventKind::Impression, 5),
    ];
    store_events(&database, events).await;
    let ask = async |more: &str| -> Value {
        let more = format!("--json --from 2026-01-01 --to 2026-01-02 {more}");
        let mut out = Vec::new();
        stats::run(&flags::<StatsArgs>(&database, &more), &mut out)
            .await
            .unwrap();
        serde_json::from_slice(&out).unwrap()
    };
    let hours = ask("").await;
    assert_eq!(hours["data"].as_array().unwrap().len(), 2, "{hours}");
    assert_eq!(hours["data"][0]["ads"], 2);
    assert_eq!(hours["data"][0]["impressions"], 3);
    assert_eq!(hours["data"][0]["clicks"], 1);

    let by_ad = ask("--by-ad --granularity day").await;
    assert_eq!(by_ad["data"][0]["ad_id"], 7, "{by_ad}");
    assert_eq!(by_ad["data"][0]["impressions"], 3, "{by_ad}");
    assert_eq!(by_ad["more"], false);
    assert_eq!(ask("--by-ad --limit 1").await["more"], true);

    let of_ad = ask("--ad 7").await;
    assert_eq!(of_ad["data"].as_array().unwrap().len(), 24, "{of_ad}");
    assert_eq!(of_ad["data"][2]["impressions"], 1);
}
