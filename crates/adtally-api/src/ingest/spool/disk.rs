//! What the spool asks of a disk. Tests put a failing one in its place.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Writes and makes durable.
pub(super) trait Disk: Debug + Send {
    /// Sets aside room for `bytes`, so that a full disk shows before it is relied on.
    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()>;
    /// Writes at the end of `file`.
    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything written is on disk.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// The real disk.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            // Some file systems cannot; there a full disk shows when it is written to.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}
