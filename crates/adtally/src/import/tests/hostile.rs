//! Hostile files against a second, simple reader.

mod reference;

use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::Value;

use super::super::row::{Naming, OtherLines, Rows};
use super::super::row_id::RowIds;
use super::*;

/// What the importer made of a file: each row's line with its event or code, the other lines, and
/// why it broke off.
#[derive(Debug)]
struct Reading {
    rows: Vec<(u64, Result<Value, &'static str>)>,
    others: OtherLines,
    broken: Option<String>,
}

fn read(bytes: &[u8], flags: &[&str]) -> Result<Reading, String> {
    let files = Files::new();
    let file = files.write("f", bytes);
    let source = opened(&args("http://127.0.0.1:1", &file, flags)).map_err(|e| e.to_string())?;
    let mut rows = source.rows;
    let (mut found, mut broken) = (Vec::new(), None);
    loop {
        let mut json = Vec::new();
        match rows.next(&mut json) {
            Ok(Some(row)) => {
                let event = row
                    .event
                    .map(|_: Naming| serde_json::from_slice(&json).unwrap());
                found.push((row.line, event.map_err(|fault| fault.code)));
            }
            Ok(None) => break,
            Err(error) => {
                broken = Some(error.to_string());
                break;
            }
        }
    }
    Ok(Reading {
        rows: found,
        others: rows.take_other_lines(),
        broken,
    })
}

/// Columns of every file here, in their order.
const HEADER: [&str; 4] = ["note", "ad", "at", "place"];
const TIME: &str = "2026-11-22T06:00:00Z";

/// Text that a field may hold, some of it hostile.
fn texts() -> impl Strategy<Value = String> {
    const HOSTILE: [&str; 31] = [
        "",
        "a",
        "NULL",
        "\\N",
        "-",
        "n/a",
        "1.5E+12",
        " a ",
        "\"",
        "\"\"",
        "\"a",
        "a\"",
        "\"a\"",
        "\"a\"b",
        "\"a\"\"b\"",
        "a\"\"",
        "a\rb",
        "\r",
        "\0",
        "\u{1a}",
        "\u{2028}",
        "\u{85}",
        "\u{feff}",
        "\u{feff}a",
        "a\u{200b}",
        "\"a\nb\"",
        "\"\n\"",
        "\"a\n\nb\"",
        "می\u{200c}خواهم",
        "\\\"a\\\"",
        "'a'",
    ];
    prop_oneof![
        4 => "[ab]{0,3}",
        2 => prop::sample::select(&HOSTILE[..]).prop_map(str::to_owned),
        1 => "[\"a\n,\t \r]{0,6}",
    ]
}

/// A line or more, the delimiter written as `,` or tab.
fn pieces(delimiter: char) -> impl Strategy<Value = String> {
    let row = move |fields: [String; 4]| fields.join(&delimiter.to_string());
    let ad = prop::sample::select(
        &[
            "1",
            "2",
            "+3",
            " 4",
            "\"5\"",
            "1.5E+12",
            "x",
            "",
            "6\u{feff}",
        ][..],
    );
    let good = (texts(), 1..9_i64, texts());
    prop_oneof![
        6 => good.prop_map(move |(note, ad, place)| row([note, ad.to_string(), TIME.to_owned(), place])),
        2 => (texts(), ad, texts()).prop_map(move |(note, ad, place)| row([note, ad.to_owned(), TIME.to_owned(), place])),
        1 => prop::collection::vec(texts(), 0..7).prop_map(move |fields| fields.join(&delimiter.to_string())),
        1 => Just(String::new()),
        1 => Just(HEADER.join(&delimiter.to_string())),
        1 => texts(),
    ]
}

fn files(delimiter: char) -> impl Strategy<Value = String> {
    let lines = prop::collection::vec((pieces(delimiter), prop::bool::weighted(0.2)), 0..12);
    (lines, any::<bool>()).prop_map(move |(lines, ends)| {
        let mut text = HEADER.join(&delimiter.to_string()) + "\n";
        for (line, dos) in lines {
            text += &line;
            text += if dos { "\r\n" } else { "\n" };
        }
        if !ends {
            text.pop();
        }
        text
    })
}

/// How many lines `text` has, if the last need not end.
fn lines_of(text: &str) -> usize {
    text.matches('\n').count() + usize::from(!text.is_empty() && !text.ends_with('\n'))
}

fn check(text: &str, delimiter: char, flags: &[&str], repair: bool) -> Result<(), TestCaseError> {
    let flags = [&["--placement-column", "place"], flags].concat();
    let reading = read(text.as_bytes(), &flags).map_err(TestCaseError::fail)?;
    let total = reading.rows.len() as u64 + reading.others.total();
    prop_assert_eq!(total, lines_of(text) as u64, "{:?}", reading);

    let mut lines: Vec<_> = text
        .split('\n')
        .map(|line| line.trim_end_matches('\r'))
        .collect();
    lines.truncate(lines_of(text));
    let reference = reference::Reference {
        delimiter,
        repair,
        lines,
    };
    let (mut at, mut expected) = (1, Vec::new());
    while at < reference.lines.len() {
        if reference.lines[at].is_empty() {
            at += 1;
            continue;
        }
        let (taken, event) = reference.row(at);
        expected.push((at as u64 + 1, event));
        at += taken;
    }
    let found = reading.rows.iter().map(|(line, event)| {
        let event = event.as_ref().ok().map(|event| {
            let place = event["placement"].as_str().unwrap_or_default();
            (event["ad_id"].as_i64().unwrap(), place.to_owned())
        });
        (*line, event)
    });
    prop_assert_eq!(found.collect::<Vec<_>>(), expected);

    let ids: Vec<_> = reading
        .rows
        .iter()
        .filter_map(|row| Some(row.1.as_ref().ok()?["event_id"].to_string()))
        .collect();
    let distinct: BTreeSet<_> = ids.iter().collect();
    prop_assert_eq!(distinct.len(), ids.len());
    Ok(())
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_hostile_csv_file_is_read_as_a_second_reader_reads_it(text in files(',')) {
        check(&text, ',', &[], false)?;
    }

    #[test]
    fn a_hostile_tsv_file_is_read_as_a_second_reader_reads_it(text in files('\t')) {
        check(&text, '\t', &["--delimiter", "tab"], true)?;
    }

    #[test]
    fn a_file_that_is_sound_has_the_ids_it_always_had(
        rows in prop::collection::vec((texts(), 1..4_i64, texts()), 1..20),
        quotes in prop::sample::select(&[csv::QuoteStyle::Always, csv::QuoteStyle::Necessary, csv::QuoteStyle::NonNumeric][..]),
        delimiter in prop::sample::select(&[b',', b'\t', b';'][..]),
    ) {
        let mut writer = csv::WriterBuilder::new().quote_style(quotes).delimiter(delimiter).from_writer(Vec::new());
        writer.write_record(HEADER).unwrap();
        for (note, ad, place) in &rows {
            writer.write_record([note, &ad.to_string(), TIME, place]).unwrap();
        }
        let text = writer.into_inner().unwrap();
        prop_assume!(!text.windows(2).any(|pair| pair == b"\r\n"));
        // As it was read before: by the csv crate, all at once.
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).terminator(csv::Terminator::Any(b'\n')).from_reader(&text[..]);
        let mut ids = RowIds::new("test");
        let before: Vec<_> = reader.byte_records().map(|row| ids.next(row.unwrap().iter())).collect();
        let flag = if delimiter == b'\t' { "tab".to_owned() } else { char::from(delimiter).to_string() };
        let now = read(&text, &["--delimiter", &flag]).map_err(TestCaseError::fail)?;
        prop_assert_eq!(now.rows.len(), rows.len());
        for ((_, event), before) in now.rows.into_iter().zip(before) {
            if let Ok(event) = event {
                prop_assert_eq!(event["event_id"].as_str().unwrap(), before);
            }
        }
    }

    #[test]
    fn a_hostile_ndjson_file_costs_no_line_that_is_an_event(
        lines in prop::collection::vec(prop::sample::select(&NDJSON[..]), 0..20),
        ends: bool,
    ) {
        let mut text = "{\"ad_id\":1}\n".to_owned();
        lines.iter().for_each(|(line, _)| text += &format!("{line}\n"));
        if !ends {
            text.pop();
        }
        let reading = read(text.as_bytes(), &[]).map_err(TestCaseError::fail)?;
        let total = reading.rows.len() as u64 + reading.others.total();
        prop_assert_eq!(total, lines_of(&text) as u64);
        let found: Vec<_> = reading.rows.iter().map(|(line, event)| (*line, event.is_ok())).collect();
        let first = std::iter::once((1, true));
        let others = (2..).zip(&lines).filter(|(_, (line, _))| !line.trim().is_empty());
        let expected: Vec<_> = first.chain(others.map(|(number, (_, good))| (number, *good))).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn gzip_changes_nothing_wherever_it_is_cut_and_joined(text in files(','), cut: prop::sample::Index, lost: prop::sample::Index) {
        let whole = read(text.as_bytes(), &[]).map_err(TestCaseError::fail)?;
        let at = cut.index(text.len() + 1);
        let joined = [gzip(&text.as_bytes()[..at]), gzip(&text.as_bytes()[at..])].concat();
        let unpacked = read(&joined, &[]).map_err(TestCaseError::fail)?;
        prop_assert_eq!(&unpacked.rows, &whole.rows);
        prop_assert_eq!(unpacked.others, whole.others);

        // Cut off or followed by something else, it gives rows of the whole and says that it broke.
        let packed = gzip(text.as_bytes());
        let cut_off = packed[..1 + lost.index(packed.len() - 1)].to_vec();
        let garbage = [packed, b"no gzip".to_vec()].concat();
        for bytes in [cut_off, garbage] {
            let Ok(part) = read(&bytes, &[]) else { continue };
            prop_assert!(part.broken.is_some());
            let mut unpacked = Vec::new();
            let _broken = flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked);
            let whole_lines = unpacked.iter().filter(|byte| **byte == b'\n').count() as u64;
            prop_assert_eq!(part.rows.len() as u64 + part.others.total(), whole_lines);
        }
    }
}

/// Lines, and whether each is an event.
const NDJSON: [(&str, bool); 22] = [
    ("", true),
    (" \t", true),
    ("{\"ad_id\":1}", true),
    ("{\"ad_id\":1}\r", true),
    ("  {\"ad_id\":1,\"event_id\":\"a\",\"x\":[{}]}  ", true),
    ("{\"ad_id\":1,\"event_id\":null}", true),
    ("{\"ad_id\":1,\"placement\":\"\u{2028}\u{85}\"}", true),
    ("{\"ad_id\":1,\"placement\":\"{\\\"ad_id\\\":1}\\n\"}", true),
    ("{\"ad_id\":1}{\"ad_id\":1}", false),
    ("{\"ad_id\":1}\r{\"ad_id\":1}", false),
    ("{\"ad_id\":1},", false),
    ("{\"ad_id\":1", false),
    ("{\"ad_id\":1,\"ad_id\":1}", false),
    ("{\"ad_id\":1,\"event_id\":\"\\\\N\"}", false),
    ("{\"ad_id\":1,\"event_id\":\"1.5E+12\"}", false),
    ("{\"ad_id\":NaN}", false),
    ("\u{feff}{\"ad_id\":1}", false),
    ("\u{1e}{\"ad_id\":1}", false),
    ("{\"ad_id\":1}\0", false),
    ("\u{1a}", false),
    ("[]", false),
    ("null", false),
];
