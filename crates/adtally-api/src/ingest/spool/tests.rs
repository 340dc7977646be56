//! What the spool promises, on real files.

mod broker;
mod damage;
mod disk_faults;
mod model;
mod promises;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use adtally_domain::{AdId, EventId, EventKind};
use tempfile::TempDir;

use super::start::Parts;
use super::*;

/// 2026-11-22T06:00:00.123Z.
const NOW: i64 = 1_795_327_200_123;

fn now() -> Timestamp {
    Timestamp::from_millis(NOW).unwrap()
}

fn event(number: u32) -> Event {
    let mut random = [0; 10];
    random[..4].copy_from_slice(&number.to_be_bytes());
    Event {
        user_agent: Some("م".repeat(number as usize % 7)),
        ..Event::new(
            EventId::v7(now(), random),
            EventKind::ALL[number as usize % 2],
            AdId::new(i64::from(number) + 1).unwrap(),
            now(),
        )
    }
}

fn events(numbers: std::ops::Range<u32>) -> Vec<Event> {
    numbers.map(event).collect()
}

fn options(directory: &Path, max_bytes: u64) -> SpoolOptions {
    SpoolOptions {
        directory: directory.to_owned(),
        max_bytes,
    }
}

fn opened(directory: &TempDir, max_bytes: u64, disk: &TestDisk) -> Spool {
    let options = options(directory.path(), max_bytes);
    once_unlocked(|| Spool::open_on(&options, &Registry::new(), now, Box::new(disk.clone())))
}

/// What `open` opens. A child that another test just forked holds the lock of the last owner until it
/// executes its program, so a locked directory is tried again.
fn once_unlocked<T>(open: impl Fn() -> Result<T, Failure>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match open() {
            Ok(opened) => return opened,
            Err(failure) if !failure.message.contains("another process") => panic!("{failure}"),
            Err(failure) => assert!(Instant::now() < deadline, "not within 20 s: {failure}"),
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Reads everything there is and confirms it.
fn drained(spool: &Spool) -> Vec<Event> {
    let mut reader = lock(&spool.0.reader);
    let reader = reader.as_mut().unwrap();
    let mut events = Vec::new();
    while let Some(batch) = reader.next().unwrap() {
        reader.confirm(&batch);
        events.extend(batch.events);
    }
    events
}

fn segments(directory: &TempDir) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory.path()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "segment"))
        .collect();
    paths.sort();
    paths
}

/// A disk that fails, or waits, when it is told to.
#[derive(Debug, Clone, Default)]
struct TestDisk(Arc<Switches>);

#[derive(Debug, Default)]
struct Switches {
    fails_reserve: AtomicBool,
    fails_append: AtomicBool,
    fails_sync: AtomicBool,
    hangs: AtomicBool,
    syncs: AtomicUsize,
}

fn unless(fails: &AtomicBool) -> io::Result<()> {
    if fails.load(Ordering::SeqCst) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

impl Disk for TestDisk {
    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        unless(&self.0.fails_reserve)?;
        RealDisk.reserve(file, bytes)
    }

    fn append(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = unless(&self.0.fails_append) {
            // A disk that fills up takes some of it.
            RealDisk.append(file, &bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        RealDisk.append(file, bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        while self.0.hangs.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        unless(&self.0.fails_sync)?;
        RealDisk.sync(file)
    }
}
