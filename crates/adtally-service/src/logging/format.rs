//! How a line of the log looks.

use clap::Args;
use log::Level;
use serde::Serialize;

use crate::clock;

/// The flags of everything that logs.
#[derive(Debug, Clone, Copy, Args)]
pub struct LogArgs {
    /// How the lines of the log on standard error look: text, or json with one object a line
    #[arg(long, env = "ADTALLY_LOG_FORMAT", value_name = "FORMAT", default_value = "text",
          value_parser = log_format, global = true)]
    pub log_format: LogFormat,
}

/// The form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: `[2026-01-02T03:04:05.678Z INFO  adtally_api::run] listening`.
    Text,
    /// For programs: an object with `time`, `level`, `target`, `message` and perhaps `request_id`.
    Json,
}

impl LogFormat {
    /// Its name, as the flag takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// An empty variable counts as unset.
fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "" | "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("write text or json".to_owned()),
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'a str,
    target: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// A line of [`LogFormat::Json`], with the line feed at its end.
pub(super) fn json_line(
    level: Level,
    target: &str,
    message: &str,
    request_id: Option<&str>,
) -> String {
    let line = Line {
        time: clock::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        level: level_name(level),
        target,
        message,
        request_id,
    };
    // Texts have no way to fail.
    let mut json = serde_json::to_string(&line).unwrap_or_default();
    json.push('\n');
    json
}

/// The name of a level in JSON and in metrics.
pub(super) const fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}
