//! The flags of `adtally import`.

use std::path::PathBuf;

use adtally_domain::EventKind;
use chrono_tz::Tz;
use clap::{Args, ValueEnum};

use crate::api::ApiArgs;

const EXAMPLES: &str = "\
Examples:
  adtally import clicks.csv.gz --ad-id-column app --time-column click_time \\
      --time-format '%Y-%m-%d %H:%M' --time-zone UTC --kind click --source history-2017
  adtally import events.ndjson --source replay

Importing a file again changes nothing: each row's id comes from the label, from what the row says
and from how many rows just like it came before. The file may have been renamed, appended to or
compressed anew.
Events older than the API's --max-event-age are refused; start it with a larger one to load history.

Each line of the file is accepted, repeated (an event id that the file gave before) or refused with its
number and the reason. The exit code is 1 when a line was refused or the file could not be read.";

/// Send events from a CSV or NDJSON file through the API.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// The file, plain or gzip; - reads standard input
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The label of this data, at most 64 characters; a part of every row's id
    #[arg(long, env = "ADTALLY_IMPORT_SOURCE", value_name = "LABEL", value_parser = label)]
    pub(super) source: String,
    /// What the file holds; found out from its first bytes unless given
    #[arg(long, env = "ADTALLY_IMPORT_FORMAT", value_enum, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
    /// What each row is, click or impression, unless it says so itself
    #[arg(long, env = "ADTALLY_IMPORT_KIND", value_name = "KIND")]
    pub(super) kind: Option<EventKind>,
    #[command(flatten)]
    pub(super) csv: CsvArgs,
    #[command(flatten)]
    pub(super) sending: SendingArgs,
}

/// How to read a CSV file.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Columns of a CSV file")]
pub(super) struct CsvArgs {
    /// The column with the ad's number
    #[arg(long, env = "ADTALLY_IMPORT_AD_ID_COLUMN", value_name = "NAME")]
    pub(super) ad_id_column: Option<String>,
    /// The column with the event's time
    #[arg(long, env = "ADTALLY_IMPORT_TIME_COLUMN", value_name = "NAME")]
    pub(super) time_column: Option<String>,
    /// How times are written: strftime's notation, rfc3339, unix or unix-ms. A format that ends with
    /// the hour means its first minute
    #[arg(
        long,
        env = "ADTALLY_IMPORT_TIME_FORMAT",
        value_name = "FORMAT",
        default_value = "rfc3339"
    )]
    pub(super) time_format: String,
    /// The zone of times that name no offset. A time that clocks showed twice is taken for the
    /// earlier one; a time that clocks skipped is refused
    #[arg(
        long,
        env = "ADTALLY_IMPORT_TIME_ZONE",
        value_name = "ZONE",
        default_value = "UTC",
        value_parser = zone
    )]
    pub(super) time_zone: Tz,
    /// The column that says click or impression
    #[arg(long, env = "ADTALLY_IMPORT_KIND_COLUMN", value_name = "NAME")]
    pub(super) kind_column: Option<String>,
    /// The column with an id that is the event's own; replaces the id made from the row
    #[arg(long, env = "ADTALLY_IMPORT_EVENT_ID_COLUMN", value_name = "NAME")]
    pub(super) event_id_column: Option<String>,
    /// The column with the id of the impression that a click belongs to
    #[arg(long, env = "ADTALLY_IMPORT_IMPRESSION_ID_COLUMN", value_name = "NAME")]
    pub(super) impression_id_column: Option<String>,
    /// The column with the visitor's id
    #[arg(long, env = "ADTALLY_IMPORT_VISITOR_COLUMN", value_name = "NAME")]
    pub(super) visitor_column: Option<String>,
    /// The column with the visitor's address
    #[arg(long, env = "ADTALLY_IMPORT_IP_COLUMN", value_name = "NAME")]
    pub(super) ip_column: Option<String>,
    /// The column with the visitor's user agent
    #[arg(long, env = "ADTALLY_IMPORT_USER_AGENT_COLUMN", value_name = "NAME")]
    pub(super) user_agent_column: Option<String>,
    /// The column with the page the ad was on
    #[arg(long, env = "ADTALLY_IMPORT_REFERER_COLUMN", value_name = "NAME")]
    pub(super) referer_column: Option<String>,
    /// The column with the place on the page
    #[arg(long, env = "ADTALLY_IMPORT_PLACEMENT_COLUMN", value_name = "NAME")]
    pub(super) placement_column: Option<String>,
    /// What separates columns: one ASCII character, or tab
    #[arg(
        long,
        env = "ADTALLY_IMPORT_DELIMITER",
        value_name = "CHARACTER",
        default_value = ",",
        value_parser = delimiter
    )]
    pub(super) delimiter: u8,
    /// What quotes around a field mean. Where they make no sense, the line is refused
    #[arg(
        long,
        env = "ADTALLY_IMPORT_QUOTING",
        value_enum,
        value_name = "HOW",
        default_value = "auto"
    )]
    pub(super) quoting: Quoting,
    /// What stands for no value besides an empty field; several with commas between. Without it:
    /// NULL, null, \N, -, n/a, N/A
    #[arg(
        long,
        env = "ADTALLY_IMPORT_NULL",
        value_name = "TEXT",
        value_delimiter = ','
    )]
    null: Option<Vec<String>>,
}

impl CsvArgs {
    /// What stands for no value, where it was said.
    pub(super) fn nulls(&self) -> Option<Vec<String>> {
        self.null.clone()
    }
}

/// What quotes mean in a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Quoting {
    /// As csv; but where columns are separated by tabs, a line whose quotes make no sense is read
    /// without
    Auto,
    /// A field may be in quotes, and a quote within is doubled (RFC 4180)
    Csv,
    /// Nothing: every quote is a part of its field
    None,
}

/// How to send the rows.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sending")]
pub(super) struct SendingArgs {
    #[command(flatten)]
    pub(super) api: ApiArgs,
    /// Events in one request
    #[arg(long, env = "ADTALLY_IMPORT_BATCH", value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) batch: u32,
    /// Requests under way at once
    #[arg(long, env = "ADTALLY_IMPORT_IN_FLIGHT", value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) in_flight: u32,
    /// How long to go on asking an API that answers but keeps nothing, such as 30s or 5m
    #[arg(
        long,
        env = "ADTALLY_IMPORT_PATIENCE",
        value_name = "TIME",
        default_value = "2m",
        value_parser = adtally_domain::parse_age
    )]
    pub(super) patience: std::time::Duration,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Rows of columns, the first row their names.
    Csv,
    /// One event as a JSON object per line, with the fields of the API.
    Ndjson,
}

fn label(text: &str) -> Result<String, String> {
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if (1..=64).contains(&text.len()) && printable && text.trim() == text {
        Ok(text.to_owned())
    } else {
        Err("use 1 to 64 printable ASCII characters without a space at either end".to_owned())
    }
}

fn zone(name: &str) -> Result<Tz, String> {
    name.parse()
        .map_err(|_| "use a name of the IANA database, such as UTC or Asia/Tehran".to_owned())
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => Err("use one ASCII character, or tab".to_owned()),
    }
}
