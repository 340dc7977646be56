//! One event inside a pack.

use std::borrow::Cow;
use std::net::IpAddr;

use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use serde::Deserialize;
use uuid::Uuid;

/// What stands before each value of an entry, in the order in which this build writes them. Those from
/// [`IMPRESSION_ID`] on are left out where there is nothing to say.
pub(super) const EVENT_ID: &str = r#"{"event_id":"#;
pub(super) const KIND: &str = r#","kind":"#;
pub(super) const AD_ID: &str = r#","ad_id":"#;
pub(super) const RECEIVED_AT: &str = r#","received_at":"#;
pub(super) const IMPRESSION_ID: &str = r#","impression_id":"#;
pub(super) const VISITOR_ID: &str = r#","visitor_id":"#;
pub(super) const IP: &str = r#","ip":"#;
pub(super) const USER_AGENT: &str = r#","user_agent":"#;
pub(super) const REFERER: &str = r#","referer":"#;
pub(super) const PLACEMENT: &str = r#","placement":"#;
pub(super) const SOURCE: &str = r#","source":"#;
pub(super) const END: &str = "}";

/// Whether a byte of a text stands for itself in JSON (RFC 8259, section 7).
pub(super) const fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

/// Whether all bytes of a text do. Looks at each of them, which the processor does many at a time.
pub(super) fn are_plain(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(true, |plain, byte| plain & is_plain(*byte))
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
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

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
    pub(super) fn holds_nul(&self) -> bool {
        matches!(&self.0, Cow::Owned(text) if text.contains('\0'))
    }
}

/// Reads times, remembering the last: most events of a pack came in the same request.
#[derive(Default)]
pub(super) struct Clock {
    last: Option<(String, Timestamp)>,
}

impl Clock {
    /// The last time that was read, and its text.
    pub(super) fn last(&self) -> Option<(&str, Timestamp)> {
        self.last
            .as_ref()
            .map(|(text, time)| (text.as_str(), *time))
    }

    pub(super) fn read(&mut self, text: &str) -> Result<Timestamp, String> {
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
