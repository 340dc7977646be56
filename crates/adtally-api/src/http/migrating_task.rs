//! A task that starts on an HTTP thread, next to the requests it works for, and survives that thread.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// A task that runs on the thread that polls it, and migrates to the runtime `fallback` when that thread
/// ends first.
///
/// Tasks of one thread wake each other without a system call, and a woken task runs once those that were
/// ready before it have run. A wake from another thread may wait longer: tokio takes one of these for every
/// 31 turns. The task's sockets and timers belong to `fallback` from the start, so migrating interrupts
/// nothing.
pub(crate) struct MigratingTask {
    /// `None` once it is done or has migrated.
    task: Option<BoxFuture<'static, ()>>,
    fallback: Handle,
}

impl MigratingTask {
    pub(crate) fn new(task: impl Future<Output = ()> + Send + 'static, fallback: Handle) -> Self {
        Self {
            task: Some(Box::pin(task)),
            fallback,
        }
    }
}

impl Future for MigratingTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { task, fallback } = &mut *self;
        // Taken out, so that a task that panics does not migrate.
        let Some(mut running) = task.take() else {
            return Poll::Ready(());
        };
        let _entered = fallback.enter();
        let polled = running.as_mut().poll(context);
        if polled.is_pending() {
            *task = Some(running);
        }
        polled
    }
}

impl Drop for MigratingTask {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.fallback.spawn(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::sleep;

    use super::*;

    /// Runs `task` on a thread that ends when `is_over`; what became of it there.
    fn run_on_thread(
        task: impl Future<Output = ()> + Send + 'static,
        is_over: oneshot::Receiver<()>,
    ) -> Option<Result<(), tokio::task::JoinError>> {
        let task = MigratingTask::new(task, Handle::current());
        let thread = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            let ended = runtime.block_on(async {
                let task = tokio::spawn(task);
                tokio::select! {
                    ended = task => Some(ended),
                    _ = is_over => None,
                }
            });
            std::io::Result::Ok(ended)
        });
        thread.join().expect("the thread ends").expect("a runtime")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn migrates_when_its_thread_ends() {
        let (leave, is_over) = oneshot::channel();
        let (went_on, moved) = oneshot::channel::<(ThreadId, ThreadId)>();
        let (gone, has_gone) = oneshot::channel::<()>();
        let task = async move {
            let started_on = thread::current().id();
            // That thread has no timers: using its own would panic.
            let timer = sleep(Duration::from_millis(1));
            leave.send(()).expect("the thread is there");
            has_gone.await.expect("it is told");
            timer.await;
            let _ = went_on.send((started_on, thread::current().id()));
        };
        assert!(run_on_thread(task, is_over).is_none());
        gone.send(()).expect("the task is alive");
        let (before, after) = moved.await.expect("the task ends");
        assert_ne!(before, after);
    }

    #[tokio::test]
    async fn stays_when_it_ends_in_time() {
        let (_leave, is_over) = oneshot::channel();
        assert!(matches!(run_on_thread(async {}, is_over), Some(Ok(()))));
    }

    #[tokio::test]
    async fn does_not_go_on_once_it_panicked() {
        let (_leave, is_over) = oneshot::channel();
        let (alive, is_gone) = oneshot::channel::<()>();
        let task = async move {
            let _alive = alive;
            panic!("of the test");
        };
        let ended = run_on_thread(task, is_over).expect("it ended there");
        assert!(ended.is_err_and(|error| error.is_panic()));
        assert!(is_gone.await.is_err());
    }
}
