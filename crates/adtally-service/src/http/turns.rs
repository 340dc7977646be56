//! Fair reading: who sends much waits, after each turn, for everything else that is ready.
//!
//! While a thread has tasks that wake themselves, tokio's `LocalSet` looks at those that other threads woke
//! at every 31st task only. Other threads accept connections and bring the broker's confirms. So whoever has
//! read enough waits until the thread has nothing else to do but to look at its sockets.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use tokio::task::{spawn_local, yield_now};

/// How many bytes a connection reads in a turn: some 25 microseconds of copying.
pub(super) const TURN: usize = 16 * 1_024;

/// How many connections have a turn between two looks at the sockets.
const AT_A_TIME: usize = 8;

/// The rounds of one HTTP thread, in each of which some connections have a turn. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Rounds(Rc<RefCell<VecDeque<Waiting>>>);

/// A connection that had its turn and could read more.
#[derive(Debug)]
struct Waiting {
    waker: Waker,
    is_waiting: Rc<Cell<bool>>,
}

/// The turns of one connection.
#[derive(Debug)]
pub(super) struct Turns {
    rounds: Rounds,
    is_waiting: Rc<Cell<bool>>,
    read: usize,
}

impl Rounds {
    /// The turns of a new connection.
    pub(super) fn turns(&self) -> Turns {
        Turns {
            rounds: self.clone(),
            is_waiting: Rc::default(),
            read: 0,
        }
    }

    fn wait(&self, waiting: Waiting) {
        let mut all = self.0.borrow_mut();
        if all.is_empty() {
            spawn_local(self.clone().wake_in_rounds());
        }
        all.push_back(waiting);
    }

    /// Wakes those who wait, some in each round.
    async fn wake_in_rounds(self) {
        loop {
            yield_now().await;
            let mut all = self.0.borrow_mut();
            let some = all.len().min(AT_A_TIME);
            for waiting in all.drain(..some) {
                waiting.is_waiting.set(false);
                waiting.waker.wake();
            }
            if all.is_empty() {
                return;
            }
        }
    }
}

impl Turns {
    /// Whether the turn goes on. If not, `waker` is called when the next one begins: the first that was
    /// given, as it is always that of the connection's own task.
    pub(super) fn may_go_on(&mut self, waker: &Waker) -> bool {
        if self.is_waiting.get() {
            return false;
        }
        if self.read < TURN {
            return true;
        }
        self.read = 0;
        self.is_waiting.set(true);
        self.rounds.wait(Waiting {
            waker: waker.clone(),
            is_waiting: Rc::clone(&self.is_waiting),
        });
        false
    }

    /// So many bytes were read, or work like it was done.
    pub(super) fn took(&mut self, bytes: usize) {
        self.read += bytes;
    }

    /// Nothing more is there to be read, so that the next bytes begin a new turn.
    pub(super) fn is_over(&mut self) {
        self.read = 0;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use tokio::task::LocalSet;

    use super::*;

    /// Reads without end, a turn after the other, and counts the turns.
    async fn read_on(rounds: Rounds, count: Rc<Cell<usize>>) {
        let mut turns = rounds.turns();
        loop {
            std::future::poll_fn(|context| {
                if turns.may_go_on(context.waker()) {
                    turns.took(TURN);
                    count.set(count.get() + 1);
                    // As a body does whose reader waits for it in the same task.
                    context.waker().wake_by_ref();
                }
                std::task::Poll::<()>::Pending
            })
            .await;
        }
    }

    #[test]
    fn what_another_thread_woke_waits_for_few_turns() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (rounds, turns) = (Rounds::default(), Rc::new(Cell::new(0)));
            for _ in 0..200 {
                spawn_local(read_on(rounds.clone(), Rc::clone(&turns)));
            }
            let (mut senders, mut receivers) = (Vec::new(), Vec::new());
            for _ in 0..100 {
                let (sender, receiver) = oneshot::channel();
                senders.push(sender);
                let turns = Rc::clone(&turns);
                receivers.push(spawn_local(async move {
                    receiver.await.unwrap();
                    turns.get()
                }));
            }
            while turns.get() < 1_000 {
                yield_now().await;
            }
            let other =
                std::thread::spawn(|| senders.into_iter().for_each(|s| s.send(()).unwrap()));
            other.join().unwrap();
            let all_sent = turns.get();
            for receiver in receivers {
                let waited = receiver.await.unwrap() - all_sent;
                assert!(waited <= 3 * AT_A_TIME, "{waited} turns of others");
            }
            // Nobody waits twice, however often a connection is polled meanwhile.
            assert!(rounds.0.borrow().len() <= 200);
        });
    }
}
