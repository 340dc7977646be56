//! A private PostgreSQL server.

mod cluster;
mod launch;
mod options;
mod sql;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use self::cluster::Cluster;
pub use self::options::PostgresOptions;
use self::options::Primary;
use crate::DevstackError;
use crate::process::ManagedProcess;

/// The superuser, and the database made at the first start.
const USER: &str = "adtally";

/// How long a fast shutdown may take before the server is killed.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// A running PostgreSQL server that belongs to this process.
///
/// Connections are by TCP on the loopback address only, as the superuser `adtally` with a random
/// password. Dropping it ends it; so does, through the reaper, the end of this process.
#[derive(Debug)]
pub struct PostgresServer {
    options: PostgresOptions,
    port: u16,
    password: String,
    process: Mutex<ManagedProcess>,
    // Last: a temporary directory is removed after the process has been killed.
    cluster: Cluster,
}

impl PostgresServer {
    /// Makes the data directory when it is missing, starts the server and waits until it accepts
    /// connections.
    ///
    /// # Errors
    /// The directory is in use or can't be used, or the server does not start; the error then
    /// quotes its log.
    pub async fn start(options: PostgresOptions) -> Result<Self, DevstackError> {
        let cluster = Cluster::open(&options).await?;
        let password = cluster.password()?;
        let (port, process) = launch::launch_somewhere(&options, &cluster).await?;
        let process = Mutex::new(process);
        let server = Self {
            options,
            port,
            password,
            process,
            cluster,
        };
        let known = format!("SELECT 1 FROM pg_database WHERE datname = '{USER}'");
        if server.psql_in("postgres", &known).await?.is_empty() {
            server
                .psql_in("postgres", &format!("CREATE DATABASE {USER}"))
                .await?;
        }
        Ok(server)
    }

    /// What a standby needs to follow this server.
    fn as_primary(&self) -> Primary {
        Primary {
            port: self.port,
            password: self.password.clone(),
        }
    }

    /// The URL of the database `adtally`. It holds the password.
    pub fn url(&self) -> String {
        self.database_url(USER)
    }

    /// The URL of the maintenance database, from which others are created.
    pub fn admin_url(&self) -> String {
        self.database_url("postgres")
    }

    /// The URL of any database of this server.
    pub fn database_url(&self, database: &str) -> String {
        format!(
            "postgres://{USER}:{}@127.0.0.1:{}/{database}",
            self.password, self.port
        )
    }

    /// The port, the same for the server's whole life, restarts included.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the postmaster; another one after a restart.
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// The directory `initdb` made.
    pub fn data_dir(&self) -> &Path {
        self.cluster.data_dir()
    }

    /// The server's log.
    pub fn log_file(&self) -> PathBuf {
        self.cluster.log_file()
    }

    /// True when the server has ended and was not started again.
    pub fn has_exited(&self) -> bool {
        self.process().has_exited()
    }

    /// A handle of the server's present process, to wait for its end.
    pub fn process(&self) -> ManagedProcess {
        self.process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends all sessions and stops the server in order (a fast shutdown). It is killed when that
    /// takes longer than half a minute.
    pub async fn stop(&self) {
        self.process().stop(STOP_GRACE).await;
    }

    /// Kills the postmaster, as `kill -9` or a crash would. Does not wait.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// Stops the server in order if it still runs, then starts it on the same port and data;
    /// after [`Self::kill`] it recovers from its log.
    ///
    /// # Errors
    /// The server does not start again.
    pub async fn restart(&self) -> Result<(), DevstackError> {
        self.stop().await;
        self.cluster.end_left_overs().await?;
        let process = launch::launch(&self.options, &self.cluster, self.port).await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        Ok(())
    }

    /// Freezes all of the server's processes (SIGSTOP): connections stay open, nothing answers.
    /// A frozen server can be resumed and killed, but not stopped in order.
    pub fn pause(&self) {
        self.cluster.signal_all(Signal::STOP);
    }

    /// Ends [`Self::pause`].
    pub fn resume(&self) {
        self.cluster.signal_all(Signal::CONT);
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let process = self.process();
        // A temporary cluster may be left in any state; a kept one deserves an orderly end.
        if !self.cluster.is_temporary() {
            process.signal(Signal::INT);
            process.wait_blocking(Duration::from_secs(10));
        }
        process.kill();
        process.wait_blocking(Duration::from_secs(5));
    }
}

#[cfg(test)]
mod tests;
