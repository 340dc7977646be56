//! What every handler needs. One per process, shared by all its HTTP threads.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use adtally_broker::Publisher;
use adtally_domain::{Intake, Timestamp};
use adtally_store::Store;

use crate::directory::Directory;
use crate::http::body::BodyReader;
use crate::http::origin::AllowedHosts;
use crate::ingest::browser_queue::BrowserEvents;
use crate::ingest::large_bodies::LargeBodyPool;
use crate::ingest::sink::EventSink;
use crate::manage::zone::Zone;
use crate::metrics::Metrics;

/// The parts of the running API.
pub(crate) struct Context {
    /// Which events are let in.
    pub(crate) intake: Intake,
    /// Where valid events go.
    pub(crate) sink: Arc<dyn EventSink>,
    /// The way back to the broker for dead letters.
    pub(crate) publisher: Publisher,
    /// Sends the events of browsers.
    pub(crate) browser_events: BrowserEvents,
    /// Reads request bodies.
    pub(crate) bodies: BodyReader,
    /// Runs the work on large ones.
    pub(crate) large_bodies: LargeBodyPool,
    /// Where clicks lead.
    pub(crate) directory: Arc<Directory>,
    /// Totals, ads and advertisers.
    pub(crate) store: Store,
    /// The zone to report in.
    pub(crate) zone: Arc<Zone>,
    /// How long after its end a bucket becomes final.
    pub(crate) final_after: std::time::Duration,
    /// How many proxies in front of us name the client's address.
    pub(crate) trusted_proxies: usize,
    /// The host names that browsers may call it by.
    pub(crate) allowed_hosts: AllowedHosts,
    /// The process is about to end: clients should connect elsewhere next time.
    pub(crate) is_draining: AtomicBool,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// The wall clock.
    pub(crate) clock: fn() -> Timestamp,
}
