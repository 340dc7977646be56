//! Reading packs that look as this build writes them, which nearly all do: every value has its place, so
//! there is nothing to search for. A fraction of the instructions of a reader of any JSON.

use std::borrow::Cow;

use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use memchr::memchr2;
use uuid::Uuid;
use uuid_simd::UuidExt;

use super::wire::{TAIL, Text, head};

/// Characters of a UUID as packs have it.
const UUID: usize = 36;

/// Hands the events of a pack to `take`. `None` where the pack is not, or no longer, as this build
/// writes it: what was handed out until then is right, whatever follows.
pub(super) fn events<'a>(pack: &'a str, mut take: impl FnMut(Event<Cow<'a, str>>)) -> Option<()> {
    if !has_no_control(pack) {
        return None;
    }
    let mut rest = Rest {
        text: pack,
        received_at: None,
    };
    let mut kinds = EventKind::ALL.into_iter();
    let kind = kinds.find(|kind| rest.skip(head(*kind)).is_some())?;
    let mut before = "";
    while rest.text != TAIL {
        rest.skip(before)?;
        take(rest.event(kind)?);
        before = ",";
    }
    Some(())
}

/// What is still to be read.
struct Rest<'a> {
    text: &'a str,
    /// The last time of arrival as it was written, and what it says: events of one request share it.
    received_at: Option<(&'a str, Timestamp)>,
}

// Inlined where a text is known when this is compiled: to compare with it is a few instructions then, and
// otherwise a call.
impl<'a> Rest<'a> {
    fn event(&mut self, kind: EventKind) -> Option<Event<Cow<'a, str>>> {
        self.skip("[")?;
        let id = EventId::from_uuid(self.uuid()?)?;
        self.skip(",")?;
        let ad_id = AdId::new(self.number()?)?;
        self.skip(",")?;
        let received_at = self.received_at()?;
        let event = Event {
            id,
            kind,
            ad_id,
            received_at,
            ip: self.nullable(|rest| rest.text()?.parse().ok())?,
            user_agent: self.nullable(Self::storable)?,
            source: self.nullable(Self::storable)?,
            referer: self.nullable(Self::storable)?,
            placement: self.nullable(Self::storable)?,
            visitor_id: self.nullable(Self::storable)?,
            impression_id: self.nullable(Self::uuid)?,
        };
        self.skip("]")?;
        Some(event)
    }

    #[inline]
    fn skip(&mut self, text: &str) -> Option<()> {
        self.text = self.text.strip_prefix(text)?;
        Some(())
    }

    /// The next value, which may be null or past the end of the entry; `None` when it cannot be read.
    #[expect(clippy::option_option, reason = "absent and unreadable are two things")]
    #[inline]
    fn nullable<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.skip(",").is_none() || self.skip("null").is_some() {
            return Some(None);
        }
        read(self).map(Some)
    }

    fn uuid(&mut self) -> Option<Uuid> {
        let (uuid, rest) = self.text.strip_prefix('"')?.split_at_checked(UUID)?;
        self.text = rest.strip_prefix('"')?;
        Uuid::parse_hyphenated(uuid.as_bytes()).ok()
    }

    fn received_at(&mut self) -> Option<Timestamp> {
        if let Some((text, time)) = self.received_at
            && let Some(rest) = self.text.strip_prefix(text)
            && !rest.starts_with(|next: char| next.is_ascii_digit())
        {
            self.text = rest;
            return Some(time);
        }
        let before = self.text;
        let time = Timestamp::from_millis(self.number()?).ok()?;
        let written = before.get(..before.len() - self.text.len())?;
        self.received_at = Some((written, time));
        Some(time)
    }

    /// A whole number that is not negative.
    fn number(&mut self) -> Option<i64> {
        let end = self.text.bytes().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.text.split_at_checked(end)?;
        self.text = rest;
        // JSON knows no number that begins with a zero, but zero.
        let is_number = digits == "0" || !digits.starts_with('0');
        digits.parse().ok().filter(|_| is_number)
    }

    /// A text a table can store.
    fn storable(&mut self) -> Option<Cow<'a, str>> {
        let text = Text(self.text()?);
        (!text.holds_nul()).then_some(text.0)
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        let inner = self.text.strip_prefix('"')?;
        let end = memchr2(b'"', b'\\', inner.as_bytes())?;
        let (text, rest) = inner.split_at_checked(end)?;
        let Some(rest) = rest.strip_prefix('"') else {
            return self.escaped().map(Cow::Owned);
        };
        self.text = rest;
        Some(Cow::Borrowed(text))
    }

    fn escaped(&mut self) -> Option<String> {
        let mut values = serde_json::Deserializer::from_str(self.text).into_iter();
        let text = values.next()?.ok()?;
        self.text = self.text.get(values.byte_offset()..)?;
        Some(text)
    }
}

/// Whether no byte of a text is a control character, which a text in JSON must not hold (RFC 8259, section
/// 7). Looks at each of them, which the processor does many at a time.
fn has_no_control(text: &str) -> bool {
    text.bytes().fold(true, |none, byte| none & (byte >= 0x20))
}
