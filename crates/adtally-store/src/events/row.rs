//! An event as a row of binary COPY (PostgreSQL's documentation of COPY, "Binary Format"; the values
//! as their types' send functions write them).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use adtally_domain::{AdId, Event, EventId, EventKind, Timestamp};
use uuid::Uuid;

/// What the data begins with: signature, flags, length of an extension.
pub(super) const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Columns of a row at most; `verdict` and `rule_version` take their defaults.
pub(super) const COLUMNS: u8 = 11;
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// The server's time begins in 2000, in microseconds.
const EPOCH_2000_MILLIS: i64 = 946_684_800_000;
/// The server's own numbers of address families.
const INET: u8 = 2;
const INET6: u8 = 3;

/// Bytes of the id, and of the time after it.
const ID: usize = 4 + 16;
const RECEIVED_AT: usize = 4 + 8;
/// Bytes of the ad and the kind, with which the payload begins.
const AD_AND_KIND: usize = (4 + 8) + (4 + 2);

/// What was added to the data.
pub(super) struct Appended {
    /// Bytes before the payload, which is the rest: what the sender said, without the id and without
    /// when and through whom it came.
    pub(super) before_payload: usize,
    /// Columns up to the last one that is not NULL.
    pub(super) columns: u8,
}

/// Adds the fields of a row to the data, in the order in which [`super::copy`] names its columns: those
/// last that are empty most often.
pub(super) fn append<Text: AsRef<str>>(data: &mut Vec<u8>, event: &Event<Text>) -> Appended {
    let start = data.len();
    field(data, event.id.as_uuid().as_bytes());
    let received_at = (event.received_at.as_millis() - EPOCH_2000_MILLIS) * 1_000;
    field(data, &received_at.to_be_bytes());
    text(data, event.source.as_ref());
    let before_payload = data.len() - start;
    field(data, &event.ad_id.get().to_be_bytes());
    field(data, &i16::from(event.kind.code()).to_be_bytes());
    match event.ip {
        Some(ip) => address(data, ip),
        None => data.extend_from_slice(&NULL),
    }
    let texts = [
        &event.user_agent,
        &event.referer,
        &event.placement,
        &event.visitor_id,
    ];
    for value in texts {
        text(data, value.as_ref());
    }
    nullable(data, event.impression_id.as_ref().map(Uuid::as_bytes));
    let trailing = texts.iter().rev().take_while(|text| text.is_none());
    let empty: u8 = match event.impression_id {
        Some(_) => 0,
        None => 1 + trailing.map(|_| 1).sum::<u8>(),
    };
    Appended {
        before_payload,
        columns: COLUMNS - empty,
    }
}

/// A row of the first `columns` columns, of which the others are NULL: how many fields, and the
/// fields.
pub(super) fn write(data: &mut Vec<u8>, fields: &[u8], columns: u8) {
    let cut = usize::from(COLUMNS.saturating_sub(columns)) * NULL.len();
    data.extend_from_slice(&i16::from(columns).to_be_bytes());
    let end = fields.len().saturating_sub(cut);
    data.extend_from_slice(fields.get(..end).unwrap_or_default());
}

fn text<Text: AsRef<str>>(data: &mut Vec<u8>, value: Option<&Text>) {
    nullable(data, value.map(|text| text.as_ref().as_bytes()));
}

/// Adds a value that may be NULL.
pub(super) fn nullable(data: &mut Vec<u8>, value: Option<impl AsRef<[u8]>>) {
    match value {
        Some(value) => field(data, value.as_ref()),
        None => data.extend_from_slice(&NULL),
    }
}

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

/// The event whose fields [`append`] wrote. Ad and kind were kept beside them.
pub(super) fn event(
    id: EventId,
    ad_id: AdId,
    kind: EventKind,
    received_at: Timestamp,
    mut fields: &[u8],
) -> Event {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields = fields.get(ID + RECEIVED_AT..).unwrap_or_default();
    let source = next_value(&mut fields).map(text);
    fields = fields.get(AD_AND_KIND..).unwrap_or_default();
    Event {
        id,
        kind,
        ad_id,
        received_at,
        source,
        ip: next_value(&mut fields).and_then(ip),
        user_agent: next_value(&mut fields).map(text),
        referer: next_value(&mut fields).map(text),
        placement: next_value(&mut fields).map(text),
        visitor_id: next_value(&mut fields).map(text),
        impression_id: next_value(&mut fields).and_then(|bytes| Uuid::from_slice(bytes).ok()),
    }
}

/// Takes a field off the front; `None` for a NULL.
fn next_value<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
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
