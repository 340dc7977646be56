//! Consuming from queues, with an ack or a nack for each delivery by hand, exactly once.

mod ack_channel;
mod ack_tracker;
mod delivery;
mod session;
mod subscription;

pub use ack_channel::ack_all;
pub use delivery::Delivery;
pub use session::{ConsumerSession, QueueState};
pub use subscription::Subscription;
