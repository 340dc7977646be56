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

/// A part of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A readable record.
    Record {
        /// What it says of itself.
        head: Head,
        /// Where its pack is.
        pack: Range<usize>,
    },
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
            Piece::Record { pack, .. } => pack.end,
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
    (crc32c::crc32c(covered) == head.sum).then_some(Piece::Record { head, pack })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> (Vec<u8>, [usize; 3]) {
        let mut bytes = Vec::new();
        let ends = [1, 2, 3].map(|n: u32| {
            append(&mut bytes, format!("pack {n}").as_bytes(), n, n.into());
            bytes.len()
        });
        (bytes, ends)
    }

    fn events(bytes: &[u8]) -> Vec<u64> {
        let count = |piece| match piece {
            Piece::Record { head, .. } => Some(head.events),
            Piece::Damaged { .. } => None,
        };
        pieces(bytes).into_iter().filter_map(count).collect()
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let (bytes, _) = three();
        assert_eq!(events(&bytes), [1, 2, 3]);
        let Some(Piece::Record { head, pack }) = pieces(&bytes).pop() else {
            panic!("no record")
        };
        assert_eq!((head.written_at, &bytes[pack]), (3, &b"pack 3"[..]));
    }

    #[test]
    fn any_single_flipped_bit_costs_its_own_record_only() {
        let (bytes, ends) = three();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let hit = ends.iter().position(|end| bit / 8 < *end).unwrap();
            let expected: Vec<u64> = (1..=3).filter(|n| *n != hit as u64 + 1).collect();
            assert_eq!(events(&bad), expected, "bit {bit}");
        }
    }

    #[test]
    fn a_cut_anywhere_leaves_the_records_before_it() {
        let (bytes, ends) = three();
        for cut in 0..bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count() as u64;
            assert_eq!(events(&bytes[..cut]), (1..=whole).collect::<Vec<_>>());
        }
    }

    #[test]
    fn damaged_records_are_counted_as_far_as_they_can_be_seen() {
        let (mut bytes, ends) = three();
        bytes[ends[0] - 1] ^= 1;
        bytes[ends[1] - 1] ^= 1;
        let expected = Piece::Damaged {
            bytes: 0..ends[1],
            records: 2,
        };
        assert_eq!(pieces(&bytes)[0], expected);
    }
}
