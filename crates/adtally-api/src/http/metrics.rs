//! What is counted of requests. Every label has few values, whatever clients send.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use adtally_service::metrics::{Registry, SECONDS};
use prometheus::{HistogramVec, IntCounterVec};

/// Counts and times requests. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct HttpMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
}

impl HttpMetrics {
    /// Registers the metrics. The counts of `answers` (method, route, status) start at 0.
    pub(crate) fn new(registry: &Registry, answers: &[(&str, String, u16)]) -> Self {
        let metrics = Self {
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
        for (method, route, status) in answers {
            let status = status.to_string();
            let answered = [*method, route.as_str(), status.as_str()];
            metrics.requests.with_label_values(&answered);
            metrics
                .durations
                .with_label_values(&[*method, route.as_str()]);
        }
        metrics
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
