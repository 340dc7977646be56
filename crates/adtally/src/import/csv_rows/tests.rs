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
        quoting: flags.quoting,
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
        let event = row.event.map(|_| serde_json::from_slice(&json).unwrap());
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
fn a_quote_that_is_never_closed_costs_its_own_line() {
    let mut text = b"app,at\n7,2017-11-07T09:30\n7,\"".to_vec();
    text.resize(text.len() + 1_000, b'x');
    text.extend(b"\n8,2017-11-07T09:30\n7,\"");
    text.resize(8 * 1024 * 1024, b'x');
    text.extend(b"\n9,2017-11-07T09:30\n");
    let codes: Vec<_> = rows(&text, FLAGS)
        .into_iter()
        .map(|(line, event)| (line, event.err()))
        .collect();
    assert_eq!(
        codes,
        [
            (2, None),
            (3, Some("invalid_quotes")),
            (4, None),
            (5, Some("too_long")),
            (6, None)
        ]
    );
}

/// A file of twelve rows in whose last column two values begin with a quote.
fn stray(delimiter: char, first: bool) -> Vec<u8> {
    let mut text = format!("app{delimiter}at{delimiter}keyword\n");
    if first {
        text = format!("keyword{delimiter}app{delimiter}at\n");
    }
    for row in 0..12 {
        let keyword = if row == 2 || row == 9 {
            "\"24 inch monitor"
        } else {
            "cheap flights"
        };
        let rest = format!("{}{delimiter}2017-11-07T09:{row:02}", 1_600 + row);
        let line = if first {
            format!("{keyword}{delimiter}{rest}\n")
        } else {
            format!("{rest}{delimiter}{keyword}\n")
        };
        text.push_str(&line);
    }
    text.into_bytes()
}

#[test]
fn stray_quotes_swallow_no_row() {
    for first in [false, true] {
        for (delimiter, flag, quoting, lines) in [
            ('\t', "tab", "auto", [].as_slice()),
            ('\t', "tab", "none", &[]),
            ('\t', "tab", "csv", &[4, 11]),
            (',', ",", "auto", &[4, 11]),
            (',', ",", "csv", &[4, 11]),
            (',', ",", "none", &[]),
        ] {
            let flags = format!(
                "{FLAGS} --delimiter {flag} --quoting {quoting} --placement-column keyword"
            );
            let found = rows(&stray(delimiter, first), &flags);
            let refused: Vec<_> = found
                .iter()
                .filter(|row| row.1.is_err())
                .map(|row| row.0)
                .collect();
            assert_eq!((found.len(), refused.as_slice()), (12, lines), "{flags}");
            if lines.is_empty() {
                let third = found[2].1.clone().unwrap();
                assert_eq!(third["placement"], json!("\"24 inch monitor"), "{flags}");
            }
        }
    }
}

#[test]
fn quotes_that_come_out_even_over_lines_that_are_rows_join_none() {
    // The last column of line 2 opens, the last of line 4 closes: one row, as RFC 4180 has it.
    let last = b"app,at,x\n7,2017-11-07T09:30,\"a\n8,2017-11-07T09:31,b\n9,2017-11-07T09:32,c\"\n";
    let lines = |text: &[u8]| -> Vec<_> {
        rows(text, FLAGS)
            .into_iter()
            .map(|(line, event)| (line, event.is_ok()))
            .collect()
    };
    assert_eq!(lines(last), [(2, false), (3, true), (4, true)]);
    // The first column of line 2 opens, the first of line 3 closes.
    let first = b"x,app,at\n\"a,7,2017-11-07T09:30\nb\",8,2017-11-07T09:31\n";
    assert_eq!(lines(first), [(2, false), (3, true)]);
    // Text over several lines, in the first column and in the last one, is text.
    let text = b"x,app,at\n\"a\nb, c\nd\",7,2017-11-07T09:30\n";
    assert_eq!(lines(text), [(2, true)]);
    let text = b"app,at,x\n7,2017-11-07T09:30,\"a, b\n\nc \"\"d\"\"\"\n";
    assert_eq!(lines(text), [(2, true)]);
}

#[test]
fn what_looks_like_the_end_of_a_file_or_row_is_not() {
    for (text, expected) in [
        (
            b"app,at\n7,2017-11-07T09:30\x1a\n8,2017-11-07T09:30\n\x1a".as_slice(),
            vec![false, true, false],
        ),
        (
            b"app,at,x\n7,2017-11-07T09:30,a\0b\n8,2017-11-07T09:30,\0\n\0\0\0",
            vec![true, true, false],
        ),
        (
            "app,at,x\n7,2017-11-07T09:30,a\u{2028}b\u{85}\u{b}\u{c}\n".as_bytes(),
            vec![true],
        ),
        (
            b"app,at,x,y,z\n7,2017-11-07T09:30,a\r8,2017-11-07T09:31,b\n",
            vec![false],
        ),
        (
            b"app,at\r\n7,2017-11-07T09:30\r\r\n8,2017-11-07T09:30",
            vec![true, true],
        ),
        (b"app,at,x\n7,2017-11-07T09:30,\"a\rb\"\n", vec![true]),
    ] {
        let found: Vec<_> = rows(text, FLAGS)
            .into_iter()
            .map(|row| row.1.is_ok())
            .collect();
        assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(text));
    }
    let error = open(b"app,at\r7,2017-11-07T09:30\r", FLAGS, "l")
        .err()
        .unwrap();
    assert!(error.to_string().contains("carriage return"), "{error}");
    let error = open(b"app,at,\"x\n7,2017-11-07T09:30,\"\n", FLAGS, "l")
        .err()
        .unwrap();
    assert!(error.to_string().contains("first line"), "{error}");
}

#[test]
fn placeholders_for_nothing_are_nothing_and_never_an_id() {
    let flags = format!(
        "{FLAGS} --visitor-column who --ip-column ip --event-id-column id --kind-column kind"
    );
    let mut text = "app,at,who,ip,id,kind\n".to_owned();
    for null in ["", "NULL", "null", "\\N", "-", "n/a", "N/A", " - "] {
        text += &format!("7,2017-11-07T09:30,{null},{null},a-1,{null}\n");
    }
    for (_, event) in rows(text.as_bytes(), &flags) {
        let event = event.unwrap();
        assert_eq!(
            (event.get("visitor_id"), event.get("ip")),
            (None, None),
            "{event}"
        );
    }
    for id in ["NULL", "\\N", "-", "1.5E+12", "\u{feff}a-1"] {
        let text = format!("app,at,who,ip,id,kind\n7,2017-11-07T09:30,,,{id},\n");
        assert!(rows(text.as_bytes(), &flags)[0].1.is_err(), "{id}");
    }
    let said = rows(
        b"app,at,who,ip,id,kind\n7,2017-11-07T09:30,NULL,nil,nil,\n",
        &format!("{flags} --null nil"),
    );
    let event = said[0].1.clone().unwrap();
    assert_eq!(
        (&event["visitor_id"], event.get("ip")),
        (&json!("NULL"), None)
    );
    assert!(event["event_id"].as_str().unwrap().starts_with("row-"));
}

#[test]
fn a_row_has_one_id_however_its_quotes_are_read() {
    let text = b"app\tat\tx\n7\t2017-11-07T09:30\t\"a\"b\n7\t2017-11-07T09:30\t\"c\"\n";
    let ids = |quoting: &str| -> Vec<String> {
        let flags = format!("{FLAGS} --delimiter tab --quoting {quoting}");
        rows(text, &flags)
            .into_iter()
            .map(|row| row.1.unwrap()["event_id"].to_string())
            .collect()
    };
    assert_eq!(ids("auto"), ids("none"));
    let known =
        RowIds::new("label").next([b"7".as_slice(), b"2017-11-07T09:30", b"ab"].into_iter());
    assert_eq!(ids("none")[0], json!(known).to_string());
}

#[test]
fn files_as_spreadsheets_and_logs_write_them_are_read_or_refused_line_by_line() {
    let flags = |format: &str, more: &str| {
        let flags =
            format!("--ad-id-column\tapp\t--time-column\tat\t--time-format\t{format}{more}");
        flags.replace(' ', "\u{1}").replace('\t', " ")
    };
    let outcomes = |text: &[u8], flags: &str| -> Vec<_> {
        let parts = flags.split(' ').map(|part| part.replace('\u{1}', " "));
        let args = Flags::parse_from(std::iter::once("x".to_owned()).chain(parts)).csv;
        let plan = CsvPlan {
            name: "f.csv".to_owned(),
            delimiter: args.delimiter,
            quoting: args.quoting,
            kind: Some(EventKind::Click),
            times: TimeReader::new(&args.time_format, args.time_zone).unwrap(),
            ids: RowIds::new("label"),
        };
        let text = Box::new(io::Cursor::new(text.to_vec()));
        let mut rows = CsvRows::open(text, plan, |header| Columns::find(header, &args)).unwrap();
        let mut json = Vec::new();
        std::iter::from_fn(|| rows.next(&mut json).unwrap())
            .map(|row| row.event.err().map_or("event", |fault| fault.code))
            .collect()
    };
    let excel = b"app,at\r\n12,11/6/2017 14:32\r\n1.5E+12,11/6/2017 14:32\r\n(2 rows)\r\n";
    let found = outcomes(excel, &flags("%m/%d/%Y %H:%M", ""));
    assert_eq!(found, ["event", "invalid_ad_id", "invalid_row"]);
    let log = b"at\tapp\tua\n20130606000104008\t12\tMozilla \"x\" \xe9\n";
    let found = outcomes(log, &flags("%Y%m%d%H%M%S%3f", "\t--delimiter\ttab"));
    assert_eq!(found, ["event"]);
    let trailing = b"app,at\n12,11/6/2017 14:32,\n";
    assert_eq!(
        outcomes(trailing, &flags("%m/%d/%Y %H:%M", "")),
        ["invalid_row"]
    );
    let wide = format!(
        "app,at{}\n12,1/6/2017 4:32{}\n",
        ",x".repeat(5_000),
        ",y".repeat(5_000)
    );
    let found = outcomes(wide.as_bytes(), &flags("%m/%d/%Y %H:%M", ""));
    assert_eq!(found, ["event"]);
    let error = open(b"sep=;\napp;at\n12;1\n", FLAGS, "l").err().unwrap();
    assert!(error.to_string().contains("sep=;"), "{error}");
}
