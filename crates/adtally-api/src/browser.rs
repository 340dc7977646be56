//! Events that arrive as a browser's request for a picture or a redirect.
//!
//! The browser is answered soon, whatever happens to the event. A task of its own sends the event to the
//! sink, so neither a slow broker nor a browser that disconnects loses it. The task starts on the thread of
//! its request, because the two wake each other all the time.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use adtally_domain::{AdId, Event, EventInput, EventKind, RejectCode, Rejection, Scalar};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::client;
use crate::context::Context;
use crate::metrics::Metrics;
use crate::migrating_task::MigratingTask;
use crate::query::{Query, QueryFault, id_number};
use crate::sink::{Durability, EventSink};

/// How long a browser waits for its event to be durable.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// The most browser events in flight at once. Each has at most a few kilobytes.
const MAX_IN_FLIGHT: u32 = 10_000;

const PARAMETERS: &[&str] = &[
    "ad_id",
    "event_id",
    "occurred_at",
    "impression_id",
    "placement",
    "visitor_id",
];

/// Sends browser events to the sink, beside their requests.
pub(crate) struct BrowserEvents {
    sink: Arc<dyn EventSink>,
    metrics: Metrics,
    runtime: Handle,
    permits: Arc<Semaphore>,
}

impl BrowserEvents {
    /// Sends events to `sink`. Tasks that outlive their HTTP thread go on on `runtime`.
    pub(crate) fn new(sink: Arc<dyn EventSink>, metrics: Metrics, runtime: Handle) -> Self {
        let permits = Arc::new(Semaphore::new(MAX_IN_FLIGHT as usize));
        Self {
            sink,
            metrics,
            runtime,
            permits,
        }
    }

    /// Sends `event` and waits a moment for it to be durable.
    async fn send(&self, event: Event) {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            self.metrics.rejected(RejectCode::NotKept, 1);
            return;
        };
        let (sink, metrics) = (Arc::clone(&self.sink), self.metrics.clone());
        let sending = async move {
            let kind = event.kind;
            if sink.send(vec![event]).await == [Durability::Durable] {
                metrics.accepted(kind, 1);
            } else {
                metrics.rejected(RejectCode::NotKept, 1);
            }
            drop(permit);
        };
        let in_flight = actix_web::rt::spawn(MigratingTask::new(sending, self.runtime.clone()));
        let _in_time = tokio::time::timeout(MAX_WAIT, in_flight).await;
    }

    /// Waits until no event is in flight, at most for `limit`. No more may be sent.
    pub(crate) async fn drain(&self, limit: Duration) {
        let all = self.permits.acquire_many(MAX_IN_FLIGHT);
        if tokio::time::timeout(limit, all).await.is_err() {
            let left = MAX_IN_FLIGHT as usize - self.permits.available_permits();
            log::warn!("{left} browser events were not confirmed before the end");
        }
    }
}

/// The parameters of a pixel's or click's query.
pub(crate) fn parameters(request: &HttpRequest) -> Result<Query<'_>, QueryFault> {
    Query::parse(request.query_string(), PARAMETERS)
}

/// Records the event that `request` describes. An invalid event is counted as rejected.
pub(crate) async fn record(
    context: &Context,
    request: &HttpRequest,
    kind: EventKind,
    ad: AdSource,
) {
    let event = parameters(request)
        .map_err(|fault| Rejection::new(RejectCode::InvalidEvent, fault.detail()))
        .and_then(|query| accept(context, request, &query, kind, ad));
    match event {
        Ok(event) => context.browser_events.send(event).await,
        Err(rejection) => context.metrics.rejected(rejection.code, 1),
    }
}

/// Where a browser's request names the ad.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AdSource {
    /// In the path.
    Path(AdId),
    /// In the query, as `ad_id`.
    Query,
}

fn accept(
    context: &Context,
    request: &HttpRequest,
    query: &Query<'_>,
    kind: EventKind,
    ad: AdSource,
) -> Result<Event, Rejection> {
    let ad_id = match ad {
        AdSource::Path(ad) => Some(ad.get()),
        AdSource::Query => query.get("ad_id").and_then(id_number),
    };
    let headers = request.headers();
    let address = client::address(headers, request.peer_addr(), context.trusted_proxies);
    let input = EventInput {
        ad_id: ad_id.map_or(Scalar::Absent, Scalar::Integer),
        kind: Scalar::text(Some(kind.as_str())),
        event_id: Scalar::text(query.get("event_id")),
        occurred_at: Scalar::text(query.time("occurred_at")),
        impression_id: Scalar::text(query.get("impression_id")),
        visitor_id: Scalar::text(query.get("visitor_id")),
        ip: Scalar::text(address.map(|address| address.to_string())),
        user_agent: Scalar::text(client::user_agent(headers)),
        referer: Scalar::text(client::referer(headers)),
        placement: Scalar::text(query.get("placement")),
    };
    let now = (context.clock)();
    context
        .intake
        .accept(&input, now, None, rand::random::<[u8; 10]>)
}
