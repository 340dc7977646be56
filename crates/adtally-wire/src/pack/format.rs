//! What a pack looks like, and one event in it.

use std::borrow::Cow;
use std::net::IpAddr;

use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use serde::Deserialize;
use uuid::Uuid;

/// The beginning of a pack, with the names of the values of each entry, in the order in which this build
/// writes them. Those from `ip` on are null, or left out at the end, where there is nothing to say.
macro_rules! prefix {
    ($kind:literal) => {
        concat!(
            r#"{"v":2,"kind":""#,
            $kind,
            r#"","fields":["event_id","ad_id","received_at","ip","user_agent","source","#,
            r#""referer","placement","visitor_id","impression_id"],"events":["#
        )
    };
}

/// What every pack of this build begins with.
pub(super) const fn prefix(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Impression => prefix!("impression"),
        EventKind::Click => prefix!("click"),
    }
}

/// What every pack of this build ends with.
pub(super) const SUFFIX: &str = "]}";

/// The event's fields as they are read, borrowed wherever nothing in a text is escaped. Unknown ones
/// are ignored.
#[derive(Deserialize)]
pub(super) struct Read<'a> {
    event_id: Uuid,
    kind: EventKind,
    ad_id: AdId,
    #[serde(borrow)]
    received_at: ReceivedAt<'a>,
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

/// When the event came in, in either form.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "received_at is neither RFC 3339 nor Unix milliseconds"
)]
enum ReceivedAt<'a> {
    /// Unix milliseconds, as this build writes it.
    Millis(i64),
    /// RFC 3339, as the first version did, and people do.
    Text(#[serde(borrow)] Cow<'a, str>),
}

/// A text that is borrowed where it can be, which serde does for a bare `Cow` only.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'a> Read<'a> {
    /// The event, unless it holds what no table can store.
    pub(super) fn into_event(self) -> Result<Event<Cow<'a, str>>, String> {
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
            received_at: self.received_at.time()?,
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

impl ReceivedAt<'_> {
    fn time(&self) -> Result<Timestamp, String> {
        let time = match self {
            Self::Millis(millis) => Timestamp::from_millis(*millis),
            Self::Text(text) => chrono::DateTime::parse_from_rfc3339(text)
                .map_err(|error| format!("received_at: {error}"))?
                .to_utc()
                .try_into(),
        };
        time.map_err(|error| format!("received_at: {error}"))
    }
}

impl Text<'_> {
    /// JSON has no bare NUL, so only a text with escapes, which is not borrowed, can hold one.
    pub(super) fn holds_nul(&self) -> bool {
        matches!(&self.0, Cow::Owned(text) if text.contains('\0'))
    }
}
