//! One event inside a pack.

use std::borrow::Cow;
use std::net::IpAddr;

use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The event's fields as they are written. Absent ones are left out.
#[derive(Serialize)]
pub(super) struct Written<'a> {
    event_id: Uuid,
    kind: EventKind,
    ad_id: AdId,
    received_at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    impression_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    visitor_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    placement: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
}

impl<'a> Written<'a> {
    /// `received_at` is the event's own, already as text: most events of a pack share it.
    pub(super) fn new(event: &'a Event, received_at: &'a str) -> Self {
        Self {
            event_id: event.id.as_uuid(),
            kind: event.kind,
            ad_id: event.ad_id,
            received_at,
            impression_id: event.impression_id,
            visitor_id: event.visitor_id.as_deref(),
            ip: event.ip,
            user_agent: event.user_agent.as_deref(),
            referer: event.referer.as_deref(),
            placement: event.placement.as_deref(),
            source: event.source.as_deref(),
        }
    }
}

/// The event's fields as they are read, borrowed wherever nothing in a text is escaped. Unknown ones
/// are ignored.
#[derive(Deserialize)]
pub(super) struct Read<'a> {
    event_id: Uuid,
    kind: EventKind,
    ad_id: AdId,
    #[serde(borrow)]
    received_at: Cow<'a, str>,
    #[serde(default)]
    impression_id: Option<Uuid>,
    #[serde(borrow, default)]
    visitor_id: Option<Text<'a>>,
    #[serde(default)]
    ip: Option<IpAddr>,
    #[serde(borrow, default)]
    user_agent: Option<Text<'a>>,
    #[serde(borrow, default)]
    referer: Option<Text<'a>>,
    #[serde(borrow, default)]
    placement: Option<Text<'a>>,
    #[serde(borrow, default)]
    source: Option<Text<'a>>,
}

/// A text that is borrowed where it can be, which serde does for a bare `Cow` only.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Read<'a> {
    /// The event, unless it holds what no table can store.
    pub(super) fn into_event(self, clock: &mut Clock) -> Result<Event<Cow<'a, str>>, String> {
        let texts = [
            &self.visitor_id,
            &self.user_agent,
            &self.referer,
            &self.placement,
            &self.source,
        ];
        if texts.into_iter().flatten().any(Text::holds_nul) {
            return Err("a text holds NUL".to_owned());
        }
        let bare = |text: Option<Text<'a>>| text.map(|text| text.0);
        Ok(Event {
            id: EventId::from_uuid(self.event_id)
                .ok_or("the time of its event_id is past the year 9999")?,
            kind: self.kind,
            ad_id: self.ad_id,
            received_at: clock.read(&self.received_at)?,
            impression_id: self.impression_id,
            ip: self.ip,
            visitor_id: bare(self.visitor_id),
            user_agent: bare(self.user_agent),
            referer: bare(self.referer),
            placement: bare(self.placement),
            source: bare(self.source),
        })
    }
}

impl Text<'_> {
    /// JSON has no bare NUL, so only a text with escapes, which is not borrowed, can hold one.
    fn holds_nul(&self) -> bool {
        matches!(&self.0, Cow::Owned(text) if text.contains('\0'))
    }
}

/// Reads times, remembering the last: most events of a pack came in the same request.
#[derive(Default)]
pub(super) struct Clock {
    last: Option<(String, Timestamp)>,
}

impl Clock {
    fn read(&mut self, text: &str) -> Result<Timestamp, String> {
        if let Some((last, time)) = &self.last
            && last == text
        {
            return Ok(*time);
        }
        let time = chrono::DateTime::parse_from_rfc3339(text)
            .map_err(|error| format!("received_at: {error}"))?;
        let time =
            Timestamp::try_from(time.to_utc()).map_err(|error| format!("received_at: {error}"))?;
        self.last = Some((text.to_owned(), time));
        Ok(time)
    }
}
