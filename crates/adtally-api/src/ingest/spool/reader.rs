//! Reads the spool from its oldest end and gives back what the broker has confirmed.

use std::io;
use std::sync::Arc;

use adtally_domain::Event;

use super::checkpoint::Checkpoint;
use super::directory::Directory;
use super::ledger::{Ledger, UnreadRange};
use super::segment_chunk::{Content, SegmentChunk};

/// What the broker takes in one go without a pause for others.
const BATCH_EVENTS: usize = 2_000;

/// The only one that reads and removes segments.
#[derive(Debug)]
pub(super) struct Reader {
    directory: Arc<Directory>,
    ledger: Arc<Ledger>,
    checkpoint: Checkpoint,
    loaded: Option<SegmentChunk>,
    /// Segments that could not be read, or whose damage could not be quarantined, at the last attempt. The
    /// others come first.
    skipped: Vec<u64>,
    /// The error of the last of them.
    last_error: Option<io::Error>,
    /// Events of one batch, give or take a record.
    pub(super) batch_events: usize,
}

/// Consecutive events of the spool.
#[derive(Debug)]
pub(super) struct Batch {
    /// The events, in the order they were written.
    pub(super) events: Vec<Event>,
    /// How many events its records are declared to hold.
    declared: u64,
    /// Where the next batch begins.
    end: Checkpoint,
}

impl Reader {
    pub(super) fn new(
        directory: Arc<Directory>,
        ledger: Arc<Ledger>,
        checkpoint: Checkpoint,
    ) -> Self {
        Self {
            directory,
            ledger,
            checkpoint,
            loaded: None,
            skipped: Vec::new(),
            last_error: None,
            batch_events: BATCH_EVENTS,
        }
    }

    /// The next events; `None` when there are none for now. A batch may be empty. Each must be
    /// confirmed before the next is asked for.
    ///
    /// # Errors
    /// Why what is left cannot be read now. The next call tries again.
    pub(super) fn next(&mut self) -> io::Result<Option<Batch>> {
        loop {
            let mut chunk = match self.loaded.take() {
                Some(chunk) => chunk,
                None => match self.load()? {
                    Some(chunk) => chunk,
                    None => return Ok(None),
                },
            };
            let batch = match self.batch(&mut chunk) {
                Ok(Some(batch)) => batch,
                Ok(None) => {
                    self.skip_newer(chunk.range.segment);
                    continue;
                }
                Err(error) => {
                    self.skip(chunk.range.segment, error);
                    continue;
                }
            };
            if !chunk.is_over() {
                self.loaded = Some(chunk);
            }
            return Ok(Some(batch));
        }
    }

    /// Every event of `batch` is confirmed: goes on behind it, and removes its segment if that was all of
    /// it.
    pub(super) fn confirm(&mut self, batch: &Batch) {
        self.checkpoint = batch.end;
        let replayed = batch.events.len() as u64;
        self.ledger.metrics.replayed.inc_by(replayed);
        if !self.ledger.acknowledge(batch.end, batch.declared) {
            self.checkpoint.save(&self.directory);
            return;
        }
        self.loaded = None;
        if let Err(error) = self.directory.remove(batch.end.segment) {
            log::warn!("spool: a finished segment cannot be removed: {error}");
        }
    }

    /// The next chunk that can be read. What cannot be read is skipped until nothing else is left: a disk
    /// with one bad spot, or a process short of files, must not hold up the rest.
    fn load(&mut self) -> io::Result<Option<SegmentChunk>> {
        loop {
            let Some(range) = self.ledger.next_unread(self.checkpoint) else {
                let skipped = std::mem::take(&mut self.skipped);
                self.ledger.unskip(&skipped);
                return self.last_error.take().map_or(Ok(None), Err);
            };
            match self.read_chunk(range) {
                Ok(chunk) => return Ok(Some(chunk)),
                Err(error) => self.skip(range.segment, error),
            }
        }
    }

    /// Reads a chunk. Its damage is quarantined first: once its sound records are confirmed, the segment is
    /// removed.
    fn read_chunk(&self, range: UnreadRange) -> io::Result<SegmentChunk> {
        let UnreadRange { segment, from, end } = range;
        let chunk = SegmentChunk::new(range, self.directory.read(segment, from, end)?);
        chunk.quarantine_damage(&self.directory, &self.ledger)?;
        Ok(chunk)
    }

    fn skip(&mut self, segment: u64, error: io::Error) {
        self.ledger.skip(segment);
        self.skipped.push(segment);
        self.last_error = Some(error);
    }

    /// The next batch of `chunk`; `None` when a newer build wrote what comes now.
    ///
    /// # Errors
    /// Why its damage cannot be quarantined. Nothing of the segment is lost.
    fn batch(&self, chunk: &mut SegmentChunk) -> io::Result<Option<Batch>> {
        let (mut events, mut declared) = (Vec::new(), 0);
        while events.len() < self.batch_events
            && let Some(record) = chunk.first_record()
        {
            match chunk.content(&record) {
                Content::Newer if events.is_empty() => return Ok(None),
                Content::Newer => break,
                Content::Events { sound, all_sound } => {
                    if events.is_empty() {
                        let segment = chunk.range.segment;
                        self.ledger.set_oldest(segment, record.head.written_at);
                    }
                    if !all_sound {
                        chunk.quarantine_record(&record, &self.directory, &self.ledger)?;
                    }
                    declared += record.head.events;
                    events.extend(sound);
                    chunk.pass_record();
                }
            }
        }
        let end = chunk.checkpoint();
        Ok(Some(Batch {
            events,
            declared,
            end,
        }))
    }

    fn skip_newer(&self, segment: u64) {
        log::error!(
            "spool: segment {segment} is left as it is until the next start, a newer adtally-api wrote it"
        );
        self.ledger.skip(segment);
    }
}
