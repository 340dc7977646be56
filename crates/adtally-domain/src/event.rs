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
    /// An event with nothing but what every event has.
    #[must_use]
    pub const fn new(id: EventId, kind: EventKind, ad_id: AdId, received_at: Timestamp) -> Self {
        Self {
            id,
            kind,
            ad_id,
            received_at,
            impression_id: None,
            ip: None,
            visitor_id: None,
            user_agent: None,
            referer: None,
            placement: None,
            source: None,
        }
    }

    /// When it happened: the time its id holds.
    #[must_use]
    pub fn occurred_at(&self) -> Timestamp {
        self.id.time()
    }

    /// The texts it has. They are of any length, and from outside.
    pub fn texts(&self) -> impl Iterator<Item = &Text> {
        // Every field is named, so that a new one has to say here what it is.
        let Self {
            id: _,
            kind: _,
            ad_id: _,
            received_at: _,
            impression_id: _,
            ip: _,
            visitor_id,
            user_agent,
            referer,
            placement,
            source,
        } = self;
        let texts = [visitor_id, user_agent, referer, placement, source];
        texts.into_iter().flatten()
    }

    /// The same event with each text replaced by what `f` makes of it.
    pub fn map_texts<Other>(self, mut f: impl FnMut(Text) -> Other) -> Event<Other> {
        Event {
            id: self.id,
            kind: self.kind,
            ad_id: self.ad_id,
            received_at: self.received_at,
            impression_id: self.impression_id,
            ip: self.ip,
            visitor_id: self.visitor_id.map(&mut f),
            user_agent: self.user_agent.map(&mut f),
            referer: self.referer.map(&mut f),
            placement: self.placement.map(&mut f),
            source: self.source.map(&mut f),
        }
    }
}

impl<Text: AsRef<str>> Event<Text> {
    /// The same event with its texts borrowed.
    #[must_use]
    #[inline]
    pub fn as_deref(&self) -> Event<&str> {
        fn borrowed<Text: AsRef<str>>(text: &Option<Text>) -> Option<&str> {
            text.as_ref().map(AsRef::as_ref)
        }
        Event {
            id: self.id,
            kind: self.kind,
            ad_id: self.ad_id,
            received_at: self.received_at,
            impression_id: self.impression_id,
            ip: self.ip,
            visitor_id: borrowed(&self.visitor_id),
            user_agent: borrowed(&self.user_agent),
            referer: borrowed(&self.referer),
            placement: borrowed(&self.placement),
            source: borrowed(&self.source),
        }
    }
}

impl Event<&str> {
    /// The same event with texts of its own.
    #[must_use]
    pub fn into_owned(self) -> Event {
        self.map_texts(str::to_owned)
    }
}

impl Event<Cow<'_, str>> {
    /// The same event with texts of its own.
    #[must_use]
    pub fn into_owned(self) -> Event {
        self.map_texts(Cow::into_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let ad_id = AdId::new(7).unwrap();
        let id = EventId::v7(Timestamp::EPOCH, [3; 10]);
        Event::new(id, EventKind::Click, ad_id, Timestamp::EPOCH)
    }

    #[test]
    fn its_texts_are_those_that_are_there() {
        assert_eq!(event().texts().count(), 0);
        let event = Event {
            visitor_id: Some("visitor".to_owned()),
            user_agent: Some("browser".to_owned()),
            referer: Some("page".to_owned()),
            placement: Some("place".to_owned()),
            source: Some("sender".to_owned()),
            ..event()
        };
        let texts: Vec<&String> = event.texts().collect();
        assert_eq!(texts, ["visitor", "browser", "page", "place", "sender"]);
    }

    #[test]
    fn an_event_whose_texts_are_borrowed_is_the_same_event() {
        let event = Event {
            referer: Some("page".to_owned()),
            source: Some(String::new()),
            ..event()
        };
        assert_eq!(event.as_deref().into_owned(), event);
        assert_eq!(event.clone().map_texts(Cow::Owned).into_owned(), event);
    }
}
