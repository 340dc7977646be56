//! Puts records at the end of the spool.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::directory::Directory;
use super::disk::Disk;
use super::ledger::Ledger;

/// Room that a new segment must find, so that a full disk is not taken for a working one.
const RESERVED: u64 = 64 * 1_024;

/// The only one that writes segments.
#[derive(Debug)]
pub(super) struct Appender {
    directory: Arc<Directory>,
    ledger: Arc<Ledger>,
    disk: Box<dyn Disk>,
    /// The size at which a segment ends.
    segment_bytes: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    number: u64,
    file: File,
    end: u64,
}

impl Appender {
    pub(super) fn new(
        directory: Arc<Directory>,
        ledger: Arc<Ledger>,
        disk: Box<dyn Disk>,
        segment_bytes: u64,
    ) -> Self {
        Self {
            directory,
            ledger,
            disk,
            segment_bytes,
            open: None,
        }
    }

    /// Writes `bytes`, which hold `events`, and returns once they are on disk.
    ///
    /// # Errors
    /// What the disk said. The bytes may or may not be on disk then. A file that could not be
    /// written or synced is never tried again: after a failed sync nobody knows what is in it.
    pub(super) fn append(&mut self, bytes: &[u8], events: u64, at: i64) -> io::Result<()> {
        let size = bytes.len() as u64;
        match self.try_append(bytes) {
            Ok(()) => {
                self.ledger.written(size, events, at);
                Ok(())
            }
            Err(error) => {
                self.give_up();
                self.ledger.failed(size, error.to_string());
                Err(error)
            }
        }
    }

    /// Tries whether the disk works again; nothing happens while it does.
    pub(super) fn recover(&mut self) {
        if self.ledger.has_failed()
            && let Ok(open) = self.new_segment()
        {
            self.open = Some(open);
            self.ledger.recovered();
            log::info!("spool: the disk can be written to again");
        }
    }

    fn try_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let usable = self.open.take().filter(|open| self.is_usable(open));
        let open = match usable {
            Some(open) => open,
            None => self.new_segment()?,
        };
        let open = self.open.insert(open);
        self.disk.append(&open.file, bytes)?;
        self.disk.sync(&open.file)?;
        open.end += bytes.len() as u64;
        Ok(())
    }

    /// The reader may have finished and removed the segment meanwhile.
    fn is_usable(&self, open: &Open) -> bool {
        open.end < self.segment_bytes && self.ledger.begin_write(open.number)
    }

    fn new_segment(&self) -> io::Result<Open> {
        let number = self.ledger.next_number();
        let file = self.directory.create(number)?;
        if let Err(error) = self.disk.reserve(&file, RESERVED) {
            let _still_there = self.directory.remove(number);
            return Err(error);
        }
        self.ledger.opened(number);
        let end = 0;
        Ok(Open { number, file, end })
    }

    fn give_up(&mut self) {
        if let Some(Open { file, end, .. }) = self.open.take()
            && let Err(error) = file.set_len(end)
        {
            log::debug!("spool: a given-up segment keeps its unsure end: {error}");
        }
    }
}
