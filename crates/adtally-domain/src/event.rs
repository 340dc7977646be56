//! An impression or a click, validated and with its id.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::{AdId, EventId, Timestamp};

/// What happened to the ad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The ad was shown.
    Impression,
    /// The ad was clicked.
    Click,
}

/// A text or number that names no kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an event's kind is impression or click")]
pub struct UnknownEventKind;

impl EventKind {
    /// Every kind, in the order of their codes.
    pub const ALL: [Self; 2] = [Self::Impression, Self::Click];

    /// The kind's name on every wire: `impression` or `click`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Impression => "impression",
            Self::Click => "click",
        }
    }

    /// The kind's number in the `events` table and in derived ids: 0 or 1.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Impression => 0,
            Self::Click => 1,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = UnknownEventKind;

    fn from_str(text: &str) -> Result<Self, UnknownEventKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(UnknownEventKind)
    }
}

impl TryFrom<u8> for EventKind {
    type Error = UnknownEventKind;

    fn try_from(code: u8) -> Result<Self, UnknownEventKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.code() == code)
            .ok_or(UnknownEventKind)
    }
}

/// One impression or click, as every process behind the API sees it.
///
/// Its texts are its own, unless they are borrowed for a moment from where it was read (`Text` is
/// then a `Cow`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<Text = String> {
    /// The id that makes it count once. It also holds the event's time.
    pub id: EventId,
    /// Impression or click.
    pub kind: EventKind,
    /// The ad it belongs to.
    pub ad_id: AdId,
    /// When the API took it.
    pub received_at: Timestamp,
    /// The impression a click belongs to.
    pub impression_id: Option<Uuid>,
    /// The visitor's address, cut to its network unless the operator keeps it whole.
    pub ip: Option<IpAddr>,
    /// The ad server's own name for the visitor.
    pub visitor_id: Option<Text>,
    /// The visitor's browser.
    pub user_agent: Option<Text>,
    /// The page the ad was on.
    pub referer: Option<Text>,
    /// The place on the page.
    pub placement: Option<Text>,
    /// Who sent the event.
    pub source: Option<Text>,
}

impl<Text> Event<Text> {
    /// When it happened: the time its id holds.
    #[must_use]
    pub fn occurred_at(&self) -> Timestamp {
        self.id.time()
    }
}

impl Event<Cow<'_, str>> {
    /// The same event with texts of its own.
    #[must_use]
    pub fn into_owned(self) -> Event {
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        Event {
            id: self.id,
            kind: self.kind,
            ad_id: self.ad_id,
            received_at: self.received_at,
            impression_id: self.impression_id,
            ip: self.ip,
            visitor_id: owned(self.visitor_id),
            user_agent: owned(self.user_agent),
            referer: owned(self.referer),
            placement: owned(self.placement),
            source: owned(self.source),
        }
    }
}
