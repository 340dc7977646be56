//! A private PostgreSQL server.

mod cluster;
mod options;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use self::cluster::Cluster;
pub use self::options::PostgresOptions;
use crate::process::{LogTarget, ManagedProcess, ProcessOptions};
use crate::reaper::Stage;
use crate::{DevstackError, ports, run};

/// The superuser, and the database made at the first start.
const USER: &str = "adtally";

/// How long a fast shutdown may take before the server is killed.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// How often another port is tried when somebody else took the one that was free.
const PORT_ATTEMPTS: u32 = 5;

/// A running PostgreSQL server that belongs to this process.
///
/// Connections are by TCP on the loopback address only, as the superuser `adtally` with a random
/// password. Dropping it kills it; so does, through the reaper, the end of this process.
#[derive(Debug)]
pub struct PostgresServer {
    options: PostgresOptions,
    port: u16,
    password: String,
    process: Mutex<ManagedProcess>,
    // Last: it is removed after the process has been killed.
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
        let (options, cluster) = Cluster::open(options).await?;
        let password = cluster.password()?;
        let (port, process) = launch_somewhere(&options, &cluster).await?;
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
            .env_remove("PGOPTIONS")
            .env_remove("PGSERVICE");
        command
    }

    /// Ends all sessions and stops the server in order (a fast shutdown).
    ///
    /// # Errors
    /// None at present; the server is killed when it does not stop.
    pub async fn stop(&self) -> Result<(), DevstackError> {
        self.process().stop(STOP_GRACE).await;
        Ok(())
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
        self.stop().await?;
        self.cluster.end_left_overs().await?;
        let process = launch(&self.options, &self.cluster, self.port).await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        Ok(())
    }

    /// Freezes all of the server's processes (SIGSTOP): connections stay open, nothing answers.
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
        // A temporary cluster may be left in any state; a kept one deserves an orderly end.
        if !self.cluster.is_temporary() {
            self.process().signal(Signal::INT);
            self.process().wait_blocking(Duration::from_secs(10));
        }
        self.process().kill_and_wait(Duration::from_secs(5));
    }
}

/// Starts the server on the asked port, or on free ones until nobody else had it first.
async fn launch_somewhere(
    options: &PostgresOptions,
    cluster: &Cluster,
) -> Result<(u16, ManagedProcess), DevstackError> {
    if let Some(port) = options.port {
        return Ok((port, launch(options, cluster, port).await?));
    }
    let mut attempt = 1;
    loop {
        let port = ports::free_port()?;
        match launch(options, cluster, port).await {
            Ok(process) => return Ok((port, process)),
            Err(error) if attempt < PORT_ATTEMPTS && is_port_taken(&error) => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

fn is_port_taken(error: &DevstackError) -> bool {
    matches!(error, DevstackError::StartFailed { tail, .. } if tail.contains("Address already in use"))
}

/// Starts the server and waits until it says, in `postmaster.pid`, that it is ready.
async fn launch(
    options: &PostgresOptions,
    cluster: &Cluster,
    port: u16,
) -> Result<ManagedProcess, DevstackError> {
    cluster.remove_stale_pid_file()?;
    let log = cluster.log_file();
    let process = ManagedProcess::spawn(
        ProcessOptions::new("PostgreSQL", options.programs.postgres_bin.join("postgres"))
            .arg("-D")
            .arg(cluster.data_dir())
            .args(options.settings(port, cluster.is_temporary()))
            .dir(cluster.data_dir())
            .log(LogTarget::File(log.clone()))
            .stage(Stage::Servers)
            .stop_signal(Signal::INT)
            .account(cluster.account()),
    )?;
    let started = Instant::now();
    loop {
        if let Some(status) = process.exit_status() {
            let tail = run::tail(&log, 6);
            return Err(DevstackError::StartFailed {
                server: "PostgreSQL".into(),
                status,
                log,
                tail,
            });
        }
        if cluster.is_ready(process.pid()) {
            return Ok(process);
        }
        if started.elapsed() > options.start_timeout {
            let (waited, tail) = (options.start_timeout, run::tail(&log, 6));
            return Err(DevstackError::StartTimedOut {
                server: "PostgreSQL".into(),
                waited,
                log,
                tail,
            });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests;
