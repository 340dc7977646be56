//! The spool's directory: segments named by number, and one owner at a time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use adtally_service::Failure;

use super::record::{HEAD_BYTES, Head};

/// Only the owner may read what visitors did.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

const SEGMENT: &str = "segment";

/// The directory, held by this process until it is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Locked: the lock goes with the process, however it ends.
    handle: File,
}

/// A segment that an earlier process left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leftover {
    /// Its number.
    pub(super) number: u64,
    /// Its size.
    pub(super) bytes: u64,
}

impl Directory {
    /// Opens the directory, which is made when it is missing.
    ///
    /// # Errors
    /// A configuration failure that says what is wrong with it. A full disk is none: it may hold
    /// what is to be replayed.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let unusable = |what: String| {
            let path = path.display();
            Failure::configuration(format!("--spool-dir {path} cannot be used: {what}"))
        };
        let advise = |error: io::Error| {
            unusable(format!(
                "{error}; name a directory this user may write to, or leave the flag out"
            ))
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(DIRECTORY_MODE);
        builder.create(path).map_err(advise)?;
        let handle = File::open(path).map_err(advise)?;
        handle.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => unusable(
                "another process spools there; give each adtally-api a directory of its own"
                    .to_owned(),
            ),
            std::fs::TryLockError::Error(error) => advise(error),
        })?;
        let directory = Self {
            path: path.to_owned(),
            handle,
        };
        match directory.replace("probe", b"") {
            Err(error) if !is_full(&error) => Err(advise(error)),
            _ => {
                let _none = std::fs::remove_file(directory.path.join("probe"));
                Ok(directory)
            }
        }
    }

    /// The segments that are there, oldest first.
    pub(super) fn leftovers(&self) -> io::Result<Vec<Leftover>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(number_of);
            if let Some(number) = number {
                let bytes = entry.metadata()?.len();
                found.push(Leftover { number, bytes });
            }
        }
        found.sort_unstable_by_key(|leftover| leftover.number);
        Ok(found)
    }

    /// A new, empty segment whose name is on disk.
    pub(super) fn create(&self, number: u64) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let options = options.append(true).create_new(true).mode(FILE_MODE);
        let file = options.open(self.segment(number))?;
        match self.handle.sync_all() {
            Ok(()) => Ok(file),
            Err(error) => {
                let _still_there = self.remove(number);
                Err(error)
            }
        }
    }

    /// The bytes of a segment from `from` to `end`, or fewer when it is shorter.
    pub(super) fn read(&self, number: u64, from: u64, end: u64) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.segment(number))?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(end.saturating_sub(from))
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The first record's time and the number of events from `from` on, as the heads say; nothing
    /// is checked, and counting ends at the first damage.
    pub(super) fn count(&self, number: u64, from: u64) -> io::Result<(Option<i64>, u64)> {
        let mut file = File::open(self.segment(number))?;
        file.seek(SeekFrom::Start(from))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let (mut first, mut events, mut head) = (None, 0, [0; HEAD_BYTES]);
        while reader.read_exact(&mut head).is_ok() {
            let Some(head) = Head::read(&head) else { break };
            first.get_or_insert(head.written_at);
            events += head.events;
            reader.seek_relative(i64::try_from(head.length).unwrap_or(i64::MAX))?;
        }
        Ok((first, events))
    }

    /// Removes a segment.
    pub(super) fn remove(&self, number: u64) -> io::Result<()> {
        std::fs::remove_file(self.segment(number))
    }

    /// Copies unreadable parts of a segment, each with its offset, to the same offsets of a sparse file beside
    /// it: copying them twice changes nothing. Returns once they are on disk.
    pub(super) fn quarantine<'a>(
        &self,
        number: u64,
        parts: impl IntoIterator<Item = (u64, &'a [u8])>,
    ) -> io::Result<()> {
        let path = self.segment(number).with_extension("corrupt");
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false);
        let file = options.mode(FILE_MODE).open(path)?;
        for (at, bytes) in parts {
            file.write_all_at(bytes, at)?;
        }
        file.sync_all()?;
        self.handle.sync_all()
    }

    /// Replaces a small file as a whole.
    pub(super) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = self.path.join(format!("{name}.new"));
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true);
        let mut file = options.mode(FILE_MODE).open(&new)?;
        file.write_all(content)?;
        std::fs::rename(new, self.path.join(name))
    }

    /// Reads a small file.
    pub(super) fn small_file(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path.join(name)).ok()
    }

    fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:020}.{SEGMENT}"))
    }
}

/// Whether a disk or quota has no room.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

fn number_of(name: &str) -> Option<u64> {
    let (number, kind) = name.split_once('.')?;
    (kind == SEGMENT && number.len() == 20)
        .then(|| number.parse().ok())
        .flatten()
}
