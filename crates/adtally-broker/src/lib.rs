//! RabbitMQ for AdTally: who talks to the broker talks through this crate.
//!
//! [`Publisher`] packs events into few messages and answers once the broker has confirmed them;
//! [`ConsumerSession`] hands deliveries out by value: each is acknowledged or requeued once. What the messages look like
//! is `adtally-wire`'s.
//!
//! A failed connection voids everything made on it. The publisher starts anew by itself and sends
//! again what was not confirmed; a consumer's owner decides when to subscribe again.
//!
//! ```no_run
//! use adtally_broker::{BrokerConfig, BrokerError, ConsumerSession, Publisher, PublisherOptions};
//! use adtally_broker::ack_all;
//! use adtally_wire::pack;
//!
//! # async fn demo(events: Vec<adtally_domain::Event>) -> Result<(), BrokerError> {
//! let config = BrokerConfig::new(&["amqp://localhost"], "adtally", "docs")?;
//! let publisher = Publisher::start(config.clone(), PublisherOptions::default());
//! for result in publisher.publish_events(events).await {
//!     println!("{result:?}"); // Ok: confirmed by the broker
//! }
//!
//! let session = ConsumerSession::connect(&config).await?;
//! let clicks = config.topology().clicks_queue();
//! let mut subscription = session.subscribe(&clicks, 100).await?;
//! while let Some(delivery) = subscription.next().await {
//!     let delivery = delivery?;
//!     match pack::decode(&delivery.body) {
//!         Ok(events) => println!("{} events", events.len()),
//!         Err(error) => println!("{error}"),
//!     }
//!     ack_all(vec![delivery]).await?;
//! }
//! # Ok(())
//! # }
//! ```

mod amqp;
mod backoff;
mod config;
mod connection;
mod consumer;
mod error;
mod publisher;
mod random;
mod state;
mod topology;

pub use backoff::Backoff;
pub use config::BrokerConfig;
pub use consumer::{ConsumerSession, Delivery, QueueState, Subscription, ack_all};
pub use error::{BrokerError, NotKept};
pub use publisher::{Publisher, PublisherMetrics, PublisherOptions};
pub use state::BrokerState;
pub use topology::{Route, Topology};
