//! What somebody does to the broker behind AdTally's back.

use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeclareOptions,
    QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Queue};

use crate::ground::Ground;

/// How `basic.publish` and `basic.ack` begin on the wire: class and method, as in the specification
/// of AMQP 0-9-1.
pub(crate) const PUBLISH: [u8; 4] = [0, 60, 0, 40];
pub(crate) const ACK: [u8; 4] = [0, 60, 0, 80];

/// A channel of somebody else.
pub(crate) struct Wire<'a> {
    ground: &'a Ground,
    channel: Channel,
    // The channel lives as long as it does.
    _connection: Connection,
}

impl<'a> Wire<'a> {
    pub(crate) fn to(ground: &'a Ground) -> Self {
        let url = ground.rabbitmq().url();
        let (connection, channel) = ground.block_on(async {
            let connection = Connection::connect(&url, ConnectionProperties::default());
            let connection = connection.await.expect("a connection");
            let channel = connection.create_channel().await.expect("a channel");
            let confirms = channel.confirm_select(ConfirmSelectOptions::default());
            confirms.await.expect("confirms");
            (connection, channel)
        });
        Self {
            ground,
            channel,
            _connection: connection,
        }
    }

    /// Publishes a message to a queue and waits for its confirm.
    pub(crate) fn publish(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        self.ground.block_on(async {
            let sent =
                self.channel
                    .basic_publish("".into(), queue.into(), options, body, properties);
            let confirm = sent.await.expect("a message is sent");
            confirm.await.expect("a message is confirmed");
        });
    }

    /// Makes a quorum queue that is as the broker makes them by itself.
    pub(crate) fn declare_quorum_queue(&self, queue: &str) {
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let mut arguments = FieldTable::default();
        let kind = AMQPValue::LongString("quorum".into());
        arguments.insert("x-queue-type".into(), kind);
        let made = self.channel.queue_declare(queue.into(), options, arguments);
        self.ground.block_on(made).expect("the queue is made");
    }

    pub(crate) fn delete_queue(&self, queue: &str) {
        let deleted = self
            .channel
            .queue_delete(queue.into(), QueueDeleteOptions::default());
        self.ground.block_on(deleted).expect("the queue is deleted");
    }

    pub(crate) fn delete_exchange(&self, exchange: &str) {
        let options = ExchangeDeleteOptions::default();
        let deleted = self.channel.exchange_delete(exchange.into(), options);
        self.ground
            .block_on(deleted)
            .expect("the exchange is deleted");
    }

    pub(crate) fn unbind(&self, queue: &str, exchange: &str, key: &str) {
        let gone = self.channel.queue_unbind(
            queue.into(),
            exchange.into(),
            key.into(),
            FieldTable::default(),
        );
        self.ground.block_on(gone).expect("the binding is gone");
    }

    /// Throws away what waits in a queue.
    pub(crate) fn purge(&self, queue: &str) {
        let purged = self
            .channel
            .queue_purge(queue.into(), QueuePurgeOptions::default());
        self.ground.block_on(purged).expect("the queue is purged");
    }

    /// How many messages of a queue wait for a consumer.
    pub(crate) fn depth(&self, queue: &str) -> u32 {
        self.look(queue).message_count()
    }

    /// How many consumers a queue has.
    pub(crate) fn consumers(&self, queue: &str) -> u32 {
        self.look(queue).consumer_count()
    }

    fn look(&self, queue: &str) -> Queue {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asked = self
            .channel
            .queue_declare(queue.into(), options, FieldTable::default());
        self.ground.block_on(asked).expect("the queue is there")
    }
}
