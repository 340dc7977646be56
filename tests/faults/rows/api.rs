//! The API is killed at every step, or asked to leave.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use adtally_tests::proxy::{Fault, Proxy, Way};
use adtally_tests::traffic::{Manners, Traffic};
use adtally_tests::until;

use super::Row;
use crate::ground::Ground;
use crate::shims::ForgetfulDisk;
use crate::stage::{Setting, Stage, before_rabbitmq};
use crate::wire::PUBLISH;

pub(super) const ROWS: [Row; 6] = [
    Row::of_processes("row_01_api_killed_before_it_publishes", before_publish),
    Row::of_processes("row_02_api_killed_before_the_confirm", before_confirm),
    Row::of_processes("row_03_api_killed_before_it_answers", before_answer),
    Row::of_processes("row_04_api_killed_while_it_spools", while_spooling),
    Row::of_processes("row_04_power_fails_while_it_spools", power_fails),
    Row::of_processes("row_05_api_stops_under_load", stops_under_load),
];

/// Clients that wait for answers that never come must not be the end of the traffic.
const LIMIT: Duration = Duration::from_secs(15);

/// The API and its broker with a proxy between them, and no spool to fall back on.
fn behind_a_proxy(ground: &Ground, name: &'static str) -> (Stage, Proxy) {
    let (proxy, url) = before_rabbitmq(ground);
    let setting = Setting::new(ground, name).without_spool();
    (setting.api("ADTALLY_AMQP_URL", url).start(), proxy)
}

fn before_publish(ground: &Ground) {
    let (stage, proxy) = behind_a_proxy(ground, "row-01");
    let traffic = stage.traffic();
    for _ in 0..3 {
        // What the API sends now is still on its way when it dies, and never arrives.
        proxy.set(Fault::Hole(Way::ToServer));
        proxy.until_held("a publish is held back", &PUBLISH);
        stage.api.kill();
        proxy.set(Fault::Reset);
        stage.api.until_ready();
        traffic.until_accepted(100);
    }
    stage.end(traffic, LIMIT);
}

fn before_confirm(ground: &Ground) {
    let (stage, proxy) = behind_a_proxy(ground, "row-02");
    let traffic = stage.traffic();
    // The broker has them, the workers too, and the API does not know.
    kill_while_answers_vanish(&stage, &proxy, traffic);
}

/// Kills the API once events are stored whose answers got lost in `proxy`, again and again.
fn kill_while_answers_vanish(stage: &Stage, proxy: &Proxy, traffic: Traffic) {
    for _ in 0..3 {
        proxy.set(Fault::Hole(Way::ToClient));
        until("events are stored that nobody was told of", || {
            let stored = stage.system.event_ids().len() as u64;
            (stored >= traffic.accepted() + 3).then_some(())
        });
        stage.api.kill();
        proxy.set(Fault::Reset);
        stage.api.until_ready();
        traffic.until_accepted(100);
    }
    let reckoning = stage.end(traffic, LIMIT);
    assert!(reckoning.duplicates > 0, "what was sent again was known");
}

fn before_answer(ground: &Ground) {
    let stage = Setting::new(ground, "row-03").without_spool().start();
    let proxy = Proxy::before(stage.address());
    let traffic = Traffic::begin(proxy.address(), Manners::default());
    traffic.until_accepted(100);
    kill_while_answers_vanish(&stage, &proxy, traffic);
}

fn while_spooling(ground: &Ground) {
    let (proxy, url) = before_rabbitmq(ground);
    let stage = Setting::new(ground, "row-04")
        .api("ADTALLY_AMQP_URL", url)
        .start();
    let traffic = stage.traffic();
    proxy.set(Fault::Refuse);
    for _ in 0..4 {
        traffic.until_accepted(150);
        stage.api.kill_then(|| tear(&stage));
    }
    traffic.until_accepted(50);
    proxy.set(Fault::Pass);
    stage.end(traffic, LIMIT);
    let process = stage.api.process();
    let torn = process.metric("adtally_spool_corrupt_records_total");
    assert_eq!(torn, 4.0, "each torn record is counted");
}

/// Leaves the beginning of a record behind the newest segment, as a write that was cut off would.
fn tear(stage: &Stage) {
    let files = fs::read_dir(stage.spool()).expect("the spool");
    let segments = files.filter_map(|file| Some(file.ok()?.path()));
    let newest = segments
        .filter(|path| path.extension().is_some_and(|kind| kind == "segment"))
        .max()
        .expect("a segment");
    let mut content = fs::read(&newest).expect("the segment");
    content.extend_from_slice(&[0x51, 0, 0, 0, 7, 7, 7]);
    fs::write(&newest, content).expect("the segment is torn");
}

fn power_fails(ground: &Ground) {
    let disk = ForgetfulDisk::new();
    let (proxy, url) = before_rabbitmq(ground);
    let setting = Setting::new(ground, "row-04-power").api("ADTALLY_AMQP_URL", url);
    let variables = disk.variables().into_iter();
    let stage = variables
        .fold(setting, |setting, (name, value)| setting.api(name, value))
        .start();
    let traffic = stage.traffic();
    proxy.set(Fault::Refuse);
    let mut unsynced = 0;
    for _ in 0..4 {
        traffic.until_accepted(150);
        unsynced += stage.api.kill_then(|| disk.lose_power(stage.spool()));
    }
    traffic.until_accepted(50);
    println!("row-04: {unsynced} bytes were not on disk");
    proxy.set(Fault::Pass);
    stage.end(traffic, LIMIT);
}

fn stops_under_load(ground: &Ground) {
    let stage = Setting::new(ground, "row-05").start();
    let spool = tempfile::tempdir().expect("a directory for the spool");
    // Its publisher lives on the only HTTP thread, which ends first, however many processors there are.
    let own = [
        ("ADTALLY_SPOOL_DIR", spool.path().display().to_string()),
        ("ADTALLY_HTTP_WORKERS", "1".to_owned()),
    ];
    let other = stage.system.supervised("adtally-api", "ADTALLY_BIND", &own);
    other.until_ready();
    let addresses: [SocketAddr; 2] = [other.process().address, stage.address()];
    let traffic = Traffic::begin_at(&addresses, Manners::default());
    traffic.until_accepted(500);
    let began = Instant::now();
    let status = other.stop();
    assert!(status.success(), "{status}");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    traffic.until_accepted(300);
    let told = traffic.end();
    // A client may have found nobody in, and gone to the other; no answer was a refusal.
    let refused = told.answers.keys().any(|answer| answer.parse() == Ok(503));
    assert!(!refused, "{:?}", told.answers);
    stage.reckon(&told);
}
