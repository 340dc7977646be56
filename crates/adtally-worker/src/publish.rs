//! Publishing that waits for a broker that takes nothing.

use std::time::Duration;

use adtally_broker::NotKept;
use adtally_service::Shutdown;

/// How long a message waits before it is published once more.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Publishes a message again and again until the broker has confirmed it.
///
/// A broker whose disk is short takes no messages. It needs workers that go on consuming, so this is no
/// reason to end a session.
///
/// # Errors
/// The latest failure, once `stop` is requested.
pub(crate) async fn publish_until_accepted<Publishing>(
    stop: &Shutdown,
    publish: impl Fn() -> Publishing,
) -> Result<(), NotKept>
where
    Publishing: Future<Output = Result<(), NotKept>>,
{
    loop {
        match publish().await {
            Ok(()) => return Ok(()),
            Err(error) if stop.is_requested() => return Err(error),
            Err(error) => log::debug!("a message is not sent yet: {error}"),
        }
        stop.requested_within(RETRY_AFTER).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_message_is_published_until_it_is_accepted_or_the_worker_stops() {
        let stop = Shutdown::manual();
        let attempts = Cell::new(0);
        let refuse_once = || {
            attempts.set(attempts.get() + 1);
            std::future::ready(if attempts.get() == 1 {
                Err(NotKept::Blocked)
            } else {
                Ok(())
            })
        };
        assert_eq!(publish_until_accepted(&stop, refuse_once).await, Ok(()));
        assert_eq!(attempts.get(), 2);

        stop.trigger();
        let refuse = || std::future::ready(Err(NotKept::Blocked));
        let refused = publish_until_accepted(&stop, refuse).await;
        assert_eq!(refused, Err(NotKept::Blocked));
    }
}
