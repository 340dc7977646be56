//! Starting the server process on a cluster.

use rustix::process::Signal;

use super::cluster::Cluster;
use super::options::PostgresOptions;
use crate::process::{LogTarget, ManagedProcess, ProcessOptions};
use crate::reaper::Stage;
use crate::startup::await_ready;
use crate::{DevstackError, log_excerpt, ports};

/// How often another port is tried when somebody else took the one that was free.
const PORT_ATTEMPTS: u32 = 5;

/// Starts the server on the asked port, or on free ones until nobody else had it first.
pub(super) async fn launch_somewhere(
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
            Err(error) if attempt < PORT_ATTEMPTS && error.is_port_taken() => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Starts the server and waits until it says, in `postmaster.pid`, that it is ready.
pub(super) async fn launch(
    options: &PostgresOptions,
    cluster: &Cluster,
    port: u16,
) -> Result<ManagedProcess, DevstackError> {
    cluster.remove_stale_pid_file()?;
    let log = cluster.log_file();
    let seen = log_excerpt::begin(&log);
    let program = options.programs.postgres_bin.join("postgres");
    let process = ManagedProcess::spawn(
        options
            .environment
            .iter()
            .fold(
                ProcessOptions::new("PostgreSQL", program),
                |process, (name, value)| process.env(name, value),
            )
            .arg("-D")
            .arg(cluster.data_dir())
            .args(options.settings(port, cluster.is_temporary()))
            .env("LC_ALL", "C")
            .dir(cluster.data_dir())
            .log(LogTarget::File(log.clone()))
            .stage(Stage::Servers)
            .stop_signal(Signal::INT)
            .account(cluster.account()),
    )?;
    let is_ready = || cluster.is_ready(process.pid());
    await_ready(&process, (&log, seen), options.start_timeout, is_ready).await?;
    Ok(process)
}
