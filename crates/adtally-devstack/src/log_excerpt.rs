//! What a server's log says about why it did not start.

use std::fs;
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

/// The length of a log file, to tell what is added later; 0 when there is none.
pub(crate) fn length(log: &Path) -> u64 {
    fs::metadata(log).map_or(0, |found| found.len())
}

/// What a log file holds after its first `seen` bytes.
pub(crate) fn added(log: &Path, seen: u64) -> String {
    let text = fs::read(log).unwrap_or_default();
    let added = text
        .get(usize::try_from(seen).unwrap_or(usize::MAX)..)
        .unwrap_or_default();
    String::from_utf8_lossy(added).into_owned()
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
    fn without_errors_the_end_is_quoted() {
        let text: String = (1..9).map(|n| format!(" line {n}\n\n")).collect();
        assert_eq!(excerpt(&text), "line 4 | line 5 | line 6 | line 7 | line 8");
        assert_eq!(excerpt(" \n"), "(empty)");
    }
}
