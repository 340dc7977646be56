//! Faults that last until a person acts: logged once, and the process is not ready meanwhile.

use std::fmt::Display;
use std::time::Duration;

use crate::{Check, Shutdown};

/// How often it is checked while there is none.
const INTERVAL: Duration = Duration::from_secs(60);
/// And while there is one, or it is unknown.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// The timeout of the first check, so that a server that does not answer does not hold up the start.
const FIRST_TIMEOUT: Duration = Duration::from_secs(2);

/// Checks at start, each minute and whenever `found` returns, until `shutdown`. What `look` finds makes
/// `check` not ready and is one line in the log, however long it lasts. When `look` fails, nothing changes;
/// its error is logged elsewhere.
pub async fn watch_obstacles<Look, Obstacle, Away, Found>(
    check: &Check,
    shutdown: &Shutdown,
    look: impl Fn() -> Look,
    found: impl Fn() -> Found,
) where
    Look: Future<Output = Result<Option<Obstacle>, Away>>,
    Obstacle: Display,
    Found: Future<Output = ()>,
{
    let mut logged: Option<String> = None;
    let mut limit = FIRST_TIMEOUT;
    loop {
        let looked = tokio::time::timeout(limit, look()).await;
        limit = Duration::MAX;
        let pause = match looked {
            Ok(Ok(None)) => {
                if logged.take().is_some() {
                    log::info!("the {} is as it must be again", check.name());
                }
                check.ready();
                INTERVAL
            }
            Ok(Ok(Some(obstacle))) => {
                let obstacle = obstacle.to_string();
                check.not_ready(obstacle.clone());
                if logged.as_ref() != Some(&obstacle) {
                    log::error!("not ready: {obstacle}");
                }
                logged = Some(obstacle);
                RETRY_INTERVAL
            }
            Ok(Err(_)) | Err(_) => {
                if logged.is_none() {
                    check.ready();
                }
                RETRY_INTERVAL
            }
        };
        tokio::select! {
            asked = shutdown.requested_within(pause) => if asked { return },
            () = found() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::Health;

    #[tokio::test]
    async fn a_process_is_ready_again_once_nothing_stands_in_the_way() {
        let (health, shutdown) = (Health::new(), Shutdown::manual());
        let check = health.check("schema");
        let answers: [Result<Option<&str>, ()>; 5] =
            [Err(()), Ok(Some("old")), Err(()), Ok(Some("old")), Ok(None)];
        let answers = RefCell::new(answers.into_iter());
        let seen = RefCell::new(Vec::new());
        let look = || {
            seen.borrow_mut().push(health.readiness().ready);
            std::future::ready(answers.borrow_mut().next().unwrap_or_else(|| {
                shutdown.trigger();
                Ok(None)
            }))
        };
        let always = || std::future::ready(());
        watch_obstacles(&check, &shutdown, look, always).await;
        // It may look once more before it sees that it is to end.
        assert_eq!(seen.borrow()[..6], [false, true, false, false, false, true]);
    }

    #[tokio::test]
    async fn a_first_look_that_hangs_does_not_keep_a_process_from_being_ready() {
        let (health, shutdown) = (Health::new(), Shutdown::manual());
        let check = health.check("schema");
        let look = std::future::pending::<Result<Option<&str>, ()>>;
        let watching = watch_obstacles(&check, &shutdown, look, std::future::pending);
        let until_ready = async {
            while !health.readiness().ready {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = watching => panic!("nobody asked it to end"),
            ready = tokio::time::timeout(Duration::from_secs(30), until_ready) => ready.unwrap(),
        }
    }
}
