//! From a directory to a spool at rest.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use adtally_service::Failure;
use adtally_service::metrics::Registry;

use super::appender::Appender;
use super::checkpoint::Checkpoint;
use super::directory::Directory;
use super::disk::Disk;
use super::ledger::{Ledger, SegmentInfo};
use super::metrics::SpoolMetrics;
use super::reader::Reader;

/// The size at which a segment ends: what replaying holds in memory.
const SEGMENT_BYTES: u64 = 16 * 1_024 * 1_024;

/// Where and how much to spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpoolOptions {
    /// The directory, made when it is missing.
    pub(crate) directory: PathBuf,
    /// The most bytes of all segments.
    pub(crate) max_bytes: u64,
}

/// Who writes, who reads, and what they share.
pub(super) type Parts = (Appender, Reader, Arc<Ledger>);

/// Takes hold of the directory and of what is in it.
///
/// # Errors
/// A configuration failure that says why it cannot be used.
pub(super) fn parts(
    options: &SpoolOptions,
    registry: &Registry,
    disk: Box<dyn Disk>,
) -> Result<Parts, Failure> {
    let directory = Arc::new(Directory::open(&options.directory)?);
    let checkpoint = Checkpoint::load(&directory);
    let segments = leftovers(&directory, checkpoint).map_err(|error| {
        let path = options.directory.display();
        Failure::configuration(format!("--spool-dir {path} cannot be read: {error}"))
    })?;
    let last = segments.keys().next_back().copied().unwrap_or(0);
    let ledger = Arc::new(Ledger::new(
        segments,
        last.max(checkpoint.segment),
        options.max_bytes,
        SpoolMetrics::new(registry, options.max_bytes),
    ));
    let segment_bytes = SEGMENT_BYTES.min(options.max_bytes / 8 + 1);
    let appender = Appender::new(directory.clone(), ledger.clone(), disk, segment_bytes);
    let reader = Reader::new(directory, ledger.clone(), checkpoint);
    Ok((appender, reader, ledger))
}

fn leftovers(
    directory: &Directory,
    checkpoint: Checkpoint,
) -> io::Result<BTreeMap<u64, SegmentInfo>> {
    let mut segments = BTreeMap::new();
    let mut total = 0;
    for left in directory.leftovers()? {
        let here = left.number == checkpoint.segment && checkpoint.offset <= left.bytes;
        let from = if here { checkpoint.offset } else { 0 };
        let (oldest, events) = directory.count(left.number, from)?;
        segments.insert(
            left.number,
            SegmentInfo::leftover(left.bytes, events, oldest),
        );
        total += events;
    }
    if total > 0 {
        log::info!("spool: {total} events of an earlier run are to be replayed");
    }
    Ok(segments)
}
