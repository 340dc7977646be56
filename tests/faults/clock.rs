//! A wall clock that a test sets wrong.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::Command;

/// How far off the clock is of the processes that share it.
pub(crate) struct Clock {
    directory: tempfile::TempDir,
    shift: File,
}

impl Clock {
    /// A clock that is right.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/clock.c");
        let library = directory.path().join("clock.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .status();
        assert!(compiled.expect("a C compiler").success());
        let path = directory.path().join("shift");
        let shift = OpenOptions::new().create_new(true).write(true).open(path);
        let clock = Self {
            directory,
            shift: shift.expect("a file for the shift"),
        };
        clock.set(0);
        clock
    }

    /// Makes it wrong by so many seconds, at once.
    pub(crate) fn set(&self, seconds: i64) {
        let written = self.shift.write_all_at(&seconds.to_ne_bytes(), 0);
        written.expect("the shift is written");
    }

    /// The variables of a process that goes by it.
    pub(crate) fn variables(&self) -> [(&'static str, String); 2] {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        [
            ("LD_PRELOAD", path("clock.so")),
            ("CLOCK_SHIFT_FILE", path("shift")),
        ]
    }
}
