//! Makes sure that our exchanges and queues are there.
//!
//! Looking is free of side effects and of permissions, so it comes first. An object with other
//! arguments than ours is an operator's choice: it is used as it is.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ErrorKind, ExchangeKind};

use super::objects::{Argument, ExchangeSpec, ExchangeType, QueueSpec};
use crate::BrokerError;
use crate::config::BrokerConfig;
use crate::connection::{Link, short};

/// Looks for every object, makes what is missing, warns once of what differs.
///
/// # Errors
/// [`BrokerError::NotPermitted`] when something is missing and may not be made,
/// [`BrokerError::NotMade`] when the broker has another reason not to make it.
pub(crate) async fn ensure(link: &Link, config: &BrokerConfig) -> Result<(), BrokerError> {
    let mut declarer = Declarer {
        link,
        config,
        channel: link.channel().await?,
    };
    for exchange in config.topology.exchanges() {
        declarer.ensure(&Object::Exchange(exchange)).await?;
    }
    for queue in config.topology.queues() {
        let object = Object::Queue(queue);
        let made = declarer.ensure(&object).await?;
        declarer.bind(&object, made).await?;
    }
    Ok(())
}

enum Object {
    Exchange(ExchangeSpec),
    Queue(QueueSpec),
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exchange(exchange) => write!(f, "exchange {}", exchange.name),
            Self::Queue(queue) => write!(f, "queue {}", queue.name),
        }
    }
}

/// How the broker answered a declaration.
enum Answer {
    Fine,
    Missing(String),
    Forbidden(String),
    Different(String),
}

/// Declares objects on a channel, which it replaces whenever a refusal closed it.
struct Declarer<'a> {
    link: &'a Link,
    config: &'a BrokerConfig,
    channel: Channel,
}

impl Declarer<'_> {
    /// Whether the object had to be made.
    async fn ensure(&mut self, object: &Object) -> Result<bool, BrokerError> {
        let compared = format!("compared {object}");
        match self.declare(object, true).await? {
            Answer::Missing(_) => {
                self.make(object).await?;
                self.config.once.insert(compared);
                log::info!("broker: made {object}");
                return Ok(true);
            }
            // Newer brokers want a permission even for a look. Without one the object may well be
            // there; what is published or consumed later tells.
            Answer::Forbidden(_) => return Ok(false),
            Answer::Fine | Answer::Different(_) => {}
        }
        if self.config.once.insert(compared)
            && let Answer::Different(reason) = self.declare(object, false).await?
        {
            log::warn!(
                "broker: {object} has other arguments than ours; using it as it is: {reason}"
            );
        }
        Ok(false)
    }

    async fn make(&mut self, object: &Object) -> Result<(), BrokerError> {
        let not_made = |reason| BrokerError::NotMade {
            object: object.to_string(),
            reason,
        };
        match self.declare(object, false).await? {
            Answer::Fine => Ok(()),
            // Another process made it in between, in its own way; or a limit is reached, which the
            // broker tells by the same code.
            Answer::Different(reason) => match self.declare(object, true).await? {
                Answer::Missing(_) => Err(not_made(reason)),
                _ => Ok(()),
            },
            Answer::Forbidden(reason) => Err(BrokerError::NotPermitted {
                object: object.to_string(),
                reason,
            }),
            Answer::Missing(reason) => Err(not_made(reason)),
        }
    }

    async fn declare(&mut self, object: &Object, passive: bool) -> Result<Answer, BrokerError> {
        let operation = "declare";
        let result = match object {
            Object::Exchange(exchange) => {
                self.link
                    .call(
                        operation,
                        declare_exchange(&self.channel, exchange, passive),
                    )
                    .await
            }
            Object::Queue(queue) => {
                self.link
                    .call(operation, declare_queue(&self.channel, queue, passive))
                    .await
            }
        };
        self.answer(result).await
    }

    /// Binding an existing queue again heals a lost binding and is free when nothing is lost.
    async fn bind(&mut self, object: &Object, just_made: bool) -> Result<(), BrokerError> {
        let Object::Queue(queue) = object else {
            return Ok(());
        };
        let refused = format!("may not bind {object}");
        if just_made {
            self.config.once.remove(&refused);
        } else if self.config.once.contains(&refused) {
            return Ok(());
        }
        let (exchange, key) = &queue.binding;
        let bind = self.channel.queue_bind(
            short(&queue.name),
            short(exchange),
            short(key),
            QueueBindOptions { nowait: false },
            FieldTable::default(),
        );
        let result = self.link.call("bind", bind).await;
        match self.answer(result).await? {
            Answer::Fine => Ok(()),
            Answer::Forbidden(reason) if just_made => {
                let object = format!("the binding of {object} to exchange {exchange}");
                Err(BrokerError::NotPermitted { object, reason })
            }
            Answer::Forbidden(_) => {
                self.config.once.insert(refused);
                Ok(())
            }
            Answer::Missing(reason) | Answer::Different(reason) => {
                Err(BrokerError::SessionOver(reason))
            }
        }
    }

    async fn answer(
        &mut self,
        result: Result<Result<(), lapin::Error>, BrokerError>,
    ) -> Result<Answer, BrokerError> {
        let Err(error) = result? else {
            return Ok(Answer::Fine);
        };
        let ErrorKind::ProtocolError(refusal) = error.kind() else {
            return Err(error.into());
        };
        let reason = refusal.get_message().to_string();
        let answer = match refusal.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Answer::Missing(reason),
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Answer::Forbidden(reason),
            AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => Answer::Different(reason),
            _ => return Err(error.into()),
        };
        self.channel = self.link.channel().await?;
        Ok(answer)
    }
}

async fn declare_exchange(
    channel: &Channel,
    exchange: &ExchangeSpec,
    passive: bool,
) -> Result<(), lapin::Error> {
    let kind = match exchange.kind {
        ExchangeType::Topic => ExchangeKind::Topic,
        ExchangeType::Fanout => ExchangeKind::Fanout,
    };
    let options = ExchangeDeclareOptions {
        passive,
        durable: true,
        auto_delete: false,
        internal: false,
        nowait: false,
    };
    channel
        .exchange_declare(
            short(&exchange.name),
            kind,
            options,
            table(&exchange.arguments),
        )
        .await
}

async fn declare_queue(
    channel: &Channel,
    queue: &QueueSpec,
    passive: bool,
) -> Result<(), lapin::Error> {
    let options = QueueDeclareOptions {
        passive,
        durable: true,
        exclusive: false,
        auto_delete: false,
        nowait: false,
    };
    channel
        .queue_declare(short(&queue.name), options, table(&queue.arguments))
        .await
        .map(drop)
}

fn table(arguments: &[(&'static str, Argument)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match value {
            Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
            Argument::Number(number) => AMQPValue::LongLongInt(*number),
        };
        table.insert(short(name), value);
    }
    table
}
