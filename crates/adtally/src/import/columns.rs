//! Which column of a CSV file holds what.

use adtally_domain::EventKind;
use csv::ByteRecord;

use super::args::CsvArgs;
use super::row::{Optional, RowFault};

/// The places of the columns that are used.
#[derive(Debug)]
pub(super) struct Columns {
    ad_id: Column,
    time: Column,
    kind: Option<Column>,
    event_id: Option<Column>,
    impression_id: Option<Column>,
    visitor: Option<Column>,
    ip: Option<Column>,
    user_agent: Option<Column>,
    referer: Option<Column>,
    placement: Option<Column>,
}

#[derive(Debug)]
struct Column {
    name: String,
    index: usize,
}

impl Columns {
    /// Finds the columns that `args` name among `header`.
    ///
    /// # Errors
    /// Which one is not there.
    pub(super) fn find(header: &[&str], args: &CsvArgs) -> Result<Self, String> {
        let required = |name: &Option<String>, flag: &str| match name {
            Some(name) => find(header, name, flag),
            None => Err(format!(
                "say with {flag} which column it is: {}",
                listed(header)
            )),
        };
        let optional = |name: &Option<String>, flag: &str| {
            let found = name.as_ref().map(|name| find(header, name, flag));
            found.transpose()
        };
        Ok(Self {
            ad_id: required(&args.ad_id_column, "--ad-id-column")?,
            time: required(&args.time_column, "--time-column")?,
            kind: optional(&args.kind_column, "--kind-column")?,
            event_id: optional(&args.event_id_column, "--event-id-column")?,
            impression_id: optional(&args.impression_id_column, "--impression-id-column")?,
            visitor: optional(&args.visitor_column, "--visitor-column")?,
            ip: optional(&args.ip_column, "--ip-column")?,
            user_agent: optional(&args.user_agent_column, "--user-agent-column")?,
            referer: optional(&args.referer_column, "--referer-column")?,
            placement: optional(&args.placement_column, "--placement-column")?,
        })
    }

    /// The ad's number; the API judges its range.
    pub(super) fn ad_id(&self, record: &ByteRecord) -> Result<i64, RowFault> {
        let text = self.ad_id.text(record)?;
        text.parse().map_err(|_| {
            let detail = format!(
                "{} is {:?}, not a whole number",
                self.ad_id.name,
                short(text)
            );
            RowFault::new("invalid_ad_id", detail)
        })
    }

    /// The text of the event's time.
    pub(super) fn time<'a>(&self, record: &'a ByteRecord) -> Result<&'a str, RowFault> {
        self.time.text(record)
    }

    /// The kind, where a column says it.
    pub(super) fn kind(&self, record: &ByteRecord) -> Result<Option<EventKind>, RowFault> {
        let Some(column) = &self.kind else {
            return Ok(None);
        };
        let text = column.text(record)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| {
            let detail = format!(
                "{} is {:?}, neither impression nor click",
                column.name,
                short(text)
            );
            RowFault::new("invalid_kind", detail)
        })
    }

    /// The event's own id, where a column says it.
    pub(super) fn event_id<'a>(&self, record: &'a ByteRecord) -> Result<Option<&'a str>, RowFault> {
        filled(self.event_id.as_ref(), record)
    }

    /// All other fields.
    pub(super) fn optional<'a>(&self, record: &'a ByteRecord) -> Result<Optional<'a>, RowFault> {
        let text = |column: &Option<Column>| filled(column.as_ref(), record);
        Ok(Optional {
            impression_id: text(&self.impression_id)?,
            visitor_id: text(&self.visitor)?,
            ip: text(&self.ip)?,
            user_agent: text(&self.user_agent)?,
            referer: text(&self.referer)?,
            placement: text(&self.placement)?,
        })
    }
}

impl Column {
    fn text<'a>(&self, record: &'a ByteRecord) -> Result<&'a str, RowFault> {
        let bytes = record.get(self.index).unwrap_or_default();
        let text = str::from_utf8(bytes)
            .map_err(|_| RowFault::new("invalid_text", format!("{} is not UTF-8", self.name)))?;
        Ok(text.trim())
    }
}

fn filled<'a>(
    column: Option<&Column>,
    record: &'a ByteRecord,
) -> Result<Option<&'a str>, RowFault> {
    let text = column.map(|column| column.text(record)).transpose()?;
    Ok(text.filter(|text| !text.is_empty()))
}

fn find(header: &[&str], name: &str, flag: &str) -> Result<Column, String> {
    let mut places = (0..).zip(header).filter(|(_, title)| **title == name);
    match (places.next(), places.next()) {
        (Some((index, _)), None) => Ok(Column {
            name: name.to_owned(),
            index,
        }),
        (Some(_), Some(_)) => Err(format!("it has two columns named {name:?} ({flag})")),
        (None, _) => Err(format!(
            "it has no column {name:?}: say with {flag} which it is: {}",
            listed(header)
        )),
    }
}

/// The names of the columns, at most 40 of them.
fn listed(header: &[&str]) -> String {
    let more = if header.len() > 40 { ", ..." } else { "" };
    let names: Vec<String> = header
        .iter()
        .take(40)
        .map(|name| short(name).escape_debug().to_string())
        .collect();
    format!("{}{more}", names.join(", "))
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
