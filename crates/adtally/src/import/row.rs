//! One row and the event it becomes.

use adtally_domain::EventKind;
use serde::Serialize;

use super::input::InputError;

/// Rows of a file, in order.
pub(super) trait Rows: Send {
    /// Reads the next row and adds its event, a JSON object, to the end of `json`; `None` after
    /// the last. A row that is no event leaves `json` as it was.
    ///
    /// # Errors
    /// When the file cannot be read on.
    fn next(&mut self, json: &mut Vec<u8>) -> Result<Option<Row>, InputError>;

    /// The lines that begin no row, since they were last taken.
    fn take_other_lines(&mut self) -> OtherLines;
}

/// A row that was read.
#[derive(Debug)]
pub(super) struct Row {
    /// The line it begins on, from 1.
    pub(super) line: u64,
    /// How its event is named, or why there is none.
    pub(super) event: Result<Naming, RowFault>,
}

/// Where an event's id comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// From the row: no other row of the file has it.
    ByRow,
    /// The file says it, perhaps in several rows.
    ByFile,
}

/// Lines that begin no row.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct OtherLines {
    /// The names of the columns.
    pub(super) header: u64,
    /// Empty ones.
    pub(super) blank: u64,
    /// Further lines of rows that go on within quotes.
    pub(super) continued: u64,
}

impl OtherLines {
    /// How many lines these are.
    pub(super) fn total(self) -> u64 {
        self.header + self.blank + self.continued
    }
}

impl std::ops::AddAssign for OtherLines {
    fn add_assign(&mut self, other: Self) {
        self.header += other.header;
        self.blank += other.blank;
        self.continued += other.continued;
    }
}

/// Why a row is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowFault {
    /// A stable code, in the manner of the API's.
    pub(super) code: &'static str,
    /// What is wrong, for a person.
    pub(super) detail: String,
}

impl RowFault {
    /// A fault with `code`, explained by `detail`.
    pub(super) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

/// An event as it is posted.
#[derive(Debug, Serialize)]
pub(super) struct PostedEvent<'a> {
    /// The ad, judged by the API.
    pub(super) ad_id: i64,
    /// Impression or click.
    pub(super) kind: EventKind,
    /// The row's id.
    pub(super) event_id: &'a str,
    /// RFC 3339.
    pub(super) occurred_at: String,
    /// Fields a column was named for, where they are not empty.
    #[serde(flatten)]
    pub(super) optional: Optional<'a>,
}

/// What an event may carry besides.
#[derive(Debug, Default, Serialize)]
pub(super) struct Optional<'a> {
    /// The id of the impression a click belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) impression_id: Option<&'a str>,
    /// The visitor's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) visitor_id: Option<&'a str>,
    /// The visitor's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip: Option<&'a str>,
    /// The visitor's browser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_agent: Option<&'a str>,
    /// The page the ad was on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) referer: Option<&'a str>,
    /// The place on the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) placement: Option<&'a str>,
}
