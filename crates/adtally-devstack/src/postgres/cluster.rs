//! A database cluster on disk: made once, owned by the user the server runs as.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use super::options::Primary;
use super::{PostgresOptions, USER};
use crate::account::Account;
use crate::directory::{Entry, ServerDirectory};
use crate::log_excerpt::{added, excerpt};
use crate::process::{LogTarget, ManagedProcess, ProcessOptions};
use crate::reaper::Stage;
use crate::{DevstackError, run, secret};

const FILL_LIMIT: Duration = Duration::from_secs(120);

/// `<directory>/data` is the cluster; beside it are the lock, the password and the log.
#[derive(Debug)]
pub(super) struct Cluster {
    directory: ServerDirectory,
    data: PathBuf,
    account: Option<Account>,
}

impl Cluster {
    /// Takes the directory, and makes the cluster when there is none.
    pub(super) async fn open(options: &PostgresOptions) -> Result<Self, DevstackError> {
        let directory = ServerDirectory::open(&options.storage, "postgres", Entry::Passing).await?;
        let account = Account::for_server(directory.path())?;
        let data = directory.join("data");
        let cluster = Self {
            directory,
            data,
            account,
        };
        if let Some(primary) = &options.primary {
            secret::write_private(&cluster.directory.join("password"), &primary.password)?;
        }
        if !cluster.data.join("PG_VERSION").exists() {
            cluster.initialise(options).await?;
        }
        Ok(cluster)
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.directory.join("postgres.log")
    }

    pub(super) fn account(&self) -> Option<Account> {
        self.account.clone()
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.directory.is_temporary()
    }

    pub(super) fn password(&self) -> Result<String, DevstackError> {
        let file = self.directory.join("password");
        let password = secret::kept_word(&file)?;
        if let Some(account) = &self.account {
            // initdb reads it as that user.
            account.own(&file)?;
        }
        Ok(password)
    }

    /// Fills a directory that gets its final name only when all is done.
    async fn initialise(&self, options: &PostgresOptions) -> Result<(), DevstackError> {
        self.password()?;
        let unfinished = self.directory.join("data.new");
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(DevstackError::io("could not remove", &unfinished)(error));
            }
            _ => {}
        }
        DirBuilder::new()
            .mode(0o700)
            .create(&unfinished)
            .map_err(DevstackError::io("could not make directory", &unfinished))?;
        if let Some(account) = &self.account {
            account.own(&unfinished)?;
        }
        let program = |name| ProcessOptions::new(name, options.programs.postgres_bin.join(name));
        let (name, program) = match &options.primary {
            Some(primary) => ("pg_basebackup", copied(primary, program("pg_basebackup"))),
            None => ("initdb", self.empty(program("initdb"))),
        };
        let log = self.directory.join(&format!("{name}.log"));
        let program = program
            .arg("-D")
            .arg(&unfinished)
            .env("LC_ALL", "C.UTF-8")
            .dir(&unfinished)
            .log(LogTarget::File(log.clone()))
            .stage(Stage::Servers)
            .account(self.account());
        match ManagedProcess::spawn(program)?
            .exited_within(FILL_LIMIT)
            .await
        {
            Some(status) if status.success() => {}
            _ => {
                return Err(DevstackError::Program {
                    program: name.to_owned(),
                    detail: excerpt(&added(&log, 0)),
                });
            }
        }
        fs::rename(&unfinished, &self.data)
            .map_err(DevstackError::io("could not rename", &unfinished))
    }

    /// A new cluster, made by `initdb`.
    fn empty(&self, initdb: ProcessOptions) -> ProcessOptions {
        let initdb = initdb
            .args([
                "-U",
                USER,
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-A",
                "scram-sha-256",
            ])
            .arg("--pwfile")
            .arg(self.directory.join("password"));
        if self.is_temporary() {
            initdb.arg("--no-sync")
        } else {
            initdb
        }
    }

    /// The directory is locked by us and no server works in it: a pid file there names a process
    /// that is gone, or one that has got its number since and would keep PostgreSQL from starting.
    pub(super) fn remove_stale_pid_file(&self) -> Result<(), DevstackError> {
        let file = self.data.join("postmaster.pid");
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(DevstackError::io("could not remove", &file)(error))
            }
            _ => Ok(()),
        }
    }

    /// Whether the server with this process id accepts connections: what `pg_ctl` looks at.
    pub(super) fn is_ready(&self, pid: u32) -> bool {
        let text = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        let mut lines = text.lines();
        lines.next().and_then(|line| line.trim().parse().ok()) == Some(pid)
            && lines.nth(6).is_some_and(|status| status.trim() == "ready")
    }

    pub(super) async fn end_left_overs(&self) -> Result<(), DevstackError> {
        self.directory.end_left_overs(&["postgres"]).await
    }

    pub(super) fn signal_all(&self, signal: Signal) {
        run::signal_all(&run::servers_in(&self.data, &["postgres"]), signal);
    }
}

/// A copy of the primary's cluster that will follow it, made by `pg_basebackup`.
fn copied(primary: &Primary, pg_basebackup: ProcessOptions) -> ProcessOptions {
    let port = primary.port;
    let primary_url = format!("host=127.0.0.1 port={port} user={USER} application_name=standby");
    pg_basebackup
        .args([
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-sync",
        ])
        .args(["-d", &primary_url])
        .env("PGPASSWORD", &primary.password)
}
