//! How much waits in RabbitMQ.

use adtally_broker::{BrokerConfig, BrokerError, ConsumerSession};
use adtally_service::{BrokerArgs, ExitKind, Failure, ResultExt};

use crate::broker::{self, REACH_TIMEOUT};

/// Looks at our queues.
pub(crate) struct Queues {
    config: BrokerConfig,
    session: Option<ConsumerSession>,
}

/// How many messages wait in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Depth {
    /// The queue's name.
    pub(crate) queue: String,
    /// The messages in it, those in a worker's hands not counted.
    pub(crate) messages: u64,
}

impl Queues {
    /// Connects to the broker that `args` name.
    ///
    /// # Errors
    /// A [`Failure`] when the address is malformed or nothing answers there within 9 seconds.
    pub(crate) async fn connect(args: &BrokerArgs) -> Result<Self, Failure> {
        let config = broker::config(args)?;
        let session = tokio::time::timeout(REACH_TIMEOUT, ConsumerSession::connect(&config))
            .await
            .or_exit(ExitKind::Unavailable)
            .map_err(|_| Failure::unavailable("RabbitMQ does not answer"))?
            .or_exit(ExitKind::Unavailable)?;
        Ok(Self {
            config,
            session: Some(session),
        })
    }

    /// How much waits in each queue that workers read, and in those from which events go back there.
    ///
    /// # Errors
    /// Why the broker can't be asked now; the next call connects anew.
    pub(crate) async fn depths(&mut self) -> Result<Vec<Depth>, BrokerError> {
        let topology = self.config.topology();
        let queues = topology.consumed_queues().into_iter();
        self.look(queues.chain(topology.events_retry_queues()).collect())
            .await
    }

    /// How many messages wait that may hold events.
    ///
    /// # Errors
    /// Why the broker can't be asked now; the next call connects anew.
    pub(crate) async fn events_waiting(&mut self) -> Result<u64, BrokerError> {
        let topology = self.config.topology();
        let [impressions, clicks] = topology.events_retry_queues();
        let queues = vec![
            topology.impressions_queue(),
            topology.clicks_queue(),
            topology.dead_queue(),
            topology.unrouted_queue(),
            impressions,
            clicks,
        ];
        let depths = self.look(queues).await?;
        Ok(depths.iter().map(|depth| depth.messages).sum())
    }

    async fn look(&mut self, queues: Vec<String>) -> Result<Vec<Depth>, BrokerError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => ConsumerSession::connect(&self.config).await?,
        };
        let mut depths = Vec::new();
        for queue in queues {
            // A session that failed is not kept.
            let messages = session.queue_depth(&queue).await?.into();
            depths.push(Depth { queue, messages });
        }
        self.session = Some(session);
        Ok(depths)
    }

    /// Says goodbye to the broker.
    pub(crate) async fn close(self) {
        if let Some(session) = self.session {
            session.close().await;
        }
    }
}
