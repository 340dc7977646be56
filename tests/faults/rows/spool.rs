//! The spool's disk is full, read-only, damaged.

use std::fs;
use std::path::Path;
use std::time::Duration;

use adtally_tests::proxy::Fault;
use adtally_tests::traffic::Told;
use adtally_tests::{http, until};

use super::Row;
use crate::disk::{Mount, SmallDisk};
use crate::ground::Ground;
use crate::stage::{Setting, Stage, before_rabbitmq};

pub(super) const ROWS: [Row; 3] = [
    Row::of_processes("row_51_spool_full", full),
    Row::of_processes("row_51_spool_on_a_disk_that_fails", failing_disk),
    Row::of_processes("row_51_spool_damaged", damaged),
];

const LIMIT: Duration = Duration::from_secs(6);

fn full(ground: &Ground) {
    let (proxy, url) = before_rabbitmq(ground);
    let setting = Setting::new(ground, "row-51-full").api("ADTALLY_AMQP_URL", url);
    let stage = setting.api("ADTALLY_SPOOL_MAX_BYTES", "200K").start();
    let traffic = stage.traffic();
    proxy.set(Fault::Refuse);
    until("the spool is full", || {
        let process = stage.api.process();
        (!process.is_ready()).then_some(())
    });
    let mut more_than_traffic = 1;
    let refused = until("an event is refused", || {
        let body = br#"{"ad_id": 1, "kind": "click"}"#;
        let json = [("Content-Type", "application/json")];
        let answer = http::request(stage.address(), "POST", "/v1/events", &json, body);
        let answer = answer.expect("an answer");
        // A small one may still find room.
        more_than_traffic += 1;
        (answer.status == 503).then_some(answer)
    });
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let address = stage.address();
    let pixel = http::request(address, "GET", "/v1/pixel.gif?ad_id=1", &[], b"");
    assert_eq!(pixel.expect("a pixel").status, 200);
    proxy.set(Fault::Pass);
    traffic.until_accepted(200);
    let mut told = traffic.end();
    told.absorb(of_others(&stage, &told, more_than_traffic));
    let reckoning = stage.reckon(&told);
    assert!(told.answers.contains_key("503"), "{:?}", told.answers);
    assert!(reckoning.longest_wait < LIMIT, "{reckoning}");
}

/// What is stored of the events this row sent beside the traffic: nobody waited for their ids.
fn of_others(stage: &Stage, told: &Told, at_most: usize) -> Told {
    let mut more = Told::default();
    let known = &told.accepted | &told.unclear;
    more.unclear = &stage.system.event_ids() - &known;
    assert!(more.unclear.len() <= at_most, "{:?}", more.unclear);
    more
}

fn failing_disk(ground: &Ground) {
    let (proxy, url) = before_rabbitmq(ground);
    let Some(disk) = SmallDisk::new("row-51", "4m") else {
        return;
    };
    let path = disk.path().display().to_string();
    let setting = Setting::new(ground, "row-51-disk").api("ADTALLY_AMQP_URL", url);
    let setting = setting.without_spool();
    let stage = setting.api("ADTALLY_SPOOL_DIR", path.clone()).start();
    let traffic = stage.traffic();
    for _ in 0..2 {
        proxy.set(Fault::Refuse);
        let filler = disk.fill();
        until("the API says that it can keep nothing", || {
            (!stage.api.process().is_ready()).then_some(())
        });
        drop(filler);
        // It finds out by itself.
        traffic.until_accepted(100);
        proxy.set(Fault::Pass);
        traffic.until_accepted(100);
    }
    stage.end(traffic, LIMIT);
    assert_eq!(stage.api.restarts(), 0, "it needed nobody's hand");
    refuses_to_start_on_a_read_only_disk(&stage, disk.path());
    drop(stage);
}

fn refuses_to_start_on_a_read_only_disk(stage: &Stage, path: &Path) {
    let elsewhere = path.join("elsewhere");
    let name = elsewhere.display().to_string();
    fs::create_dir(&elsewhere).expect("a directory");
    let _bound = Mount::new(&["--bind", &name], &elsewhere).expect("root may mount");
    let _read_only = Mount::new(&["-o", "remount,bind,ro"], &elsewhere).expect("root may mount");
    let own = [("ADTALLY_SPOOL_DIR", name.as_str())];
    let api = stage.system.start_with("adtally-api", "ADTALLY_BIND", &own);
    let status = until("an API without a spool ends", || api.exit_status());
    assert_eq!(status.code(), Some(78), "{}", api.log());
    assert!(api.log().contains("--spool-dir"), "{}", api.log());
}

fn damaged(ground: &Ground) {
    let (proxy, url) = before_rabbitmq(ground);
    let stage = Setting::new(ground, "row-51-damage")
        .api("ADTALLY_AMQP_URL", url)
        .start();
    let traffic = stage.traffic();
    proxy.set(Fault::Refuse);
    traffic.until_accepted(200);
    let mut told = traffic.end();
    let spooled = stage.api.process().metric("adtally_spool_events");
    assert!(spooled > 100.0, "{spooled}");
    stage.api.kill_then(|| flip_a_bit(stage.spool()));
    stage.api.until_ready();
    let damaged = stage
        .api
        .process()
        .metric("adtally_spool_corrupt_records_total");
    proxy.set(Fault::Pass);
    until("what is sound is sent", || {
        (stage.api.process().metric("adtally_spool_events") == 0.0).then_some(())
    });
    until("what is sound is stored", || {
        (stage.system.waiting() == 0).then_some(())
    });
    let lost = &told.accepted - &stage.system.event_ids();
    let counted = stage
        .api
        .process()
        .metric("adtally_spool_corrupt_records_total")
        .max(damaged);
    println!(
        "row-51: one flipped bit cost {} events, {counted} records are counted",
        lost.len()
    );
    assert!(counted >= 1.0, "the damage is counted");
    assert!(
        lost.len() <= 5,
        "one record is lost and no more: {}",
        lost.len()
    );
    let kept = fs::read_dir(stage.spool())
        .expect("the spool")
        .filter_map(Result::ok);
    let aside = kept.filter(|file| {
        file.path()
            .extension()
            .is_some_and(|kind| kind == "corrupt")
    });
    assert_eq!(aside.count(), 1, "the damaged record is kept aside");
    told.unclear.extend(lost.iter().cloned());
    told.accepted = &told.accepted - &lost;
    stage.reckon(&told);
}

fn flip_a_bit(spool: &Path) {
    let segment = fs::read_dir(spool)
        .expect("the spool")
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|path| path.extension().is_some_and(|kind| kind == "segment"))
        .expect("a segment");
    let mut content = fs::read(&segment).expect("the segment");
    let middle = content.len() / 2;
    content[middle] ^= 0x40;
    fs::write(&segment, content).expect("a bit is flipped");
}
