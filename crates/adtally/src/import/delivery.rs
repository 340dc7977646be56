//! A batch on its way to the API, until it is judged.

use std::cell::Cell;
use std::time::{Duration, Instant};

use adtally_service::{ExitKind, Failure, Shutdown};
use thiserror::Error;
use uuid::Uuid;

use super::batch::Batch;
use super::row::OtherLines;
use super::summary::Refusal;
use crate::api::{Answer, Client, NoAnswer, event_ids, unreachable};

/// How long no request may be answered before the API counts as gone.
const SILENCE: Duration = Duration::from_secs(10);
/// How long one request may take; more than the API's own deadlines.
const ATTEMPT: Duration = Duration::from_secs(9);
/// The first delay between two attempts.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// The longest delay that is not the API's own wish.
const MAX_DELAY: Duration = Duration::from_secs(5);
/// The longest delay the API may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Delivers batches. Every attempt repeats the same body, so events count once however many
/// attempts arrive.
pub(super) struct Courier {
    client: Client,
    source: String,
    shutdown: Shutdown,
    patience: Duration,
    answered: Cell<Instant>,
}

/// What became of a batch's lines.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// How many rows were accepted.
    pub(super) accepted: u64,
    /// The events of those whose ids the file says.
    pub(super) named: Vec<Uuid>,
    /// The other rows.
    pub(super) refused: Vec<Refusal>,
    /// The lines that begin no row.
    pub(super) other_lines: OtherLines,
}

/// Why a batch was given up.
#[derive(Debug, Error)]
pub(super) enum GivenUp {
    /// Sending again would not help, or has not helped for long.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The import was asked to stop.
    #[error("stopped before all rows were sent")]
    Stopped,
}

/// What one attempt came to.
enum Attempt {
    Done(Delivered),
    /// The API answered that it keeps nothing now.
    Busy {
        reason: String,
        retry_after: Option<Duration>,
    },
    /// No answer.
    Silent(String),
}

impl Courier {
    /// A courier of `client` that names `source` with each event.
    pub(super) fn new(
        client: Client,
        source: String,
        patience: Duration,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            client,
            source,
            shutdown,
            patience,
            answered: Cell::new(Instant::now()),
        }
    }

    /// Sends `batch` until it is judged.
    ///
    /// # Errors
    /// [`GivenUp`], after which some of its events may have arrived and some not.
    pub(super) async fn deliver(&self, batch: Batch) -> Result<Delivered, GivenUp> {
        if batch.lines.is_empty() {
            return Ok(Delivered {
                refused: batch.refused,
                other_lines: batch.other_lines,
                ..Delivered::default()
            });
        }
        let started = Instant::now();
        for number in 0.. {
            let wish = match self.attempt(&batch).await? {
                Attempt::Done(delivered) => return Ok(delivered),
                Attempt::Silent(reason) if self.answered.get().elapsed() >= SILENCE => {
                    return Err(unreachable(self.client.url(), &reason).into());
                }
                Attempt::Silent(_) => None,
                Attempt::Busy { reason, .. } if started.elapsed() >= self.patience => {
                    return Err(self.too_busy(&reason).into());
                }
                Attempt::Busy { retry_after, .. } => retry_after,
            };
            let delay = delay(number, wish, rand::random());
            if self.shutdown.requested_within(delay).await {
                break;
            }
        }
        Err(GivenUp::Stopped)
    }

    async fn attempt(&self, batch: &Batch) -> Result<Attempt, Failure> {
        let silent = self.answered.get().elapsed();
        let limit = SILENCE
            .saturating_sub(silent)
            .clamp(Duration::from_secs(1), ATTEMPT);
        let with_ids = !batch.named.is_empty();
        let request = self
            .client
            .post_events(&self.source, batch.body.clone(), with_ids);
        let response = match tokio::time::timeout(limit, request).await {
            Ok(Ok(response)) => response,
            Ok(Err(NoAnswer::Unreachable(reason) | NoAnswer::Lost(reason))) => {
                return Ok(Attempt::Silent(reason));
            }
            Err(_) => return Ok(Attempt::Silent("no answer in time".to_owned())),
        };
        self.answered.set(Instant::now());
        match Answer::to(batch.lines.len(), &response) {
            Answer::Judged(refused) if refused.iter().any(|event| event.is_not_kept()) => {
                Ok(Attempt::Busy {
                    reason: "it could not keep some of the events".to_owned(),
                    retry_after: response.retry_after,
                })
            }
            Answer::Judged(refused) => {
                let ids = event_ids(&response);
                Ok(Attempt::Done(judged(batch, &ids, refused)))
            }
            Answer::Busy {
                reason,
                retry_after,
            } => Ok(Attempt::Busy {
                reason,
                retry_after,
            }),
            Answer::Malformed { reason } => Err(self.not_understood(batch, &reason)),
        }
    }

    fn too_busy(&self, reason: &str) -> Failure {
        Failure::unavailable(format!(
            "the API at {} kept nothing for {} s ({reason}): import again once it is ready",
            self.client.url(),
            self.patience.as_secs(),
        ))
    }

    fn not_understood(&self, batch: &Batch, reason: &str) -> Failure {
        let line = batch.lines.first().copied().unwrap_or_default();
        Failure {
            kind: ExitKind::Failure,
            message: format!(
                "{} refused the request that begins with line {line} ({reason}): \
                 check that --api names AdTally's API",
                self.client.url()
            ),
        }
    }
}

fn judged(batch: &Batch, ids: &[Option<Uuid>], refused: Vec<crate::api::Refused>) -> Delivered {
    let line = |index: usize| batch.lines.get(index).copied().unwrap_or_default();
    let accepted = batch.lines.len().saturating_sub(refused.len()) as u64;
    let by_api = refused
        .into_iter()
        .map(|event| Refusal::of_event(line(event.index), event));
    let named = batch.named.iter().filter_map(|index| *ids.get(*index)?);
    Delivered {
        accepted,
        named: named.collect(),
        other_lines: batch.other_lines,
        refused: batch.refused.iter().cloned().chain(by_api).collect(),
    }
}

/// How long to wait before attempt `number` + 1: twice as long each time, between half of it and
/// all of it by `random`, and no shorter than the API's own `wish`.
fn delay(number: u32, wish: Option<Duration>, random: u8) -> Duration {
    let doubled = FIRST_DELAY
        .saturating_mul(1 << number.min(10))
        .min(MAX_DELAY);
    let jittered = doubled / 2 + doubled / 2 * u32::from(random) / 255;
    jittered.max(wish.unwrap_or_default().min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_five_seconds_and_heed_the_api() {
        assert_eq!(delay(0, None, 255), Duration::from_millis(100));
        assert_eq!(delay(0, None, 0), Duration::from_millis(50));
        assert_eq!(delay(3, None, 255), Duration::from_millis(800));
        assert_eq!(delay(u32::MAX, None, 255), Duration::from_secs(5));
        let wish = Some(Duration::from_secs(7));
        assert_eq!(delay(0, wish, 0), Duration::from_secs(7));
        let wish = Some(Duration::from_secs(86_400));
        assert_eq!(delay(0, wish, 0), Duration::from_secs(30));
    }
}
