//! Events that arrive as a browser's request for a picture or a redirect. The browser is answered soon,
//! whatever happens to the event.

#[cfg(test)]
mod tests;

use actix_web::HttpRequest;
use adtally_domain::{
    AdId, Event, EventInput, EventKind, Intake, RejectCode, Rejection, Scalar, Timestamp,
};
use utoipa::IntoParams;

use crate::http::client;
use crate::http::ids::id_number;
use crate::http::query::{Query, QueryFault};
use crate::ingest::browser_queue::BrowserQueue;
use crate::ingest::metrics::IngestMetrics;

const PARAMETERS: &[&str] = &[
    "ad_id",
    "event_id",
    "occurred_at",
    "impression_id",
    "placement",
    "visitor_id",
];

/// What a browser's request may say about the event. A parameter given twice refuses the event.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "only its shape matters: the query is read parameter by parameter"
)]
pub(crate) struct BrowserParameters {
    /// The sender's own name for the event, by which a reload counts once.
    #[param(max_length = 128)]
    event_id: Option<String>,
    /// When it happened, RFC 3339 with offset; now when left out.
    occurred_at: Option<String>,
    /// The event id of the impression a click belongs to.
    impression_id: Option<String>,
    /// The place on the page.
    #[param(max_length = 128)]
    placement: Option<String>,
    /// The ad server's own name for the visitor.
    #[param(max_length = 128)]
    visitor_id: Option<String>,
}

/// The parameters of a pixel's or click's query.
fn parameters(request: &HttpRequest) -> Result<Query<'_>, QueryFault> {
    Query::parse(request.query_string(), PARAMETERS)
}

/// Where a browser's request names the ad.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AdSource {
    /// In the path.
    Path(AdId),
    /// In the query, as `ad_id`.
    Query,
}

/// What the routes for browsers need.
pub(crate) struct BrowserContext {
    /// Which events are let in.
    pub(crate) intake: Intake,
    /// Where valid events go.
    pub(crate) queue: BrowserQueue,
    /// How many proxies in front of us name the client's address.
    pub(crate) trusted_proxies: usize,
    /// Counts events.
    pub(crate) metrics: IngestMetrics,
    /// The wall clock.
    pub(crate) clock: fn() -> Timestamp,
}

impl BrowserContext {
    /// Records the event that `request` describes. An invalid event is counted as rejected.
    pub(crate) async fn record(&self, request: &HttpRequest, kind: EventKind, ad: AdSource) {
        let event = parameters(request)
            .map_err(|fault| Rejection::new(RejectCode::InvalidEvent, fault.detail()))
            .and_then(|query| self.validate(request, &query, kind, ad));
        match event {
            Ok(event) => self.queue.send(event).await,
            Err(rejection) => self.metrics.rejected(rejection.code, 1),
        }
    }

    fn validate(
        &self,
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
        let address = client::address(headers, request.peer_addr(), self.trusted_proxies);
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
        let now = (self.clock)();
        self.intake
            .accept(&input, now, None, rand::random::<[u8; 10]>)
    }
}
