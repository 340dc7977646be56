//! Reading packs that look as this build writes them, which nearly all do: every field has its place, so
//! there is nothing to search for. Half of the instructions of a reader of any JSON.

use std::borrow::Cow;

use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::encode::{HEAD, TAIL};
use super::wire::{self, Clock, Text, are_plain, is_plain};

/// Characters of a UUID as packs have it.
const UUID: usize = 36;

/// Hands the events of a pack to `take`. `None` where the pack is not, or no longer, as this build
/// writes it: what was handed out until then is right, whatever follows.
pub(super) fn events<'a>(pack: &'a str, mut take: impl FnMut(Event<Cow<'a, str>>)) -> Option<()> {
    let mut clock = Clock::default();
    let mut rest = Rest(pack);
    rest.skip(HEAD)?;
    let mut before = "";
    while rest.0 != TAIL {
        rest.skip(before)?;
        take(rest.event(&mut clock)?);
        before = ",";
    }
    Some(())
}

/// What is still to be read.
struct Rest<'a>(&'a str);

// Inlined where a text is known when this is compiled: to compare with it is a few instructions then, and
// otherwise a call.
impl<'a> Rest<'a> {
    fn event(&mut self, clock: &mut Clock) -> Option<Event<Cow<'a, str>>> {
        self.skip(wire::EVENT_ID)?;
        let id = EventId::from_uuid(self.uuid()?)?;
        self.skip(wire::KIND)?;
        let kind = self.kind()?;
        self.skip(wire::AD_ID)?;
        let ad_id = self.ad_id()?;
        self.skip(wire::RECEIVED_AT)?;
        let received_at = self.time(clock)?;
        let event = Event {
            id,
            kind,
            ad_id,
            received_at,
            impression_id: self.after(wire::IMPRESSION_ID, Self::uuid)?,
            visitor_id: self.after(wire::VISITOR_ID, Self::storable)?,
            ip: self.after(wire::IP, |rest| rest.text()?.parse().ok())?,
            user_agent: self.after(wire::USER_AGENT, Self::storable)?,
            referer: self.after(wire::REFERER, Self::storable)?,
            placement: self.after(wire::PLACEMENT, Self::storable)?,
            source: self.after(wire::SOURCE, Self::storable)?,
        };
        self.skip(wire::END)?;
        Some(event)
    }

    #[inline]
    fn skip(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// The value after a key that may be absent; `None` when it is there and cannot be read.
    #[expect(clippy::option_option, reason = "absent and unreadable are two things")]
    #[inline]
    fn after<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.skip(key) {
            Some(()) => read(self).map(Some),
            None => Some(None),
        }
    }

    #[inline]
    fn quoted(&mut self, text: &str) -> Option<()> {
        self.0 = self
            .0
            .strip_prefix('"')?
            .strip_prefix(text)?
            .strip_prefix('"')?;
        Some(())
    }

    fn kind(&mut self) -> Option<EventKind> {
        let mut kinds = EventKind::ALL.into_iter();
        kinds.find(|kind| self.quoted(kind.as_str()).is_some())
    }

    fn time(&mut self, clock: &mut Clock) -> Option<Timestamp> {
        match clock.last() {
            Some((text, time)) if self.quoted(text).is_some() => Some(time),
            _ => clock.read(&self.text()?).ok(),
        }
    }

    fn uuid(&mut self) -> Option<Uuid> {
        let (uuid, rest) = self.0.strip_prefix('"')?.split_at_checked(UUID)?;
        self.0 = rest.strip_prefix('"')?;
        uuid.parse().ok().map(Hyphenated::into_uuid)
    }

    fn ad_id(&mut self) -> Option<AdId> {
        let end = self.0.bytes().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        // JSON knows no number that begins with a zero, but zero, and no ad has that.
        let number = digits.parse().ok().filter(|_| !digits.starts_with('0'))?;
        AdId::new(number)
    }

    /// A text a table can store.
    fn storable(&mut self) -> Option<Cow<'a, str>> {
        let text = Text(self.text()?);
        (!text.holds_nul()).then_some(text.0)
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?;
        let (text, rest) = inner.split_at_checked(plain_bytes(inner))?;
        let Some(rest) = rest.strip_prefix('"') else {
            return self.escaped().map(Cow::Owned);
        };
        self.0 = rest;
        Some(Cow::Borrowed(text))
    }

    fn escaped(&mut self) -> Option<String> {
        let mut values = serde_json::Deserializer::from_str(self.0).into_iter();
        let text = values.next()?.ok()?;
        self.0 = self.0.get(values.byte_offset()..)?;
        Some(text)
    }
}

/// How many bytes a text begins with that stand for themselves in JSON.
fn plain_bytes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (chunks, _) = bytes.as_chunks::<16>();
    let in_chunks = 16 * chunks.iter().take_while(|chunk| are_plain(*chunk)).count();
    let last = bytes.iter().skip(in_chunks);
    in_chunks + last.take_while(|byte| is_plain(**byte)).count()
}
