//! API, worker and beat while a server is away: they say so once, stay, and come back by themselves.

use adtally_devstack::testing::TestStack;
use adtally_tests::{Process, System, until};

use super::gate::{Gate, Mode, host_of};
use super::ran::{NOBODY, SECRET};

const DAEMONS: [(&str, &str); 3] = [
    ("adtally-api", "ADTALLY_BIND"),
    ("adtally-worker", "ADTALLY_HEALTH_BIND"),
    ("adtally-beat", "ADTALLY_HEALTH_BIND"),
];

/// The lines of a log that report trouble.
fn troubles(process: &Process) -> Vec<String> {
    let log = process.log();
    let lines = log.lines().map(str::to_owned);
    lines
        .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
        .collect()
}

/// The process lives, is not ready, and says why in words that hold `word`.
fn waits_for(process: &Process, word: &str) {
    until(&format!("{} is said to be away", word), || {
        assert!(process.exit_status().is_none(), "ended: {}", process.log());
        let readiness = process.readiness()?;
        let says = String::from_utf8_lossy(&readiness.body).contains(word);
        (readiness.status == 503 && says).then_some(())
    });
    let live = adtally_tests::http::request(process.address, "GET", "/livez", &[], b"");
    assert_eq!(live.unwrap().status, 200);
}

fn is_decent(process: &Process) {
    let log = process.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(!log.contains(SECRET), "a secret shows: {log}");
    assert!(process.exit_status().is_none(), "ended: {log}");
}

#[test]
fn a_process_waits_for_its_broker_says_so_once_and_recovers() {
    let system = System::builder("broker-away").without_api();
    let real = TestStack::shared().amqp_url();
    let gate = Gate::new(host_of(&real), Mode::Refuse);
    let url = gate.before(&real);
    let host = gate.address.to_string();
    let processes = DAEMONS
        .map(|(program, bind)| system.start_with(program, bind, &[("ADTALLY_AMQP_URL", &url)]));
    for process in &processes {
        waits_for(process, &host);
    }
    let knocks = gate.knocks();
    until("each has tried a few times more", || {
        (gate.knocks() >= knocks + 12).then_some(())
    });
    for process in &processes {
        let told = of(&host, troubles(process));
        assert!(!told.is_empty(), "not told: {}", process.log());
        let mut different = told.clone();
        different.sort();
        different.dedup();
        assert_eq!(told.len(), different.len(), "told again: {told:#?}");
    }
    gate.set(Mode::Open);
    for process in processes {
        let process = process.ready();
        is_decent(&process);
    }
}

/// What lines that hold `word` say, without the time and who says it.
fn of(word: &str, lines: Vec<String>) -> Vec<String> {
    let lines = lines.into_iter().filter(|line| line.contains(word));
    lines
        .map(|line| {
            line.split_once("] ")
                .map_or(line.clone(), |(_, said)| said.to_owned())
        })
        .collect()
}

#[test]
fn a_process_waits_for_its_database_says_so_once_and_recovers() {
    let system = System::builder("database-away").without_api();
    let gate = Gate::new(host_of(system.database_url()), Mode::Refuse);
    let url = gate.before(system.database_url());
    let [api, worker, beat] = DAEMONS
        .map(|(program, bind)| system.start_with(program, bind, &[("ADTALLY_DATABASE_URL", &url)]));
    for process in [&worker, &beat] {
        waits_for(process, "PostgreSQL");
    }
    // Events are taken all the same: they wait in the broker.
    let api = api.ready();
    let knocks = gate.knocks();
    until("they have tried a few times more", || {
        (gate.knocks() >= knocks + 12).then_some(())
    });
    for process in [&api, &worker, &beat] {
        let told = of("PostgreSQL", troubles(process));
        assert_eq!(told.len(), 1, "{told:#?}");
    }
    gate.set(Mode::Open);
    for process in [worker, beat] {
        is_decent(&process.ready());
    }
    is_decent(&api);
}

#[test]
fn a_process_says_what_is_wrong_with_its_login_and_waits() {
    let system = System::builder("logins").without_api();
    let host = host_of(system.database_url());
    let (before, _) = system.database_url().rsplit_once('/').unwrap();
    let no_database = format!("{before}/no_such_database");
    let no_role = format!("postgres://nobody_at_all:{SECRET}@{host}/postgres");
    let broker = TestStack::shared().amqp_url();
    let wrong = format!("amqp://nobody_at_all:{SECRET}@{}", host_of(&broker));
    let no_vhost = format!(
        "{}/no-such-vhost",
        broker.trim_end_matches("/%2f").trim_end_matches('/')
    );
    let mut processes = Vec::new();
    for (program, bind) in DAEMONS {
        let mut cases = vec![
            ("ADTALLY_AMQP_URL", wrong.as_str(), "nobody_at_all"),
            ("ADTALLY_AMQP_URL", no_vhost.as_str(), "no-such-vhost"),
        ];
        // The API needs no database to be ready.
        if program != "adtally-api" {
            cases.push(("ADTALLY_DATABASE_URL", &no_database, "no_such_database"));
            cases.push(("ADTALLY_DATABASE_URL", &no_role, "nobody_at_all"));
        }
        for (variable, url, word) in cases {
            let process = system.start_with(program, bind, &[(variable, url)]);
            processes.push((process, word));
        }
    }
    for (process, word) in processes {
        waits_for(&process, word);
        until(&format!("the log tells of {word}"), || {
            let told = troubles(&process);
            told.iter().any(|line| line.contains(word)).then_some(())
        });
        is_decent(&process);
    }
}

#[test]
fn a_process_waits_for_tables_and_starts_when_they_are_made() {
    let database = TestStack::shared().database("no-tables");
    let system = System::builder("no-tables").without_api();
    let [_, worker, beat] = DAEMONS.map(|(program, bind)| {
        system.start_with(program, bind, &[("ADTALLY_DATABASE_URL", database.url())])
    });
    for process in [&worker, &beat] {
        waits_for(process, "adtally migrate");
    }
    let made = super::ran::run(
        "adtally",
        &["migrate", "--database-url", database.url()],
        &[],
    );
    assert_eq!(made.code, Some(0), "{made:#?}");
    for process in [worker, beat] {
        is_decent(&process.ready());
    }
}

#[test]
fn a_process_stops_at_once_while_all_its_servers_are_away() {
    let system = System::builder("nothing").without_api();
    let silent = Gate::new(NOBODY, Mode::Silent);
    for host in [NOBODY.to_owned(), silent.address.to_string()] {
        let (amqp, database) = (
            format!("amqp://u:{SECRET}@{host}"),
            format!("postgres://u:{SECRET}@{host}/d"),
        );
        let away = [
            ("ADTALLY_AMQP_URL", amqp.as_str()),
            ("ADTALLY_DATABASE_URL", database.as_str()),
        ];
        for (program, bind) in DAEMONS {
            let process = system.start_with(program, bind, &away);
            waits_for(&process, "ready");
            is_decent(&process);
            let asked = std::time::Instant::now();
            let log = process.log();
            assert!(process.stop().success(), "{log}");
            assert!(
                asked.elapsed() < std::time::Duration::from_secs(20),
                "{program}: {log}"
            );
        }
    }
}
