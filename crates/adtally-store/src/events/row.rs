//! An event as a row of binary COPY (PostgreSQL's documentation of COPY, "Binary Format"; the values
//! as their types' send functions write them).

use std::net::IpAddr;

use adtally_domain::Event;
use uuid::Uuid;

/// What the data begins with: signature, flags, length of an extension.
pub(super) const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Columns of a row; `verdict` and `rule_version` take their defaults.
const COLUMNS: i16 = 11;
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// The server's time begins in 2000, in microseconds.
const EPOCH_2000_MILLIS: i64 = 946_684_800_000;
/// The server's own numbers of address families.
const INET: u8 = 2;
const INET6: u8 = 3;

/// Adds a row to the data: the columns in the order in which [`super::copy`] names them.
pub(super) fn append(data: &mut Vec<u8>, event: &Event) {
    data.extend_from_slice(&COLUMNS.to_be_bytes());
    field(data, event.id.as_uuid().as_bytes());
    field(data, &event.ad_id.get().to_be_bytes());
    field(data, &i16::from(event.kind.code()).to_be_bytes());
    let received_at = (event.received_at.as_millis() - EPOCH_2000_MILLIS) * 1_000;
    field(data, &received_at.to_be_bytes());
    nullable(data, event.impression_id.as_ref().map(Uuid::as_bytes));
    match event.ip {
        Some(ip) => address(data, ip),
        None => data.extend_from_slice(&NULL),
    }
    nullable(data, event.visitor_id.as_ref());
    nullable(data, event.user_agent.as_ref());
    nullable(data, event.referer.as_ref());
    nullable(data, event.placement.as_ref());
    nullable(data, event.source.as_ref());
}

fn nullable(data: &mut Vec<u8>, value: Option<impl AsRef<[u8]>>) {
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
