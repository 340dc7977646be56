//! Files that cannot be imported, or not wholly: one clear line each.

use std::path::Path;

use adtally_tests::System;
use chrono_tz::Tz;
use flate2::Compression;

use super::count::Count;
use super::{ROWS, files, import, import_all, system};

/// Imports a file that must fail with one line that holds all of `parts`; what else was printed.
fn fails(system: &System, file: &Path, parts: &[&str]) -> String {
    let (code, out, err) = import(system, file);
    assert_eq!(code, 1, "{out}{err}");
    let line = err.strip_suffix('\n').unwrap_or(&err);
    assert!(
        line.starts_with("error: ") && !line.contains('\n'),
        "{err:?}"
    );
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
    out
}

#[test]
fn what_is_no_file_of_clicks_is_refused_in_one_line_and_nothing_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (system, worker) = system("no-clicks", Tz::UTC);
    fails(&system, &path("missing.csv"), &["missing.csv"]);
    fails(&system, dir.path(), &["directory"]);

    let renamed = files::generated(3).replace("click_time", "clicked");
    files::write(&path("columns.csv"), &renamed);
    let parts = ["columns.csv", "click_time", "--time-column", "clicked"];
    fails(&system, &path("columns.csv"), &parts);

    let bad_times = files::generated(30).replace("2017-11-", "November ");
    files::write(&path("times.csv"), &bad_times);
    let parts = ["line 2: invalid_time", "nothing was sent"];
    fails(&system, &path("times.csv"), &parts);

    // What was sent before this would be stored first: both went through the same queue.
    system.accept(&serde_json::json!({"ad_id": 1, "kind": "click"}));
    system.wait_for_events(1);
    assert_eq!(worker.metric("adtally_events_stored_total"), 1.0);
}

#[test]
fn a_row_with_a_bad_time_is_named_and_the_others_count() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("clicks.csv");
    let mut rows: Vec<String> = files::generated(20).lines().map(str::to_owned).collect();
    let good = rows.join("\n");
    rows.insert(7, "1,1,1,1,1,2017-11-31 10:00,,0".to_owned());
    files::write(&file, &rows.join("\n"));
    let (system, _worker) = system("bad-row", Tz::UTC);

    let out = fails(&system, &file, &["1 row refused"]);
    assert!(out.starts_with("line 8: invalid_time: "), "{out}");
    assert!(out.contains("20 accepted, 1 refused"), "{out}");
    system.wait_for_events(20);
    system.settle();
    assert_eq!(
        system.totals(),
        Count::of(good.as_bytes(), Tz::UTC).totals()
    );
}

#[test]
fn a_file_that_breaks_off_is_made_up_for_by_importing_it_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (broken, whole) = (dir.path().join("broken.gz"), dir.path().join("whole.gz"));
    let text = files::generated(ROWS);
    files::write_gzip(&whole, &text, Compression::default());
    let packed = std::fs::read(&whole).unwrap();
    std::fs::write(&broken, &packed[..packed.len() * 2 / 3]).unwrap();
    let (system, _worker) = system("broken-off", Tz::UTC);

    fails(
        &system,
        &broken,
        &["broken.gz", "beyond line", "import it again"],
    );
    import_all(&system, &whole, ROWS);
    system.wait_for_events(ROWS);
    system.settle();
    assert_eq!(
        system.totals(),
        Count::of(text.as_bytes(), Tz::UTC).totals()
    );
}
