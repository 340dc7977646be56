mod hostile;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::testing::{FakeApi, Posted};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    import: ImportArgs,
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn csv(rows: usize) -> String {
    let rows = (1..=rows).map(|ad| format!("{ad},2026-11-22T06:00:00Z\n"));
    std::iter::once("ad,at\n".to_owned()).chain(rows).collect()
}

fn args(api: &str, file: &std::path::Path, more: &[&str]) -> ImportArgs {
    let file = file.to_str().unwrap();
    let flags = [
        "import",
        file,
        "--api",
        api,
        "--source",
        "test",
        "--kind",
        "click",
        "--ad-id-column",
        "ad",
        "--time-column",
        "at",
    ];
    Flags::parse_from(flags.iter().chain(more)).import
}

/// What an import wrote, and how it ended.
async fn import(args: &ImportArgs) -> (String, anyhow::Result<()>) {
    let mut out = Vec::new();
    let result = run(args, Shutdown::manual(), &mut out).await;
    (String::from_utf8(out).unwrap(), result)
}

/// The exit code an error leads to.
fn code(error: &anyhow::Error) -> u8 {
    error
        .downcast_ref::<Failure>()
        .map_or(1, |failure| failure.kind.code())
}

fn busy() -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .insert_header(("retry-after", "1"))
        .finish()
}

#[actix_web::test]
async fn every_row_is_sent_once_with_its_source() {
    let api = FakeApi::start(|_, posted| posted.accepted());
    let file = Files::new();
    let file = file.write("clicks.csv", csv(250));
    let (text, result) = import(&args(api.url(), &file, &["--batch", "100"])).await;
    result.unwrap();
    assert!(text.ends_with("250 accepted, 0 refused\n"), "{text}");
    let posted = api.posted();
    assert_eq!(posted.len(), 3);
    assert!(posted.iter().all(|request| request.source == "test"));
    let ids: BTreeSet<_> = posted.iter().flat_map(Posted::ids).collect();
    assert_eq!(ids.len(), 250);
}

#[actix_web::test]
async fn a_file_that_grew_sends_the_same_ids_for_its_old_rows() {
    let api = FakeApi::start(|_, posted| posted.accepted());
    let files = Files::new();
    let old = files.write("old.csv", csv(20));
    import(&args(api.url(), &old, &[])).await.1.unwrap();
    let new = csv(25).replace('\n', "\r\n");
    let new = files.write("new.txt", new);
    import(&args(api.url(), &new, &[])).await.1.unwrap();
    let posted = api.posted();
    assert_eq!(posted[0].ids(), posted[1].ids()[..20]);
}

#[actix_web::test]
async fn a_busy_api_gets_the_same_body_again_when_it_asked_for_it() {
    let api = FakeApi::start(|number, posted| match number {
        0 => busy(),
        1 => posted.judged(&[(1, "not_kept")]),
        _ => posted.accepted(),
    });
    let files = Files::new();
    let file = files.write("f.csv", csv(3));
    let started = Instant::now();
    let (text, result) = import(&args(api.url(), &file, &[])).await;
    result.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert!(text.ends_with("3 accepted, 0 refused\n"), "{text}");
    let posted = api.posted();
    assert_eq!(posted.len(), 3);
    assert!(posted.iter().all(|request| request.body == posted[0].body));
}

#[actix_web::test]
async fn rows_that_are_refused_are_named_by_their_lines() {
    let api = FakeApi::start(|_, posted| posted.judged(&[(1, "too_old")]));
    let files = Files::new();
    let text = "ad,at\n1,2026-11-22T06:00:00Z\nx,2026-11-22T06:00:00Z\n3,2026-11-22T06:00:00Z\n";
    let file = files.write("f.csv", text);
    let (text, result) = import(&args(api.url(), &file, &[])).await;
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "2 rows refused");
    assert_eq!(code(&error), 1);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("line 3: invalid_ad_id: "), "{text}");
    assert_eq!(lines[1], "line 4: too_old: as asked");
    assert!(lines[2].contains("--max-event-age"), "{text}");
    assert!(
        lines[3].ends_with("4 lines: 1 header, 0 blank, 0 within rows, 3 rows"),
        "{text}"
    );
    assert!(lines[4].ends_with("1 accepted, 2 refused"), "{text}");
}

#[actix_web::test]
async fn an_api_that_cannot_be_reached_is_given_up_within_ten_seconds() {
    let files = Files::new();
    let file = files.write("f.csv", csv(2));
    // Not the port of an API that has ended: another test's may be given it.
    let args = args("http://127.0.0.1:1", &file, &[]);
    let client = Client::new(
        args.sending.api.resolve().unwrap(),
        ClientOptions::default(),
    )
    .unwrap();
    let courier = Courier::new(
        client,
        "test".to_owned(),
        Duration::from_secs(60),
        Shutdown::manual(),
    );
    let batch = Batch {
        body: "[]".into(),
        lines: vec![2],
        ..Batch::default()
    };
    let started = Instant::now();
    let given_up = courier.deliver(batch).await.unwrap_err();
    // The last attempt may itself wait 8 s on a busy machine; the patience for busy servers is 60 s.
    assert!(started.elapsed() < Duration::from_secs(25));
    let GivenUp::Failed(failure) = given_up else {
        panic!("{given_up}");
    };
    assert_eq!(failure.kind.code(), 69);
}

#[actix_web::test]
async fn an_api_that_stays_busy_is_given_up_after_the_patience() {
    let api = FakeApi::start(|_, _| busy());
    let files = Files::new();
    let file = files.write("f.csv", csv(2));
    let (_, result) = import(&args(api.url(), &file, &["--patience", "2s"])).await;
    let error = result.unwrap_err();
    assert_eq!(code(&error), 69);
    assert!(
        error.to_string().contains("kept nothing for 2 s"),
        "{error}"
    );
}

#[actix_web::test]
async fn nothing_is_sent_to_an_api_that_is_not_there() {
    let files = Files::new();
    let file = files.write("f.csv", csv(2));
    let (text, result) = import(&args("http://127.0.0.1:1", &file, &[])).await;
    assert_eq!(code(&result.unwrap_err()), 69);
    assert_eq!(text, "");
}

#[actix_web::test]
async fn an_import_that_is_stopped_says_how_far_it_came() {
    let shutdown = Shutdown::manual();
    let stop = shutdown.clone();
    let api = FakeApi::start(move |number, posted| {
        if number == 3 {
            stop.trigger();
        }
        posted.accepted()
    });
    let files = Files::new();
    let file = files.write("f.csv", csv(10_000));
    let args = args(api.url(), &file, &["--batch", "10", "--in-flight", "1"]);
    let mut out = Vec::new();
    let error = run(&args, shutdown, &mut out).await.unwrap_err();
    let text = String::from_utf8(out).unwrap();
    assert!(
        error.to_string().contains("stopped before all rows"),
        "{error}"
    );
    assert!(
        text.contains("40 accepted") || text.contains("50 accepted"),
        "{text}"
    );
}

/// A pipe, and an end to write it with once somebody reads it.
fn pipe(files: &Files) -> (PathBuf, std::thread::JoinHandle<std::fs::File>) {
    let path = files.0.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let end = path.clone();
    let open = move || std::fs::OpenOptions::new().write(true).open(end).unwrap();
    (path, std::thread::spawn(open))
}

#[actix_web::test]
async fn an_import_from_a_silent_pipe_ends_when_it_is_stopped() {
    let api = FakeApi::start(|_, posted| posted.accepted());
    for text in [
        "",
        "ad,at\n1,2026-11-22T06:00:00Z\n2,2026-11-22T06:00:00Z\n",
    ] {
        let files = Files::new();
        let (path, writer) = pipe(&files);
        let shutdown = Shutdown::manual();
        let args = args(api.url(), &path, &["--batch", "2"]);
        let stop = shutdown.clone();
        let silent = async {
            while !writer.is_finished() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let mut writer = writer.join().unwrap();
            writer.write_all(text.as_bytes()).unwrap();
            while !text.is_empty() && api.posted().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            stop.trigger();
            writer
        };
        let mut out = Vec::new();
        let run = tokio::time::timeout(Duration::from_secs(30), run(&args, shutdown, &mut out));
        let (ended, _writer) = tokio::join!(run, silent);
        let error = ended.expect("it ends").unwrap_err().to_string();
        assert!(error.contains("stopped before all rows"), "{error}");
    }
}

#[actix_web::test]
async fn an_api_that_is_not_there_is_told_of_before_a_pipe_says_anything() {
    let files = Files::new();
    let (path, writer) = pipe(&files);
    let args = args("http://127.0.0.1:1", &path, &[]);
    let ended = tokio::time::timeout(Duration::from_secs(30), import(&args)).await;
    assert_eq!(code(&ended.expect("it ends").1.unwrap_err()), 69);
    drop(writer.join().unwrap());
}

#[actix_web::test]
async fn an_address_that_is_no_api_ends_the_import() {
    let api = FakeApi::start(|_, _| HttpResponse::NotFound().finish());
    let files = Files::new();
    let file = files.write("f.csv", csv(2));
    let (_, result) = import(&args(api.url(), &file, &[])).await;
    let error = result.unwrap_err();
    assert_eq!(code(&error), 1);
    assert!(error.to_string().contains("line 2 (404)"), "{error}");
}

#[actix_web::test]
async fn ndjson_events_are_sent_as_they_are() {
    let api = FakeApi::start(|_, posted| posted.accepted());
    let files = Files::new();
    let file = files.write(
        "f",
        "{\"ad_id\":1,\"event_id\":\"a\",\"occurred_at\":\"x\"}\n",
    );
    import(&args(api.url(), &file, &[])).await.1.unwrap();
    let expected = serde_json::json!(
        {"ad_id": 1, "event_id": "a", "occurred_at": "x", "kind": "click"}
    );
    assert_eq!(api.posted()[0].events, [expected]);
}

/// The numbers of a summary in their order: lines, header, blank, within rows, rows; then accepted,
/// repeated, refused.
fn numbers(text: &str) -> (Vec<u64>, [u64; 3]) {
    let text = text.replace(',', "");
    let mut last: Vec<&str> = text.lines().rev().take(2).collect();
    last.reverse();
    let number = |part: &str| part.split_whitespace().find_map(|word| word.parse().ok());
    let (_, lines) = last[0].split_once(": ").unwrap();
    let lines = lines
        .split_whitespace()
        .filter_map(|word| word.parse().ok());
    let (_, rows) = last[1].rsplit_once("): ").unwrap();
    let before = |word: &str| {
        let (head, _) = rows.split_once(word)?;
        let head: Vec<_> = head.split_whitespace().collect();
        number(head.last()?)
    };
    let counts = ["accepted", "repeated", "refused"];
    (
        lines.collect(),
        counts.map(|word| before(word).unwrap_or(0)),
    )
}

#[actix_web::test]
async fn every_line_is_accepted_repeated_refused_or_no_row() {
    let api = FakeApi::start(|_, posted| match posted.events.len() {
        0..2 => posted.accepted(),
        _ => posted.judged(&[(1, "too_old")]),
    });
    let files = Files::new();
    let time = "2026-11-22T06:00:00Z";
    let text = format!(
        "\n\nad,at,id,note\n1,{time},a,\n1,{time},b,\n1,{time},a,\n\n2,{time},a,\"x\ny\n\"\n\
         x,{time},,\n1,{time},,\"stray\n1,{time},,\n1,{time},,\n1,{time}\n1,{time},NULL,"
    );
    let file = files.write("f.csv", &text);
    let flags = ["--event-id-column", "id", "--batch", "100"];
    let (out, result) = import(&args(api.url(), &file, &flags)).await;
    assert_eq!(result.unwrap_err().to_string(), "5 rows refused", "{out}");
    let (lines, rows) = numbers(&out);
    assert_eq!(lines, [16, 1, 3, 2, 10], "{out}");
    assert_eq!(rows, [4, 1, 5], "{out}");
    assert_eq!(text.lines().count(), 16);
    for refused in [
        "line 5: too_old",
        "line 11: invalid_ad_id",
        "line 12: invalid_quotes",
        "line 15: invalid_row",
        "line 16: invalid_event_id",
    ] {
        assert!(out.contains(refused), "{out}");
    }
}

#[actix_web::test]
async fn a_file_of_nothing_but_names_says_so() {
    let api = FakeApi::start(|_, posted| posted.accepted());
    let files = Files::new();
    let file = files.write("f.csv", "ad,at\n");
    let (out, result) = import(&args(api.url(), &file, &[])).await;
    result.unwrap();
    assert_eq!(numbers(&out), (vec![1, 1, 0, 0, 0], [0, 0, 0]), "{out}");
    assert!(api.posted().is_empty());
}

#[actix_web::test]
async fn a_row_too_long_for_a_request_costs_itself_only() {
    let api = FakeApi::start(|_, posted| posted.accepted());
    let files = Files::new();
    let time = "2026-11-22T06:00:00Z";
    // Each NUL takes six bytes of JSON: more than a request may have.
    let nuls = "\0".repeat(900_000);
    let file = files.write("f.csv", format!("ad,at,x\n1,{time},{nuls}\n2,{time},\n"));
    let (out, result) = import(&args(api.url(), &file, &["--placement-column", "x"])).await;
    assert!(result.is_err());
    assert!(out.starts_with("line 2: too_long: "), "{out}");
    assert_eq!(numbers(&out).1, [1, 0, 1], "{out}");
}
