//! Waiting for what must come true.

use std::time::{Duration, Instant};

/// How long anything may take that is expected to happen. Long, because the machine may be busy:
/// a test that passes never waits it out.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `condition` again and again until it answers.
///
/// # Panics
/// When it has not within a minute, naming `what`.
pub fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, condition)
}

/// [`until`] with another patience.
///
/// # Panics
/// When `condition` has not answered within `limit`, naming `what`.
pub fn until_within<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether `condition` comes true within two seconds.
pub(crate) fn soon(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
