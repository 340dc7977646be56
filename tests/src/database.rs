//! The database of a system.

use std::sync::Arc;

use adtally_devstack::testing::TestDatabase;

/// Runs SQL; the rows, unaligned and without headers, or PostgreSQL's words.
pub(crate) type Psql = dyn Fn(&str) -> Result<String, String> + Send + Sync;

/// A database, and the way to ask it behind AdTally's back.
pub(crate) struct Database {
    url: String,
    psql: Arc<Psql>,
}

impl Database {
    /// One of a test stack, dropped with this value.
    pub(crate) fn own(database: TestDatabase<'static>) -> Self {
        let url = database.url().to_owned();
        let psql = move |sql: &str| database.psql(sql).map_err(|error| error.to_string());
        Self {
            url,
            psql: Arc::new(psql),
        }
    }

    /// One that somebody else looks after.
    pub(crate) fn elsewhere(url: String, psql: Arc<Psql>) -> Self {
        Self { url, psql }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn psql(&self, sql: &str) -> Result<String, String> {
        (self.psql)(sql)
    }
}
