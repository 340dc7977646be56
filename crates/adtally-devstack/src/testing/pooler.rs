//! PgBouncer in front of a test's PostgreSQL.

use std::fs;
use std::time::Duration;

use crate::account::Account;
use crate::directory::{Entry, ServerDirectory, Storage};
use crate::process::{LogTarget, ManagedProcess, ProcessOptions};
use crate::reaper::Stage;
use crate::startup::await_ready;
use crate::{DevstackError, log_excerpt, ports};

/// A running PgBouncer; ended with this value.
#[derive(Debug)]
pub struct PgBouncer {
    url: String,
    process: ManagedProcess,
    // Last: removed once the process has ended.
    _directory: ServerDirectory,
}

impl PgBouncer {
    /// Starts PgBouncer with this `pool_mode` in front of the database of `url`, with five
    /// connections to it.
    ///
    /// # Errors
    /// It cannot be had, or does not start.
    pub async fn start(pool_mode: &str, url: &str) -> Result<Self, DevstackError> {
        let program = super::pgbouncer().await?;
        let directory =
            ServerDirectory::open(&Storage::Temporary, "pgbouncer", Entry::Passing).await?;
        let path = directory.path();
        let file = path.join("pgbouncer.ini");
        let log = path.join("pgbouncer.log");
        let port = ports::free_port()?;
        let (before, database) = url.rsplit_once('/').unwrap_or((url, ""));
        let (login, server) = before.rsplit_once('@').unwrap_or(("", before));
        let (user, password) = login
            .trim_start_matches("postgres://")
            .split_once(':')
            .unwrap_or((login, ""));
        let (host, server_port) = server.split_once(':').unwrap_or((server, "5432"));
        let settings = format!(
            "[databases]\n\
             {database} = host={host} port={server_port} user={user} password={password}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = {pool_mode}\n\
             default_pool_size = 5\nmax_client_conn = 200\n"
        );
        fs::write(&file, settings).map_err(DevstackError::io("could not write", &file))?;
        let account = Account::for_server(path)?;
        if let Some(account) = &account {
            account.own(path)?;
            account.own(&file)?;
        }
        let seen = log_excerpt::begin(&log);
        let process = ManagedProcess::spawn(
            ProcessOptions::new("PgBouncer", program)
                .arg(&file)
                .log(LogTarget::File(log.clone()))
                .stage(Stage::Servers)
                .account(account),
        )?;
        let limit = Duration::from_secs(30);
        let is_ready = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        await_ready(&process, (&log, seen), limit, is_ready).await?;
        Ok(Self {
            url: format!("postgres://{user}@127.0.0.1:{port}/{database}"),
            process,
            _directory: directory,
        })
    }

    /// The URL of the database behind it.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.process.kill();
        self.process.wait_blocking(Duration::from_secs(5));
    }
}
