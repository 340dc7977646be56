//! Which column of a CSV file holds what.

use super::args::CsvArgs;
use super::fields::Fields;
use super::row::{Optional, RowFault};
use super::values::{NULLS, check_event_id, check_not_rounded, check_visible};
use adtally_domain::EventKind;

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
    /// What stands for no value, where the user said so.
    nulls: Option<Vec<String>>,
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
            nulls: args.nulls(),
        })
    }

    /// The ad's number; the API judges its range.
    pub(super) fn ad_id(&self, fields: &Fields) -> Result<i64, RowFault> {
        let text = self.ad_id.text(fields)?;
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
    pub(super) fn time<'a>(&self, fields: &'a Fields) -> Result<&'a str, RowFault> {
        self.time.text(fields)
    }

    /// The kind, where a column says it.
    pub(super) fn kind(&self, fields: &Fields) -> Result<Option<EventKind>, RowFault> {
        let Some(column) = &self.kind else {
            return Ok(None);
        };
        let Some(text) = self.filled(Some(column), fields)? else {
            return Ok(None);
        };
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
    ///
    /// What stands for nothing only by custom is no id, but not nothing either: rows that were
    /// imported with it as their id would count again.
    pub(super) fn event_id<'a>(&self, fields: &'a Fields) -> Result<Option<&'a str>, RowFault> {
        let Some(column) = &self.event_id else {
            return Ok(None);
        };
        let id = column.text(fields)?;
        let nulls = self.nulls.as_deref().unwrap_or_default();
        if id.is_empty() || nulls.iter().any(|null| null == id) {
            return Ok(None);
        }
        check_event_id(&column.name, id).map_err(|mut fault| {
            if NULLS.contains(&id) {
                fault.detail = format!(
                    "{} is {id:?}, which names no event: say --null '{id}' for rows without an id",
                    column.name
                );
            }
            fault
        })?;
        Ok(Some(id))
    }

    /// All other fields.
    pub(super) fn optional<'a>(&self, fields: &'a Fields) -> Result<Optional<'a>, RowFault> {
        let text = |column: &Option<Column>| self.filled(column.as_ref(), fields);
        let visitor_id = text(&self.visitor)?;
        if let (Some(id), Some(column)) = (visitor_id, &self.visitor) {
            check_not_rounded(&column.name, id)?;
        }
        Ok(Optional {
            impression_id: text(&self.impression_id)?,
            visitor_id,
            ip: text(&self.ip)?,
            user_agent: text(&self.user_agent)?,
            referer: text(&self.referer)?,
            placement: text(&self.placement)?,
        })
    }

    /// Whether `line`, of as many columns as the header, could be a row: `is_time` judges its time.
    pub(super) fn could_be_row(&self, line: &Fields, is_time: impl FnOnce(&str) -> bool) -> bool {
        self.ad_id(line).is_ok() && self.time(line).is_ok_and(is_time)
    }

    fn filled<'a>(
        &self,
        column: Option<&Column>,
        fields: &'a Fields,
    ) -> Result<Option<&'a str>, RowFault> {
        let text = column.map(|column| column.text(fields)).transpose()?;
        Ok(text.filter(|text| !text.is_empty() && !self.is_null(text)))
    }

    fn is_null(&self, text: &str) -> bool {
        match &self.nulls {
            Some(nulls) => nulls.iter().any(|null| null == text),
            None => NULLS.contains(&text),
        }
    }
}

impl Column {
    fn text<'a>(&self, fields: &'a Fields) -> Result<&'a str, RowFault> {
        let bytes = fields.get(self.index).unwrap_or_default();
        let text = str::from_utf8(bytes)
            .map_err(|_| RowFault::new("invalid_text", format!("{} is not UTF-8", self.name)))?;
        let text = text.trim();
        check_visible(&self.name, text)?;
        Ok(text)
    }
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
