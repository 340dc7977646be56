//! Taking messages from queues, each to be settled by hand exactly once.

mod delivery;
mod ledger;
mod session;
mod subscription;

pub use delivery::{Delivery, ack_all};
pub use session::{ConsumerSession, QueueState};
pub use subscription::Subscription;
