//! What the log counts. There is one log in a process, so there is one of each counter.

use std::sync::LazyLock;

use log::Level;
use prometheus::{IntCounter, IntCounterVec, Opts};

use super::format::level_name;

/// The counters of the log.
pub(crate) struct Counts {
    /// Lines by level, dropped ones included.
    pub(crate) lines: IntCounterVec,
    /// Lines that nobody will read.
    pub(crate) dropped: IntCounter,
    /// Panics of any thread.
    pub(crate) panics: IntCounter,
}

/// The counters of this process's log.
pub(crate) fn counts() -> &'static Counts {
    static COUNTS: LazyLock<Counts> = LazyLock::new(Counts::new);
    &COUNTS
}

impl Counts {
    #[expect(
        clippy::expect_used,
        reason = "names and labels are literals, checked by any run"
    )]
    fn new() -> Self {
        let counter = |name, help| IntCounter::new(name, help).expect("a valid name");
        let lines = Opts::new("adtally_log_lines_total", "Lines of the log, by level.");
        let lines = IntCounterVec::new(lines, &["level"]).expect("a valid name");
        for level in Level::iter() {
            lines.with_label_values(&[level_name(level)]);
        }
        Self {
            lines,
            dropped: counter(
                "adtally_log_lines_dropped_total",
                "Lines of the log that were dropped because nobody read standard error.",
            ),
            panics: counter(
                "adtally_panics_total",
                "Panics. Each is a bug; its message is in the log.",
            ),
        }
    }

    pub(super) fn line(&self, level: Level) {
        self.lines.with_label_values(&[level_name(level)]).inc();
    }
}
