//! Confirmed publishing that survives its connection.

mod chunk;
mod company;
mod flights;
mod handover;
mod inbox;
mod lanes;
mod metrics;
mod owner;
mod per_lane;
mod refusals;
mod room;
mod session;
mod shipment;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use adtally_domain::{Event, EventKind, TaskMessage};
use adtally_wire::Envelope;
use adtally_wire::celery::TaskCall;
use futures_util::future::join_all;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::{BrokerConfig, BrokerState, Delivery, NotKept, Route, Topology};
use chunk::{Draft, split};
use handover::{Claim, Command, Handover};
use inbox::inbox;
pub use metrics::PublisherMetrics;
use owner::Owner;
use shipment::Shipment;

/// The bounds a publisher keeps. The defaults suit a process of any size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherOptions {
    /// How long a message may take from hand-over to confirm.
    pub deadline: Duration,
    /// Events in one pack at most, at least 1.
    pub pack_events: usize,
    /// Bytes of the events of one pack at most, which the last of them may pass. The default is what one
    /// frame of RabbitMQ's own limit, 128 KiB, takes.
    pub pack_bytes: usize,
    /// Bytes that may wait for their confirm at most, for each kind of event and for tasks;
    /// beyond, publishing waits. A quarter is kept for messages of at most 64 KiB.
    pub waiting_bytes: usize,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            pack_events: 1_024,
            pack_bytes: 126 * 1_024,
            waiting_bytes: 64 * 1_024 * 1_024,
        }
    }
}

impl PublisherOptions {
    /// Whether so many bytes of events, or so many events, wait for no others.
    fn is_full_pack(&self, bytes: usize, events: usize) -> bool {
        bytes >= self.pack_bytes || events >= self.pack_events
    }
}

/// Publishes and waits for the broker's confirm. Cheap to clone.
///
/// One task owns the connection. It starts anew when the connection fails and sends again what
/// was not confirmed. Events handed over while earlier ones are on their way share a message, for which
/// they may wait some milliseconds longer if others are likely to come.
#[derive(Debug, Clone)]
pub struct Publisher {
    config: BrokerConfig,
    options: Arc<PublisherOptions>,
    handover: Arc<Handover>,
    state: watch::Receiver<BrokerState>,
    metrics: PublisherMetrics,
}

impl Publisher {
    /// Starts the task that connects and publishes. Never fails: see [`Self::state`].
    ///
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn start(config: BrokerConfig, options: PublisherOptions) -> Self {
        let (publisher, task) = Self::with_task(config, options);
        tokio::spawn(task);
        publisher
    }

    /// A publisher and the task that connects and publishes, for a caller who chooses its thread. Until
    /// it runs nothing is published, and closing waits.
    pub fn with_task(
        config: BrokerConfig,
        options: PublisherOptions,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let options = Arc::new(options);
        let (outbox, inbox) = inbox(Arc::clone(&options));
        let (state_sender, state) = watch::channel(BrokerState::Connecting {
            reason: String::new(),
        });
        let (closing, close) = watch::channel(false);
        let metrics = PublisherMetrics::new(state.clone());
        let owner = Owner::new(
            config.clone(),
            options.clone(),
            inbox,
            state_sender,
            close,
            metrics.clone(),
        );
        let (end, ended) = oneshot::channel();
        let task = async move {
            owner.run().await;
            // Nobody asks unless the publisher is being closed.
            let _ = end.send(());
        };
        let handover = Handover::new(outbox, options.waiting_bytes, closing, ended);
        let publisher = Self {
            config,
            options,
            handover: Arc::new(handover),
            state,
            metrics,
        };
        (publisher, task)
    }

    /// The same publisher for a caller that waits longer, or less long, for a confirm.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        let options = PublisherOptions {
            deadline,
            ..(*self.options).clone()
        };
        Self {
            options: Arc::new(options),
            ..self.clone()
        }
    }

    /// Publishes events and says of each, in order, whether the broker has it for sure.
    ///
    /// Takes no longer than the deadline. Events that wait together travel together.
    pub async fn publish_events(&self, events: impl AsRef<[Event]>) -> Vec<Result<(), NotKept>> {
        let mut results = vec![Err(NotKept::Closed); events.as_ref().len()];
        let chunks = split(events.as_ref(), &self.options);
        // Written by now. While they are on their way they need no room.
        drop(events);
        let deadline = self.deadline();
        let mut settle = |places: Vec<usize>, result| {
            for place in places {
                if let Some(slot) = results.get_mut(place) {
                    *slot = result;
                }
            }
        };
        match <[_; 1]>::try_from(chunks) {
            // Nothing to wait for beside it, as in most requests.
            Ok([(draft, places)]) => settle(places, self.publish_draft(draft, deadline).await),
            Err(chunks) => {
                let sent = chunks.into_iter().map(async |(draft, places)| {
                    (places, self.publish_draft(draft, deadline).await)
                });
                for (places, result) in Box::pin(join_all(sent)).await {
                    settle(places, result);
                }
            }
        }
        results
    }

    /// Publishes events as packs of their own, which no other events join, and returns once all
    /// are confirmed. For events that failed in larger company.
    ///
    /// # Errors
    /// [`NotKept`] when not all of them are confirmed.
    pub async fn publish_pack(&self, events: &[Event]) -> Result<(), NotKept> {
        let deadline = self.deadline();
        let packs = split(events, &self.options)
            .into_iter()
            .map(|(draft, _)| self.send(draft.into_shipment(&self.config), deadline));
        join_all(packs).await.into_iter().collect()
    }

    /// Publishes events that cannot be stored now as packs of their own, which the broker holds for
    /// some seconds before it delivers them.
    ///
    /// # Errors
    /// [`NotKept`] when not all of them are confirmed.
    pub async fn publish_pack_later(&self, events: &[Event]) -> Result<(), NotKept> {
        let deadline = self.deadline();
        let packs = split(events, &self.options)
            .into_iter()
            .map(|(draft, _)| self.send(draft.into_shipment(&self.config).waiting(), deadline));
        join_all(packs).await.into_iter().collect()
    }

    /// Sends a delivered message once more, the way it came, with its headers, as if it had never come
    /// back.
    /// Acknowledge the delivery afterwards.
    ///
    /// # Errors
    /// [`NotKept`] when it is not confirmed: keep the delivery.
    pub async fn publish_again(&self, delivery: &Delivery) -> Result<(), NotKept> {
        let shipment = Shipment::again(delivery, &delivery.exchange);
        self.send(shipment, self.deadline()).await
    }

    /// Sends a delivered message to the dead queue. Acknowledge the delivery afterwards: unlike
    /// a rejection, this loses nothing where the queue has no dead-letter exchange.
    ///
    /// # Errors
    /// [`NotKept`] when it is not confirmed: keep the delivery.
    pub async fn publish_dead(&self, delivery: &Delivery) -> Result<(), NotKept> {
        let shipment = Shipment::again(delivery, &self.config.topology().dead_queue());
        self.send(shipment, self.deadline()).await
    }

    /// Puts a message that was kept on a queue of ours once more, byte for byte and with its
    /// headers, as if it had never been there.
    ///
    /// # Errors
    /// [`NotKept`] when it is not confirmed. It may still arrive.
    pub async fn publish_kept(
        &self,
        route: &Route,
        envelope: &Envelope,
        body: Vec<u8>,
    ) -> Result<(), NotKept> {
        let shipment = Shipment::kept(route, envelope, body);
        self.send(shipment, self.deadline()).await
    }

    /// Puts a new task on its queue, as Celery would.
    ///
    /// # Errors
    /// [`NotKept`] when it is not confirmed. Sending it again is safe: its id makes it run once.
    pub async fn publish_task(&self, task: &TaskMessage) -> Result<(), NotKept> {
        let queue = self.config.topology().task_queue(&task.queue);
        let exchange = self.config.topology().tasks_exchange();
        let shipment = Shipment::task(&TaskCall::from(task.clone()), &exchange, &queue);
        self.send(shipment, self.deadline()).await
    }

    /// Puts a call on the task queue after `delay`, which the broker waits out: this process may
    /// end meanwhile.
    ///
    /// The task comes no earlier, and later by at most the longest wait of its retry queue. Only a
    /// delay of more than half an hour ends early. Whoever takes a call before its `eta` delays it again.
    ///
    /// # Errors
    /// [`NotKept`] when it is not confirmed.
    pub async fn publish_task_after(
        &self,
        call: &TaskCall,
        delay: Duration,
    ) -> Result<(), NotKept> {
        let (queue, wait) = self.config.topology().retry_queue_for(delay);
        let exchange = self.config.topology().tasks_exchange();
        let shipment = Shipment::task(call, &exchange, &queue).expiring(wait);
        self.send(shipment, self.deadline()).await
    }

    /// The names of our queues and exchanges.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        self.config.topology()
    }

    /// Bytes that wait for their confirm: of events of `kind`, or of tasks and single messages for
    /// `None`. At most [`PublisherOptions::waiting_bytes`].
    #[must_use]
    pub fn waiting_bytes(&self, kind: Option<EventKind>) -> usize {
        self.handover.waiting_bytes(kind)
    }

    /// The bounds it keeps.
    #[must_use]
    pub fn options(&self) -> &PublisherOptions {
        &self.options
    }

    /// What the publisher measures, for its process to register.
    #[must_use]
    pub fn metrics(&self) -> PublisherMetrics {
        self.metrics.clone()
    }

    /// The connection's state, for readiness: watch it rather than asking again and again.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }

    /// Takes nothing more, waits until everything handed over is confirmed or past its deadline,
    /// says goodbye to the broker. Any clone may close; all are closed by it.
    pub async fn close(&self) {
        self.handover.close().await;
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.options.deadline
    }

    async fn publish_draft(&self, draft: Draft, deadline: Instant) -> Result<(), NotKept> {
        let (kind, bytes) = (Some(draft.kind()), draft.bytes());
        let command = |claim| Command::Chunk(draft.claimed(claim));
        self.hand_over(kind, bytes, deadline, command).await
    }

    async fn send(&self, shipment: Shipment, deadline: Instant) -> Result<(), NotKept> {
        let (kind, bytes) = (shipment.kind, shipment.body.len());
        let command = |claim| Command::Shipment(Box::new(shipment.claimed(claim)));
        self.hand_over(kind, bytes, deadline, command).await
    }

    async fn hand_over(
        &self,
        kind: Option<EventKind>,
        bytes: usize,
        deadline: Instant,
        command: impl FnOnce(Claim) -> Command,
    ) -> Result<(), NotKept> {
        let (claim, answer) = self.handover.claim(kind, bytes, deadline).await?;
        self.handover.send(command(claim))?;
        answer.by(deadline).await
    }
}
