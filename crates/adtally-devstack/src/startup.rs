//! Waiting for a server that has just been started.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::DevstackError;
use crate::log_excerpt::{added, excerpt};
use crate::process::ManagedProcess;

const POLL: Duration = Duration::from_millis(10);

/// Waits until `is_ready`, at most `limit`. A server that ends or takes longer is an error that
/// quotes what it has added to its log, which had `seen` bytes before.
pub(crate) async fn await_ready(
    process: &ManagedProcess,
    (log, seen): (&Path, u64),
    limit: Duration,
    mut is_ready: impl FnMut() -> bool,
) -> Result<(), DevstackError> {
    let started = Instant::now();
    loop {
        if let Some(status) = process.exit_status() {
            let (server, log, text) = (process.name().to_owned(), log.to_owned(), added(log, seen));
            let (port_taken, excerpt) = (says_port_taken(&text), excerpt(&text));
            return Err(DevstackError::StartFailed {
                server,
                status,
                log,
                excerpt,
                port_taken,
            });
        }
        if is_ready() {
            return Ok(());
        }
        if started.elapsed() > limit {
            let (server, log) = (process.name().to_owned(), log.to_owned());
            let excerpt = excerpt(&added(&log, seen));
            return Err(DevstackError::StartTimedOut {
                server,
                waited: limit,
                log,
                excerpt,
            });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// In the words of PostgreSQL (and epmd), and of RabbitMQ.
fn says_port_taken(log: &str) -> bool {
    log.contains("Address already in use") || log.contains("eaddrinuse")
}
