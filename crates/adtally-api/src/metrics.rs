//! What the API counts. Every label has few values, whatever clients send.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use adtally_domain::{EventKind, RejectCode};
use adtally_service::metrics::{Registry, SECONDS};
use prometheus::{HistogramVec, IntCounter, IntCounterVec};

/// The API's own metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    /// Found beforehand: they count every event.
    impressions: IntCounter,
    clicks: IntCounter,
    rejected: IntCounterVec,
    requests: IntCounterVec,
    durations: HistogramVec,
}

impl Metrics {
    /// Registers the metrics; every count that can be named beforehand starts at 0, each of `answers` (method,
    /// route, status) among them.
    pub(crate) fn new(registry: &Registry, answers: &[(&str, String, u16)]) -> Self {
        let accepted = registry.counter_vec(
            "adtally_events_accepted_total",
            "Events that were kept: confirmed by the broker or safe on disk.",
            &["kind"],
        );
        let of_kind = |kind: EventKind| accepted.with_label_values(&[kind.as_str()]);
        let metrics = Self {
            impressions: of_kind(EventKind::Impression),
            clicks: of_kind(EventKind::Click),
            rejected: registry.counter_vec(
                "adtally_events_rejected_total",
                "Events that were refused, or that could not be kept (not_kept).",
                &["code"],
            ),
            requests: registry.counter_vec(
                "adtally_http_requests_total",
                "Requests answered.",
                &["method", "route", "status"],
            ),
            durations: registry.histogram_vec(
                "adtally_http_request_duration_seconds",
                "Time from a request's head to its answer.",
                &SECONDS,
                &["method", "route"],
            ),
        };
        for &code in RejectCode::ALL {
            metrics.rejected(code, 0);
        }
        for (method, route, status) in answers {
            let status = status.to_string();
            let answered = [*method, route.as_str(), status.as_str()];
            metrics.requests.with_label_values(&answered);
            metrics.durations.with_label_values(&[*method, route]);
        }
        metrics
    }

    /// Counts `events` events of `kind` as kept.
    pub(crate) fn accepted(&self, kind: EventKind, events: u64) {
        let counter = match kind {
            EventKind::Impression => &self.impressions,
            EventKind::Click => &self.clicks,
        };
        counter.inc_by(events);
    }

    /// Counts `events` events as refused with `code`.
    pub(crate) fn rejected(&self, code: RejectCode, events: u64) {
        self.rejected
            .with_label_values(&[code.as_str()])
            .inc_by(events);
    }

    /// Counts one answered request; `route` is the pattern of the route that answered it.
    pub(crate) fn answered(
        &self,
        method: &Method,
        route: Option<&str>,
        status: StatusCode,
        took: Duration,
    ) {
        let method = method_label(method);
        let route = route.unwrap_or("none");
        self.requests
            .with_label_values(&[method, route, status.as_str()])
            .inc();
        self.durations
            .with_label_values(&[method, route])
            .observe(took.as_secs_f64());
    }
}

/// A client may send any word as a method.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
