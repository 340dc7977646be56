use std::fs;
use std::process::ExitStatus;

use super::*;
use crate::secret::random_word;

/// A process of a test; it ends by itself at the latest after a while.
fn sleeper() -> Child {
    Command::new("/bin/sleep")
        .arg("60")
        .process_group(0)
        .spawn()
        .unwrap()
}

/// Gives a reaper of its own these lines, lets it do its work, and returns when it has ended.
fn reap(lines: &[String]) -> ExitStatus {
    let mut shell = spawn_shell().unwrap();
    for line in lines {
        write_line(&mut shell, line).unwrap();
    }
    drop(shell.stdin.take());
    shell.wait().unwrap()
}

fn watch_line(child: &Child, start: u64) -> String {
    format!("watch 1:{}:{start}:9", child.id())
}

#[test]
fn a_process_that_has_got_an_old_number_is_left_alone() {
    let (mut ours, mut other) = (sleeper(), sleeper());
    let start = |child: &Child| start_time(child.id()).unwrap();
    let lines = [
        watch_line(&ours, start(&ours)),
        watch_line(&other, start(&other) - 1),
    ];
    assert!(reap(&lines).success());
    assert!(!ours.wait().unwrap().success());
    assert!(other.try_wait().unwrap().is_none(), "it was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_forgotten_process_is_left_alone() {
    let (mut ended, mut watched) = (sleeper(), sleeper());
    let start = |child: &Child| start_time(child.id()).unwrap();
    let lines = [
        watch_line(&ended, start(&ended)),
        watch_line(&watched, start(&watched)),
        format!("forget {}:{}", ended.id(), start(&ended)),
    ];
    assert!(reap(&lines).success());
    assert!(!watched.wait().unwrap().success());
    assert!(ended.try_wait().unwrap().is_none(), "it was killed");
    ended.kill().unwrap();
    ended.wait().unwrap();
}

#[test]
fn scratch_directories_of_any_name_are_removed_and_their_neighbours_are_not() {
    let parent = std::env::temp_dir().join(format!("adtally-scratch-{}", random_word(8)));
    let names = ["plain", "with  two spaces ", "it's $HOME", "*", "-rf"];
    for name in names.iter().chain(&["neighbour"]) {
        fs::create_dir_all(parent.join(name).join("inside")).unwrap();
    }
    let lines = names.map(|name| format!("scratch {}", parent.join(name).display()));
    reap(&lines);
    let left: Vec<_> = fs::read_dir(&parent)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(left, ["neighbour"]);
    fs::remove_dir_all(parent).unwrap();
}

#[test]
fn a_directory_whose_name_has_two_lines_is_refused() {
    assert!(remove_at_end(Path::new("/tmp/one\n/tmp/two")).is_err());
}
