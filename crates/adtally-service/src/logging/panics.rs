//! Panics go the way of all lines of the log.
//!
//! The standard library's own hook writes to standard error under its lock, and so waits for its reader.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::thread;
use std::time::Duration;

use super::{counts, flush, write};

/// The target of the lines, in reach of a filter such as `adtally=warn`.
const TARGET: &str = "adtally::panic";

/// A panic may be the end of the process: so much time has its line to get out.
const LIMIT: Duration = Duration::from_millis(200);

/// Counts every panic and tells of it in the log, whatever `RUST_LOG` says.
pub(super) fn tell_of_panics() {
    std::panic::set_hook(Box::new(|info| {
        counts().panics.inc();
        let text = describe(info);
        if log::log_enabled!(target: TARGET, log::Level::Error) {
            log::error!(target: TARGET, "{text}");
        } else {
            write(format!("{text}\n").into_bytes());
        }
        flush(LIMIT);
    }));
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    let message = info.payload_as_str().unwrap_or("a value that is no text");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("thread '{name}' panicked at {place}: {message}");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        text.push_str(&format!("\n{backtrace}"));
    }
    text
}
