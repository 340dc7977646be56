//! A record: events that were written in one piece, as a pack with a checksum around it.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `ff 61 64 01`: never part of a pack, which is UTF-8; the last byte is the format's version |
//! | 4 | CRC-32C of everything below |
//! | 4 | length of the pack |
//! | 4 | number of events |
//! | 8 | when it was written, in Unix milliseconds |
//! | | the pack |
//!
//! All numbers are little-endian.

#[cfg(test)]
mod tests;

use std::ops::Range;

const MAGIC: [u8; 4] = [0xff, b'a', b'd', 1];

/// Bytes before the pack.
pub(super) const HEAD_BYTES: usize = 24;

/// Where the checksum is, and where what it covers begins.
const SUM_AT: usize = 4;
const COVERED_FROM: usize = 8;

/// What a record says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    sum: u32,
    /// Bytes of the pack.
    pub(super) length: usize,
    /// Events in the pack.
    pub(super) events: u64,
    /// Unix milliseconds.
    pub(super) written_at: i64,
}

/// A readable record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// What it says of itself.
    pub(super) head: Head,
    /// Where its pack is.
    pub(super) pack: Range<usize>,
}

impl Record {
    /// Where all of it is.
    pub(super) fn bytes(&self) -> Range<usize> {
        self.pack.start - HEAD_BYTES..self.pack.end
    }
}

/// A part of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A readable record.
    Record(Record),
    /// Bytes up to the next readable record or the end.
    Damaged {
        /// Where they are.
        bytes: Range<usize>,
        /// How many records they were, as far as can be seen; at least 1.
        records: u64,
    },
}

/// Adds the record of a pack to `out`.
pub(super) fn append(out: &mut Vec<u8>, pack: &[u8], events: u32, written_at: i64) {
    let length = u32::try_from(pack.len()).unwrap_or(u32::MAX);
    let mut head = [0; HEAD_BYTES - COVERED_FROM];
    let fields = length
        .to_le_bytes()
        .into_iter()
        .chain(events.to_le_bytes())
        .chain(written_at.to_le_bytes());
    for (byte, value) in head.iter_mut().zip(fields) {
        *byte = value;
    }
    let sum = crc32c::crc32c_append(crc32c::crc32c(&head), pack);
    out.reserve(HEAD_BYTES + pack.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(pack);
}

impl Head {
    /// Reads a head, unless these bytes are none. Its checksum is not looked at.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(&MAGIC) {
            return None;
        }
        let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        Some(Self {
            sum: word(SUM_AT)?,
            length: usize::try_from(word(8)?).ok()?,
            events: word(12)?.into(),
            written_at: i64::from_le_bytes(*bytes.get(16..)?.first_chunk()?),
        })
    }
}

/// The pieces of `bytes`, which begin at a record if nothing is damaged. They cover every byte.
pub(super) fn pieces(bytes: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let piece = record_at(bytes, at).unwrap_or_else(|| damage_at(bytes, at));
        at = match &piece {
            Piece::Record(record) => record.pack.end,
            Piece::Damaged { bytes, .. } => bytes.end,
        };
        pieces.push(piece);
    }
    pieces
}

fn record_at(bytes: &[u8], at: usize) -> Option<Piece> {
    let head = Head::read(bytes.get(at..)?)?;
    let end = (at + HEAD_BYTES).checked_add(head.length)?;
    let covered = bytes.get(at + COVERED_FROM..end)?;
    let pack = at + HEAD_BYTES..end;
    (crc32c::crc32c(covered) == head.sum).then_some(Piece::Record(Record { head, pack }))
}

fn damage_at(bytes: &[u8], at: usize) -> Piece {
    let (mut end, mut records) = (at + 1, 1);
    while end < bytes.len() {
        let rest = bytes.get(end..).unwrap_or_default();
        if rest.starts_with(&MAGIC) {
            if record_at(bytes, end).is_some() {
                break;
            }
            records += 1;
        }
        end += 1;
    }
    let bytes = at..end;
    Piece::Damaged { bytes, records }
}
