//! Whether the client library can decode a message's properties (AMQP 0-9-1, section 4.2.6.1, with
//! the types of values that RabbitMQ uses).

/// Nested levels of tables and lists that pass. Senders use three or four.
const DEEPEST: u32 = 32;
/// Class, weight, and length of the body.
const FIXED: usize = 12;
const HAS_HEADERS: u16 = 0x2000;

/// The kinds of the 14 properties in their order, from the highest bit of the flags down.
const KINDS: [Kind; 14] = [
    Kind::Text,  // content_type
    Kind::Text,  // content_encoding
    Kind::Table, // headers
    Kind::Octet, // delivery_mode
    Kind::Octet, // priority
    Kind::Text,  // correlation_id
    Kind::Text,  // reply_to
    Kind::Text,  // expiration
    Kind::Text,  // message_id
    Kind::Time,  // timestamp
    Kind::Text,  // type
    Kind::Text,  // user_id
    Kind::Text,  // app_id
    Kind::Text,  // cluster_id
];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Table,
    Octet,
    Time,
}

/// What to read instead of `payload`, the properties of a message; `None` when it can be decoded.
pub(super) fn replacement(payload: &[u8]) -> Option<Vec<u8>> {
    if is_decodable(payload).is_some() {
        return None;
    }
    let fixed = payload.get(..FIXED)?;
    Some([fixed, &HAS_HEADERS.to_be_bytes(), &headers()].concat())
}

/// A table that says what happened, for whoever looks at a dead letter.
fn headers() -> Vec<u8> {
    const NAME: &[u8; 20] = b"x-unreadable-headers";
    let entry = [&[20], &NAME[..], b"t\x01"].concat();
    [&(entry.len() as u32).to_be_bytes()[..], &entry].concat()
}

fn is_decodable(payload: &[u8]) -> Option<()> {
    let mut bytes = Bytes(payload);
    bytes.take(FIXED)?;
    let flags = bytes.u16()?;
    for (place, kind) in KINDS.into_iter().enumerate() {
        if flags & (0x8000 >> place) == 0 {
            continue;
        }
        match kind {
            Kind::Text => bytes.text()?,
            Kind::Table => bytes.table(DEEPEST)?,
            Kind::Octet => bytes.skip(1)?,
            Kind::Time => bytes.skip(8)?,
        }
    }
    bytes.end()
}

/// Bytes that are read from the front; `None` wherever they are not what they should be.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(drop)
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(length).ok()?)
    }

    fn text(&mut self) -> Option<()> {
        let length = self.u8()?;
        std::str::from_utf8(self.take(length.into())?)
            .ok()
            .map(drop)
    }

    fn table(&mut self, deeper: u32) -> Option<()> {
        let mut entries = Bytes(self.long()?);
        while entries.end().is_none() {
            entries.text()?;
            entries.value(deeper)?;
        }
        Some(())
    }

    fn list(&mut self, deeper: u32) -> Option<()> {
        let mut items = Bytes(self.long()?);
        while items.end().is_none() {
            items.value(deeper)?;
        }
        Some(())
    }

    fn value(&mut self, deeper: u32) -> Option<()> {
        match self.u8()? {
            b'V' => Some(()),
            b't' | b'b' | b'B' => self.skip(1),
            b's' | b'U' | b'u' => self.skip(2),
            b'I' | b'i' | b'f' => self.skip(4),
            b'D' => self.skip(5),
            b'l' | b'L' | b'd' | b'T' => self.skip(8),
            b'S' | b'x' => self.long().map(drop),
            b'F' => self.table(deeper.checked_sub(1)?),
            b'A' => self.list(deeper.checked_sub(1)?),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::basic::parse_properties;
    use proptest::prelude::*;

    use super::*;

    fn long(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    /// Properties whose one header holds so many levels of lists and tables.
    fn nested(levels: u32) -> Vec<u8> {
        let value = (0..levels).fold(b"t\x01".to_vec(), |inner, level| {
            if level % 2 == 0 {
                [b"A", &long(&inner)[..]].concat()
            } else {
                [b"F", &long(&[b"\x01x", &inner[..]].concat())[..]].concat()
            }
        });
        let headers = long(&[b"\x04deep", &value[..]].concat());
        [&[0; FIXED][..], &HAS_HEADERS.to_be_bytes(), &headers].concat()
    }

    #[test]
    fn properties_are_decoded_down_to_the_deepest_level_and_not_further() {
        assert_eq!(replacement(&nested(DEEPEST)), None);
        let replaced = replacement(&nested(DEEPEST + 1)).unwrap();
        assert_eq!(replacement(&replaced), None);
        let (rest, read) = parse_properties(&replaced[FIXED..]).unwrap();
        assert!(rest.is_empty() && read.headers().is_some(), "{read:?}");
    }

    #[test]
    fn a_name_that_is_not_utf_8_cannot_be_decoded() {
        let of_type = |name: &[u8]| [&[0; FIXED][..], &[0, 0x20, 2], name].concat();
        assert_eq!(replacement(&of_type(b"ab")), None);
        assert!(replacement(&of_type(b"\xff\xfe")).is_some());
    }

    proptest! {
        #[test]
        fn what_passes_is_what_the_library_decodes(
            flags in any::<u16>(),
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(b'V'), any::<u8>()], 0..60),
        ) {
            let properties = [&flags.to_be_bytes()[..], &bytes].concat();
            let whole = [&[0; FIXED][..], &properties].concat();
            let read = parse_properties(&properties[..]).is_ok_and(|(rest, _)| rest.is_empty());
            if replacement(&whole).is_none() {
                prop_assert!(read, "{whole:?}");
            }
        }
    }
}
