//! What the process holds for its clients, in metrics and in `/readyz`.

use std::time::Duration;

use adtally_broker::Publisher;
use adtally_domain::EventKind;
use adtally_service::metrics::Registry;
use adtally_service::{Check, Health};
use prometheus::GaugeVec;
use tokio::time::sleep;

use crate::http::body::{BodyMemory, Shortage};

/// How often it is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Updates once a second how much memory bodies, and events that wait for the broker, hold.
pub(crate) fn watch(
    bodies: BodyMemory,
    publisher: Publisher,
    health: &Health,
    registry: &Registry,
) -> impl Future<Output = ()> + use<> {
    let check = health.check("body_memory");
    check.ready();
    let limit = registry.gauge(
        "adtally_publisher_limit_bytes",
        "Bytes that may wait for the broker's confirm, for each kind of event.",
    );
    limit.set(publisher.options().waiting_bytes as f64);
    let waiting = registry.gauge_vec(
        "adtally_publisher_waiting_bytes",
        "Bytes that wait for the broker's confirm.",
        &["kind"],
    );
    async move {
        loop {
            bodies.refresh();
            update_check(&check, bodies.shortage());
            refresh(&waiting, &publisher);
            sleep(CHECK_INTERVAL).await;
        }
    }
}

/// While anything can be taken, the process stays ready: others may be no better off, small bodies are the
/// rule, and a few clients that hold much must not turn everybody away.
fn update_check(check: &Check, shortage: Option<Shortage>) {
    match shortage {
        None => check.ready(),
        Some(Shortage::Large) => {
            check.ready_but("no memory is left for large bodies (--body-memory)");
        }
        Some(Shortage::Most) => {
            check.ready_but("little memory is left for bodies (--body-memory)");
        }
        Some(Shortage::All) => check.not_ready("no memory is left for bodies (--body-memory)"),
    }
}

fn refresh(waiting: &GaugeVec, publisher: &Publisher) {
    for kind in EventKind::ALL {
        let bytes = publisher.waiting_bytes(Some(kind));
        waiting
            .with_label_values(&[kind.as_str()])
            .set(bytes as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_that_still_takes_small_bodies_is_ready_and_says_what_is_gone() {
        let health = Health::new();
        let check = health.check("body_memory");
        let told = |shortage| {
            update_check(&check, shortage);
            let readiness = health.readiness();
            (readiness.ready, serde_json::to_string(&readiness).unwrap())
        };
        assert!(told(None).0);
        let (is_ready, json) = told(Some(Shortage::Large));
        assert!(is_ready && json.contains("large bodies"), "{json}");
        let (is_ready, json) = told(Some(Shortage::Most));
        assert!(is_ready && json.contains("little memory"), "{json}");
        let (is_ready, json) = told(Some(Shortage::All));
        assert!(!is_ready && json.contains("--body-memory"), "{json}");
    }
}
