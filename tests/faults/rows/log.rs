//! Nobody reads the log, or its disk is full.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Row;
use super::broker::until_all_is_well;
use crate::ground::Ground;
use crate::stage::Setting;

pub(super) const ROWS: [Row; 2] = [
    Row::of_servers("row_54_nobody_reads_the_log", nobody_reads),
    Row::of_servers("row_54_disk_of_the_log_full", disk_full),
];

const LIMIT: Duration = Duration::from_secs(6);

fn nobody_reads(ground: &Ground) {
    let pipe = FullPipe::new();
    goes_on_with(ground, "row-54-pipe", &pipe.path);
}

fn disk_full(ground: &Ground) {
    goes_on_with(ground, "row-54-disk", Path::new("/dev/full"));
}

/// Everything works while what processes log goes to a file that takes nothing.
fn goes_on_with(ground: &Ground, name: &'static str, log: &Path) {
    let log = log.display().to_string();
    let wrapper = ["sh", "-c", r#"exec "$@" 2>"$0""#, &log];
    let stage = Setting::new(ground, name)
        .all(|system| system.wrapper(wrapper))
        .start();
    let traffic = stage.traffic();
    for _ in 0..3 {
        // Each makes lines of log in every process.
        let close = ["close_all_connections", "a test"];
        let closed = ground.rabbitmq().ctl_blocking(&close);
        closed.expect("all connections are closed");
        stage.system.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        until_all_is_well(&stage, &traffic);
    }
    stage.end(traffic, LIMIT);
}

/// A pipe that holds all it can, and that nobody reads.
struct FullPipe {
    path: PathBuf,
    // Both ends: without a reader, writing would fail instead of waiting.
    _ends: File,
    _directory: tempfile::TempDir,
}

impl FullPipe {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let made = Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let mut ends = options
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(&path)
            .expect("a pipe");
        let full = loop {
            if let Err(error) = ends.write(b".") {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock, "{full}");
        Self {
            path,
            _ends: ends,
            _directory: directory,
        }
    }
}
