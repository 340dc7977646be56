//! Files that a lenient reader misreads: no row is lost, joined or moved, and each line is accounted for.

use std::path::Path;

use adtally_tests::System;
use chrono_tz::Tz;
use flate2::Compression;

use super::{all_known, files, system};

/// Imports clicks of `app` at `time`: exit code and what was printed.
fn import(system: &System, file: &Path, format: &str, flags: &[&str]) -> (i32, String, String) {
    let file = file.to_str().unwrap();
    let usual = [
        "import",
        file,
        "--ad-id-column",
        "app",
        "--time-column",
        "time",
        "--time-format",
        format,
        "--kind",
        "click",
        "--source",
        "history",
    ];
    system.adtally(&[&usual, flags].concat())
}

const MINUTES: &str = "%Y-%m-%d %H:%M";

/// Twelve rows, of which two have a last column that begins with a quote.
fn stray(delimiter: &str) -> String {
    let mut text = ["app", "time", "keyword\n"].join(delimiter);
    for row in 0..12 {
        let keyword = if row == 2 || row == 9 {
            "\"24 inch monitor"
        } else {
            "cheap flights"
        };
        let row = [
            (1_600 + row).to_string(),
            format!("2017-11-20 09:{row:02}"),
            keyword.to_owned(),
        ];
        text += &(row.join(delimiter) + "\n");
    }
    text
}

#[test]
fn stray_quotes_cost_no_row_in_silence_and_each_row_counts_once_however_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (tabs, commas) = (dir.path().join("q.tsv"), dir.path().join("q.csv"));
    files::write(&tabs, &stray("\t"));
    files::write(&commas, &stray(","));
    let (system, worker) = system("stray-quotes", Tz::UTC);

    let (code, out, err) = import(&system, &commas, MINUTES, &[]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("line 4: invalid_quotes: "), "{out}");
    assert!(out.contains("line 11: invalid_quotes: "), "{out}");
    assert!(
        out.contains("13 lines: 1 header, 0 blank, 0 within rows, 12 rows"),
        "{out}"
    );
    assert!(out.ends_with(": 10 accepted, 2 refused\n"), "{out}");
    system.wait_for_events(10);

    for (file, flags, known) in [
        (&commas, ["--quoting", "none"], 10),
        (&tabs, ["--delimiter", "tab"], 22),
        (&tabs, ["--delimiter", "\\t"], 34),
    ] {
        let (code, out, err) = import(&system, file, MINUTES, &flags);
        assert_eq!(code, 0, "{out}{err}");
        assert!(out.ends_with(": 12 accepted, 0 refused\n"), "{out}");
        system.wait_for_events(12);
        all_known(&worker, known);
    }
    let ads = "SELECT count(*), count(DISTINCT ad_id), min(ad_id), max(ad_id) FROM events";
    assert_eq!(system.sql(ads).trim(), "12|12|1600|1611");
}

#[test]
fn ids_that_a_file_gives_twice_are_counted_apart_and_times_are_those_the_file_means() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f.csv");
    let (system, worker) = system("own-ids", Tz::UTC);
    files::write(
        &file,
        "app,time,id\n1,14102100,a\n1,14102100,b\n1,14102100,a\n2,14102100,a\n1,14102101,-\n",
    );
    let flags = ["--event-id-column", "id"];
    for known in [0, 3] {
        let (code, out, err) = import(&system, &file, "%y%m%d%H", &flags);
        assert_eq!((code, err.as_str()), (1, "error: 1 row refused\n"), "{out}");
        assert!(out.starts_with("line 6: invalid_event_id: "), "{out}");
        assert!(
            out.ends_with(": 3 accepted, 1 repeated, 1 refused\n"),
            "{out}"
        );
        system.wait_for_events(3);
        all_known(&worker, known);
    }
    system.settle();
    assert_eq!(
        system.totals(),
        "2014-10-21 00:00:00+00|1|0|2\n2014-10-21 00:00:00+00|2|0|1\n\n2014-10-21|1|0|2\n2014-10-21|2|0|1"
    );

    files::write(
        &file,
        "app,time\n501,2017-11-20 09:30 EST\n501,2017-11-20 09:30 PST\n",
    );
    let (code, _, err) = import(&system, &file, "%Y-%m-%d %H:%M %Z", &[]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("%z") && err.contains("--time-zone"), "{err}");
    assert_eq!(
        system.count("SELECT count(*) FROM events WHERE ad_id = 501"),
        0
    );
}

#[test]
fn what_follows_compressed_rows_is_told_and_the_rows_count_once() {
    let dir = tempfile::tempdir().unwrap();
    let (part, whole) = (dir.path().join("part.gz"), dir.path().join("whole.gz"));
    let (system, worker) = system("gzip-tail", Tz::UTC);
    let text = stray("\t");
    let (first, second) = text.split_at(text.find("1605").unwrap());
    files::write_gzip(&part, first, Compression::default());
    let members = std::fs::read(&part).unwrap();
    std::fs::write(
        &part,
        [members.as_slice(), b"\0\0garbage and more"].concat(),
    )
    .unwrap();
    files::write_gzip(&whole, second, Compression::default());
    let joined = [members, std::fs::read(&whole).unwrap()].concat();
    std::fs::write(&whole, joined).unwrap();

    let (code, out, err) = import(&system, &part, MINUTES, &["--delimiter", "tab"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        err.contains("beyond line 6") && err.contains("not gzip"),
        "{err}"
    );
    system.wait_for_events(5);
    let (code, out, err) = import(&system, &whole, MINUTES, &["--delimiter", "tab"]);
    assert_eq!(code, 0, "{out}{err}");
    system.wait_for_events(12);
    all_known(&worker, 5);
}
