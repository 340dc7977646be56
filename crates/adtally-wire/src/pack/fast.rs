//! The fast reader, for packs that look as this build writes them, which nearly all do. Every value has its
//! place, so there is nothing to search for. It takes a fraction of the instructions of a reader of any JSON.

use std::borrow::Cow;
use std::net::IpAddr;

use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use memchr::memchr2;
use uuid::Uuid;
use uuid_simd::UuidExt;

use super::format::{SUFFIX, Text, prefix};
use super::ipv4::ipv4;

/// Characters of a UUID as packs have it.
const UUID: usize = 36;

/// Hands the events of a pack to `take`. `None` where the pack is not, or no longer, as this build
/// writes it: what was handed out until then is right, whatever follows.
pub(super) fn read<'a>(pack: &'a str, mut take: impl FnMut(&Event<Cow<'a, str>>)) -> Option<()> {
    if !has_no_control(pack) {
        return None;
    }
    let mut cursor = Cursor {
        text: pack,
        received_at: None,
    };
    let mut kinds = EventKind::ALL.into_iter();
    let kind = kinds.find(|kind| cursor.skip(prefix(*kind)).is_some())?;
    let mut before = "";
    while cursor.text != SUFFIX {
        cursor.skip(before)?;
        cursor.event(kind, &mut take)?;
        before = ",";
    }
    Some(())
}

/// What is still to be read.
struct Cursor<'a> {
    text: &'a str,
    /// The last time of arrival as it was written, and what it says: events of one request share it.
    received_at: Option<(&'a str, Timestamp)>,
}

/// Reads the next value into its place.
type Reader<'a> = fn(&mut Cursor<'a>, &mut Event<Cow<'a, str>>) -> Option<()>;

// Inlined where a text is known when this is compiled: to compare with it is a few instructions then, and
// otherwise a call.
impl<'a> Cursor<'a> {
    /// Readers of the values that may be null, and are left out at the end.
    const READERS: [Reader<'a>; 7] = [
        |cursor, event| cursor.nullable(Self::ip, &mut event.ip),
        |cursor, event| cursor.nullable(Self::storable, &mut event.user_agent),
        |cursor, event| cursor.nullable(Self::storable, &mut event.source),
        |cursor, event| cursor.nullable(Self::storable, &mut event.referer),
        |cursor, event| cursor.nullable(Self::storable, &mut event.placement),
        |cursor, event| cursor.nullable(Self::storable, &mut event.visitor_id),
        |cursor, event| cursor.nullable(Self::uuid, &mut event.impression_id),
    ];

    /// Hands the next event to `take` rather than returns it: to move it costs as much as to read a number.
    fn event(
        &mut self,
        kind: EventKind,
        take: &mut impl FnMut(&Event<Cow<'a, str>>),
    ) -> Option<()> {
        self.skip("[")?;
        let id = EventId::from_uuid(self.uuid()?)?;
        self.skip(",")?;
        let ad_id = AdId::new(self.number()?)?;
        self.skip(",")?;
        let mut event = Event {
            id,
            kind,
            ad_id,
            received_at: self.received_at()?,
            ip: None,
            user_agent: None,
            source: None,
            referer: None,
            placement: None,
            visitor_id: None,
            impression_id: None,
        };
        // Most entries end long before the last one.
        for read in Self::READERS {
            if self.skip(",").is_none() {
                break;
            }
            read(self, &mut event)?;
        }
        self.skip("]")?;
        take(&event);
        Some(())
    }

    #[inline]
    fn skip(&mut self, text: &str) -> Option<()> {
        self.text = self.text.strip_prefix(text)?;
        Some(())
    }

    /// The next value, unless it is null; `None` when it cannot be read.
    #[inline]
    fn nullable<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Option<T>,
        value: &mut Option<T>,
    ) -> Option<()> {
        if self.skip("null").is_none() {
            *value = Some(read(self)?);
        }
        Some(())
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
        let (mut number, mut digits) = (0_i64, 0);
        for digit in self.text.bytes().take_while(u8::is_ascii_digit) {
            number = number.checked_mul(10)?.checked_add((digit - b'0').into())?;
            digits += 1;
        }
        // JSON knows no number that begins with a zero, but zero.
        let is_number = digits == 1 || (digits > 1 && !self.text.starts_with('0'));
        self.text = self.text.get(digits..)?;
        is_number.then_some(number)
    }

    fn ip(&mut self) -> Option<IpAddr> {
        if let Some((ip, rest)) = ipv4(self.text) {
            self.text = rest;
            return Some(ip.into());
        }
        self.text()?.parse().ok()
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
