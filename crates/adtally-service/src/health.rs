//! Whether a process can do its work now, and what is missing when it can't.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::Shutdown;
use crate::metrics::Registry;

/// The readiness of a process: the sum of its named checks.
#[derive(Debug, Clone, Default)]
pub struct Health {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    checks: BTreeMap<&'static str, CheckState>,
    stopping: bool,
}

#[derive(Debug, Clone, Serialize)]
struct CheckState {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// What `/readyz` answers.
#[derive(Debug, Clone, Serialize)]
pub struct Readiness {
    /// Whether there are checks, every one is ready, and the process is not stopping.
    pub ready: bool,
    /// Whether the process was asked to stop.
    pub stopping: bool,
    checks: BTreeMap<&'static str, CheckState>,
}

/// One thing a process needs. The latest word counts.
#[derive(Debug, Clone)]
pub struct Check {
    name: &'static str,
    health: Health,
}

impl Health {
    /// A process without checks yet: not ready, as the question may come early.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the check `name`, not ready until it says otherwise.
    #[must_use]
    pub fn check(&self, name: &'static str) -> Check {
        let check = Check {
            name,
            health: self.clone(),
        };
        check.not_ready("starting");
        check
    }

    /// Makes the process not ready for the rest of its life.
    pub fn stopping(&self) {
        self.lock().stopping = true;
    }

    /// Makes the process not ready from the moment that `shutdown` is requested. Needs a running tokio
    /// runtime.
    pub fn stopping_with(&self, shutdown: &Shutdown) {
        let (health, shutdown) = (self.clone(), shutdown.clone());
        tokio::spawn(async move {
            shutdown.requested().await;
            health.stopping();
        });
    }

    /// The readiness at this moment.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let state = self.lock();
        let is_at_work = !state.stopping && !state.checks.is_empty();
        let ready = is_at_work && state.checks.values().all(|check| check.ready);
        Readiness {
            ready,
            stopping: state.stopping,
            checks: state.checks.clone(),
        }
    }

    /// Shows every check as `adtally_ready{check}`, 1 or 0.
    pub fn show_in(&self, registry: &Registry) {
        let health = self.clone();
        let help = "Whether a check of /readyz is met: 1 or 0.";
        registry.computed("adtally_ready", help, &["check"], move |gauges| {
            for (name, check) in &health.lock().checks {
                gauges.with_label_values(&[name]).set(check.ready.into());
            }
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic elsewhere leaves the map whole: each change is one insert.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check {
    /// The thing is there.
    pub fn ready(&self) {
        self.set(CheckState {
            ready: true,
            detail: None,
        });
    }

    /// The thing is there. The reader of `/readyz` also sees `remark`, which must hold no secret.
    pub fn ready_but(&self, remark: impl Into<String>) {
        self.set(CheckState {
            ready: true,
            detail: Some(remark.into()),
        });
    }

    /// The thing is not there because of `reason`, which must hold no secret.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(CheckState {
            ready: false,
            detail: Some(reason.into()),
        });
    }

    /// What it is called in `/readyz`.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    fn set(&self, state: CheckState) {
        self.health.lock().checks.insert(self.name, state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_not_ready_once_it_is_asked_to_stop() {
        let (health, shutdown) = (Health::new(), Shutdown::manual());
        health.check("broker").ready();
        health.stopping_with(&shutdown);
        tokio::task::yield_now().await;
        assert!(health.readiness().ready);
        shutdown.trigger();
        while health.readiness().ready {
            tokio::task::yield_now().await;
        }
        assert!(health.readiness().stopping);
    }

    #[test]
    fn a_process_is_ready_when_all_its_checks_are() {
        let health = Health::new();
        assert!(!health.readiness().ready, "nobody knows yet what it needs");
        let (broker, database) = (health.check("broker"), health.check("database"));
        broker.ready();
        assert!(
            !health.readiness().ready,
            "the database has not answered yet"
        );
        database.ready();
        assert!(health.readiness().ready);
        broker.not_ready("blocked: disk");
        let json = serde_json::to_string(&health.readiness()).unwrap();
        assert!(
            json.contains(r#""broker":{"ready":false,"detail":"blocked: disk"}"#),
            "{json}"
        );
        let registry = Registry::new();
        health.show_in(&registry);
        let text = registry.render();
        for line in ["{check=\"broker\"} 0", "{check=\"database\"} 1"] {
            assert!(text.contains(&format!("adtally_ready{line}")), "{text}");
        }
        broker.ready_but("slow");
        let readiness = health.readiness();
        assert!(readiness.ready);
        let json = serde_json::to_string(&readiness).unwrap();
        assert!(
            json.contains(r#""broker":{"ready":true,"detail":"slow"}"#),
            "{json}"
        );
        health.stopping();
        assert!(!health.readiness().ready);
    }
}
