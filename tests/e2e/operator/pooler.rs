//! PgBouncer between AdTally and its database.

use adtally_devstack::testing::PgBouncer;
use adtally_tests::{System, until};
use serde_json::json;

use super::ran::run;

fn pooler(pool_mode: &str, system: &System) -> PgBouncer {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let started = PgBouncer::start(pool_mode, system.database_url());
    runtime.block_on(started).unwrap()
}

#[test]
fn a_pooler_that_keeps_no_sessions_is_refused_by_every_program() {
    let system = System::builder("pooled").without_api();
    let pooler = pooler("transaction", &system);
    let variable = ("ADTALLY_DATABASE_URL", pooler.url());
    let processes = [
        ("adtally-api", "ADTALLY_BIND"),
        ("adtally-worker", "ADTALLY_HEALTH_BIND"),
        ("adtally-beat", "ADTALLY_HEALTH_BIND"),
    ]
    .map(|(program, bind)| system.start_with(program, bind, &[variable]));
    for process in &processes {
        let ended = until("a process gives up", || process.exit_status());
        let log = process.log();
        assert_eq!(ended.code(), Some(78), "{log}");
        assert!(log.contains("pool_mode = session"), "{log}");
    }
    for args in [["migrate"], ["audit"]] {
        let ran = run("adtally", &args, &[variable]);
        assert_eq!(ran.code, Some(78), "{ran:?}");
        assert!(ran.err.contains("pool_mode = session"), "{ran:?}");
    }
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(system.count(locks), 0, "nothing is left behind");
}

#[test]
fn a_pooler_that_keeps_sessions_does_no_harm() {
    let system = System::builder("sessions").start();
    let pooler = pooler("session", &system);
    let variable = ("ADTALLY_DATABASE_URL", pooler.url());
    let ran = run("adtally", &["migrate"], &[variable]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let worker = system.start_with("adtally-worker", "ADTALLY_HEALTH_BIND", &[variable]);
    let _worker = worker.ready();
    system.accept(&json!([{"ad_id": 42, "kind": "click"}]));
    system.wait_for_events(1);
}
