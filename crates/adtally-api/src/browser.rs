//! Events that arrive as a browser's request for a picture or a redirect.
//!
//! The browser gets its answer whatever becomes of the event, and soon. The event itself is kept by
//! a task of its own, so that neither a slow broker nor a browser that went on loses it. It lodges on the
//! thread of its request, which it wakes and is woken by all the time.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use adtally_domain::{AdId, Event, EventInput, EventKind, RejectCode, Rejection, Scalar};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::context::Context;
use crate::keeper::{Keeper, Kept};
use crate::lodger::Lodger;
use crate::metrics::Metrics;
use crate::query::{Query, QueryFault, id_number};
use crate::visitor;

/// How long a browser waits for its event to be safe.
const PATIENCE: Duration = Duration::from_millis(500);

/// The most browser events on their way at once. Each is at most a few kilobytes.
const MAX_ON_THEIR_WAY: u32 = 10_000;

const PARAMETERS: &[&str] = &[
    "ad_id",
    "event_id",
    "occurred_at",
    "impression_id",
    "placement",
    "visitor_id",
];

/// Browser events on their way to where they are safe.
pub(crate) struct BrowserEvents {
    keeper: Arc<dyn Keeper>,
    metrics: Metrics,
    runtime: Handle,
    slots: Arc<Semaphore>,
}

impl BrowserEvents {
    /// Keeps events with `keeper`, and on `runtime` those that outlive their HTTP thread.
    pub(crate) fn new(keeper: Arc<dyn Keeper>, metrics: Metrics, runtime: Handle) -> Self {
        let slots = Arc::new(Semaphore::new(MAX_ON_THEIR_WAY as usize));
        Self {
            keeper,
            metrics,
            runtime,
            slots,
        }
    }

    /// Sends `event` on its way and waits a moment for it to be safe.
    async fn keep(&self, event: Event) {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            self.metrics.rejected(RejectCode::NotKept, 1);
            return;
        };
        let (keeper, metrics) = (Arc::clone(&self.keeper), self.metrics.clone());
        let keeping = async move {
            let kind = event.kind;
            if keeper.keep(vec![event]).await.contains(&Kept::Yes) {
                metrics.accepted(kind, 1);
            } else {
                metrics.rejected(RejectCode::NotKept, 1);
            }
            drop(slot);
        };
        let on_its_way = actix_web::rt::spawn(Lodger::new(keeping, self.runtime.clone()));
        let _in_time = tokio::time::timeout(PATIENCE, on_its_way).await;
    }

    /// Waits until no event is on its way any more, at most for `limit`. No more may be sent.
    pub(crate) async fn drained(&self, limit: Duration) {
        let all = self.slots.acquire_many(MAX_ON_THEIR_WAY);
        if tokio::time::timeout(limit, all).await.is_err() {
            let left = MAX_ON_THEIR_WAY as usize - self.slots.available_permits();
            log::warn!("{left} browser events were not confirmed before the end");
        }
    }
}

/// The parameters of a pixel's or click's query.
pub(crate) fn parameters(request: &HttpRequest) -> Result<Query<'_>, QueryFault> {
    Query::parse(request.query_string(), PARAMETERS)
}

/// Counts the event that `request` describes; an event that is refused is counted as such.
pub(crate) async fn count(context: &Context, request: &HttpRequest, kind: EventKind, ad: AdSource) {
    let event = parameters(request)
        .map_err(|fault| Rejection::new(RejectCode::InvalidEvent, fault.detail()))
        .and_then(|query| accept(context, request, &query, kind, ad));
    match event {
        Ok(event) => context.browser_events.keep(event).await,
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
    let address = visitor::address(headers, request.peer_addr(), context.trusted_proxies);
    let input = EventInput {
        ad_id: ad_id.map_or(Scalar::Absent, Scalar::Integer),
        kind: Scalar::text(Some(kind.as_str())),
        event_id: Scalar::text(query.get("event_id")),
        occurred_at: Scalar::text(query.time("occurred_at")),
        impression_id: Scalar::text(query.get("impression_id")),
        visitor_id: Scalar::text(query.get("visitor_id")),
        ip: Scalar::text(address.map(|address| address.to_string())),
        user_agent: Scalar::text(visitor::user_agent(headers)),
        referer: Scalar::text(visitor::referer(headers)),
        placement: Scalar::text(query.get("placement")),
    };
    let now = (context.clock)();
    context
        .intake
        .accept(&input, now, None, rand::random::<[u8; 10]>)
}
