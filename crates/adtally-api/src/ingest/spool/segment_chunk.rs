//! A part of a segment in memory, read record by record.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use adtally_domain::Event;
use adtally_wire::pack::{self, PackError};

use super::checkpoint::Checkpoint;
use super::directory::Directory;
use super::ledger::{Ledger, UnreadRange};
use super::record::{Piece, Record, pieces};

/// Bytes of a segment and what they turned out to be.
#[derive(Debug)]
pub(super) struct SegmentChunk {
    /// Where it is.
    pub(super) range: UnreadRange,
    bytes: Vec<u8>,
    /// What was not read yet.
    pieces: VecDeque<Piece>,
}

/// What is inside a record.
pub(super) enum Content {
    /// Events; not `all_sound` when some, or all, could not be read.
    Events { sound: Vec<Event>, all_sound: bool },
    /// A newer build wrote it.
    Newer,
}

impl SegmentChunk {
    /// `bytes` were read at `range`, fewer if the file was cut short.
    pub(super) fn new(range: UnreadRange, bytes: Vec<u8>) -> Self {
        let pieces = pieces(&bytes).into();
        Self {
            range,
            bytes,
            pieces,
        }
    }

    /// Whether all of it was read.
    pub(super) fn is_over(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The next record. Skips damage before it, and at the end.
    pub(super) fn first_record(&mut self) -> Option<Record> {
        loop {
            match self.pieces.front()? {
                Piece::Record(record) => return Some(record.clone()),
                Piece::Damaged { .. } => drop(self.pieces.pop_front()),
            }
        }
    }

    /// Goes on behind the next record, and behind damage after the last one.
    pub(super) fn pass_record(&mut self) {
        self.pieces.pop_front();
        let is_record = |piece: &Piece| matches!(piece, Piece::Record(_));
        if !self.pieces.iter().any(is_record) {
            self.pieces.clear();
        }
    }

    /// Everything before it was read.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let UnreadRange { segment, from, end } = self.range;
        let offset = match self.pieces.front() {
            None => end,
            Some(Piece::Record(record)) => from + record.bytes().start as u64,
            Some(Piece::Damaged { bytes, .. }) => from + bytes.start as u64,
        };
        Checkpoint { segment, offset }
    }

    /// What `record` holds.
    pub(super) fn content(&self, record: &Record) -> Content {
        match pack::decode(self.slice(&record.pack)) {
            Ok(entries) => Content::Events {
                all_sound: entries.iter().all(Result::is_ok),
                sound: entries.into_iter().flatten().collect(),
            },
            Err(PackError::NewerVersion(_)) => Content::Newer,
            Err(PackError::NotAPack(_)) => Content::Events {
                all_sound: false,
                sound: Vec::new(),
            },
        }
    }

    /// Copies all damage to the `.corrupt` file, counts it and logs it once.
    ///
    /// # Errors
    /// Why it is not on disk there. The segment must stay then.
    pub(super) fn quarantine_damage(
        &self,
        directory: &Directory,
        ledger: &Ledger,
    ) -> io::Result<()> {
        let damage = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Damaged { bytes, records } => Some((bytes.clone(), *records)),
            Piece::Record(_) => None,
        });
        let (ranges, records): (Vec<_>, Vec<_>) = damage.unzip();
        if ranges.is_empty() {
            return Ok(());
        }
        self.quarantine(&ranges, directory)?;
        let (total, segment) = (records.iter().sum::<u64>(), self.range.segment);
        ledger.metrics.corrupt.inc_by(total);
        log::error!(
            "spool: {total} records of segment {segment} are damaged; their bytes are kept in its .corrupt file, the rest is replayed"
        );
        Ok(())
    }

    /// Copies a record that holds unreadable events to the `.corrupt` file, and counts it.
    ///
    /// # Errors
    /// Why it is not on disk there. The segment must stay then.
    pub(super) fn quarantine_record(
        &self,
        record: &Record,
        directory: &Directory,
        ledger: &Ledger,
    ) -> io::Result<()> {
        self.quarantine(&[record.bytes()], directory)?;
        ledger.metrics.corrupt.inc();
        Ok(())
    }

    fn quarantine(&self, ranges: &[Range<usize>], directory: &Directory) -> io::Result<()> {
        let UnreadRange { segment, from, .. } = self.range;
        let parts = ranges
            .iter()
            .map(|range| (from + range.start as u64, self.slice(range)));
        directory.quarantine(segment, parts).map_err(|error| {
            let what = format!("damaged bytes of segment {segment} cannot be kept aside");
            io::Error::new(error.kind(), format!("{what}: {error}"))
        })
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}
