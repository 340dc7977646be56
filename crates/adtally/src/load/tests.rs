use std::collections::BTreeSet;
use std::time::Instant;

use actix_web::HttpResponse;
use clap::Parser;
use serde_json::Value;

use super::*;
use crate::testing::{FakeApi, Posted};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    load: LoadArgs,
}

/// The report of a run, and how it ended.
async fn load(api: &FakeApi, flags: &str, shutdown: Shutdown) -> (Value, anyhow::Result<()>) {
    let fixed = ["load", "--json", "--api", api.url()];
    let args = Flags::parse_from(fixed.into_iter().chain(flags.split(' '))).load;
    let mut out = Vec::new();
    let result = run(&args, shutdown, &mut out).await;
    (serde_json::from_slice(&out).unwrap(), result)
}

#[actix_web::test]
async fn every_scheduled_event_leaves_once() {
    let api = FakeApi::start(|_, posted| posted.accepted());
    let flags = "--rate 400 --duration 1s --batch 4";
    let (report, result) = load(&api, flags, Shutdown::manual()).await;
    result.unwrap();
    assert_eq!(report["requests"], 100);
    assert_eq!(report["accepted"], 400);
    assert_eq!(report["unsent_requests"], 0);
    let ids: BTreeSet<_> = api.posted().iter().flat_map(Posted::ids).collect();
    assert_eq!(ids.len(), 400);
}

#[actix_web::test]
async fn a_stall_shows_in_the_latency_of_what_was_due_meanwhile() {
    let api = FakeApi::start(|number, posted| {
        if number == 20 {
            std::thread::sleep(Duration::from_millis(500));
        }
        posted.accepted()
    });
    let flags = "--rate 100 --duration 1s --connections 1";
    let (report, result) = load(&api, flags, Shutdown::manual()).await;
    result.unwrap();
    // A closed loop would see one slow request. Here the fifty that were due meanwhile were slow.
    let p90 = report["latency_micros"]["p90"].as_u64().unwrap();
    assert!(p90 > 300_000, "{report}");
    assert_eq!(report["accepted"], 100);
}

#[actix_web::test]
async fn a_repeated_request_repeats_its_ids() {
    let api = FakeApi::start(|_, posted| posted.accepted());
    let flags = "--rate 50 --duration 1s --repeat-share 1";
    let (report, result) = load(&api, flags, Shutdown::manual()).await;
    result.unwrap();
    assert_eq!(report["events"], 50);
    assert_eq!(report["repeated_requests"], 50);
    let posted = api.posted();
    let bodies: BTreeSet<_> = posted.iter().map(|request| request.body.clone()).collect();
    assert_eq!((posted.len(), bodies.len()), (100, 50));
}

#[actix_web::test]
async fn answers_are_counted_by_what_they_promise() {
    let api = FakeApi::start(|number, posted| match number % 3 {
        0 => posted.accepted(),
        1 => posted.judged(&[(0, "too_old")]),
        _ => HttpResponse::ServiceUnavailable().finish(),
    });
    let (report, result) = load(&api, "--rate 30 --duration 1s", Shutdown::manual()).await;
    result.unwrap();
    assert_eq!(report["accepted"], 10);
    assert_eq!(report["rejected"], 10);
    assert_eq!(report["refused"], 10);
    assert_eq!(report["latency_micros"]["count"], 20);
    assert_eq!(report["first_failure"], "status 503");
}

#[actix_web::test]
async fn a_run_without_one_accepted_event_fails() {
    let api = FakeApi::start(|_, _| HttpResponse::ServiceUnavailable().finish());
    let (_, result) = load(&api, "--rate 10 --duration 1s", Shutdown::manual()).await;
    assert_eq!(result.unwrap_err().to_string(), "no event was accepted");
}

#[actix_web::test]
async fn a_run_that_is_stopped_reports_what_was_sent() {
    let shutdown = Shutdown::manual();
    let stop = shutdown.clone();
    let api = FakeApi::start(move |number, posted| {
        if number == 10 {
            stop.trigger();
        }
        posted.accepted()
    });
    let started = Instant::now();
    let (report, result) = load(&api, "--rate 100 --duration 60s", shutdown).await;
    result.unwrap();
    assert!(started.elapsed() < Duration::from_secs(30));
    let (sent, unsent) = (
        report["requests"].as_u64(),
        report["unsent_requests"].as_u64(),
    );
    assert_eq!(sent.unwrap() + unsent.unwrap(), 6_000);
    assert!(sent.unwrap() >= 11, "{report}");
}
