//! The bounded queue between those who log and the one thread that writes.
//!
//! Standard error may be a pipe that nobody reads. Logging must not wait for it: lines that the queue has no
//! room for are dropped and counted.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;

/// Bytes of the lines that may wait.
pub(super) const ROOM: usize = 1024 * 1024;

/// The wait before another attempt where standard error does not block and is full.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Lines that wait for standard error.
pub(super) struct LogQueue {
    state: Mutex<State>,
    filled: Condvar,
    written: Condvar,
    dropped: IntCounter,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Of the lines that wait and of the one that is being written.
    bytes: usize,
    is_writing: bool,
    /// Dropped lines that the log has not reported yet.
    unreported: u64,
}

impl State {
    fn is_idle(&self) -> bool {
        self.lines.is_empty() && !self.is_writing
    }
}

impl LogQueue {
    /// An empty queue that counts what it drops.
    pub(super) fn new(dropped: IntCounter) -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            written: Condvar::new(),
            dropped,
        }
    }

    /// Takes `line`, or drops it where there is no room.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut state = self.lock();
        if state.bytes + line.len() > ROOM {
            state.unreported += 1;
            self.dropped.inc();
            return;
        }
        self.add(state, line);
    }

    /// Takes `line` even where there is no room: the last words of a process.
    pub(super) fn push_last(&self, line: Vec<u8>) {
        self.add(self.lock(), line);
    }

    fn add(&self, mut state: MutexGuard<'_, State>, line: Vec<u8>) {
        state.bytes += line.len();
        state.lines.push_back(line);
        drop(state);
        self.filled.notify_one();
    }

    /// Waits at most for `limit` until everything is written; whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let waiting = self
            .written
            .wait_timeout_while(self.lock(), limit, |state| !state.is_idle());
        let (state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        state.is_idle()
    }

    /// Writes line after line to `to`, for ever. `tell` is called with the number of lines that were
    /// dropped before one could be written again.
    pub(super) fn write_to(&self, mut to: impl Write, tell: impl Fn(u64)) -> ! {
        loop {
            let line = self.next();
            let result = write_line(&mut to, &line);
            if let Some(dropped) = self.finish(&line, result.is_ok()) {
                tell(dropped);
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.is_writing = true;
                return line;
            }
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes whether `line` was written; the number of dropped lines to report now.
    fn finish(&self, line: &[u8], is_written: bool) -> Option<u64> {
        let mut state = self.lock();
        state.is_writing = false;
        state.bytes -= line.len();
        if !is_written {
            state.unreported += 1;
            self.dropped.inc();
        }
        let unreported =
            (is_written && state.unreported > 0).then(|| std::mem::take(&mut state.unreported));
        let is_idle = state.is_idle();
        drop(state);
        if is_idle {
            self.written.notify_all();
        }
        unreported
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No panic leaves the state between two steps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of `line`, also where standard error does not block because another process that shares
/// it wants it so.
fn write_line(to: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match to.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => line = line.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_AFTER),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::sync::Arc;

    use super::*;

    fn queue() -> Arc<LogQueue> {
        let dropped = IntCounter::new("dropped_total", "Dropped.").unwrap();
        Arc::new(LogQueue::new(dropped))
    }

    fn write(queue: &Arc<LogQueue>, to: impl Write + Send + 'static) {
        let queue = Arc::clone(queue);
        thread::spawn(move || {
            let tell = |dropped| queue.push(format!("dropped {dropped}\n").into_bytes());
            queue.write_to(to, tell)
        });
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_up_nobody_and_what_is_dropped_is_told() {
        let (reader, writer) = io::pipe().unwrap();
        let queue = queue();
        write(&queue, writer);
        // More than the pipe and the queue hold.
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        let lines = 2 * ROOM / line.len();
        for _ in 0..lines {
            queue.push(line.clone());
        }
        assert!(!queue.flush(Duration::from_millis(20)), "nobody reads");
        let dropped = queue.dropped.get();
        assert!(dropped > 0);
        let mut shown = BufReader::new(reader).lines().map(Result::unwrap);
        let told = shown.by_ref().find(|line| line.starts_with("dropped"));
        assert_eq!(told, Some(format!("dropped {dropped}")));
        assert!(queue.flush(Duration::from_secs(30)), "somebody reads");
        assert_eq!(queue.dropped.get(), dropped);
    }

    #[test]
    fn last_words_are_written_even_if_the_queue_was_full() {
        let (reader, writer) = io::pipe().unwrap();
        let queue = queue();
        queue.push(vec![b'x'; ROOM]);
        queue.push(b"lost\n".to_vec());
        queue.push_last(b"\nlast\n".to_vec());
        write(&queue, writer);
        let mut shown = BufReader::new(reader).lines().map(Result::unwrap);
        assert!(shown.any(|line| line == "last"));
        assert_eq!(queue.dropped.get(), 1);
    }

    #[test]
    fn a_reader_that_went_away_is_no_end_and_its_lines_are_counted() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let queue = queue();
        write(&queue, writer);
        for _ in 0..3 {
            queue.push(b"line\n".to_vec());
        }
        assert!(queue.flush(Duration::from_secs(30)));
        assert_eq!(queue.dropped.get(), 3);
    }
}
