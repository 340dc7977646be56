//! The thread on which publishers live.
//!
//! A confirm passes through the thread that waits for sockets, the client library's own and the
//! owner of the connection. On a runtime of one thread the first and the last are the same, and
//! waking the owner wakes no second thread that looks for work to share.

use std::future::Future;
use std::io;
use std::sync::OnceLock;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

/// Runs `owner` on the thread of all publishers, or on the caller's runtime when there can be none.
pub(super) fn settle(owner: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    static HOME: OnceLock<Option<Handle>> = OnceLock::new();
    let home = HOME.get_or_init(|| {
        let made = make();
        made.inspect_err(|error| log::warn!("publishing has no thread of its own: {error}"))
            .ok()
    });
    match home {
        Some(home) => home.spawn(owner),
        None => tokio::spawn(owner),
    }
}

/// Makes the thread. It stays until the process ends: a connection must not outlive its runtime.
fn make() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("publishers".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}
