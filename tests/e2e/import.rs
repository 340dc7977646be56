//! Files of history through `adtally import`.

mod count;
mod faults;
mod files;
mod hostile;

use std::path::Path;

use adtally_tests::{Process, System, until};
use chrono_tz::Tz;
use count::Count;
use flate2::Compression;

const ROWS: u64 = 600;

/// A system that takes clicks of 2017.
fn system(name: &str, zone: Tz) -> (System, Process) {
    let builder = System::builder(name).max_event_age("36500d");
    let system = builder.timezone(zone.name()).start();
    let worker = system.worker();
    (system, worker)
}

fn import(system: &System, file: &Path) -> (i32, String, String) {
    system.adtally(&[
        "import",
        file.to_str().unwrap(),
        "--ad-id-column",
        "app",
        "--time-column",
        "click_time",
        "--time-format",
        "%Y-%m-%d %H:%M",
        "--time-zone",
        "UTC",
        "--kind",
        "click",
        "--source",
        "history",
    ])
}

/// Imports a file all of whose rows are good.
fn import_all(system: &System, file: &Path, rows: u64) {
    let (code, out, err) = import(system, file);
    assert_eq!(code, 0, "{out}{err}");
    let digits: String = out.chars().filter(|char| *char != ',').collect();
    assert!(
        digits.ends_with(&format!(": {rows} accepted 0 refused\n")),
        "{out}"
    );
}

/// Whole tables: a row that was written again differs, if only in its time.
fn tables(system: &System) -> [String; 4] {
    ["ad_hourly_stats", "ad_daily_stats", "restatements"]
        .map(|table| format!("SELECT t::text FROM {table} t ORDER BY 1"))
        .into_iter()
        .chain([
            "SELECT count(*), md5(string_agg(e::text, ' ' ORDER BY event_id)) FROM events e"
                .to_owned(),
        ])
        .map(|query| system.sql(&query))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

/// Imports `file` twice: the first time its totals are those of an independent count, the second
/// time nothing changes.
fn adds_up(name: &str, file: &Path, zone: Tz) {
    let (system, worker) = system(name, zone);
    let expected = Count::of(files::unpacked(file).as_bytes(), zone);
    import_all(&system, file, expected.rows);
    system.wait_for_events(expected.rows);
    system.settle();
    assert_eq!(system.totals(), expected.totals());

    let before = tables(&system);
    import_all(&system, file, expected.rows);
    all_known(&worker, expected.rows);
    system.settle();
    assert_eq!(tables(&system), before);
}

/// Waits until the worker has found `rows` events that were stored before.
fn all_known(worker: &Process, rows: u64) {
    until("the events come again", || {
        (worker.metric("adtally_events_duplicate_total") >= rows as f64).then_some(())
    });
}

fn generated_adds_up(name: &str, zone: Tz) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("clicks.csv.gz");
    files::write_gzip(&file, &files::generated(ROWS), Compression::default());
    adds_up(name, &file, zone);
}

#[test]
fn imported_clicks_are_what_an_independent_count_finds_and_importing_again_changes_no_row() {
    generated_adds_up("import", Tz::UTC);
}

#[test]
fn imported_clicks_add_up_in_the_hours_and_days_of_a_zone_half_an_hour_off() {
    generated_adds_up("import-tehran", Tz::Asia__Tehran);
}

#[test]
fn a_day_of_real_clicks_is_what_an_independent_count_finds() {
    if let Some(file) = files::real() {
        adds_up("import-real", &file, Tz::UTC);
    }
}

#[test]
fn a_day_of_real_clicks_adds_up_in_a_zone_half_an_hour_off() {
    if let Some(file) = files::real() {
        adds_up("import-real-tehran", &file, Tz::Asia__Tehran);
    }
}

#[test]
fn real_clicks_that_look_alike_are_clicks_of_their_own() {
    let Some(file) = files::real() else { return };
    let text = files::unpacked(&file);
    let header = text.lines().next().unwrap();
    let mut rows: Vec<_> = text.lines().skip(1).collect();
    rows.sort_unstable();
    let twice: Vec<_> = rows.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert_eq!(twice.len(), 4);
    let alike = twice.iter().flat_map(|pair| pair.iter().copied());
    let alike: Vec<_> = std::iter::once(header).chain(alike).collect();

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alike.csv");
    files::write(&file, &alike.join("\n"));
    let (system, _worker) = system("alike", Tz::UTC);
    import_all(&system, &file, 8);
    system.wait_for_events(8);
    system.settle();
    let expected = Count::of(alike.join("\n").as_bytes(), Tz::UTC);
    assert_eq!(system.totals(), expected.totals());
}

#[test]
fn a_file_that_grew_was_renamed_and_compressed_anew_counts_only_its_new_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let all = files::generated(ROWS);
    // Half of the rows, and the header.
    let half: String = all.split_inclusive('\n').take(301).collect();
    let (system, worker) = system("grown", Tz::UTC);

    files::write_gzip(&path("clicks.csv.gz"), &half, Compression::best());
    import_all(&system, &path("clicks.csv.gz"), 300);
    system.wait_for_events(300);

    files::write_gzip(&path("november.gz"), &half, Compression::none());
    import_all(&system, &path("november.gz"), 300);
    all_known(&worker, 300);

    files::write(&path("dos.txt"), &half.replace('\n', "\r\n"));
    import_all(&system, &path("dos.txt"), 300);
    all_known(&worker, 600);
    assert_eq!(system.count("SELECT count(*) FROM events"), 300);

    files::write(&path("more.csv"), &all.replace('\n', "\r\n"));
    import_all(&system, &path("more.csv"), ROWS);
    all_known(&worker, 900);
    system.wait_for_events(ROWS);
    system.settle();
    assert_eq!(system.totals(), Count::of(all.as_bytes(), Tz::UTC).totals());
}
