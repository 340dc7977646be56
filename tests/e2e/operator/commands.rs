//! Commands whose servers are away, or are others than they take them for.

use adtally_devstack::testing::TestStack;
use adtally_tests::System;

use super::gate::{Gate, Mode, host_of};
use super::ran::{NOBODY, SECRET, run};

/// The commands that ask a database.
const OF_A_DATABASE: [&str; 3] = ["migrate", "audit", "stats"];

#[test]
fn a_command_gives_up_on_a_database_that_is_away() {
    let url = format!("postgres://u:{SECRET}@{NOBODY}/d");
    for command in OF_A_DATABASE {
        run("adtally", &[command, "--database-url", &url], &[]).gave_up(69, &[NOBODY]);
    }
    let silent = Gate::new(NOBODY, Mode::Silent);
    let turned_away = Gate::new(NOBODY, Mode::Refuse);
    std::thread::scope(|scope| {
        for gate in [&silent, &turned_away] {
            for command in OF_A_DATABASE {
                let url = gate.before(&url);
                scope.spawn(move || {
                    let host = host_of(&url).to_owned();
                    run("adtally", &[command, "--database-url", &url], &[]).gave_up(69, &[&host]);
                });
            }
        }
    });
}

#[test]
fn a_command_says_which_database_or_role_does_not_exist() {
    let url = TestStack::shared().database("operator").url().to_owned();
    let (before, _) = url.rsplit_once('/').unwrap();
    let no_database = format!("{before}/no_such_database");
    let host = host_of(&url);
    let no_role = format!("postgres://nobody_at_all:{SECRET}@{host}/postgres");
    for command in OF_A_DATABASE {
        run("adtally", &[command, "--database-url", &no_database], &[])
            .gave_up(69, &["no_such_database"]);
        run("adtally", &[command, "--database-url", &no_role], &[]).gave_up(69, &["nobody_at_all"]);
    }
}

#[test]
fn a_command_says_that_the_tables_are_missing_and_how_to_make_them() {
    let database = TestStack::shared().database("empty");
    for command in ["audit", "stats"] {
        let ran = run("adtally", &[command, "--database-url", database.url()], &[]);
        ran.gave_up(1, &["adtally migrate"]);
    }
    let ran = run(
        "adtally",
        &["migrate", "--database-url", database.url()],
        &[],
    );
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let ran = run("adtally", &["audit", "--database-url", database.url()], &[]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
}

#[test]
fn a_command_gives_up_on_an_api_that_is_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("events.ndjson");
    std::fs::write(
        &file,
        "{\"ad_id\": 1, \"kind\": \"click\", \"occurred_at\": \"2026-11-22T06:00:00Z\"}\n",
    )
    .unwrap();
    let file = file.display().to_string();
    let commands: [&[&str]; 3] = [
        &["load", "--rate", "10", "--duration", "1s"],
        &["import", &file, "--source", "test"],
        &["stats"],
    ];
    let silent = Gate::new(NOBODY, Mode::Silent);
    let turned_away = Gate::new(NOBODY, Mode::Refuse);
    let addresses = [
        NOBODY.to_owned(),
        silent.address.to_string(),
        turned_away.address.to_string(),
    ];
    std::thread::scope(|scope| {
        for address in &addresses {
            for command in commands {
                scope.spawn(move || {
                    let url = format!("http://{address}");
                    let flags = [command, &["--api", &url]].concat();
                    run("adtally", &flags, &[]).gave_up(69, &[address]);
                });
            }
        }
    });
    let missing = "/no/such/file.ndjson";
    let missing = [
        "import",
        missing,
        "--source",
        "test",
        "--api",
        "http://127.0.0.1:1",
    ];
    run("adtally", &missing, &[]).gave_up(1, &["/no/such/file.ndjson"]);
}

#[test]
fn an_audit_without_its_broker_says_so_and_still_audits() {
    let system = System::builder("audit-alone").without_api();
    let amqp = format!("amqp://u:{SECRET}@{NOBODY}");
    let flags = [
        "audit",
        "--json",
        "--database-url",
        system.database_url(),
        "--amqp-url",
        &amqp,
    ];
    let ran = run("adtally", &flags, &[]);
    let report: serde_json::Value = serde_json::from_str(&ran.out).expect("a report");
    let told = report["queued_unknown"].as_str().unwrap_or_default();
    assert!(ran.code == Some(0) && told.contains(NOBODY), "{ran:#?}");
    assert!(
        !ran.out.contains(SECRET) && !ran.err.contains(SECRET),
        "{ran:#?}"
    );
}
