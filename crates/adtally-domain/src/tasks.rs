//! Every task there is.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::{RetryPolicy, Task};

/// Roll-ups wait for a busy database a good while before they give up; the sweep then sends them
/// anew for as long as their bucket is marked.
const PATIENT: RetryPolicy = RetryPolicy {
    max_attempts: 8,
    first_delay: Duration::from_secs(2),
    max_delay: Duration::from_secs(300),
};

/// The next slot comes in an hour: what is wrong now, say an upgrade of the database, is often over in
/// minutes. All waits together end before that slot.
const FOR_MINUTES: RetryPolicy = RetryPolicy {
    max_attempts: 10,
    first_delay: Duration::from_secs(2),
    max_delay: Duration::from_secs(300),
};

/// The next slot, which comes in a minute, does the same work again.
const BRIEF: RetryPolicy = RetryPolicy {
    max_attempts: 3,
    first_delay: Duration::from_secs(2),
    max_delay: Duration::from_secs(10),
};

/// Rebuilds one hour's totals from its raw events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregateHour {
    /// The hour's first instant in the reporting zone.
    pub hour: DateTime<Utc>,
}

impl Task for AggregateHour {
    const NAME: &'static str = "adtally.aggregate_hour";
    const ARGUMENTS: &'static [&'static str] = &["hour"];
    const RETRY: RetryPolicy = PATIENT;
    const TIME_LIMIT: Duration = Duration::from_secs(15 * 60);
}

/// Rebuilds one day's totals from its hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregateDay {
    /// The local date in the reporting zone.
    pub day: NaiveDate,
}

impl Task for AggregateDay {
    const NAME: &'static str = "adtally.aggregate_day";
    const ARGUMENTS: &'static [&'static str] = &["day"];
    const RETRY: RetryPolicy = PATIENT;
    const TIME_LIMIT: Duration = Duration::from_secs(15 * 60);
}

/// Sends a roll-up for every marked hour and day that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepDirty {}

impl Task for SweepDirty {
    const NAME: &'static str = "adtally.sweep_dirty";
    const ARGUMENTS: &'static [&'static str] = &[];
    const RETRY: RetryPolicy = BRIEF;
    const TIME_LIMIT: Duration = Duration::from_secs(60);
}

/// Makes the partitions of the coming days, and forgets runs and slots of long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintainPartitions {}

impl Task for MaintainPartitions {
    const NAME: &'static str = "adtally.maintain_partitions";
    const ARGUMENTS: &'static [&'static str] = &[];
    const RETRY: RetryPolicy = FOR_MINUTES;
    const TIME_LIMIT: Duration = Duration::from_secs(120);
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_task_reads_back_from_keyword_and_positional_calls() {
        let task = AggregateHour {
            hour: "2026-11-22T06:30:00Z".parse().unwrap(),
        };
        let message = task.message(Uuid::nil());
        assert_eq!(AggregateHour::from_message(&message), Ok(task));

        let mut positional = message.clone();
        positional.kwargs.clear();
        positional.args = vec![json!("2026-11-22T10:00:00+03:30")];
        assert_eq!(AggregateHour::from_message(&positional), Ok(task));
    }

    #[test]
    fn partitions_are_tried_for_minutes_but_not_until_their_next_slot() {
        let waits = |random| {
            let attempts = 1..MaintainPartitions::RETRY.max_attempts;
            let waits = attempts.map(|n| MaintainPartitions::RETRY.delay_after(n, random));
            waits.flatten().sum::<Duration>()
        };
        assert!(waits(0.0) > Duration::from_secs(300), "{:?}", waits(0.0));
        assert!(waits(1.0) < Duration::from_secs(3_600), "{:?}", waits(1.0));
    }

    #[test]
    fn a_call_with_other_arguments_is_refused_with_the_reason() {
        let message = AggregateDay {
            day: "2026-11-22".parse().unwrap(),
        }
        .message(Uuid::nil());
        for (args, kwargs, reason) in [
            (vec![], json!({}), "missing field `day`"),
            (
                vec![json!("2026-11-22")],
                json!({"day": "2026-11-22"}),
                "given twice",
            ),
            (
                vec![json!(1), json!(2)],
                json!({}),
                "2 positional arguments given, it has 1",
            ),
            (
                vec![],
                json!({"day": "2026-11-22", "x": 1}),
                "no argument \"x\"",
            ),
            (
                vec![json!("22 November")],
                json!({}),
                "adtally.aggregate_day",
            ),
        ] {
            let mut call = message.clone();
            call.args = args;
            call.kwargs = kwargs.as_object().unwrap().clone();
            let error = AggregateDay::from_message(&call).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
