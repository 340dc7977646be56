use clap::{CommandFactory, Parser};

use super::*;
use crate::ExitKind;

#[derive(Debug, Parser)]
struct Process {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    broker: BrokerArgs,
}

fn parse(args: &[&str]) -> Process {
    Process::try_parse_from([&["process"], args].concat()).unwrap()
}

#[test]
fn urls_are_checked_before_anything_starts_and_never_shown() {
    for (args, hint) in [
        (["--database-url", "mysql://u:hunter2@h/d"], "scheme"),
        (["--database-url", "hunter2"], "no URL"),
        (
            ["--database-url", "postgres://u:hunter2@h:port/d"],
            "no URL",
        ),
    ] {
        let failure = parse(&args).database.resolve().unwrap_err();
        assert_eq!(failure.kind, ExitKind::Configuration);
        assert!(failure.message.contains(hint), "{failure}");
        assert!(!failure.message.contains("hunter2"), "{failure}");
    }
    let failure = parse(&["--amqp-url", "http://h"])
        .broker
        .resolve()
        .unwrap_err();
    assert!(failure.message.contains("--amqp-url") && failure.message.contains("amqp://"));
}

#[test]
fn a_missing_url_names_the_flag_and_the_variable() {
    let failure = parse(&[]).database.resolve().unwrap_err();
    assert_eq!(failure.kind, ExitKind::Usage);
    assert!(
        failure.message.contains("--database-url")
            && failure.message.contains("ADTALLY_DATABASE_URL")
    );
}

#[test]
fn several_brokers_and_several_database_hosts_are_taken() {
    let process = parse(&[
        "--amqp-url",
        "amqp://a,amqp://b",
        "--amqp-url",
        "amqps://c/v",
        "--database-url",
        "postgres://u@h1:1,h2:2/d?target_session_attrs=read-write",
    ]);
    assert_eq!(process.broker.resolve().unwrap().urls.len(), 3);
    assert!(process.database.resolve().is_ok());
}

#[test]
fn secrets_may_come_from_files() {
    let file = std::env::temp_dir().join(format!("adtally-url-{}", std::process::id()));
    std::fs::write(&file, "postgres://u:p@h/d\n").unwrap();
    let process = parse(&["--database-url-file", file.to_str().unwrap()]);
    assert_eq!(
        process.database.resolve().unwrap().url.expose(),
        "postgres://u:p@h/d"
    );
    std::fs::remove_file(file).unwrap();
    let gone = parse(&["--database-url-file", "/nonexistent/url"])
        .database
        .resolve()
        .unwrap_err();
    assert!(gone.message.contains("--database-url-file"), "{gone}");
}

#[test]
fn help_names_every_variable_and_shows_no_secret() {
    let help = Process::command().render_long_help().to_string();
    for name in [
        "ADTALLY_DATABASE_URL",
        "ADTALLY_DATABASE_URL_FILE",
        "ADTALLY_AMQP_URL",
        "ADTALLY_PREFIX",
    ] {
        assert!(help.contains(name), "{name}");
    }
}

#[test]
fn an_empty_value_counts_as_unset_and_two_sources_are_refused() {
    let empty = parse(&["--database-url", "", "--amqp-url", ""]);
    assert!(!empty.database.is_given() && !empty.broker.is_given());
    let failure = empty.broker.resolve().unwrap_err();
    assert!(failure.message.contains("ADTALLY_AMQP_URL"), "{failure}");

    let both = parse(&[
        "--database-url",
        "postgres://u:p@h/d",
        "--database-url-file",
        "/f",
    ]);
    let failure = both.database.resolve().unwrap_err();
    assert_eq!(failure.kind, ExitKind::Usage);
    assert!(failure.message.ends_with("keep one"), "{failure}");

    let files = parse(&["--database-url-file", "", "--amqp-url-file", ""]);
    assert!(!files.database.is_given() && !files.broker.is_given());

    let one = parse(&["--database-url", "", "--database-url-file", "/nonexistent"]);
    assert!(one.database.is_given());
    assert_eq!(
        one.database.resolve().unwrap_err().kind,
        ExitKind::Configuration
    );
}

#[test]
fn a_switch_takes_what_people_write_and_nothing_else() {
    for (text, expected) in [
        ("1", Some(true)),
        ("Yes", Some(true)),
        ("true", Some(true)),
        ("0", Some(false)),
        ("no", Some(false)),
        ("FALSE", Some(false)),
        ("", Some(false)),
        ("flase", None),
        ("2", None),
    ] {
        assert_eq!(switch(text).ok(), expected, "{text:?}");
    }
}

#[test]
fn prefixes_are_checked() {
    for (prefix, fine) in [
        ("adtally", true),
        ("a.b_c-1", true),
        ("Upper", false),
        ("", false),
    ] {
        let args = ["process", "--prefix", prefix];
        assert_eq!(Process::try_parse_from(args).is_ok(), fine, "{prefix:?}");
    }
    let long = "x".repeat(65);
    assert!(Process::try_parse_from(["process", "--prefix", &long]).is_err());
}
