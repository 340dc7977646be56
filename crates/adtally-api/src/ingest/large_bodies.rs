//! Work on large bodies: on other threads than those of HTTP, a few at a time.
//!
//! To decompress, parse and validate 4 MiB takes tens of milliseconds, in which an HTTP thread would answer
//! hundreds of others, `/livez` among them.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::http::problem::Problem;

/// Where large bodies are worked on. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LargeBodyPool {
    runtime: Handle,
    permits: Arc<Semaphore>,
}

impl LargeBodyPool {
    /// On `runtime`, as many at a time as half of the processors.
    pub(crate) fn new(runtime: Handle) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            runtime,
            permits: Arc::new(Semaphore::new((processors / 2).max(1))),
        }
    }

    /// Runs a whole request there. It goes on when its client disconnects.
    ///
    /// # Errors
    /// Its own, and a fault on our side.
    pub(crate) async fn spawn<T: Send + 'static>(
        &self,
        request: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        self.runtime
            .spawn(request)
            .await
            .unwrap_or_else(|_| Err(Problem::internal()))
    }

    /// Computes a part of such a request once a permit is free.
    ///
    /// # Errors
    /// A fault on our side.
    pub(crate) async fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.permits.clone().acquire_owned().await;
        let work = move || {
            let _permit = permit;
            work()
        };
        let done = self.runtime.spawn_blocking(work).await;
        done.map_err(|_| Problem::internal())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn only_a_few_compute_at_a_time_and_elsewhere() {
        let large = LargeBodyPool::new(Handle::current());
        let at_a_time = large.permits.available_permits();
        let here = std::thread::current().id();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs = (0..8 * at_a_time).map(|_| {
            let (now, most) = (now.clone(), most.clone());
            large.spawn_blocking(move || {
                assert_ne!(std::thread::current().id(), here);
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        });
        for done in join_all(jobs).await {
            done.unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= at_a_time);
    }
}
