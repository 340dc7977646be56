//! A database of one test.

use crate::{DevstackError, PostgresServer};

/// A database of one test, dropped with this value, whoever is still connected to it.
#[derive(Debug)]
pub struct TestDatabase<'a> {
    server: &'a PostgresServer,
    name: String,
    url: String,
    kept: bool,
}

impl<'a> TestDatabase<'a> {
    pub(super) fn create(
        server: &'a PostgresServer,
        name: String,
        template: &str,
    ) -> Result<Self, DevstackError> {
        let sql = format!("CREATE DATABASE \"{name}\" TEMPLATE \"{template}\"");
        server.psql_blocking("postgres", &sql)?;
        let url = server.database_url(&name);
        Ok(Self {
            server,
            name,
            url,
            kept: false,
        })
    }

    /// Its URL, with user and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL in it, blocking this thread; the rows, unaligned and without headers.
    ///
    /// # Errors
    /// The first statement that fails, in PostgreSQL's words.
    pub fn psql(&self, sql: &str) -> Result<String, DevstackError> {
        self.server.psql_blocking(&self.name, sql)
    }

    /// Leaves the database to the server's own end.
    #[must_use]
    pub(super) fn keep(mut self) -> Self {
        self.kept = true;
        self
    }
}

impl Drop for TestDatabase<'_> {
    fn drop(&mut self) {
        if !self.kept && !self.server.has_exited() {
            let sql = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name);
            // The whole server is removed with the process anyway.
            let _ = self.server.psql_blocking("postgres", &sql);
        }
    }
}
