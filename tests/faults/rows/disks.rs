//! The disks of the servers are full.

use std::sync::Arc;
use std::time::Duration;

use adtally_devstack::{PostgresOptions, PostgresServer, RabbitmqOptions, RabbitmqServer, Storage};
use adtally_tests::{migrate, until};

use super::Row;
use super::broker::until_all_is_well;
use crate::disk::SmallDisk;
use crate::ground::Ground;
use crate::stage::Setting;

pub(super) const ROWS: [Row; 2] = [
    Row::of_processes("row_17_disk_of_the_broker_full", broker_disk_full),
    Row::of_processes("row_32_disk_of_the_database_full", database_disk_full),
];

const LIMIT: Duration = Duration::from_secs(6);

fn broker_disk_full(ground: &Ground) {
    let Some(disk) = SmallDisk::new("row-17", "96m") else {
        return;
    };
    let options = RabbitmqOptions::new(&ground.programs())
        .heartbeat(Duration::from_secs(5))
        .storage(Storage::Kept(disk.path().to_owned()))
        // Too little for the alarm of row 15, which would come first.
        .conf("disk_free_limit.absolute = 1000");
    let broker = ground.block_on(RabbitmqServer::start(options));
    let broker = broker.expect("a broker");
    let url = broker.url();
    let stage = Setting::new(ground, "row-17")
        .all(|system| system.variable("ADTALLY_AMQP_URL", url))
        .start();
    let traffic = stage.traffic();
    // Confirmed and not yet stored: what the disk has to give back.
    stage.worker().freeze();
    traffic.until_accepted(300);
    let filler = disk.fill();
    until("the broker confirms no more and the spool fills", || {
        (stage.api.process().metric("adtally_spool_events") > 0.0).then_some(())
    });
    traffic.until_accepted(100);
    drop(filler);
    // The log of quorum queues does not get over a write that failed: its supervisor restarts it.
    ground
        .block_on(broker.restart())
        .expect("the broker starts again");
    stage.worker().thaw();
    until_all_is_well(&stage, &traffic);
    let reckoning = stage.end(traffic, LIMIT);
    assert_eq!(reckoning.dead, 0, "a full disk makes no dead letters");
}

fn database_disk_full(ground: &Ground) {
    let Some(disk) = SmallDisk::new("row-32", "160m") else {
        return;
    };
    let options = PostgresOptions::new(&ground.programs())
        .storage(Storage::Kept(disk.path().to_owned()))
        .setting("min_wal_size", "32MB")
        .setting("max_wal_size", "48MB");
    let database = ground.block_on(PostgresServer::start(options));
    let database = Arc::new(database.expect("a database"));
    migrate(&database.url());
    let server = Arc::clone(&database);
    let psql = move |sql: &str| {
        let answer = server.psql_blocking("adtally", sql);
        answer.map_err(|error| error.to_string())
    };
    let url = database.url();
    let setting = Setting::new(ground, "row-32").workers(2);
    let stage = setting.all(|system| system.database(url, psql)).start();
    let traffic = stage.traffic();
    for _ in 0..ground.rounds() {
        let filler = disk.fill();
        until("the workers say what is wrong", || {
            let says = |process: &adtally_tests::Process| {
                !process.is_ready() && process.log().contains("No space left on device")
            };
            let mut workers = stage.workers.iter();
            workers.all(|worker| says(&worker.process())).then_some(())
        });
        traffic.until_accepted(200);
        drop(filler);
        if database.has_exited() {
            // It ends when it cannot write its log; a supervisor starts it again.
            let restarted = ground.block_on(database.restart());
            restarted.expect("the database starts again");
        }
        for worker in &stage.workers {
            worker.until_ready();
        }
        traffic.until_accepted(100);
    }
    let reckoning = stage.end(traffic, LIMIT);
    assert_eq!(reckoning.dead, 0, "a full disk makes no dead letters");
    assert!(stage.workers.iter().all(|worker| worker.restarts() == 0));
}
