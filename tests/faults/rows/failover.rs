//! The database's primary dies, and its standby takes over.

use std::sync::Arc;
use std::time::Duration;

use adtally_devstack::{PostgresOptions, PostgresServer};
use adtally_tests::{migrate, until};

use super::Row;
use crate::ground::Ground;
use crate::stage::Setting;

pub(super) const ROWS: [Row; 1] = [Row::of_processes(
    "row_34_primary_dies_and_its_standby_takes_over",
    primary_dies,
)];

const LIMIT: Duration = Duration::from_secs(5);

fn primary_dies(ground: &Ground) {
    let options = PostgresOptions::new(&ground.programs());
    // A commit counts once the standby has it.
    let primary = options
        .clone()
        .setting("synchronous_standby_names", "standby");
    // Until there is a standby, nothing could be committed.
    let primary = primary.setting("synchronous_commit", "local");
    let primary = Arc::new(
        ground
            .block_on(PostgresServer::start(primary))
            .expect("a primary"),
    );
    let standby = options.standby_of(&primary);
    let standby = Arc::new(
        ground
            .block_on(PostgresServer::start(standby))
            .expect("a standby"),
    );
    let alter = "ALTER ROLE adtally SET synchronous_commit = on";
    primary
        .psql_blocking("postgres", alter)
        .expect("commits wait from now on");
    until("the standby is in step", || {
        let state = "SELECT sync_state FROM pg_stat_replication";
        (primary.psql_blocking("postgres", state).ok()?.trim() == "sync").then_some(())
    });
    migrate(&primary.url());

    let at = |server: &PostgresServer| format!("127.0.0.1:{}", server.port());
    let both = format!("{},{}", at(&primary), at(&standby));
    let url = primary.url().replace(&at(&primary), &both);
    let url = format!("{url}?target_session_attrs=read-write");
    let (first, second) = (Arc::clone(&primary), Arc::clone(&standby));
    let psql = move |sql: &str| {
        let server = if first.has_exited() { &second } else { &first };
        server
            .psql_blocking("adtally", sql)
            .map_err(|error| error.to_string())
    };
    let setting = Setting::new(ground, "row-34").workers(2);
    let stage = setting.all(|system| system.database(url, psql)).start();
    let traffic = stage.traffic();
    traffic.until_accepted(300);
    primary.kill();
    until("the primary is gone", || primary.has_exited().then_some(()));
    traffic.until_accepted(100);
    standby
        .psql_blocking("postgres", "SELECT pg_promote()")
        .expect("the standby takes over");
    traffic.until_accepted(300);
    let reckoning = stage.end(traffic, LIMIT);
    assert_eq!(reckoning.dead, 0, "an outage makes no dead letters");
    assert!(stage.workers.iter().all(|worker| worker.restarts() == 0));
}
