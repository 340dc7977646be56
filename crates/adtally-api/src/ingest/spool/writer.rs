//! The thread that makes events durable, many requests at a time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::appender::Appender;
use super::ledger::{Ledger, NotSpooled};

/// Bytes of one group at most, give or take a request.
const GROUP_BYTES: usize = 4 * 1_024 * 1_024;

/// How often a disk that could not be written to is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Records of one request on their way to the disk.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) records: Vec<u8>,
    pub(super) events: u64,
    /// Unix milliseconds.
    pub(super) written_at: i64,
    pub(super) answer: oneshot::Sender<Result<(), NotSpooled>>,
}

/// Writes until the queue is closed and empty.
///
/// While one group is synced the next gathers: the slower the disk, the larger the groups.
pub(super) fn run(mut appender: Appender, ledger: &Arc<Ledger>, queue: &Receiver<Pending>) {
    loop {
        let first = if ledger.has_failed() {
            queue.recv_timeout(RETRY)
        } else {
            queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match first {
            Ok(first) => write(&mut appender, first, queue),
            Err(RecvTimeoutError::Timeout) => appender.recover(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn write(appender: &mut Appender, first: Pending, queue: &Receiver<Pending>) {
    let mut bytes = first.records;
    let (mut events, at) = (first.events, first.written_at);
    let mut answers = vec![first.answer];
    while bytes.len() < GROUP_BYTES
        && let Ok(more) = queue.try_recv()
    {
        bytes.extend_from_slice(&more.records);
        events += more.events;
        answers.push(more.answer);
    }
    let result = appender.append(&bytes, events, at).map_err(|error| {
        log::error!("spool: events could not be made safe on disk: {error}");
        NotSpooled::Unsure
    });
    for answer in answers {
        // A request that gave up waiting has answered "unknown", which stays true.
        let _ = answer.send(result);
    }
}
