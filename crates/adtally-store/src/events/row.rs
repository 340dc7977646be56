//! An event as a row of binary COPY (PostgreSQL's documentation of COPY, "Binary Format"; the values
//! as their types' send functions write them).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use uuid::Uuid;

/// What the data begins with: signature, flags, length of an extension.
pub(super) const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Columns of a row at most, the source not among them; `verdict` and `rule_version` take their defaults.
pub(super) const COLUMNS: u8 = 10;
/// Those of them that come first, the id among them: they are never NULL.
const NEVER_NULL: u8 = 4;
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// The server's time begins in 2000, in microseconds.
const EPOCH_2000_MILLIS: i64 = 946_684_800_000;
/// The server's own numbers of address families.
const INET: u8 = 2;
const INET6: u8 = 3;

/// Bytes of the kind, and of when an event came in.
const KIND: usize = 4 + 2;
const RECEIVED_AT: usize = 4 + 8;

/// What [`encode`] added to the data.
pub(super) struct Encoded {
    /// Bytes before the payload, which is the rest: what the sender said, without when and through whom it
    /// came.
    pub(super) before_payload: usize,
    /// Columns up to the last one that is not NULL.
    pub(super) columns: u8,
}

/// Adds the fields of a row to the data, in the order in which [`super::copy`] names its columns: those
/// last that are empty most often, but the source first. The id, which comes before them, a source that is
/// NULL and NULLs at the end are left out.
pub(super) fn encode<Text: AsRef<str>>(data: &mut Vec<u8>, event: &Event<Text>) -> Encoded {
    let start = data.len();
    if let Some(source) = &event.source {
        field(data, source.as_ref().as_bytes());
    }
    let received_at = (event.received_at.as_millis() - EPOCH_2000_MILLIS) * 1_000;
    field(data, &received_at.to_be_bytes());
    let before_payload = data.len() - start;
    field(data, &event.ad_id.get().to_be_bytes());
    field(data, &i16::from(event.kind.code()).to_be_bytes());
    let columns = COLUMNS - trailing_nulls(event);
    if columns > NEVER_NULL {
        match event.ip {
            Some(ip) => address(data, ip),
            None => data.extend_from_slice(&NULL),
        }
    }
    let texts = [
        &event.user_agent,
        &event.referer,
        &event.placement,
        &event.visitor_id,
    ];
    for (text, _) in texts.into_iter().zip(NEVER_NULL + 1..columns) {
        nullable(data, text.as_ref().map(|text| text.as_ref().as_bytes()));
    }
    if columns == COLUMNS {
        nullable(data, event.impression_id.as_ref().map(Uuid::as_bytes));
    }
    Encoded {
        before_payload,
        columns,
    }
}

fn trailing_nulls<Text>(event: &Event<Text>) -> u8 {
    let from_the_end = [
        event.impression_id.is_none(),
        event.visitor_id.is_none(),
        event.placement.is_none(),
        event.referer.is_none(),
        event.user_agent.is_none(),
        event.ip.is_none(),
    ];
    let nulls = from_the_end.into_iter().take_while(|is_null| *is_null);
    nulls.map(u8::from).sum()
}

/// The ad of a payload, its first field.
pub(super) fn ad_id(payload: &[u8]) -> i64 {
    let id = payload.get(4..).and_then(|rest| rest.first_chunk::<8>());
    id.map_or(0, |id| i64::from_be_bytes(*id))
}

/// Whether the fields begin with a source.
pub(super) fn has_source(before_payload: usize) -> bool {
    before_payload > RECEIVED_AT
}

/// Some of the columns of the table.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ColumnSet {
    pub(super) source: bool,
    /// The first so many of the others.
    pub(super) others: u8,
}

/// A row of the columns that are `sent`: how many there are, the id, `fields`, and NULLs. Those that are
/// `present` are in `fields` and the id.
pub(super) fn write(
    data: &mut Vec<u8>,
    id: EventId,
    fields: &[u8],
    present: ColumnSet,
    sent: ColumnSet,
) {
    let count = i16::from(sent.others) + i16::from(sent.source);
    data.extend_from_slice(&count.to_be_bytes());
    field(data, id.as_uuid().as_bytes());
    if sent.source && !present.source {
        data.extend_from_slice(&NULL);
    }
    data.extend_from_slice(fields);
    for _ in present.others..sent.others {
        data.extend_from_slice(&NULL);
    }
}

/// Adds a value that may be NULL.
pub(super) fn nullable(data: &mut Vec<u8>, value: Option<impl AsRef<[u8]>>) {
    match value {
        Some(value) => field(data, value.as_ref()),
        None => data.extend_from_slice(&NULL),
    }
}

/// Inlined, because nearly all values have a length that is known when this is compiled.
#[inline]
fn field(data: &mut Vec<u8>, value: &[u8]) {
    // A text of an event has at most a few kilobytes; a pack of the broker's never two gigabytes.
    let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
    data.extend_from_slice(&length.to_be_bytes());
    data.extend_from_slice(value);
}

/// Family, bits of the network mask, whether it is a network, bytes of the address.
fn address(data: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            data.extend_from_slice(&8_i32.to_be_bytes());
            data.extend_from_slice(&[INET, 32, 0, 4]);
            data.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            data.extend_from_slice(&20_i32.to_be_bytes());
            data.extend_from_slice(&[INET6, 128, 0, 16]);
            data.extend_from_slice(&ip.octets());
        }
    }
}

/// The event whose fields [`encode`] wrote. Id, kind and whether there is a source were kept beside them.
#[expect(clippy::expect_used, reason = "both were written from an event's own")]
pub(super) fn event(id: EventId, kind: EventKind, has_source: bool, mut fields: &[u8]) -> Event {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let source = has_source
        .then(|| next_value(&mut fields))
        .flatten()
        .map(text);
    let received_at = number(next_value(&mut fields)) / 1_000 + EPOCH_2000_MILLIS;
    let ad_id = number(next_value(&mut fields));
    fields = fields.get(KIND..).unwrap_or_default();
    Event {
        id,
        kind,
        ad_id: AdId::new(ad_id).expect("an ad's id"),
        received_at: Timestamp::from_millis(received_at).expect("a time"),
        source,
        ip: next_value(&mut fields).and_then(ip),
        user_agent: next_value(&mut fields).map(text),
        referer: next_value(&mut fields).map(text),
        placement: next_value(&mut fields).map(text),
        visitor_id: next_value(&mut fields).map(text),
        impression_id: next_value(&mut fields).and_then(|bytes| Uuid::from_slice(bytes).ok()),
    }
}

fn number(value: Option<&[u8]>) -> i64 {
    let bytes = value.and_then(|bytes| bytes.try_into().ok());
    i64::from_be_bytes(bytes.unwrap_or_default())
}

/// Takes a field off the front; `None` for a NULL.
pub(super) fn next_value<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = data.split_first_chunk()?;
    // That of a NULL is negative.
    let length = usize::try_from(i32::from_be_bytes(*length)).ok();
    let (value, rest) = after.split_at_checked(length.unwrap_or(0))?;
    *data = rest;
    length.map(|_| value)
}

fn ip(inet: &[u8]) -> Option<IpAddr> {
    let address = inet.get(4..)?;
    let v4 = <[u8; 4]>::try_from(address).map(|octets| Ipv4Addr::from(octets).into());
    let v6 = || <[u8; 16]>::try_from(address).map(|octets| Ipv6Addr::from(octets).into());
    v4.or_else(|_| v6()).ok()
}
