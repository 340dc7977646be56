//! What a server's log says about why it did not start.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// How servers mark what went wrong.
///
/// PostgreSQL tells why it could not listen in mere log lines.
const MARKS: [&str; 5] = [
    "[error] ",
    "FATAL: ",
    "PANIC: ",
    "ERROR: ",
    "LOG:  could not bind ",
];

/// How many lines are worth quoting in an error message.
const LINES: usize = 5;

/// A log that has grown beyond this many bytes is put aside when its server is started again.
const LONGEST: u64 = 16 * 1024 * 1024;

/// To be called before a server is started: the present length of its log, to tell what is added.
pub(crate) fn begin(log: &Path) -> u64 {
    let length = fs::metadata(log).map_or(0, |found| found.len());
    // Where that is impossible, the log just goes on growing.
    if length > LONGEST && fs::rename(log, log.with_extension("log.old")).is_ok() {
        return 0;
    }
    length
}

/// What a log file holds after its first `seen` bytes.
pub(crate) fn added(log: &Path, seen: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        file.seek(SeekFrom::Start(seen))?;
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text)?;
        Ok(text)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// The first errors in a part of a log, without their prefixes; when there are none, its end.
pub(crate) fn excerpt(log: &str) -> String {
    let errors: Vec<&str> = log.lines().filter_map(error_in).take(LINES).collect();
    if !errors.is_empty() {
        return errors.join(" | ");
    }
    let lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    let end = lines
        .get(lines.len().saturating_sub(LINES)..)
        .unwrap_or_default();
    if end.is_empty() {
        "(empty)".to_owned()
    } else {
        end.join(" | ")
    }
}

/// The words of a line that reports an error.
fn error_in(line: &str) -> Option<&str> {
    let (_, words) = MARKS.iter().find_map(|mark| line.split_once(mark))?;
    // RabbitMQ goes on with the id of an Erlang process.
    let words = match words.split_once('>') {
        Some((id, rest)) if id.starts_with("<0.") => rest,
        _ => words,
    };
    Some(words.trim()).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_quoted_without_their_prefixes() {
        let postgres = "2026-11-22 08:00:00.000 UTC [1] LOG:  starting\n\
                        2026-11-22 08:00:00.000 UTC [1] FATAL:  no such file\n";
        assert_eq!(excerpt(postgres), "no such file");
        let rabbitmq = "2026-11-22 08:37:49.84+00:00 [error] <0.132.0> unknown variable: x\n\
                        2026-11-22 08:37:49.84+00:00 [error] <0.132.0> \n\
                        2026-11-22 08:37:49.84+00:00 [error] <0.132.0> BOOT FAILED\n";
        assert_eq!(excerpt(rabbitmq), "unknown variable: x | BOOT FAILED");
    }

    #[test]
    fn a_long_log_is_put_aside_and_a_short_one_goes_on() {
        let name = format!("adtally-{}.log", crate::secret::random_word(8));
        let log = std::env::temp_dir().join(name);
        assert_eq!(begin(&log), 0);
        fs::write(&log, "before\n").unwrap();
        assert_eq!(begin(&log), 7);
        fs::write(&log, "before\nafter\n").unwrap();
        assert_eq!(added(&log, 7), "after\n");
        File::options()
            .write(true)
            .open(&log)
            .unwrap()
            .set_len(LONGEST + 1)
            .unwrap();
        assert_eq!(begin(&log), 0);
        assert!(!log.exists());
        fs::remove_file(log.with_extension("log.old")).unwrap();
    }

    #[test]
    fn without_errors_the_end_is_quoted() {
        let text: String = (1..9).map(|n| format!(" line {n}\n\n")).collect();
        assert_eq!(excerpt(&text), "line 4 | line 5 | line 6 | line 7 | line 8");
        assert_eq!(excerpt(" \n"), "(empty)");
    }
}
