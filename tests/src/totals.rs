//! What a system's totals came to.

use adtally_domain::SweepDirty;
use serde_json::Value;

use crate::wait::soon;
use crate::{System, until};

impl System {
    /// All rows of both tables of totals, without the times they were computed at.
    #[must_use]
    pub fn totals(&self) -> String {
        let columns = "ad_id, impressions, clicks";
        let hours = self.sql(&format!(
            "SELECT hour, {columns} FROM ad_hourly_stats ORDER BY hour, ad_id"
        ));
        let days = self.sql(&format!(
            "SELECT day, {columns} FROM ad_daily_stats ORDER BY day, ad_id"
        ));
        format!("{hours}\n\n{days}")
    }

    /// Waits until `events` holds `count` rows.
    pub fn wait_for_events(&self, count: u64) {
        until(&format!("{count} events are stored"), || {
            (self.count("SELECT count(*) FROM events") == count).then_some(())
        });
    }

    /// Sweeps until no hour or day that is over is marked any more.
    ///
    /// # Panics
    /// When that takes more than a minute.
    pub fn settle(&self) {
        until("every bucket that is over is rolled up", || {
            let report = self.audit();
            let texts = |name: &str| {
                let buckets = report[name].as_array().expect("pending buckets").iter();
                let texts: Vec<_> = buckets.filter_map(Value::as_str).collect();
                texts.join(",")
            };
            let (hours, days) = (texts("pending_hours"), texts("pending_days"));
            if hours.is_empty() && days.is_empty() {
                return Some(());
            }
            self.run(&SweepDirty {});
            let marks = format!(
                "SELECT (SELECT count(*) FROM dirty_hours WHERE hour = ANY('{{{hours}}}')) \
                 + (SELECT count(*) FROM dirty_days WHERE day = ANY('{{{days}}}'))"
            );
            // The roll-ups it sent take a moment; those of hours mark their days once more, so
            // another sweep may be needed.
            let _rolled_up = soon(|| self.count(&marks) == 0);
            None
        });
    }

    /// The audit's report.
    ///
    /// # Panics
    /// When it is no JSON.
    #[must_use]
    pub fn audit(&self) -> Value {
        let (_, out, err) = self.adtally(&["audit", "--json"]);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out} {err}"))
    }
}
