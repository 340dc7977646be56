//! The task that owns the publishing connection, and makes a new one when it is lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::inbox::Inbox;
use super::lanes::Lanes;
use super::refusals::Refusals;
use super::session::Session;
use super::{PublisherMetrics, PublisherOptions};
use crate::{Backoff, BrokerConfig, BrokerState};

/// How often what nobody waits for any more is swept out.
pub(super) const SWEEP: Duration = Duration::from_millis(250);

/// How many reasons not to publish an outage remembers. A broker that is away has two or three.
const REMEMBERED: usize = 8;

/// Everything the publishing task knows.
pub(super) struct Owner {
    pub(super) config: BrokerConfig,
    pub(super) options: Arc<PublisherOptions>,
    pub(super) inbox: Inbox,
    pub(super) lanes: Lanes,
    pub(super) closing: Closing,
    pub(super) refusals: Refusals,
    pub(super) metrics: PublisherMetrics,
    state: watch::Sender<BrokerState>,
    /// What the log was told since messages were last published.
    told: VecDeque<BrokerState>,
}

impl Owner {
    pub(super) fn new(
        config: BrokerConfig,
        options: Arc<PublisherOptions>,
        inbox: Inbox,
        state: watch::Sender<BrokerState>,
        close: watch::Receiver<bool>,
        metrics: PublisherMetrics,
    ) -> Self {
        let closing = Closing {
            close,
            since: None,
            limit: options.deadline,
        };
        Self {
            config,
            options,
            inbox,
            lanes: Lanes::default(),
            closing,
            refusals: Refusals::default(),
            metrics,
            state,
            told: VecDeque::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        for attempt in 0_usize.. {
            let config = self.config.clone();
            let opened = tokio::select! {
                opened = Session::open(&config, attempt) => opened,
                () = self.tend() => break,
            };
            let reason = match opened {
                Ok(session) => {
                    let ending = self.serve(session).await;
                    if ending.was_of_use {
                        backoff.reset();
                    }
                    let Some(reason) = ending.reason else { break };
                    reason
                }
                Err(error) => error.to_string(),
            };
            self.announce(BrokerState::Connecting { reason });
            tokio::select! {
                () = sleep(backoff.next_delay()) => {}
                () = self.tend() => break,
            }
        }
        self.state.send_replace(BrokerState::Connecting {
            reason: "closed".to_owned(),
        });
    }

    /// Looks after what is handed over while there is no session. Returns when it is time to end.
    async fn tend(&mut self) {
        loop {
            self.take_in();
            if self.lanes.sweep() && self.closing.is_asked() || self.closing.is_overdue() {
                return;
            }
            tokio::select! {
                () = sleep(SWEEP) => {}
                () = self.closing.asked() => {}
            }
        }
    }

    /// Takes everything that was handed over meanwhile.
    pub(super) fn take_in(&mut self) {
        for command in self.inbox.take() {
            self.lanes.add(command);
        }
    }

    /// Tells whoever watches if it is news, and the log unless it was said since the trouble began.
    pub(super) fn announce(&mut self, next: BrokerState) {
        let changed = self.state.send_if_modified(|state| {
            let differs = *state != next;
            state.clone_from(&next);
            differs
        });
        if next.is_open() {
            self.told.clear();
            if changed {
                log::info!("broker: publishing");
            }
        } else if !self.told.contains(&next) {
            log::warn!("broker: not publishing: {next}");
            if self.told.len() == REMEMBERED {
                self.told.pop_front();
            }
            self.told.push_back(next);
        }
    }
}

/// The wish to close.
pub(super) struct Closing {
    close: watch::Receiver<bool>,
    since: Option<Instant>,
    limit: Duration,
}

impl Closing {
    /// Waits for the wish, once; pending for ever after. May be dropped.
    pub(super) async fn asked(&mut self) {
        if self.since.is_some() {
            return std::future::pending().await;
        }
        // Without a sender all handles are gone, which is a wish to close as well.
        let _ = self.close.wait_for(|close| *close).await;
        self.since = Some(Instant::now());
    }

    pub(super) fn is_asked(&self) -> bool {
        self.since.is_some()
    }

    /// Whether closing has taken as long as any message may take.
    pub(super) fn is_overdue(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() > self.limit)
    }
}
