//! Configuration that makes no sense: told at once, whatever else is wrong.

use adtally_tests::{System, programs};
use std::net::TcpListener;

use super::ran::{NOBODY, SECRET, run};

/// Every program that needs a database, with what comes before its flags.
const WITH_DATABASE: [(&str, &[&str]); 6] = [
    ("adtally-api", &[]),
    ("adtally-worker", &[]),
    ("adtally-beat", &[]),
    ("adtally", &["migrate"]),
    ("adtally", &["audit"]),
    ("adtally", &["stats"]),
];
const DAEMONS: [(&str, &str); 3] = [
    ("adtally-api", "--bind"),
    ("adtally-worker", "--health-bind"),
    ("adtally-beat", "--health-bind"),
];

fn args<'a>(before: &[&'a str], flags: &[&'a str]) -> Vec<&'a str> {
    [before, flags].concat()
}

#[test]
fn a_flag_that_does_not_exist_is_told_with_exit_code_2() {
    for (program, command) in WITH_DATABASE {
        run(program, &args(command, &["--no-such-flag"]), &[]).made_no_sense(&["--no-such-flag"]);
    }
    run("adtally", &["frobnicate"], &[]).made_no_sense(&["frobnicate"]);
    for command in ["dev", "import", "load", "completions"] {
        run("adtally", &[command, "--no-such-flag"], &[]).made_no_sense(&["--no-such-flag"]);
    }
    for flag in [
        "--max-event-age",
        "--final-after",
        "--trusted-proxies",
        "--http-workers",
    ] {
        run("adtally-api", &[flag, "soon"], &[]).made_no_sense(&[flag, "soon"]);
    }
    for (program, flag) in DAEMONS {
        run(program, &[flag, "nowhere"], &[]).made_no_sense(&[flag, "nowhere"]);
        run(program, &["--prefix", "Über"], &[]).made_no_sense(&["--prefix"]);
        run(program, &["--database-pool-size", "0"], &[]).made_no_sense(&["--database-pool-size"]);
    }
    run("adtally", &["load", "--rate", "0"], &[]).made_no_sense(&["--rate"]);
}

#[test]
fn an_address_that_is_missing_is_asked_for() {
    let database = format!("postgres://{NOBODY}/d");
    for (program, command) in WITH_DATABASE {
        run(program, command, &[]).gave_up(2, &["--database-url", "ADTALLY_DATABASE_URL"]);
        // Compose files set variables to nothing.
        let empty = [("ADTALLY_DATABASE_URL", ""), ("ADTALLY_AMQP_URL", "")];
        run(program, command, &empty).gave_up(2, &["--database-url", "ADTALLY_DATABASE_URL"]);
        let both = [
            ("ADTALLY_DATABASE_URL", database.as_str()),
            ("ADTALLY_DATABASE_URL_FILE", "/dev/null"),
        ];
        run(program, command, &both).gave_up(2, &["--database-url", "keep one"]);
    }
    for (program, _) in DAEMONS {
        let flags = ["--database-url", &database];
        run(program, &flags, &[]).gave_up(2, &["--amqp-url", "ADTALLY_AMQP_URL"]);
    }
}

#[test]
fn a_malformed_address_is_named_by_its_flag_and_never_shown() {
    let amqp = format!("amqp://{NOBODY}");
    let database = format!("postgres://{NOBODY}/d");
    let malformed = |scheme: &str| {
        [
            format!("mysql://u:{SECRET}@h/d"),
            format!("http://u:{SECRET}@h/d"),
            format!("{scheme}//u:{SECRET}@h/d"),
            format!("u:{SECRET}@h:5432/d"),
            format!("{scheme}://u:{SECRET}@h:99999999/d"),
            SECRET.to_owned(),
        ]
    };
    for (program, command) in WITH_DATABASE {
        for url in malformed("postgres") {
            let flags = ["--database-url", &url, "--amqp-url", &amqp];
            let flags = if command.is_empty() {
                &flags[..]
            } else {
                &flags[..2]
            };
            run(program, &args(command, flags), &[]).gave_up(78, &["--database-url"]);
            let variables = [
                ("ADTALLY_DATABASE_URL", url.as_str()),
                ("ADTALLY_AMQP_URL", &amqp),
            ];
            run(program, command, &variables).gave_up(78, &["--database-url"]);
        }
        let missing = ["--database-url-file", "/no/such/file"];
        run(program, &args(command, &missing), &[])
            .gave_up(78, &["--database-url-file", "/no/such/file"]);
        let empty = ["--database-url-file", "/dev/null"];
        run(program, &args(command, &empty), &[]).gave_up(78, &["--database-url-file", "empty"]);
    }
    for (program, _) in DAEMONS {
        for url in malformed("amqp") {
            let flags = ["--database-url", &database, "--amqp-url", &url];
            run(program, &flags, &[]).gave_up(78, &["--amqp-url"]);
        }
        let second = format!("{amqp},http://u:{SECRET}@h");
        let flags = ["--database-url", &database, "--amqp-url", &second];
        run(program, &flags, &[]).gave_up(78, &["--amqp-url"]);
    }
}

#[test]
fn an_api_that_is_no_web_address_is_named_by_its_flag() {
    for command in ["load", "import", "stats"] {
        for url in ["ftp://u:hunter2@h", "nonsense", "http://", "http://[::1"] {
            let what: &[&str] = match command {
                "import" => &[
                    "import",
                    "/dev/null",
                    "--format",
                    "ndjson",
                    "--source",
                    "test",
                ],
                _ => &[command],
            };
            let flags = args(what, &["--api", url]);
            run("adtally", &flags, &[]).gave_up(78, &["--api"]);
        }
    }
}

#[test]
fn a_zone_that_does_not_exist_is_told_before_anything_is_asked() {
    let database = format!("postgres://{NOBODY}/d");
    let amqp = format!("amqp://{NOBODY}");
    for zone in [
        "Mars/Olympus",
        "UTC+3",
        "europe/berlin/x",
        "../../etc/passwd",
        "\u{1b}[31m",
    ] {
        let shown = zone.trim_start_matches('\u{1b}');
        for (program, _) in DAEMONS {
            let flags = [
                "--database-url",
                &database,
                "--amqp-url",
                &amqp,
                "--timezone",
                zone,
            ];
            run(program, &flags, &[]).gave_up(78, &["--timezone", shown]);
        }
        let flags = ["migrate", "--database-url", &database, "--timezone", zone];
        run("adtally", &flags, &[]).gave_up(78, &["--timezone", shown]);
        let nowhere = tempfile::tempdir().expect("a directory");
        let data = nowhere.path().join("data").display().to_string();
        let flags = [
            "dev",
            "--no-install",
            "--data-dir",
            &data,
            "--timezone",
            zone,
        ];
        run("adtally", &flags, &[]).gave_up(78, &["--timezone", shown]);
    }
}

#[test]
fn another_zone_than_the_stored_one_is_refused() {
    let system = System::builder("stored-zone")
        .timezone("Asia/Tehran")
        .start();
    let environment = system.environment();
    let mut variables: Vec<_> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    variables.retain(|(name, _)| *name != "ADTALLY_TIMEZONE");
    let stored = || system.sql("SELECT value FROM settings WHERE key = 'timezone'");
    adtally_tests::until("the zone is stored", || {
        (stored().trim() == "Asia/Tehran").then_some(())
    });
    for (program, bind) in DAEMONS {
        let flags = [bind, "127.0.0.1:0", "--timezone", "Europe/Berlin"];
        run(program, &flags, &variables).ended(78, &["Asia/Tehran", "Europe/Berlin"]);
    }
    let flags = ["migrate", "--timezone", "Europe/Berlin"];
    run("adtally", &flags, &variables).ended(78, &["Asia/Tehran", "Europe/Berlin"]);
    assert_eq!(stored().trim(), "Asia/Tehran");
}

#[test]
fn a_port_that_is_taken_is_told_by_its_address() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let database = format!("postgres://u:{SECRET}@{NOBODY}/d");
    let amqp = format!("amqp://u:{SECRET}@{NOBODY}");
    for (program, bind) in DAEMONS {
        let flags = [
            "--database-url",
            &database,
            "--amqp-url",
            &amqp,
            bind,
            &address,
        ];
        run(program, &flags, &[]).ended(69, &[&address, bind]);
    }
    drop(taken);
    assert!(programs::path("adtally").is_file());
}
