//! Fair reading: who sends much waits, after each turn, for everything else that is ready.
//!
//! A task that wakes itself is polled before those that the sockets woke (tokio's `LocalSet` looks at the
//! latter at every 31st task only). So a connection waits until the sockets were looked at once more.

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
pub(super) struct Rounds(Rc<Round>);

#[derive(Debug, Default)]
struct Round {
    number: Cell<u64>,
    /// Who had their turn and could read more.
    waiting: RefCell<VecDeque<Waker>>,
}

/// The turns of one connection.
#[derive(Debug)]
pub(super) struct Turns {
    rounds: Rounds,
    round: u64,
    read: usize,
}

impl Rounds {
    /// The turns of a new connection.
    pub(super) fn turns(&self) -> Turns {
        Turns {
            rounds: self.clone(),
            round: self.0.number.get(),
            read: 0,
        }
    }

    fn wait(&self, waker: &Waker) {
        let mut waiting = self.0.waiting.borrow_mut();
        if waiting.is_empty() {
            spawn_local(Rc::clone(&self.0).wake_in_rounds());
        }
        waiting.push_back(waker.clone());
    }
}

impl Round {
    /// Wakes those who wait, some in each round.
    async fn wake_in_rounds(self: Rc<Self>) {
        loop {
            yield_now().await;
            self.number.set(self.number.get() + 1);
            let mut waiting = self.waiting.borrow_mut();
            let some = waiting.len().min(AT_A_TIME);
            waiting.drain(..some).for_each(Waker::wake);
            if waiting.is_empty() {
                return;
            }
        }
    }
}

impl Turns {
    /// Whether the turn goes on. If not, `waker` is called when it may.
    pub(super) fn may_go_on(&mut self, waker: &Waker) -> bool {
        let round = self.rounds.0.number.get();
        if round != self.round {
            self.round = round;
            self.read = 0;
        }
        let may_go_on = self.read < TURN;
        if !may_go_on {
            self.rounds.wait(waker);
        }
        may_go_on
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
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::LocalSet;
    use tokio::time::timeout;

    use super::*;

    /// Reads without end, a turn after the other.
    async fn read_on(rounds: Rounds) {
        let mut turns = rounds.turns();
        loop {
            std::future::poll_fn(|context| {
                if turns.may_go_on(context.waker()) {
                    turns.took(TURN);
                    // As a body does whose reader waits for it in the same task.
                    context.waker().wake_by_ref();
                }
                std::task::Poll::<()>::Pending
            })
            .await;
        }
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    #[test]
    fn what_a_socket_woke_has_its_turn_in_each_round() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, async {
            let rounds = Rounds::default();
            for _ in 0..200 {
                spawn_local(read_on(rounds.clone()));
            }
            let (mut clients, mut readers) = (Vec::new(), Vec::new());
            for _ in 0..100 {
                let (client, server) = pair().await;
                clients.push(client);
                let rounds = Rc::clone(&rounds.0);
                readers.push(spawn_local(async move {
                    server.readable().await.unwrap();
                    rounds.number.get()
                }));
            }
            let before = rounds.0.number.get();
            for client in &mut clients {
                client.write_all(b"x").await.unwrap();
            }
            let all_written = rounds.0.number.get();
            for reader in readers {
                let read = timeout(Duration::from_secs(10), reader);
                let waited = read.await.unwrap().unwrap().saturating_sub(all_written);
                assert!(
                    waited <= 3,
                    "{waited} rounds, behind {}",
                    all_written - before
                );
            }
        });
    }
}
