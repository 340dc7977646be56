//! The metrics: each is there from the start and explained, and they move when nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use adtally_devstack::Signal;
use adtally_tests::{Process, System, http, until, until_within};
use serde_json::json;

/// A metric's labels, each with the values that are known from the start; none where they are many.
type Labels = BTreeMap<String, BTreeSet<String>>;
type Metrics = BTreeMap<String, Labels>;

/// The metrics that the guide names for a process that is described by `roles`.
fn explained(roles: &[&str]) -> Metrics {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let guide = fs::read_to_string(guide).expect("the guide");
    let mut metrics = Metrics::new();
    for row in guide.lines().filter(|line| line.starts_with("| `adtally_")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, name, labels, role, meaning, _] = cells[..] else {
            // A row of another table.
            continue;
        };
        if !roles.contains(&role) {
            continue;
        }
        assert!(!meaning.is_empty(), "{row}");
        let known = metrics.entry(name.trim_matches('`').to_owned());
        let known = known.or_default();
        for label in labels.split(';').filter(|label| !label.is_empty()) {
            let (label, values) = label.split_once(':').unwrap_or((label, ""));
            let names = label.split(',').map(|name| name.trim().trim_matches('`'));
            let values = values
                .split(',')
                .map(|value| value.trim().trim_matches('`'));
            let values: BTreeSet<_> = values.filter(|value| !value.is_empty()).collect();
            for name in names {
                let values = values.iter().map(|value| (*value).to_owned());
                known.entry(name.to_owned()).or_default().extend(values);
            }
        }
    }
    metrics
}

/// The metrics of ours that a process shows, with the values of the labels that `explained` lists.
fn shown(process: &Process, prefix: &str, explained: &Metrics) -> Metrics {
    let answer = http::request(process.address, "GET", "/metrics", &[], b"").expect("metrics");
    let text = String::from_utf8(answer.body).expect("text");
    let mut metrics = Metrics::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _value) = line.rsplit_once(' ').expect("a sample");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let family = ["_bucket", "_sum", "_count"].iter();
        let family = family.filter_map(|suffix| name.strip_suffix(suffix));
        let family = family.filter(|name| text.contains(&format!("# TYPE {name} histogram")));
        let name = family.into_iter().next().unwrap_or(name);
        if name.starts_with("process_") {
            continue;
        }
        let known = metrics.entry(name.to_owned()).or_default();
        let labels = labels.trim_end_matches('}').split("\",");
        for label in labels.filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once("=\"").expect("a label");
            if label == "le" {
                continue;
            }
            let values = known.entry(label.to_owned()).or_default();
            let listed = explained.get(name).and_then(|labels| labels.get(label));
            if listed.is_some_and(|listed| !listed.is_empty()) {
                let value = value.trim_end_matches('"').replace(prefix, "adtally");
                values.insert(value);
            }
        }
    }
    metrics
}

#[test]
fn every_metric_is_there_from_the_start_and_explained_in_the_guide() {
    let spool = tempfile::tempdir().expect("a directory");
    let system = System::builder("all-metrics").without_api();
    let spool = [("ADTALLY_SPOOL_DIR", spool.path().to_str().expect("a path"))];
    let api = system.start_with("adtally-api", "ADTALLY_BIND", &spool);
    let processes = [
        (api.ready(), ["all", "api", "api with a spool"]),
        (system.worker(), ["all", "worker", ""]),
        (system.beat(), ["all", "beat", ""]),
    ];
    for (process, roles) in &processes {
        let explained = explained(roles);
        assert!(explained.len() > 10, "the guide's notation changed");
        let shown = shown(process, system.prefix(), &explained);
        for (name, labels) in &explained {
            assert_eq!(shown.get(name), Some(labels), "{name} of {}", roles[1]);
        }
        for name in shown.keys() {
            assert!(explained.contains_key(name), "{name} is not in the guide");
        }
    }
}

#[test]
fn every_refusal_and_every_described_answer_counts_from_zero() {
    let system = System::builder("zero-metrics").start();
    let api = system.api_process();
    let answer = http::request(api.address, "GET", "/metrics", &[], b"").expect("metrics");
    let text = String::from_utf8(answer.body).expect("text");
    for code in adtally_domain::RejectCode::ALL {
        let line = format!("adtally_events_rejected_total{{code=\"{code}\"}} 0\n");
        assert!(text.contains(&line), "{line}{text}");
    }
    let answered = |method: &str, route: &str, status: u16| {
        let labels = format!("{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}} 0\n");
        assert!(text.contains(&labels), "{labels}{text}");
    };
    for status in [202, 400, 408, 413, 415, 422, 503] {
        answered("POST", "/v1/events", status);
    }
    answered("GET", "/v1/pixel.gif", 200);
    answered("GET", "/v1/click/{ad_id}", 302);
}

#[test]
fn messages_that_nobody_takes_show_in_beat() {
    let system = System::builder("nobody-takes").start();
    let beat = system.beat();
    let impressions = format!("{}.impressions", system.prefix());
    let of_queue = |metric: &str| format!("adtally_queue_{metric}{{queue=\"{impressions}\"}}");
    system.accept(&json!([{"ad_id": 7, "kind": "impression"}]));
    until("the queue is seen to fill", || {
        (beat.metric(&of_queue("messages")) >= 1.0).then_some(())
    });
    until("what waits grows old", || {
        let aged = beat.metric(&of_queue("age_seconds")) > 0.0;
        (aged && beat.metric("adtally_freshness_seconds") > 0.0).then_some(())
    });
    assert_eq!(beat.metric(&of_queue("consumers")), 0.0);
    let _worker = system.worker();
    until("the queue is seen to be empty", || {
        let consumers = beat.metric(&of_queue("consumers"));
        (beat.metric(&of_queue("messages")) == 0.0 && consumers == 1.0).then_some(())
    });
    until("the event is seen to be stored", || {
        (beat.metric("adtally_newest_event_timestamp_seconds") > 0.0).then_some(())
    });
}

#[test]
fn workers_that_are_frozen_with_all_messages_in_their_hands_show_in_beat() {
    let (system, worker) = System::with_worker("frozen");
    let beat = system.beat();
    until_within(Duration::from_secs(120), "a sweep is done", || {
        let done = "SELECT count(*) FROM task_runs \
                    WHERE name = 'adtally.sweep_dirty' AND state = 'succeeded'";
        (system.count(done) > 0).then_some(())
    });
    worker.signal(Signal::STOP);
    system.accept(&json!([{"ad_id": 7, "kind": "impression"}]));
    let limit = Duration::from_secs(120);
    until_within(limit, "sweeps are seen to be late", || {
        let late = beat.metric("adtally_schedule_lag_seconds{entry=\"sweep-dirty\"}") > 5.0;
        (late && beat.metric("adtally_freshness_seconds") > 5.0).then_some(())
    });
    worker.signal(Signal::CONT);
    until_within(limit, "they are seen to be on time again", || {
        let late = beat.metric("adtally_schedule_lag_seconds{entry=\"sweep-dirty\"}");
        (late < 5.0).then_some(())
    });
}
