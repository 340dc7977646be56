//! Reads the spool from its oldest end and gives back what the broker has confirmed.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use adtally_broker::pack::{self, PackError};
use adtally_domain::Event;

use super::directory::Directory;
use super::ledger::{Ledger, Unread};
use super::position::Position;
use super::record::{Piece, pieces};

/// What the broker takes in one go without a pause for others.
const BATCH_EVENTS: usize = 2_000;

/// The only one that reads and removes segments.
#[derive(Debug)]
pub(super) struct Reader {
    directory: Arc<Directory>,
    ledger: Arc<Ledger>,
    position: Position,
    loaded: Option<Loaded>,
    /// Events of one batch, give or take a record.
    pub(super) batch_events: usize,
}

/// A stretch of a segment in memory.
#[derive(Debug)]
struct Loaded {
    stretch: Unread,
    bytes: Vec<u8>,
    pieces: VecDeque<Piece>,
}

/// Consecutive events of the spool.
#[derive(Debug)]
pub(super) struct Batch {
    /// The events, in the order they were written.
    pub(super) events: Vec<Event>,
    /// How many events its records were said to hold.
    said: u64,
    /// Where the next batch begins.
    end: Position,
}

/// What is inside a record.
enum Content {
    Events(Vec<Event>),
    /// A newer build wrote it.
    Newer,
}

impl Reader {
    pub(super) fn new(directory: Arc<Directory>, ledger: Arc<Ledger>, position: Position) -> Self {
        Self {
            directory,
            ledger,
            position,
            loaded: None,
            batch_events: BATCH_EVENTS,
        }
    }

    /// The next events; `None` when there are none for now. A batch may be empty. Each must be
    /// confirmed before the next is asked for.
    pub(super) fn next(&mut self) -> Option<Batch> {
        loop {
            let mut loaded = match self.loaded.take() {
                Some(loaded) => loaded,
                None => self.load()?,
            };
            let Some(batch) = self.batch(&mut loaded) else {
                self.put_aside(loaded.stretch.segment, "a newer adtally-api wrote it");
                continue;
            };
            if !loaded.pieces.is_empty() {
                self.loaded = Some(loaded);
            }
            return Some(batch);
        }
    }

    /// Every event of `batch` is confirmed: goes on behind it, and removes its segment if that was
    /// the end of it.
    pub(super) fn confirm(&mut self, batch: &Batch) {
        self.position = batch.end;
        let replayed = batch.events.len() as u64;
        self.ledger.metrics.replayed.inc_by(replayed);
        if !self.ledger.passed(batch.end, batch.said) {
            self.position.save(&self.directory);
            return;
        }
        self.loaded = None;
        if let Err(error) = self.directory.remove(batch.end.segment) {
            log::warn!("spool: a finished segment cannot be removed: {error}");
        }
    }

    fn load(&mut self) -> Option<Loaded> {
        loop {
            let stretch = self.ledger.unread(self.position)?;
            let Unread { segment, from, end } = stretch;
            match self.directory.read(segment, from, end) {
                Ok(bytes) => {
                    let pieces = pieces(&bytes).into();
                    let loaded = Loaded {
                        stretch,
                        bytes,
                        pieces,
                    };
                    self.report_damage(&loaded);
                    return Some(loaded);
                }
                Err(error) => self.put_aside(segment, &error.to_string()),
            }
        }
    }

    /// The next batch of what is loaded; `None` when a newer build wrote what comes now.
    fn batch(&self, loaded: &mut Loaded) -> Option<Batch> {
        let Unread { segment, from, end } = loaded.stretch;
        let (mut events, mut said, mut offset) = (Vec::new(), 0, from);
        while events.len() < self.batch_events
            && let Some(piece) = loaded.pieces.pop_front()
        {
            offset = from + end_of(&piece);
            let Piece::Record { head, pack } = &piece else {
                continue;
            };
            match self.content(loaded, pack) {
                Content::Events(more) => {
                    if events.is_empty() {
                        self.ledger.next_is_from(segment, head.written_at);
                    }
                    said += head.events;
                    events.extend(more);
                }
                Content::Newer if events.is_empty() => return None,
                Content::Newer => {
                    offset = from + start_of(&piece);
                    loaded.pieces.push_front(piece);
                    break;
                }
            }
        }
        if loaded.pieces.is_empty() {
            // Also when the file was cut short behind our back.
            offset = end;
        }
        let end = Position { segment, offset };
        Some(Batch { events, said, end })
    }

    fn content(&self, loaded: &Loaded, place: &Range<usize>) -> Content {
        let body = loaded.bytes.get(place.clone()).unwrap_or_default();
        let entries = match pack::decode(body) {
            Ok(entries) => entries,
            Err(PackError::NewerVersion(_)) => return Content::Newer,
            Err(PackError::NotAPack(_)) => {
                self.damaged(loaded, place, 1);
                return Content::Events(Vec::new());
            }
        };
        if entries.iter().any(Result::is_err) {
            self.damaged(loaded, place, 1);
        }
        Content::Events(entries.into_iter().flatten().collect())
    }

    /// Counts and keeps aside all damage of a stretch, and says so once.
    fn report_damage(&self, loaded: &Loaded) {
        let damage = loaded.pieces.iter().filter_map(|piece| match piece {
            Piece::Damaged { bytes, records } => Some((bytes, *records)),
            Piece::Record { .. } => None,
        });
        let mut total = 0;
        for (bytes, records) in damage {
            self.damaged(loaded, bytes, records);
            total += records;
        }
        if total > 0 {
            let segment = loaded.stretch.segment;
            log::error!(
                "spool: {total} records of segment {segment} are damaged; their bytes are kept in its .corrupt file, the rest is replayed"
            );
        }
    }

    fn damaged(&self, loaded: &Loaded, place: &Range<usize>, records: u64) {
        self.ledger.metrics.corrupt.inc_by(records);
        let bytes = loaded.bytes.get(place.clone()).unwrap_or_default();
        let (segment, at) = (loaded.stretch.segment, loaded.stretch.from);
        let kept = self
            .directory
            .keep_aside(segment, at + place.start as u64, bytes);
        if let Err(error) = kept {
            log::warn!("spool: damaged bytes of segment {segment} cannot be kept: {error}");
        }
    }

    fn put_aside(&self, segment: u64, reason: &str) {
        log::error!(
            "spool: segment {segment} is left as it is until the next start, it cannot be read: {reason}"
        );
        self.ledger.set_aside(segment);
    }
}

fn start_of(piece: &Piece) -> u64 {
    (match piece {
        Piece::Record { pack, .. } => pack.start - super::record::HEAD_BYTES,
        Piece::Damaged { bytes, .. } => bytes.start,
    }) as u64
}

fn end_of(piece: &Piece) -> u64 {
    (match piece {
        Piece::Record { pack, .. } => pack.end,
        Piece::Damaged { bytes, .. } => bytes.end,
    }) as u64
}
