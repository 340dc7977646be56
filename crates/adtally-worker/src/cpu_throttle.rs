//! Throttles a backlog while other processes of the machine wait for a processor.
//!
//! To store a backlog keeps one backend of the database busy, and the broker and the worker beside it. Where
//! all of them share a machine with the API (`--yield-cpu`), publishing would wait behind it.

use std::time::Duration;

use tokio::time::Instant;

/// How long tasks have waited for a processor since the machine started (the kernel's documentation, "PSI -
/// Pressure Stall Information"). In a container, too, those of all the machine.
const FILE: &str = "/proc/pressure/cpu";
/// The share of the time in which some task waits although there are processors enough: a worker, the
/// backend and the broker on two processors make 0.08 to 0.14.
const USUAL: f64 = 0.2;
/// The longest pause, as a share of the batch before it.
const LONGEST_SHARE: f64 = 0.25;
/// The longest pause after any batch: one that took longer than most waited for something else.
const LONGEST: Duration = Duration::from_millis(50);

/// The pressure at the begin of a batch, or at its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuThrottle {
    at: Instant,
    waited: Duration,
}

impl CpuThrottle {
    /// Begins to watch; `None` where the kernel does not say.
    pub(crate) fn start(now: Instant) -> Option<Self> {
        // The kernel makes it of what it has in memory: nothing blocks.
        let text = std::fs::read_to_string(FILE).ok()?;
        let waited = waited(&text)?;
        Some(Self { at: now, waited })
    }

    /// How long to pause after the batch that began at the start and is over `now`.
    pub(crate) fn pause(self, now: Instant) -> Duration {
        Self::start(now).map_or(Duration::ZERO, |end| self.pause_at(end))
    }

    fn pause_at(self, end: Self) -> Duration {
        let took = end.at.saturating_duration_since(self.at);
        let waited = end.waited.saturating_sub(self.waited);
        if took.is_zero() {
            return Duration::ZERO;
        }
        let beyond_usual = waited.div_duration_f64(took) - USUAL;
        LONGEST.min(took.mul_f64(beyond_usual.clamp(0.0, LONGEST_SHARE)))
    }
}

fn waited(text: &str) -> Option<Duration> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let mut fields = some.split_ascii_whitespace();
    let total = fields.find_map(|field| field.strip_prefix("total="))?;
    total.parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_some_task_waited_is_read() {
        let text = "some avg10=23.65 avg60=18.03 avg300=18.04 total=6869653489\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(waited(text), Some(Duration::from_micros(6_869_653_489)));
        for other in ["", "full total=7\n", "some avg10=0.00\n", "some total=x\n"] {
            assert_eq!(waited(other), None, "{other}");
        }
    }

    #[test]
    fn a_pause_is_as_long_as_others_wait_more_than_usual() {
        let at = Instant::now();
        let begin = CpuThrottle {
            at,
            waited: Duration::from_secs(5),
        };
        let pause_after = |took, waited| {
            begin.pause_at(CpuThrottle {
                at: at + Duration::from_millis(took),
                waited: begin.waited + Duration::from_millis(waited),
            })
        };
        for (took, waited, pause) in [
            (0, 0, 0),
            (100, 0, 0),
            (100, 20, 0),
            (100, 30, 10),
            (100, 45, 25),
            (100, 100, 25),
            (200, 60, 20),
            (1_000, 900, 50),
        ] {
            let made = pause_after(took, waited);
            assert!(
                made.abs_diff(Duration::from_millis(pause)) < Duration::from_micros(1),
                "{took} {waited}: {made:?}"
            );
        }
    }
}
