//! A field of an event as its column takes it.
//!
//! Binary COPY is PostgreSQL's documentation of COPY, "Binary Format"; the values are as their types' send
//! functions write them.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use adtally_domain::{AdId, EventKind, Timestamp};
use diesel::pg::Pg;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{
    BigInt, Bytea, Inet, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// The server's time begins in 2000, in microseconds.
const EPOCH_2000_MILLIS: i64 = 946_684_800_000;
/// The server's own numbers of address families.
const INET: u8 = 2;
const INET6: u8 = 3;

/// A field of an event whose column is of the type `Sql`.
pub(super) trait ColumnValue<'a, Sql>: Sized {
    /// Adds the value to the data of COPY, and says whether it is one and not NULL.
    fn encode(&self, data: &mut Vec<u8>) -> bool;

    /// Reads what [`encode`](Self::encode) added; `None` when that is no such value.
    fn decode(value: Option<&'a [u8]>) -> Option<Self>;
}

/// Adds a value that may be NULL.
pub(super) fn put_nullable(data: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => put(data, value),
        None => data.extend_from_slice(&NULL),
    }
}

/// Inlined, because nearly all values have a length that is known when this is compiled.
#[inline]
pub(super) fn put(data: &mut Vec<u8>, value: &[u8]) {
    // A text of an event has at most a few kilobytes; a pack of the broker's never two gigabytes.
    let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
    data.extend_from_slice(&length.to_be_bytes());
    data.extend_from_slice(value);
}

/// Takes a field off the front; `None` for a NULL, and behind the last one.
pub(super) fn next_field<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = data.split_first_chunk()?;
    // That of a NULL is negative.
    let length = usize::try_from(i32::from_be_bytes(*length)).ok();
    let (value, rest) = after.split_at_checked(length.unwrap_or(0))?;
    *data = rest;
    length.map(|_| value)
}

fn bytes<const N: usize>(value: Option<&[u8]>) -> Option<[u8; N]> {
    value?.try_into().ok()
}

impl<'a> ColumnValue<'a, SqlUuid> for Uuid {
    #[inline]
    fn encode(&self, data: &mut Vec<u8>) -> bool {
        put(data, self.as_bytes());
        true
    }

    fn decode(value: Option<&'a [u8]>) -> Option<Self> {
        bytes(value).map(Self::from_bytes)
    }
}

impl<'a> ColumnValue<'a, BigInt> for AdId {
    #[inline]
    fn encode(&self, data: &mut Vec<u8>) -> bool {
        put(data, &self.get().to_be_bytes());
        true
    }

    fn decode(value: Option<&'a [u8]>) -> Option<Self> {
        Self::new(i64::from_be_bytes(bytes(value)?))
    }
}

impl<'a> ColumnValue<'a, SmallInt> for EventKind {
    #[inline]
    fn encode(&self, data: &mut Vec<u8>) -> bool {
        put(data, &i16::from(self.code()).to_be_bytes());
        true
    }

    fn decode(value: Option<&'a [u8]>) -> Option<Self> {
        let code = u8::try_from(i16::from_be_bytes(bytes(value)?)).ok()?;
        Self::try_from(code).ok()
    }
}

impl<'a> ColumnValue<'a, Timestamptz> for Timestamp {
    #[inline]
    fn encode(&self, data: &mut Vec<u8>) -> bool {
        let micros = (self.as_millis() - EPOCH_2000_MILLIS) * 1_000;
        put(data, &micros.to_be_bytes());
        true
    }

    fn decode(value: Option<&'a [u8]>) -> Option<Self> {
        let micros = i64::from_be_bytes(bytes(value)?);
        Self::from_millis(micros / 1_000 + EPOCH_2000_MILLIS).ok()
    }
}

impl<'a> ColumnValue<'a, Inet> for IpAddr {
    /// Family, bits of the network mask, whether it is a network, bytes of the address.
    #[inline]
    fn encode(&self, data: &mut Vec<u8>) -> bool {
        match self {
            Self::V4(ip) => {
                data.extend_from_slice(&8_i32.to_be_bytes());
                data.extend_from_slice(&[INET, 32, 0, 4]);
                data.extend_from_slice(&ip.octets());
            }
            Self::V6(ip) => {
                data.extend_from_slice(&20_i32.to_be_bytes());
                data.extend_from_slice(&[INET6, 128, 0, 16]);
                data.extend_from_slice(&ip.octets());
            }
        }
        true
    }

    fn decode(value: Option<&'a [u8]>) -> Option<Self> {
        let address = value?.get(4..);
        let v4 = bytes(address).map(|octets: [u8; 4]| Ipv4Addr::from(octets).into());
        v4.or_else(|| bytes(address).map(|octets: [u8; 16]| Ipv6Addr::from(octets).into()))
    }
}

impl<'a> ColumnValue<'a, Text> for &'a str {
    #[inline]
    fn encode(&self, data: &mut Vec<u8>) -> bool {
        put(data, self.as_bytes());
        true
    }

    fn decode(value: Option<&'a [u8]>) -> Option<Self> {
        std::str::from_utf8(value?).ok()
    }
}

impl<'a, Sql, V: ColumnValue<'a, Sql>> ColumnValue<'a, Nullable<Sql>> for Option<V> {
    #[inline]
    fn encode(&self, data: &mut Vec<u8>) -> bool {
        match self {
            Some(value) => value.encode(data),
            None => {
                data.extend_from_slice(&NULL);
                false
            }
        }
    }

    fn decode(value: Option<&'a [u8]>) -> Option<Self> {
        Some(V::decode(value))
    }
}

/// As what `adtally_refused_events` takes a column of this type. Texts come as bytes, so that one the
/// database cannot read is told apart too.
pub(super) trait ParameterOf {
    type Type;
}

macro_rules! parameters {
    ($($Column:ty => $Type:ty,)*) => {
        $(impl ParameterOf for $Column {
            type Type = $Type;
        })*
    };
}

parameters! {
    BigInt => BigInt,
    SmallInt => SmallInt,
    Timestamptz => Timestamptz,
    Nullable<SqlUuid> => SqlUuid,
    Nullable<Inet> => Inet,
    Nullable<Text> => Bytea,
}

/// A value as [`ColumnValue::encode`] wrote it, which is also how a parameter of its type is sent.
#[derive(Debug)]
pub(super) struct Encoded<'a>(pub(super) &'a [u8]);

impl<Sql> ToSql<Sql, Pg> for Encoded<'_> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.0)?;
        Ok(IsNull::No)
    }
}
