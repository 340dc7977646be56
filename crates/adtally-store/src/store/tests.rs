use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// A runtime whose only thread for blocking work waits until the sender is dropped.
fn with_busy_thread(test: impl AsyncFnOnce(mpsc::Sender<()>)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(1)
        .build();
    runtime.unwrap().block_on(async {
        let (release, released) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || released.recv());
        test(release).await;
    });
}

#[test]
fn a_call_given_up_before_a_thread_takes_it_never_begins() {
    with_busy_thread(async |release| {
        let (begun, has_begun) = mpsc::channel();
        let call = off_thread(move || {
            begun.send(()).unwrap();
            Ok(())
        });
        let given_up = tokio::time::timeout(Duration::from_millis(1), call).await;
        assert!(given_up.is_err());
        drop(release);
        // Whatever else was in the queue came before this.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert_eq!(has_begun.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    });
}

#[test]
fn a_call_that_is_waited_for_runs_once_a_thread_is_free() {
    with_busy_thread(async |release| {
        let call = off_thread(|| Ok(7));
        drop(release);
        assert_eq!(call.await.unwrap(), 7);
    });
}
