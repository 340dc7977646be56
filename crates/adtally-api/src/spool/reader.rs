//! Reads the spool from its oldest end and gives back what the broker has confirmed.

use std::io;
use std::sync::Arc;

use adtally_domain::Event;

use super::directory::Directory;
use super::ledger::{Ledger, Unread};
use super::position::Position;
use super::stretch::{Content, Stretch};

/// What the broker takes in one go without a pause for others.
const BATCH_EVENTS: usize = 2_000;

/// The only one that reads and removes segments.
#[derive(Debug)]
pub(super) struct Reader {
    directory: Arc<Directory>,
    ledger: Arc<Ledger>,
    position: Position,
    loaded: Option<Stretch>,
    /// Segments that could not be read, or whose damage could not be kept aside, when they were last
    /// tried; the others come first.
    unreadable: Vec<u64>,
    /// Why that was so of the last of them.
    trouble: Option<io::Error>,
    /// Events of one batch, give or take a record.
    pub(super) batch_events: usize,
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

impl Reader {
    pub(super) fn new(directory: Arc<Directory>, ledger: Arc<Ledger>, position: Position) -> Self {
        Self {
            directory,
            ledger,
            position,
            loaded: None,
            unreadable: Vec::new(),
            trouble: None,
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
            let mut loaded = match self.loaded.take() {
                Some(loaded) => loaded,
                None => match self.load()? {
                    Some(loaded) => loaded,
                    None => return Ok(None),
                },
            };
            let batch = match self.batch(&mut loaded) {
                Ok(Some(batch)) => batch,
                Ok(None) => {
                    self.put_aside(loaded.place.segment);
                    continue;
                }
                Err(error) => {
                    self.pass_over(loaded.place.segment, error);
                    continue;
                }
            };
            if !loaded.is_over() {
                self.loaded = Some(loaded);
            }
            return Ok(Some(batch));
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

    /// The next stretch that can be read. What cannot is passed over until nothing else is left: a
    /// disk with one bad spot, or a process short of files, must not hold up the rest.
    fn load(&mut self) -> io::Result<Option<Stretch>> {
        loop {
            let Some(place) = self.ledger.unread(self.position) else {
                let unreadable = std::mem::take(&mut self.unreadable);
                self.ledger.bring_back(&unreadable);
                return self.trouble.take().map_or(Ok(None), Err);
            };
            match self.loaded_from(place) {
                Ok(stretch) => return Ok(Some(stretch)),
                Err(error) => self.pass_over(place.segment, error),
            }
        }
    }

    /// Reads a stretch. Its damage is safe elsewhere before anything else becomes of it: once its
    /// sound records are confirmed, the segment goes.
    fn loaded_from(&self, place: Unread) -> io::Result<Stretch> {
        let Unread { segment, from, end } = place;
        let stretch = Stretch::new(place, self.directory.read(segment, from, end)?);
        stretch.keep_damage_aside(&self.directory, &self.ledger)?;
        Ok(stretch)
    }

    fn pass_over(&mut self, segment: u64, error: io::Error) {
        self.ledger.set_aside(segment);
        self.unreadable.push(segment);
        self.trouble = Some(error);
    }

    /// The next batch of what is loaded; `None` when a newer build wrote what comes now.
    ///
    /// # Errors
    /// Why what cannot be read of it cannot be kept aside. Nothing of the segment is lost.
    fn batch(&self, loaded: &mut Stretch) -> io::Result<Option<Batch>> {
        let (mut events, mut said) = (Vec::new(), 0);
        while events.len() < self.batch_events
            && let Some(record) = loaded.first_record()
        {
            match loaded.content(&record) {
                Content::Newer if events.is_empty() => return Ok(None),
                Content::Newer => break,
                Content::Events { sound, all_sound } => {
                    if events.is_empty() {
                        let segment = loaded.place.segment;
                        self.ledger.next_is_from(segment, record.head.written_at);
                    }
                    if !all_sound {
                        loaded.keep_record_aside(&record, &self.directory, &self.ledger)?;
                    }
                    said += record.head.events;
                    events.extend(sound);
                    loaded.pass_record();
                }
            }
        }
        let end = loaded.position();
        Ok(Some(Batch { events, said, end }))
    }

    fn put_aside(&self, segment: u64) {
        log::error!(
            "spool: segment {segment} is left as it is until the next start, a newer adtally-api wrote it"
        );
        self.ledger.set_aside(segment);
    }
}
