//! A stretch of a segment in memory, walked through record by record.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use adtally_domain::Event;
use adtally_wire::pack::{self, PackError};

use super::directory::Directory;
use super::ledger::{Ledger, Unread};
use super::position::Position;
use super::record::{Piece, Record, pieces};

/// Bytes of a segment and what they turned out to be.
#[derive(Debug)]
pub(super) struct Stretch {
    /// Where it is.
    pub(super) place: Unread,
    bytes: Vec<u8>,
    /// What was not walked over yet.
    pieces: VecDeque<Piece>,
}

/// What is inside a record.
pub(super) enum Content {
    /// Events; not `all_sound` when some, or all, could not be read.
    Events { sound: Vec<Event>, all_sound: bool },
    /// A newer build wrote it.
    Newer,
}

impl Stretch {
    /// `bytes` were read at `place`; fewer than there should be were cut off by somebody.
    pub(super) fn new(place: Unread, bytes: Vec<u8>) -> Self {
        let pieces = pieces(&bytes).into();
        Self {
            place,
            bytes,
            pieces,
        }
    }

    /// Whether all of it was walked over.
    pub(super) fn is_over(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The next record. Damage before it, or at the end, is walked over.
    pub(super) fn first_record(&mut self) -> Option<Record> {
        loop {
            match self.pieces.front()? {
                Piece::Record(record) => return Some(record.clone()),
                Piece::Damaged { .. } => drop(self.pieces.pop_front()),
            }
        }
    }

    /// Walks over the next record, and over damage behind the last.
    pub(super) fn pass_record(&mut self) {
        self.pieces.pop_front();
        let is_record = |piece: &Piece| matches!(piece, Piece::Record(_));
        if !self.pieces.iter().any(is_record) {
            self.pieces.clear();
        }
    }

    /// Everything before it was walked over.
    pub(super) fn position(&self) -> Position {
        let Unread { segment, from, end } = self.place;
        let offset = match self.pieces.front() {
            None => end,
            Some(Piece::Record(record)) => from + record.bytes().start as u64,
            Some(Piece::Damaged { bytes, .. }) => from + bytes.start as u64,
        };
        Position { segment, offset }
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

    /// Keeps all damage aside, counts it and says so once.
    ///
    /// # Errors
    /// Why it is not safe there. The segment must stay then.
    pub(super) fn keep_damage_aside(
        &self,
        directory: &Directory,
        ledger: &Ledger,
    ) -> io::Result<()> {
        let damage = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Damaged { bytes, records } => Some((bytes.clone(), *records)),
            Piece::Record(_) => None,
        });
        let (places, records): (Vec<_>, Vec<_>) = damage.unzip();
        if places.is_empty() {
            return Ok(());
        }
        self.keep_aside(&places, directory)?;
        let (total, segment) = (records.iter().sum::<u64>(), self.place.segment);
        ledger.metrics.corrupt.inc_by(total);
        log::error!(
            "spool: {total} records of segment {segment} are damaged; their bytes are kept in its .corrupt file, the rest is replayed"
        );
        Ok(())
    }

    /// Counts a record that holds unreadable events and keeps its bytes.
    ///
    /// # Errors
    /// Why they are not safe there. The segment must stay then.
    pub(super) fn keep_record_aside(
        &self,
        record: &Record,
        directory: &Directory,
        ledger: &Ledger,
    ) -> io::Result<()> {
        self.keep_aside(&[record.bytes()], directory)?;
        ledger.metrics.corrupt.inc();
        Ok(())
    }

    fn keep_aside(&self, places: &[Range<usize>], directory: &Directory) -> io::Result<()> {
        let Unread { segment, from, .. } = self.place;
        let parts = places
            .iter()
            .map(|place| (from + place.start as u64, self.slice(place)));
        directory.keep_aside(segment, parts).map_err(|error| {
            let what = format!("damaged bytes of segment {segment} cannot be kept aside");
            io::Error::new(error.kind(), format!("{what}: {error}"))
        })
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}
