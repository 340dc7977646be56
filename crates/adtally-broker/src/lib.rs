//! RabbitMQ for AdTally: who talks to the broker talks through this crate.
//!
//! [`Publisher`] packs events into few messages and answers once the broker has confirmed them;
//! [`ConsumerSession`] hands deliveries out by value, to be settled once. Both speak JSON that a
//! person can read: packs of events ([`pack`]) and Celery's task messages ([`celery`]).
//!
//! A failed connection voids everything made on it. The publisher starts anew by itself and sends
//! again what was not confirmed; a consumer's owner decides when to subscribe again.

mod backoff;
pub mod celery;
mod config;
mod connection;
mod consumer;
mod error;
mod headers;
pub mod pack;
mod publisher;
mod random;
mod state;
mod topology;

pub use backoff::Backoff;
pub use config::BrokerConfig;
pub use consumer::{ConsumerSession, Delivery, Subscription, ack_all};
pub use error::{BrokerError, NotKept};
pub use headers::{HeaderValue, Headers};
pub use publisher::{Publisher, PublisherOptions};
pub use state::BrokerState;
pub use topology::Topology;
