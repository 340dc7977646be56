//! Running SQL with psql.

use std::process::Command;

use super::{PostgresServer, USER};
use crate::{DevstackError, run};

impl PostgresServer {
    /// Runs SQL statements in the database `adtally`, each in its own transaction; the rows,
    /// unaligned and without headers.
    ///
    /// # Errors
    /// The first statement that fails, in PostgreSQL's words.
    pub async fn psql(&self, sql: &str) -> Result<String, DevstackError> {
        self.psql_in(USER, sql).await
    }

    /// [`Self::psql`] in another database.
    ///
    /// # Errors
    /// As there.
    pub async fn psql_in(&self, database: &str, sql: &str) -> Result<String, DevstackError> {
        run::output_async(self.psql_command(database), sql.to_owned()).await
    }

    /// [`Self::psql_in`] without a runtime: it blocks this thread.
    ///
    /// # Errors
    /// As there.
    pub fn psql_blocking(&self, database: &str, sql: &str) -> Result<String, DevstackError> {
        run::output(self.psql_command(database), sql)
    }

    fn psql_command(&self, database: &str) -> Command {
        let mut command = Command::new(self.options.programs.postgres_bin.join("psql"));
        run::forget_environment(&mut command, &["PG"]);
        command
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
            ])
            .args([
                "-U",
                USER,
                "-d",
                database,
                "-p",
                &self.port.to_string(),
                "-f",
                "-",
            ])
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", "10")
            .env("LC_ALL", "C.UTF-8");
        command
    }
}
