//! Query strings, read strictly: what is asked for twice has no meaning.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use adtally_domain::Timestamp;
use chrono::{DateTime, Utc};
use url::form_urlencoded;

use crate::http::problem::Problem;

/// The parameters of a query that a route knows; others are ignored.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    found: Vec<(&'static str, Cow<'a, str>)>,
}

/// A query that cannot be read, and the parameter that is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryFault {
    /// The parameter is given more than once.
    Repeated(&'static str),
    /// The parameter is not UTF-8.
    NotText(&'static str),
}

impl<'a> Query<'a> {
    /// The parameters named in `known`.
    ///
    /// # Errors
    /// [`QueryFault`] for a known parameter that is given twice or is not UTF-8.
    pub(crate) fn parse(query: &'a str, known: &[&'static str]) -> Result<Self, QueryFault> {
        let mut found: Vec<(&'static str, Cow<'a, str>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(&name) = known.iter().find(|known| **known == name) else {
                continue;
            };
            if found.iter().any(|(earlier, _)| *earlier == name) {
                return Err(QueryFault::Repeated(name));
            }
            // The parser writes this character for bytes that are not UTF-8.
            if value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(QueryFault::NotText(name));
            }
            found.push((name, value));
        }
        Ok(Self { found })
    }

    /// The value of the parameter `name`; `None` when it is missing or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.found.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, value)| value.as_ref())
            .filter(|value| !value.is_empty())
    }

    /// The text of the parameter `name`, an RFC 3339 time.
    ///
    /// A `+` that was not percent-encoded arrives as a space. Before an offset it can have meant
    /// nothing else, so it is put back.
    pub(crate) fn time(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(|value| match value.rsplit_once(' ') {
            Some((time, offset)) if time.contains(['T', 't']) => format!("{time}+{offset}").into(),
            _ => value.into(),
        })
    }

    /// The value of the parameter `name`, a time.
    ///
    /// # Errors
    /// A problem for anything else.
    pub(crate) fn timestamp(&self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.time(name) else {
            return Ok(None);
        };
        let time = DateTime::parse_from_rfc3339(&text).ok();
        let time = time.and_then(|time| Timestamp::try_from(time.with_timezone(&Utc)).ok());
        time.map(Some).ok_or_else(|| {
            let detail = format!("{name} is an RFC 3339 time with offset, from 1970 to 9999");
            Problem::invalid_parameter(name, detail)
        })
    }

    /// The value of the parameter `name`, a whole number from 1 to `max`.
    ///
    /// # Errors
    /// A problem for anything else.
    pub(crate) fn limit(
        &self,
        name: &'static str,
        default: usize,
        max: usize,
    ) -> Result<usize, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        text.parse()
            .ok()
            .filter(|number| (1..=max).contains(number))
            .ok_or_else(|| {
                Problem::invalid_parameter(
                    name,
                    format!("{name} is a whole number from 1 to {max}"),
                )
            })
    }
}

impl QueryFault {
    /// What is wrong, in words.
    pub(crate) fn detail(self) -> String {
        match self {
            Self::Repeated(name) => format!("{name} is given more than once"),
            Self::NotText(name) => format!("{name} is not UTF-8"),
        }
    }
}

impl From<QueryFault> for Problem {
    fn from(fault: QueryFault) -> Self {
        let (QueryFault::Repeated(name) | QueryFault::NotText(name)) = fault;
        Self::invalid_parameter(name, fault.detail())
    }
}
