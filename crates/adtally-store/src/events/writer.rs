//! Storing one batch after the other, with nothing in between while more are waiting.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, mpsc};
use std::thread;

use adtally_domain::ReportingZone;
use diesel::pg::PgConnection;
use tokio::sync::oneshot;

use super::{EventBatch, Stored, attempt};
use crate::pool::judged;
use crate::{Store, StoreError};

/// Batches stored in a row before their connection goes back to the pool, which may have reasons to
/// replace it.
const IN_A_ROW: u32 = 1_000;

/// Stores batches over so many connections at once.
///
/// While batches wait, a connection takes the next as soon as one is committed, on the same thread:
/// were it told to others first, they and whatever else wants a processor would keep the database
/// waiting, on a busy machine for a fifth of the time.
#[derive(Debug)]
pub struct EventWriter {
    store: Store,
    connections: usize,
    orders: Mutex<mpsc::Sender<Order>>,
}

/// A batch to store.
struct Order {
    zone: ReportingZone,
    batch: Arc<EventBatch>,
    done: oneshot::Sender<thread::Result<Result<Stored, StoreError>>>,
}

impl Store {
    /// A writer that stores so many batches at the same time, at least one. Call it within a runtime.
    #[must_use]
    pub fn event_writer(&self, connections: usize) -> EventWriter {
        EventWriter {
            store: self.clone(),
            connections: connections.max(1),
            orders: Mutex::new(start(self, connections.max(1))),
        }
    }
}

impl EventWriter {
    /// Like [`Store::store_events`], after the batches that wait already. It may take as long as two
    /// calls: one waits for the one before it.
    ///
    /// # Errors
    /// Those of [`Store::store_events`].
    pub async fn store(
        &self,
        zone: ReportingZone,
        batch: Arc<EventBatch>,
    ) -> Result<Stored, StoreError> {
        let (done, outcome) = oneshot::channel();
        let unsent = self.orders().send(Order { zone, batch, done });
        let limit = self.store.call_timeout().saturating_mul(2);
        match tokio::time::timeout(limit, outcome).await {
            Ok(Ok(outcome)) if unsent.is_ok() => {
                outcome.unwrap_or_else(|panic| resume_unwind(panic))
            }
            Ok(_) => Err(StoreError::Unavailable(
                "the process is stopping".to_owned(),
            )),
            Err(_) => {
                // Nobody knows when libpq will let go of that thread. It ends then, and others go on.
                *self.orders() = start(&self.store, self.connections);
                let waited = limit.as_secs();
                Err(StoreError::Unavailable(format!(
                    "no answer within {waited} s"
                )))
            }
        }
    }

    /// How many batches are stored at the same time.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections
    }

    fn orders(&self) -> std::sync::MutexGuard<'_, mpsc::Sender<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts threads that store what is sent, until the sender is gone.
fn start(store: &Store, connections: usize) -> mpsc::Sender<Order> {
    let (sender, orders) = mpsc::channel();
    let orders = Arc::new(Mutex::new(orders));
    for _ in 0..connections {
        let (store, orders) = (store.clone(), Arc::clone(&orders));
        tokio::task::spawn_blocking(move || serve(&store, &orders));
    }
    sender
}

fn serve(store: &Store, orders: &Mutex<mpsc::Receiver<Order>>) {
    while let Some(order) = wait(orders) {
        match store.pool().get() {
            Ok(mut conn) => in_a_row(store, &mut conn, order, orders),
            Err(error) => order.tell(Ok(Err(error))),
        }
    }
}

/// Stores `order` and what waits behind it, until one fails.
fn in_a_row(
    store: &Store,
    conn: &mut PgConnection,
    order: Order,
    orders: &Mutex<mpsc::Receiver<Order>>,
) {
    let mut waiting = Some(order);
    for left in (0..IN_A_ROW).rev() {
        let Some(order) = waiting.take() else { return };
        if order.is_awaited() {
            let work = || attempt::store(conn, store.memory(), order.zone, &order.batch);
            let outcome = catch_unwind(AssertUnwindSafe(work)).map(|result| judged(conn, result));
            let failed = !matches!(outcome, Ok(Ok(_)));
            order.tell(outcome);
            if failed {
                return;
            }
        }
        if left > 0 {
            waiting = next(orders);
        }
    }
}

impl Order {
    fn is_awaited(&self) -> bool {
        !self.done.is_closed()
    }

    fn tell(self, outcome: thread::Result<Result<Stored, StoreError>>) {
        // Whoever asked may have given up.
        drop(self.done.send(outcome));
    }
}

/// Waits for an order; `None` once there will be none.
fn wait(orders: &Mutex<mpsc::Receiver<Order>>) -> Option<Order> {
    orders
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv()
        .ok()
}

/// The order that waits, if any. Where another thread waits for one there is none.
fn next(orders: &Mutex<mpsc::Receiver<Order>>) -> Option<Order> {
    match orders.try_lock() {
        Ok(orders) => orders.try_recv().ok(),
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().try_recv().ok(),
        Err(TryLockError::WouldBlock) => None,
    }
}
