//! Something in the database that holds everybody up.

use std::thread::{self, JoinHandle};

use adtally_tests::{System, until};

/// A session that holds a lock until this value is dropped.
pub(crate) struct Hold<'a> {
    system: &'a System,
    name: String,
    holder: Option<JoinHandle<()>>,
}

impl<'a> Hold<'a> {
    /// Runs `lock` in a transaction that stays open. Returns once the lock is held.
    pub(crate) fn of(system: &'a System, lock: &str) -> Self {
        let name = format!("hold-{}", system.prefix());
        let script = format!(
            "SET application_name = '{name}'; SET statement_timeout = 0; BEGIN; {lock}; \
             SELECT pg_sleep(3600)"
        );
        let psql = system.psql();
        let holder = thread::spawn(move || {
            // It ends with its session, which is an error.
            let _ = psql(&script);
        });
        let held = format!(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE application_name = '{name}' AND wait_event = 'PgSleep'"
        );
        until("a lock is held", || {
            (system.count(&held) == 1).then_some(())
        });
        Self {
            system,
            name,
            holder: Some(holder),
        }
    }

    /// Waits until another session waits for a lock.
    pub(crate) fn until_it_bites(&self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until("somebody waits for the lock", || {
            (self.system.count(waiting) > 0).then_some(())
        });
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}'",
            self.name
        );
        // The database may be gone, and this thread may be panicking already.
        let _ = self.system.psql()(&end);
        if let Some(holder) = self.holder.take() {
            let _ = holder.join();
        }
    }
}
