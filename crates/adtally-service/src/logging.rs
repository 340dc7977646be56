//! Log lines to standard error, `RUST_LOG` to choose them.
//!
//! `error` means a person must act; `warn` that something was refused, lost or retried; `info` a
//! change of state; `debug` each step. No level shows visitor data or secrets.
//!
//! ```text
//! log::warn! ─▶ env_logger ─line─▶ bounded queue ─▶ one writer thread ─▶ standard error
//! ```
//! Logging never waits for the reader of standard error.

mod counts;
mod format;
mod panics;
mod queue;
mod request;

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use env_logger::{Builder, Env, Logger, Target, WriteStyle};
use log::{Level, LevelFilter, Log, Metadata, Record};

pub(crate) use counts::counts;
use format::json_line;
pub use format::{LogArgs, LogFormat};
use queue::LogQueue;
use request::request_id;
pub use request::with_request_id;

/// Our own crates tell their changes of state.
const PROCESS: &str = "warn,adtally=info";
/// A tool says what it has to say on standard output.
const TOOL: &str = "warn";

/// Libraries that stay out of the log unless `RUST_LOG` names them: what they meet, our crates
/// report. `actix_http` makes an error of each malformed request, which any client can send.
const QUIET: [&str; 3] = ["actix_http", "lapin", "tracing"];

/// How long the end of a process waits for lines that are not written yet.
pub const LAST_LINES: Duration = Duration::from_secs(1);

/// The queue of this process, once its log was started.
static QUEUE: OnceLock<(Arc<LogQueue>, LogFormat)> = OnceLock::new();

/// Starts the logging of a process that serves, unless `RUST_LOG` says otherwise.
pub fn init(format: LogFormat) {
    start(PROCESS, format);
}

/// Starts the logging of a command a person runs, unless `RUST_LOG` says otherwise.
pub fn init_tool(format: LogFormat) {
    start(TOOL, format);
}

/// Waits at most for `limit` until every line is written; whether it is.
pub fn flush(limit: Duration) -> bool {
    QUEUE.get().is_none_or(|(queue, _)| queue.flush(limit))
}

/// Writes `message` behind all lines of the log and waits for it, though not for a reader who never
/// comes.
pub(crate) fn last_words(message: &str) {
    let line = format!("error: {message}\n").into_bytes();
    match QUEUE.get() {
        Some((queue, LogFormat::Text)) => queue.push_last(line),
        Some((queue, LogFormat::Json)) => {
            queue.push_last(json_line(Level::Error, "adtally", message, None).into_bytes());
        }
        // Nobody is left to tell when standard error is closed.
        None => drop(io::stderr().lock().write_all(&line)),
    }
    flush(LAST_LINES);
}

/// A second call does nothing, so that tests may run several processes' code in one.
fn start(default: &str, format: LogFormat) {
    let queue = Arc::new(LogQueue::new(counts().dropped.clone()));
    if QUEUE.set((Arc::clone(&queue), format)).is_err() {
        return;
    }
    let mut builder = quiet();
    builder
        .write_style(style())
        .parse_env(Env::default().default_filter_or(default))
        .format_timestamp_millis()
        .target(Target::Pipe(Box::new(ToQueue)));
    if format == LogFormat::Json {
        builder.format(|line, record| {
            let message = record.args().to_string();
            let id = request_id();
            let json = json_line(record.level(), record.target(), &message, id.as_deref());
            line.write_all(json.as_bytes())
        });
    }
    let inner = builder.build();
    let level = inner.filter();
    if log::set_boxed_logger(Box::new(Counting { inner, format })).is_err() {
        return;
    }
    log::set_max_level(level);
    start_writer(queue);
    panics::tell_of_panics();
}

/// Starts the thread that writes what is in the queue.
fn start_writer(queue: Arc<LogQueue>) {
    // A descriptor of its own: the standard library's has a lock, which others would wait for.
    let stderr: Box<dyn Write + Send> = match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(std::fs::File::from(descriptor)),
        Err(_) => Box::new(io::stderr()),
    };
    let write = move || {
        queue.write_to(stderr, |dropped| {
            log::warn!("{dropped} lines of the log were dropped: nobody read standard error");
        });
    };
    if let Err(error) = thread::Builder::new().name("log".to_owned()).spawn(write) {
        let text = format!("error: the log cannot be written: {error}\n");
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }
}

/// What is parsed into it later stands over it.
fn quiet() -> Builder {
    let mut builder = Builder::new();
    for library in QUIET {
        builder.filter_module(library, LevelFilter::Off);
    }
    builder
}

/// Colours for a person who wants them; `RUST_LOG_STYLE` stands over it.
fn style() -> WriteStyle {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if io::stderr().is_terminal() && !set("NO_COLOR") && !is_dumb {
        WriteStyle::Always
    } else {
        WriteStyle::Never
    }
}

/// Puts bytes into the queue as they are.
fn write(line: Vec<u8>) {
    if let Some((queue, _)) = QUEUE.get() {
        queue.push(line);
    }
}

/// What env_logger takes for standard error. It writes one whole line at a time.
struct ToQueue;

impl Write for ToQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        write(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts what is logged and names the request that it concerns.
struct Counting {
    inner: Logger,
    format: LogFormat,
}

impl Log for Counting {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.inner.matches(record) {
            return;
        }
        counts().line(record.level());
        match request_id() {
            Some(id) if self.format == LogFormat::Text => {
                let args = record.args();
                self.inner.log(
                    &Record::builder()
                        .metadata(record.metadata().clone())
                        .args(format_args!("{args} request_id={id}"))
                        .build(),
                );
            }
            _ => self.inner.log(record),
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use log::{Level, Log, Metadata};

    use super::*;

    fn shows(filters: &str, target: &str, level: Level) -> bool {
        let logger = quiet().parse_filters(filters).build();
        logger.enabled(&Metadata::builder().target(target).level(level).build())
    }

    #[test]
    fn libraries_are_quiet_unless_they_are_named() {
        for filters in [PROCESS, TOOL, "info", "trace"] {
            for target in [
                "actix_http::h1::dispatcher",
                "lapin::channel",
                "tracing::span",
            ] {
                assert!(!shows(filters, target, Level::Error), "{filters} {target}");
            }
            assert!(
                shows(filters, "actix_server::accept", Level::Error),
                "{filters}"
            );
        }
        assert!(shows(
            "info,actix_http=error",
            "actix_http::h1",
            Level::Error
        ));
        assert!(shows("lapin=debug", "lapin::channel", Level::Debug));
        let one = "info,lapin::channel=warn";
        assert!(shows(one, "lapin::channel", Level::Warn));
        assert!(!shows(one, "lapin::connection", Level::Error));
    }
}
