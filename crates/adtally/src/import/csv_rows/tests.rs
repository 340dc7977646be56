use std::io;

use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::import::args::CsvArgs;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    csv: CsvArgs,
}

const FLAGS: &str = "--ad-id-column app --time-column at --time-format %Y-%m-%dT%H:%M";

fn open(text: &[u8], flags: &str, label: &str) -> Result<CsvRows, InputError> {
    let flags = Flags::parse_from(std::iter::once("x").chain(flags.split(' '))).csv;
    let plan = CsvPlan {
        name: "f.csv".to_owned(),
        delimiter: flags.delimiter,
        kind: Some(EventKind::Click),
        times: TimeReader::new(&flags.time_format, flags.time_zone).unwrap(),
        ids: RowIds::new(label),
    };
    let text = Box::new(io::Cursor::new(text.to_vec()));
    CsvRows::open(text, plan, |header| Columns::find(header, &flags))
}

/// Line, and event or code, of each row.
fn rows(text: &[u8], flags: &str) -> Vec<(u64, Result<Value, &'static str>)> {
    let mut rows = open(text, flags, "label").unwrap();
    let mut found = Vec::new();
    let mut json = Vec::new();
    while let Some(row) = rows.next(&mut json).unwrap() {
        let event = row.event.map(|()| serde_json::from_slice(&json).unwrap());
        found.push((row.line, event.map_err(|fault| fault.code)));
        json.clear();
    }
    found
}

fn event_ids(text: &[u8]) -> Vec<String> {
    let event_id = |(_, event): (u64, Result<Value, _>)| event.unwrap()["event_id"].to_string();
    rows(text, FLAGS).into_iter().map(event_id).collect()
}

#[test]
fn a_row_becomes_an_event() {
    let flags = format!("{FLAGS} --visitor-column who --ip-column ip --time-zone Asia/Tehran");
    let found = rows(b"app,at,who,ip\n7,2017-11-07T9:30,\"a,b\",\n", &flags);
    let (line, event) = &found[0];
    let mut event = event.clone().unwrap();
    let id = event.as_object_mut().unwrap().remove("event_id").unwrap();
    assert!(id.as_str().unwrap().starts_with("row-"));
    assert_eq!(*line, 2);
    assert_eq!(
        event,
        json!({"ad_id": 7, "kind": "click", "occurred_at": "2017-11-07T06:00:00Z", "visitor_id": "a,b"})
    );
}

#[test]
fn line_endings_do_not_change_ids_and_lines() {
    let unix = b"app,at\n7,2017-11-07T09:30\n7,2017-11-07T09:30\n\n8,2017-11-07T09:30";
    let dos = String::from_utf8_lossy(unix).replace('\n', "\r\n") + "\r\n";
    assert_eq!(rows(unix, FLAGS), rows(dos.as_bytes(), FLAGS));
    let lines: Vec<_> = rows(dos.as_bytes(), FLAGS)
        .iter()
        .map(|row| row.0)
        .collect();
    assert_eq!(lines, [2, 3, 5]);
}

#[test]
fn a_row_over_several_lines_is_named_by_its_first() {
    let text = b"app,at,x\r\n7,2017-11-07T09:30,\"a\r\nb\r\n\"\r\n\r\n7,soon,\"\r\n\"";
    let lines: Vec<_> = rows(text, FLAGS).iter().map(|row| row.0).collect();
    assert_eq!(lines, [2, 6]);
    let unix = String::from_utf8_lossy(text).replace('\r', "");
    assert_eq!(rows(text, FLAGS), rows(unix.as_bytes(), FLAGS));
}

#[test]
fn equal_rows_are_separate_events() {
    let ids = event_ids(b"app,at\n7,2017-11-07T09:30\n7,2017-11-07T09:30\n");
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn the_header_is_no_part_of_an_id() {
    let one = event_ids(b"app,at,x\n7,2017-11-07T09:30,1\n");
    let two = event_ids(b"app,at,y\n7,2017-11-07T09:30,1\n");
    assert_eq!(one, two);
}

#[test]
fn a_refused_row_names_its_line_and_leaves_the_others() {
    let text = b"app,at\nx,2017-11-07T09:30\n7,soon\n7\n7,2017-11-07T09:30\n7,\xff\n";
    let codes: Vec<_> = rows(text, FLAGS)
        .into_iter()
        .map(|(line, event)| (line, event.err()))
        .collect();
    assert_eq!(
        codes,
        [
            (2, Some("invalid_ad_id")),
            (3, Some("invalid_time")),
            (4, Some("invalid_row")),
            (5, None),
            (6, Some("invalid_text")),
        ]
    );
}

#[test]
fn a_column_that_is_not_there_is_named_with_those_that_are() {
    let error = open(b"ad,at\n", FLAGS, "l").err().unwrap().to_string();
    assert_eq!(
        error,
        "f.csv: it has no column \"app\": say with --ad-id-column which it is: ad, at"
    );
}

#[test]
fn a_row_may_bring_its_own_id_and_kind() {
    let flags = format!("{FLAGS} --event-id-column id --kind-column kind");
    let text = b"app,at,id,kind\n7,2017-11-07T09:30,a-1,impression\n7,2017-11-07T09:30,,\n";
    let found = rows(text, &flags);
    let first = found[0].1.clone().unwrap();
    assert_eq!(
        (&first["event_id"], &first["kind"]),
        (&json!("a-1"), &json!("impression"))
    );
    assert_eq!(found[1].1.clone().unwrap()["kind"], json!("click"));
}

#[test]
fn a_quote_that_is_never_closed_does_not_swallow_the_file() {
    let mut text = b"app,at\n7,2017-11-07T09:30\n7,\"".to_vec();
    text.resize(8 * 1024 * 1024, b'x');
    let mut rows = open(&text, FLAGS, "l").unwrap();
    let mut json = Vec::new();
    assert!(rows.next(&mut json).unwrap().is_some());
    let error = rows.next(&mut json).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read f.csv beyond line 2: "),
        "{error}"
    );
    assert!(error.contains("quote"), "{error}");
}
