//! The commands that put things right, as the guide has them.

use std::path::Path;

use adtally_domain::{AggregateHour, SweepDirty, Task};
use adtally_tests::{System, until};
use serde_json::Value;
use uuid::Uuid;

/// Runs the tool, which must succeed; its standard output.
#[track_caller]
fn succeeds(system: &System, args: &[&str]) -> String {
    let (code, out, err) = system.adtally(args);
    assert_eq!(code, 0, "{args:?}: {out}{err}");
    out
}

/// Puts a roll-up of an hour that no zone has on the queue and waits until it is given up.
fn given_up(system: &System) -> String {
    let id = Uuid::new_v4();
    let hour = "2026-11-22T10:07:00Z".parse().expect("a time");
    system.publish(&AggregateHour { hour }.message(id));
    until_state(system, &id.to_string(), "discarded", 1);
    id.to_string()
}

fn until_state(system: &System, id: &str, state: &str, attempts: u32) {
    let row = format!("SELECT state, attempts FROM task_runs WHERE task_id = '{id}'");
    until(&format!("the task is {state} after {attempts}"), || {
        (system.sql(&row).trim() == format!("{state}|{attempts}")).then_some(())
    });
}

/// The states of the dead letters.
fn letters(system: &System) -> String {
    let states = system.sql("SELECT state FROM dead_letters ORDER BY first_seen");
    states.trim().replace('\n', " ")
}

#[test]
fn a_task_that_was_given_up_runs_again_and_its_letter_goes_with_it() {
    let (system, _worker) = System::with_worker("requeue-task");
    let id = given_up(&system);
    let listed = succeeds(
        &system,
        &["tasks", "list", "--state", "discarded", "--json"],
    );
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["data"][0]["id"], *id, "{listed}");
    assert_eq!(listed["data"][0]["name"], AggregateHour::NAME, "{listed}");
    let shown = succeeds(&system, &["tasks", "list"]);
    assert!(shown.contains(&id) && shown.contains("10:07"), "{shown}");
    assert_eq!(letters(&system), "new");

    let said = succeeds(&system, &["tasks", "requeue", &id]);
    assert!(said.contains(&format!("requeued {id}")), "{said}");
    // It fails again, for the same reason, and its letter is new again: one, not two.
    until_state(&system, &id, "discarded", 2);
    until("the letter is new again", || {
        (letters(&system) == "new").then_some(())
    });
}

#[test]
fn a_task_that_is_done_runs_once_more_and_one_that_is_not_there_does_not() {
    let (system, _worker) = System::with_worker("requeue-done");
    let id = Uuid::new_v4();
    system.publish(&SweepDirty {}.message(id));
    let (id, nobody) = (id.to_string(), Uuid::nil().to_string());
    until_state(&system, &id, "succeeded", 1);
    let (code, out, err) = system.adtally(&["tasks", "requeue", &id, &nobody]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains(&format!("requeued {id}")), "{out}");
    assert!(out.contains("there is no such task"), "{out}");
    until_state(&system, &id, "succeeded", 2);
}

#[test]
fn a_purge_tells_before_it_deletes_and_leaves_new_letters_alone() {
    let (system, _worker) = System::with_worker("purge");
    for _ in 0..2 {
        given_up(&system);
    }
    let one = system.sql("SELECT id FROM dead_letters LIMIT 1");
    succeeds(&system, &["dead-letters", "discard", one.trim()]);
    let purge = ["dead-letters", "purge", "--older-than", "1s"];
    until("the letters are old enough", || {
        let told = succeeds(&system, &purge);
        let all = [
            "would delete 1 dead letter, discarded",
            "0 dead letters, requeued",
            "--yes",
        ];
        all.iter().all(|words| told.contains(words)).then_some(())
    });
    assert_eq!(system.count("SELECT count(*) FROM dead_letters"), 2);
    let told = succeeds(&system, &[&purge[..], &["--yes"]].concat());
    assert!(told.contains("deleted 1 dead letter, discarded"), "{told}");
    assert_eq!(letters(&system), "new");
    let all = [&purge[..], &["--state", "new", "--yes"]].concat();
    let told = succeeds(&system, &all);
    assert!(told.contains("deleted 1 dead letter, new"), "{told}");
    assert_eq!(letters(&system), "");
}

#[test]
fn every_command_in_the_guide_does_what_it_says() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let code = guide.split('`').skip(1).step_by(2);
    let commands: Vec<_> = code
        .filter_map(|code| code.strip_prefix("adtally "))
        .collect();
    assert!(commands.len() >= 8, "{commands:?}");
    let (system, _worker) = System::with_worker("guide");
    for command in commands {
        // A task and a letter of its own for each.
        let id = given_up(&system);
        let letter = system.sql("SELECT id FROM dead_letters WHERE state = 'new' LIMIT 1");
        let id = if command.starts_with("tasks") {
            id.as_str()
        } else {
            letter.trim()
        };
        let words = command.split(' ').map(|word| match word {
            "ID" => id,
            "REASON" => "invalid_event",
            word => word,
        });
        let words: Vec<_> = words.collect();
        // A zone is changed while nothing runs that reports in the old one.
        let is_whole = words.len() > 1 || ["audit", "migrate"].contains(&words[0]);
        if is_whole && words[0] != "timezone" {
            succeeds(&system, &words);
        } else {
            succeeds(&system, &[words[0], "--help"]);
        }
    }
}
