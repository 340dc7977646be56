//! What the handlers take, part by part, as actix hands it to them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, ServiceConfig};
use adtally_broker::Publisher;
use adtally_domain::Timestamp;
use adtally_service::metrics::Registry;
use adtally_store::Store;
use tokio::runtime::Handle;

use crate::ad_cache::AdCache;
use crate::args::Config;
use crate::http::body::{BodyMemory, BodyReader};
use crate::http::metrics::HttpMetrics;
use crate::http::middleware::HttpContext;
use crate::http::origin::AllowedHosts;
use crate::ingest::browser::BrowserContext;
use crate::ingest::browser_queue::BrowserQueue;
use crate::ingest::events::EventsContext;
use crate::ingest::large_bodies::LargeBodyPool;
use crate::ingest::metrics::IngestMetrics;
use crate::ingest::sink::EventSink;
use crate::manage::stats::Reporting;
use crate::manage::zone::Zone;
use crate::openapi;

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(15);

/// The parts of the running API: one of each per process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AppData {
    /// What the middleware needs.
    pub(crate) http: Data<HttpContext>,
    /// Reads request bodies.
    pub(crate) bodies: Data<BodyReader>,
    /// Takes the events of ad servers.
    pub(crate) events: Data<EventsContext>,
    /// Takes the events of browsers.
    pub(crate) browser: Data<BrowserContext>,
    /// Where clicks lead.
    pub(crate) ads: Data<AdCache>,
    /// Totals, ads, advertisers and dead letters.
    pub(crate) store: Data<Store>,
    /// The way back to the broker for dead letters.
    pub(crate) publisher: Data<Publisher>,
    /// How totals are reported.
    pub(crate) reporting: Data<Reporting>,
}

impl AppData {
    /// The parts of an API that listens on `address`. Events go to `sink`. Needs a running tokio runtime.
    pub(crate) fn new(
        config: &Config,
        address: IpAddr,
        store: Store,
        publisher: Publisher,
        sink: Arc<dyn EventSink>,
        clock: fn() -> Timestamp,
        registry: &Registry,
    ) -> Self {
        let metrics = IngestMetrics::new(registry);
        let memory = BodyMemory::new(config.body_memory, registry);
        let bodies = BodyReader::new(memory, BODY_DEADLINE, config.trusted_proxies);
        let hosts = AllowedHosts::new(&config.allowed_hosts, address);
        let http_metrics = HttpMetrics::new(registry, &openapi::answers());
        let runtime = Handle::current();
        let queue = BrowserQueue::new(Arc::clone(&sink), metrics.clone(), runtime.clone());
        Self {
            http: Data::new(HttpContext::new(hosts, bodies.clone(), http_metrics)),
            bodies: Data::new(bodies),
            events: Data::new(EventsContext {
                intake: config.intake,
                sink,
                large_bodies: LargeBodyPool::new(runtime),
                metrics: metrics.clone(),
                clock,
            }),
            browser: Data::new(BrowserContext {
                intake: config.intake,
                queue,
                trusted_proxies: config.trusted_proxies,
                metrics,
                clock,
            }),
            ads: Data::new(AdCache::default()),
            store: Data::new(store),
            publisher: Data::new(publisher),
            reporting: Data::new(Reporting {
                zone: Zone::new(config.zone),
                final_after: config.final_after,
                clock,
            }),
        }
    }

    /// Has `config` hand the parts to handlers.
    pub(crate) fn add_to(self, config: &mut ServiceConfig) {
        config
            .app_data(self.http)
            .app_data(self.bodies)
            .app_data(self.events)
            .app_data(self.browser)
            .app_data(self.ads)
            .app_data(self.store)
            .app_data(self.publisher)
            .app_data(self.reporting);
    }
}
