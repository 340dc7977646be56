//! What lies between a process and the machine: its clock, and its disk.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

const CLOCK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/clock.c");
const DISK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/disk.c");

/// Makes a library that a process can be started with.
fn compile(source: &str, library: &Path) {
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(library)
        .arg(source)
        .status();
    assert!(compiled.expect("a C compiler").success());
}

/// How far off the clock is of the processes that share it.
pub(crate) struct Clock {
    directory: tempfile::TempDir,
    shift: File,
}

impl Clock {
    /// A clock that is right.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        // Servers of other users read it too.
        let readable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), readable).expect("a readable directory");
        compile(CLOCK, &directory.path().join("clock.so"));
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

/// A disk that forgets what was not synced when the power fails.
pub(crate) struct ForgetfulDisk(tempfile::TempDir);

impl ForgetfulDisk {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        compile(DISK, &directory.path().join("disk.so"));
        fs::create_dir(directory.path().join("synced")).expect("a directory");
        Self(directory)
    }

    /// The variables of a process that writes to it.
    pub(crate) fn variables(&self) -> [(&'static str, String); 2] {
        let path = |name: &str| self.0.path().join(name).display().to_string();
        [
            ("LD_PRELOAD", path("disk.so")),
            ("SYNCED_DIR", path("synced")),
        ]
    }

    /// Takes back everything in `spool` that was written and not synced; how many bytes.
    pub(crate) fn lose_power(&self, spool: &Path) -> u64 {
        let files = fs::read_dir(spool)
            .expect("the spool")
            .filter_map(Result::ok);
        let segments = files.filter(|file| {
            let path = file.path();
            path.extension().is_some_and(|kind| kind == "segment")
        });
        segments
            .map(|segment| {
                let noted = self.0.path().join("synced").join(segment.file_name());
                let synced = fs::read_to_string(noted).unwrap_or_default();
                let synced = synced.parse().unwrap_or(0);
                let file = OpenOptions::new().write(true).open(segment.path());
                let file = file.expect("a segment");
                let written = file.metadata().expect("its size").len();
                file.set_len(synced.min(written)).expect("it is cut");
                written.saturating_sub(synced)
            })
            .sum()
    }
}
