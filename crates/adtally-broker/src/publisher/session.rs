//! Publishing on one connection, from its start to its end.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Event};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::flights::{Flights, Landing};
use super::owner::{Owner, SWEEP};
use super::shipment::Shipment;
use crate::connection::Link;
use crate::topology::ensure;
use crate::{BrokerConfig, BrokerError, BrokerState, NotKept};

/// A connection without any confirm for so many deadlines is given up.
const PATIENCE: u32 = 3;
/// A connection without traffic for so long is tried with a message for nobody: a broker that is
/// short of memory, or hangs, tells only those who publish.
const IDLE: Duration = Duration::from_secs(5);
/// A connection that held so long was of use, even if nothing was published on it.
const LONG_LIFE: Duration = Duration::from_secs(10);

/// A connection ready to publish on.
pub(super) struct Session {
    link: Link,
    channel: Channel,
    news: Pin<Box<dyn Stream<Item = Event> + Send>>,
}

impl Session {
    pub(super) async fn open(config: &BrokerConfig, attempt: usize) -> Result<Self, BrokerError> {
        let link = Link::open(config, attempt).await?;
        ensure(&link, config).await?;
        let channel = link.channel().await?;
        let confirm = channel.confirm_select(ConfirmSelectOptions { nowait: false });
        link.call("confirm publishing", confirm).await??;
        let news = Box::pin(link.events());
        Ok(Self {
            link,
            channel,
            news,
        })
    }

    fn is_alive(&self) -> bool {
        self.link.is_connected() && self.channel.status().connected()
    }
}

/// How a session ended.
pub(super) struct Ending {
    /// Why it ended; `None` when the publisher closed it.
    pub(super) reason: Option<String>,
    /// Whether a new session need not wait for long.
    pub(super) was_of_use: bool,
}

/// What a running session keeps in mind.
struct Voyage {
    flights: Flights,
    /// The broker said that it takes no messages.
    is_blocked: bool,
    /// Why nothing more is sent on this session: it ends once everything in flight has landed.
    leaving: Option<String>,
    started: Instant,
    /// When a confirm last came, or could first be waited for.
    last_progress: Instant,
    /// The flight that is a message for nobody.
    probe: Option<u64>,
    was_of_use: bool,
}

/// Remembered when this user may not publish to the default exchange.
const NO_PROBES: &str = "may not probe";

async fn until(time: Option<Instant>) {
    if let Some(time) = time {
        sleep_until(time).await;
    }
}

type Step = ControlFlow<Option<String>>;

impl Owner {
    /// Publishes until the connection ends or the publisher is closed. What is unconfirmed then
    /// waits for the next session.
    pub(super) async fn serve(&mut self, mut session: Session) -> Ending {
        self.announce(BrokerState::Open);
        let mut voyage = Voyage {
            flights: Flights::default(),
            is_blocked: false,
            leaving: None,
            started: Instant::now(),
            last_progress: Instant::now(),
            probe: None,
            was_of_use: false,
        };
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reason = loop {
            self.take_in();
            let now = Instant::now();
            self.launch(&session.channel, &mut voyage, now);
            let mut wait = self.lanes.wait(now);
            if voyage.is_blocked {
                wait.events = Some(1);
            }
            let step = tokio::select! {
                biased;
                Some(event) = session.news.next() => self.heed(event, &session, &mut voyage),
                (number, landing) = voyage.flights.land() => self.land(number, landing, &mut voyage),
                () = self.inbox.filled(wait.events) => Step::Continue(()),
                () = until(wait.until), if wait.until.is_some() => Step::Continue(()),
                () = self.closing.asked() => Step::Continue(()),
                _ = sweep.tick() => self.inspect(&session, &mut voyage),
            };
            if let ControlFlow::Break(reason) = step {
                break reason;
            }
            if self.closing.is_asked() && voyage.flights.is_empty() && self.has_nothing_left() {
                break None;
            }
        };
        match &reason {
            None => session.link.close().await,
            Some(_) => session.link.abandon(),
        }
        let was_of_use = voyage.was_of_use || voyage.started.elapsed() > LONG_LIFE;
        self.lanes.take_back(voyage.flights.into_unconfirmed());
        Ending { reason, was_of_use }
    }

    /// Sends what may go now, or refuses it. The frames are written when the flights are next polled.
    fn launch(&mut self, channel: &Channel, voyage: &mut Voyage, now: Instant) {
        if voyage.is_blocked {
            return self.lanes.answer_all(Err(NotKept::Blocked));
        }
        if voyage.leaving.is_some() {
            return;
        }
        for shipment in self.lanes.depart(&self.options, &self.config, now) {
            if voyage.flights.is_empty() {
                voyage.last_progress = now;
            }
            if shipment.kind.is_some() {
                self.metrics.pack_events.observe(shipment.events as f64);
            }
            voyage.flights.launch(channel, shipment, now);
        }
    }

    fn land(&mut self, number: u64, landing: Landing, voyage: &mut Voyage) -> Step {
        let result = match landing {
            Landing::Confirmed => Ok(()),
            Landing::Nacked => Err(NotKept::Nacked),
            Landing::Lost(error) => {
                let reason = error.to_string();
                if voyage.probe.is_some() && reason.contains("ACCESS_REFUSED") {
                    self.config.once.insert(NO_PROBES.to_owned());
                }
                return Step::Break(Some(reason));
            }
        };
        let now = Instant::now();
        if let Some((mut shipment, since)) = voyage.flights.unload(number) {
            if voyage.probe.take_if(|probe| *probe == number).is_none() {
                let refused = result.is_err();
                if !refused {
                    let took = now.saturating_duration_since(since);
                    self.metrics.publish_seconds.observe(took.as_secs_f64());
                }
                self.refusals.note(shipment.kind, refused, now);
                self.take_in();
                self.lanes.landed(&shipment);
            }
            shipment.answer(result);
        }
        voyage.last_progress = now;
        voyage.was_of_use = true;
        if !voyage.is_blocked {
            self.announce(BrokerState::Open);
        }
        Step::Continue(())
    }

    fn heed(&mut self, event: Event, session: &Session, voyage: &mut Voyage) -> Step {
        match event {
            Event::ConnectionBlocked(reason) => {
                voyage.is_blocked = true;
                // First, so that whoever is refused finds the state that explains it.
                self.announce(BrokerState::Blocked { reason });
                for shipment in voyage.flights.shipments() {
                    shipment.answer(Err(NotKept::Blocked));
                }
            }
            Event::ConnectionUnblocked => {
                voyage.is_blocked = false;
                voyage.last_progress = Instant::now();
                self.announce(BrokerState::Open);
            }
            // Errors of other channels are told here too; only our own matter.
            _ => return self.inspect(session, voyage),
        }
        Step::Continue(())
    }

    /// Looks for what nobody would otherwise tell.
    fn inspect(&mut self, session: &Session, voyage: &mut Voyage) -> Step {
        self.lanes.sweep();
        if self.closing.is_overdue() {
            return Step::Break(None);
        }
        if !session.is_alive() && voyage.flights.is_empty() {
            return Step::Break(Some("the connection is lost".to_owned()));
        }
        if self.refusals.exhaust_patience(Instant::now()) {
            let reason = "a queue refuses every message: it may be full";
            voyage.leaving = Some(reason.to_owned());
        }
        if voyage.flights.is_empty()
            && let Some(reason) = voyage.leaving.take()
        {
            return Step::Break(Some(reason));
        }
        let silence = voyage.last_progress.elapsed();
        if voyage.is_blocked {
            return Step::Continue(());
        }
        if voyage.flights.is_empty() {
            if silence > IDLE {
                self.probe(&session.channel, voyage);
            }
            return Step::Continue(());
        }
        if silence > self.options.deadline {
            let reason = format!("no confirm for {} s", self.options.deadline.as_secs_f32());
            if silence > self.options.deadline * PATIENCE {
                return Step::Break(Some(reason));
            }
            self.announce(BrokerState::Blocked { reason });
        }
        Step::Continue(())
    }

    fn probe(&mut self, channel: &Channel, voyage: &mut Voyage) {
        if self.config.once.contains(NO_PROBES) {
            return;
        }
        let now = Instant::now();
        voyage.last_progress = now;
        let probe = Shipment::probe(&self.config.topology().probe_key());
        voyage.probe = Some(voyage.flights.launch(channel, probe, now));
    }

    fn has_nothing_left(&mut self) -> bool {
        self.inbox.is_empty() && self.lanes.sweep()
    }
}
