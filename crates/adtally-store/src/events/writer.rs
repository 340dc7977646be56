//! Storing one batch after the other, with nothing in between while more are waiting.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, mpsc};
use std::thread;

use adtally_domain::ReportingZone;
use diesel::pg::PgConnection;
use tokio::sync::oneshot;

use super::{EventBatch, Stored, attempt};
use crate::pool::{discard, judged};
use crate::{Store, StoreError};

/// Batches stored in a row before their connection goes back to the pool, which may have reasons to
/// replace it.
const IN_A_ROW: u32 = 1_000;

/// Stores batches over so many connections at once.
///
/// While batches wait, a connection takes the next as soon as one is committed, on the same thread:
/// were it told to others first, they and whatever else wants a processor would keep the database
/// waiting, on a busy machine for a sixth of the time.
///
/// Its threads end with it. A runtime waits for them, so drop it first.
#[derive(Debug)]
pub struct EventWriter {
    store: Store,
    connections: usize,
    sender: mpsc::Sender<Order>,
    orders: Arc<Orders>,
}

/// Batches that wait, for whichever thread is free.
type Orders = Mutex<mpsc::Receiver<Order>>;

/// A batch to store.
struct Order {
    zone: ReportingZone,
    batch: Arc<EventBatch>,
    /// From here on its time runs.
    begun: Option<oneshot::Sender<()>>,
    done: oneshot::Sender<Outcome>,
    /// Set by who is first: the thread that is done with it, or whoever waited and replaces the thread.
    is_over: Arc<AtomicBool>,
}

/// What became of a batch, or the panic that it met.
type Outcome = thread::Result<Result<Stored, StoreError>>;

impl Store {
    /// A writer that stores so many batches at the same time, at least one.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn event_writer(&self, connections: usize) -> EventWriter {
        let (sender, orders) = mpsc::channel();
        let writer = EventWriter {
            store: self.clone(),
            connections: connections.max(1),
            sender,
            orders: Arc::new(Mutex::new(orders)),
        };
        for _ in 0..writer.connections {
            writer.start_thread();
        }
        writer
    }
}

impl EventWriter {
    /// How many batches are stored at the same time.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Like [`Store::store_events`], once the batches before it are done with.
    ///
    /// # Errors
    /// Those of [`Store::store_events`].
    pub async fn store(
        &self,
        zone: ReportingZone,
        batch: Arc<EventBatch>,
    ) -> Result<Stored, StoreError> {
        let stopping = || StoreError::Unavailable("the process is stopping".to_owned());
        let ((begun, begins), (done, outcome)) = (oneshot::channel(), oneshot::channel());
        let is_over = Arc::new(AtomicBool::new(false));
        let order = Order {
            zone,
            batch,
            begun: Some(begun),
            done,
            is_over: is_over.clone(),
        };
        self.sender.send(order).map_err(|_| stopping())?;
        // Each batch before it ends in time, or its thread is replaced.
        begins.await.map_err(|_| stopping())?;
        let limit = self.store.call_timeout();
        match tokio::time::timeout(limit, outcome).await {
            Ok(Ok(outcome)) => outcome.unwrap_or_else(|panic| resume_unwind(panic)),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => {
                // Nobody knows when libpq will let go of that thread.
                if !is_over.swap(true, Ordering::AcqRel) {
                    self.start_thread();
                }
                let waited = limit.as_secs();
                Err(StoreError::Unavailable(format!(
                    "no answer within {waited} s"
                )))
            }
        }
    }

    fn start_thread(&self) {
        let (store, orders) = (self.store.clone(), Arc::clone(&self.orders));
        tokio::task::spawn_blocking(move || serve(&store, &orders));
    }
}

/// Stores what comes until there can be no more, or until this thread was replaced.
fn serve(store: &Store, orders: &Orders) {
    while let Some(mut order) = wait(orders) {
        // A connection that hangs may do so as soon as the pool tests it.
        order.begin();
        let is_replaced = match store.pool().get() {
            Ok(mut conn) => in_a_row(store, &mut conn, order, orders),
            Err(error) => order.end(Ok(Err(error))),
        };
        if is_replaced {
            return;
        }
    }
}

/// Stores `order` and what waits behind it, until one fails. Says whether this thread was replaced
/// meanwhile.
fn in_a_row(store: &Store, conn: &mut PgConnection, order: Order, orders: &Orders) -> bool {
    let mut waiting = Some(order);
    for left in (0..IN_A_ROW).rev() {
        let Some(mut order) = waiting.take() else {
            return false;
        };
        if order.done.is_closed() {
            if order.is_over.load(Ordering::Acquire) {
                return true;
            }
        } else {
            order.begin();
            let work = || {
                let result = attempt::store(conn, store.memory(), order.zone, &order.batch);
                judged(conn, result)
            };
            let outcome = catch_unwind(AssertUnwindSafe(work));
            let is_stored = matches!(outcome, Ok(Ok(_)));
            if outcome.is_err() {
                discard(conn);
            }
            let is_replaced = order.end(outcome);
            if is_replaced || !is_stored {
                return is_replaced;
            }
        }
        if left > 0 {
            waiting = next(orders);
        }
    }
    false
}

impl Order {
    fn begin(&mut self) {
        if let Some(begun) = self.begun.take() {
            // Whoever asked may have given up, here and below.
            let _ = begun.send(());
        }
    }

    /// Tells how it ended, and says whether this thread was replaced meanwhile.
    fn end(self, outcome: Outcome) -> bool {
        let _ = self.done.send(outcome);
        self.is_over.swap(true, Ordering::AcqRel)
    }
}

/// Waits for an order; `None` once there will be none.
fn wait(orders: &Orders) -> Option<Order> {
    let orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
    orders.recv().ok()
}

/// The order that waits, if any. Where another thread waits for one there is none.
fn next(orders: &Orders) -> Option<Order> {
    match orders.try_lock() {
        Ok(orders) => orders.try_recv().ok(),
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().try_recv().ok(),
        Err(TryLockError::WouldBlock) => None,
    }
}
