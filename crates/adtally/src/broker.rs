//! RabbitMQ for a command that sends something and ends.

use std::time::Duration;

use adtally_broker::{BrokerConfig, BrokerState, Publisher, PublisherOptions};
use adtally_service::{BrokerArgs, ExitKind, Failure, ResultExt};

/// How long a broker that is away may keep a command waiting.
pub(crate) const REACH_TIMEOUT: Duration = Duration::from_secs(9);

/// The broker that `args` name.
///
/// # Errors
/// A [`Failure`] when the address is malformed.
pub(crate) fn config(args: &BrokerArgs) -> Result<BrokerConfig, Failure> {
    let broker = args.resolve()?;
    let urls: Vec<&str> = broker.urls.iter().map(|url| url.expose()).collect();
    BrokerConfig::new(&urls, &broker.prefix, "adtally").or_exit(ExitKind::Configuration)
}

/// A way to send to the broker that `args` name, once it takes messages. Close it in the end.
///
/// # Errors
/// A [`Failure`] when the address is malformed or nothing takes messages there within 9 seconds.
pub(crate) async fn publisher(args: &BrokerArgs) -> Result<Publisher, Failure> {
    let publisher = Publisher::start(config(args)?, PublisherOptions::default());
    let mut state = publisher.state();
    let opened = state.wait_for(BrokerState::is_open);
    if tokio::time::timeout(REACH_TIMEOUT, opened).await.is_ok() {
        return Ok(publisher);
    }
    let found = publisher.state().borrow().to_string();
    publisher.close().await;
    Err(Failure::unavailable(format!(
        "RabbitMQ takes no messages ({found}): start it, or name another with --amqp-url"
    )))
}
