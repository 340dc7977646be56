//! How to reach the database, and how long to wait for it.

use std::time::Duration;

/// How a [`crate::Store`] reaches PostgreSQL. Start from [`StoreConfig::new`].
#[derive(Clone)]
pub struct StoreConfig {
    /// A `postgresql://` URL; several hosts and every parameter of libpq are allowed.
    pub url: String,
    /// Most connections held at once. Reading totals takes all but a quarter of them, but one at least, so
    /// that what is quick always finds one.
    pub pool_size: u32,
    /// How long to wait for a connection, new or out of the pool.
    pub connect_timeout: Duration,
    /// How long one statement may run, but never longer than a call; those of roll-ups and the audit
    /// may run longer.
    pub statement_timeout: Duration,
    /// How long one statement may wait for a lock.
    pub lock_timeout: Duration,
    /// How long one call of a store's method may take in all. The audit and the roll-ups are exempt:
    /// the database's size decides about them.
    pub call_timeout: Duration,
    /// The name the connections carry in `pg_stat_activity`.
    pub application_name: String,
}

impl StoreConfig {
    /// The configuration a worker runs with.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            pool_size: 6,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(60),
            lock_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(120),
            application_name: "adtally".to_owned(),
        }
    }

    /// How many calls that may take long run at once. One connection is the least there is to share.
    pub(crate) fn slow_calls(&self) -> usize {
        let kept = (self.pool_size / 4).max(1);
        self.pool_size.saturating_sub(kept).max(1) as usize
    }

    /// How long the server lets a statement run: nobody waits for it once its call is over.
    pub(crate) fn statement_limit(&self) -> Duration {
        self.statement_timeout.min(self.call_timeout)
    }

    /// The URL with the time-outs libpq would otherwise lack: without them a silent host would hold
    /// a connection for the hours that TCP waits.
    pub(crate) fn connection_url(&self) -> String {
        let mut url = self.url.clone();
        // libpq counts whole seconds, takes 1 for 2, and 0 for ever.
        let connect = self.connect_timeout.as_secs().max(2).to_string();
        for (name, value) in [
            ("connect_timeout", connect.as_str()),
            ("keepalives_idle", "15"),
            ("keepalives_interval", "5"),
            ("keepalives_count", "3"),
            ("tcp_user_timeout", "30000"),
        ] {
            if !names_parameter(&url, name) {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str(name);
                url.push('=');
                url.push_str(value);
            }
        }
        url
    }
}

fn names_parameter(url: &str, name: &str) -> bool {
    url.split_once('?').is_some_and(|(_, query)| {
        query
            .split('&')
            .any(|pair| pair.split('=').next() == Some(name))
    })
}

impl std::fmt::Debug for StoreConfig {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreConfig")
            .field("pool_size", &self.pool_size)
            .field("connect_timeout", &self.connect_timeout)
            .field("application_name", &self.application_name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs_are_added_unless_the_operator_set_them() {
        let url = StoreConfig::new("postgresql://u:p@h1:5432,h2:5433/db").connection_url();
        assert!(url.starts_with("postgresql://u:p@h1:5432,h2:5433/db?connect_timeout=5&"));
        assert!(url.contains("&tcp_user_timeout=30000"));

        let own = "postgresql:///db?sslmode=disable&connect_timeout=30";
        let url = StoreConfig::new(own).connection_url();
        assert!(url.starts_with(own));
        assert_eq!(url.matches("connect_timeout").count(), 1);
    }

    #[test]
    fn a_password_is_never_shown() {
        let config = StoreConfig::new("postgresql://u:secret@h/db");
        assert!(!format!("{config:?}").contains("secret"));
    }
}
