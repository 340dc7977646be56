//! Events on disk: the spool holds what the broker cannot take now, and publishes it later.
//!
//! Segments are files of records. One thread appends to the newest and syncs it once for all requests that
//! wait (`writer`, `appender`). One task reads the oldest and removes it when the broker has confirmed all
//! of it (`replay`, `reader`). The `ledger` is where both meet. An event may come out more than once, its id
//! makes it count once; what was acknowledged comes out at least once.

mod appender;
mod broker;
mod checkpoint;
mod directory;
mod disk;
mod ledger;
mod metrics;
mod reader;
mod record;
mod replay;
mod segment_chunk;
mod size;
mod start;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use adtally_domain::{Event, EventKind, Timestamp};
use adtally_service::Failure;
use adtally_service::metrics::Registry;
use adtally_wire::pack;
use tokio::sync::oneshot;

pub(crate) use broker::Broker;
use disk::{Disk, RealDisk};
use ledger::Ledger;
pub(crate) use ledger::NotSpooled;
use reader::Reader;
pub(crate) use size::parse_size;
pub(crate) use start::SpoolOptions;
use start::parts;
use writer::Pending;

/// The most events of one record: what one damaged byte may cost.
const RECORD_EVENTS: usize = 256;

/// How long the disk may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The spool. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Spool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ledger: Arc<Ledger>,
    queue: Mutex<Option<Sender<Pending>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    reader: Mutex<Option<Reader>>,
    clock: fn() -> Timestamp,
}

impl Spool {
    /// Opens the directory, and what an earlier process left there.
    ///
    /// # Errors
    /// A configuration failure when the directory cannot be used or is used by another process.
    pub(crate) fn open(
        options: &SpoolOptions,
        registry: &Registry,
        clock: fn() -> Timestamp,
    ) -> Result<Self, Failure> {
        Self::open_on(options, registry, clock, Box::new(RealDisk))
    }

    fn open_on(
        options: &SpoolOptions,
        registry: &Registry,
        clock: fn() -> Timestamp,
        disk: Box<dyn Disk>,
    ) -> Result<Self, Failure> {
        let (appender, reader, ledger) = parts(options, registry, disk)?;
        let (sender, queue) = mpsc::channel();
        let shared = Arc::clone(&ledger);
        let writer = thread::Builder::new()
            .name("spool-writer".to_owned())
            .spawn(move || writer::run(appender, &shared, &queue))
            .map_err(|error| Failure::unavailable(format!("no thread for the spool: {error}")))?;
        Ok(Self(Arc::new(Inner {
            ledger,
            queue: Mutex::new(Some(sender)),
            writer: Mutex::new(Some(writer)),
            reader: Mutex::new(Some(reader)),
            clock,
        })))
    }

    /// Appends `events`; returns once they are on disk.
    ///
    /// # Errors
    /// Why none of them is known to be there.
    pub(crate) async fn append(&self, events: &[Event]) -> Result<(), NotSpooled> {
        let written_at = (self.0.clock)().as_millis();
        let records = records_of(events, written_at);
        let (answer, answered) = oneshot::channel();
        let pending = Pending {
            records,
            events: events.len() as u64,
            written_at,
            answer,
        };
        self.enqueue(pending)?;
        match tokio::time::timeout(DEADLINE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(NotSpooled::Unsure),
        }
    }

    /// Why no event can be spooled now, if so.
    pub(crate) fn unavailable_because(&self) -> Option<String> {
        self.0.ledger.unavailable_because()
    }

    /// Brings the age of the oldest event up to date.
    pub(crate) fn refresh(&self) {
        self.0.ledger.update_age((self.0.clock)().as_millis());
    }

    /// Replays to `broker` until it is dropped, which loses nothing. Only the first call does.
    pub(crate) async fn replay(self, broker: impl Broker) {
        let reader = lock(&self.0.reader).take();
        if let Some(reader) = reader {
            replay::run(reader, self.ledger(), broker).await;
        }
    }

    /// Appends nothing more, and returns once all that was appended is on disk.
    pub(crate) async fn close(&self) {
        drop(lock(&self.0.queue).take());
        let writer = lock(&self.0.writer).take();
        let joined = tokio::task::spawn_blocking(|| writer.is_none_or(|it| it.join().is_ok()));
        if tokio::time::timeout(DEADLINE, joined).await.is_err() {
            log::error!("spool: the disk did not answer before the end");
        }
    }

    fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    fn enqueue(&self, pending: Pending) -> Result<(), NotSpooled> {
        let queue = lock(&self.0.queue);
        let queue = queue.as_ref().ok_or(NotSpooled::Refused)?;
        self.0.ledger.reserve(pending.records.len() as u64)?;
        queue.send(pending).map_err(|_| NotSpooled::Refused)
    }
}

/// The records of `events`: a pack holds one kind.
fn records_of(events: &[Event], written_at: i64) -> Vec<u8> {
    let mut records = Vec::new();
    let chunks = events.chunks(RECORD_EVENTS);
    for (events, kind) in chunks.flat_map(|chunk| EventKind::ALL.map(|kind| (chunk, kind))) {
        let count = events.iter().filter(|event| event.kind == kind).count();
        // A chunk is far from what does not fit.
        if let Ok(count @ 1..) = u32::try_from(count) {
            record::append(&mut records, &pack::encode(kind, events), count, written_at);
        }
    }
    records
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
