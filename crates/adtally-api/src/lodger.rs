//! A task that lives on an HTTP thread, next to those it works for.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// A task that lodges on the thread that polls it, and moves home when that thread ends before it.
///
/// Tasks of one thread wake each other without a system call, and one that is woken by another has its
/// turn when those that were ready before have had theirs. A wake from another thread may wait longer:
/// of these tokio takes one for every 31 turns. Its sockets and timers are those of its home from the
/// start, so moving interrupts nothing.
pub(crate) struct Lodger {
    /// Until it is done or has moved.
    task: Option<BoxFuture<'static, ()>>,
    home: Handle,
}

impl Lodger {
    pub(crate) fn new(task: impl Future<Output = ()> + Send + 'static, home: Handle) -> Self {
        Self {
            task: Some(Box::pin(task)),
            home,
        }
    }
}

impl Future for Lodger {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { task, home } = &mut *self;
        // One that panics does not move.
        let Some(mut lodging) = task.take() else {
            return Poll::Ready(());
        };
        let _at_home = home.enter();
        let polled = lodging.as_mut().poll(context);
        if polled.is_pending() {
            *task = Some(lodging);
        }
        polled
    }
}

impl Drop for Lodger {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.home.spawn(task);
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

    /// Runs `task` as a lodger of a thread that ends when `is_over`; what became of it there.
    fn lodge(
        task: impl Future<Output = ()> + Send + 'static,
        is_over: oneshot::Receiver<()>,
    ) -> Option<Result<(), tokio::task::JoinError>> {
        let lodger = Lodger::new(task, Handle::current());
        let lodging = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            let ended = runtime.block_on(async {
                let lodger = tokio::spawn(lodger);
                tokio::select! {
                    ended = lodger => Some(ended),
                    _ = is_over => None,
                }
            });
            std::io::Result::Ok(ended)
        });
        lodging.join().expect("the thread ends").expect("a runtime")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn goes_on_at_home_when_its_thread_ends() {
        let (leave, is_over) = oneshot::channel();
        let (went_on, moved) = oneshot::channel::<(ThreadId, ThreadId)>();
        let (gone, has_gone) = oneshot::channel::<()>();
        let task = async move {
            let lodging = thread::current().id();
            // A timer of the lodging, which has none, would panic.
            let timer = sleep(Duration::from_millis(1));
            leave.send(()).expect("the lodging is there");
            has_gone.await.expect("it is told");
            timer.await;
            let _ = went_on.send((lodging, thread::current().id()));
        };
        assert!(lodge(task, is_over).is_none());
        gone.send(()).expect("the task is alive");
        let (before, after) = moved.await.expect("the task ends");
        assert_ne!(before, after);
    }

    #[tokio::test]
    async fn stays_when_it_ends_in_time() {
        let (_leave, is_over) = oneshot::channel();
        assert!(matches!(lodge(async {}, is_over), Some(Ok(()))));
    }

    #[tokio::test]
    async fn does_not_go_on_once_it_panicked() {
        let (_leave, is_over) = oneshot::channel();
        let (alive, is_gone) = oneshot::channel::<()>();
        let task = async move {
            let _alive = alive;
            panic!("of the test");
        };
        let ended = lodge(task, is_over).expect("it ended there");
        assert!(ended.is_err_and(|error| error.is_panic()));
        assert!(is_gone.await.is_err());
    }
}
