//! A private RabbitMQ server.

mod cluster;
mod epmd;
mod node;
mod options;

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

pub use self::cluster::RabbitmqCluster;
use self::epmd::Epmd;
use self::node::Node;
pub use self::options::RabbitmqOptions;
use crate::process::ManagedProcess;
use crate::{DevstackError, ports, run, secret};

const USER: &str = "adtally";

/// How long an orderly stop may take; the management plugin alone needs six seconds.
const STOP_GRACE: Duration = Duration::from_secs(30);

const PORT_ATTEMPTS: u32 = 5;

/// A running RabbitMQ node that belongs to this process.
///
/// It listens on the loopback address only, with a user of its own, a random password and a
/// private port mapper. Dropping it kills it; so does, through the reaper, the end of this
/// process.
#[derive(Debug)]
pub struct RabbitmqServer {
    process: Mutex<ManagedProcess>,
    node: Node,
}

/// What the nodes of a cluster share.
#[derive(Debug, Clone)]
struct Shared {
    epmd: Arc<Epmd>,
    cookie: String,
    password: String,
    /// Names of the nodes that run already, to be joined.
    join: Vec<String>,
}

impl RabbitmqServer {
    /// Starts a node and waits until it takes connections: five to seven seconds.
    ///
    /// # Errors
    /// The directory is in use or can't be used, or the server does not start; the error then
    /// quotes its log.
    pub async fn start(options: RabbitmqOptions) -> Result<Self, DevstackError> {
        Self::start_node(options, None).await
    }

    async fn start_node(
        options: RabbitmqOptions,
        shared: Option<Shared>,
    ) -> Result<Self, DevstackError> {
        let mut node = Node::open(options, shared).await?;
        let mut attempt = 1;
        loop {
            match node.launch().await {
                Ok(process) => {
                    return Ok(Self {
                        process: Mutex::new(process),
                        node,
                    });
                }
                Err(error) if attempt < PORT_ATTEMPTS && is_port_taken(&error) => {
                    attempt += 1;
                    node.choose_other_ports()?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The URL of the virtual host `/`. It holds the password.
    pub fn url(&self) -> String {
        format!(
            "amqp://{USER}:{}@127.0.0.1:{}/%2f",
            self.node.password(),
            self.node.ports.amqp
        )
    }

    /// The AMQP port, the same for the server's whole life, restarts included.
    pub fn port(&self) -> u16 {
        self.node.ports.amqp
    }

    /// The port of the management API and UI, when that plugin was asked for.
    pub fn management_port(&self) -> Option<u16> {
        self.node.ports.management
    }

    /// The URL of the management API and UI, without the user and password of [`Self::url`].
    pub fn management_url(&self) -> Option<String> {
        self.management_port()
            .map(|port| format!("http://127.0.0.1:{port}/"))
    }

    /// The node's name, for example `adtally@localhost`.
    pub fn node_name(&self) -> &str {
        self.node.name()
    }

    /// The process id of the Erlang virtual machine; another one after a restart.
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// The server's log.
    pub fn log_file(&self) -> PathBuf {
        self.node.log_file()
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

    /// Runs `rabbitmqctl` with these arguments against this node; what it printed. Takes one to
    /// two seconds.
    ///
    /// # Errors
    /// The command fails; the error quotes it.
    pub async fn ctl(&self, args: &[&str]) -> Result<String, DevstackError> {
        run::output_async(self.ctl_command(args), String::new()).await
    }

    /// [`Self::ctl`] without a runtime: it blocks this thread.
    ///
    /// # Errors
    /// As there.
    pub fn ctl_blocking(&self, args: &[&str]) -> Result<String, DevstackError> {
        run::output(self.ctl_command(args), "")
    }

    fn ctl_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.node.program("rabbitmqctl"));
        command
            .args(["-q", "-n", self.node_name()])
            .args(args)
            .envs(self.node.environment());
        command
    }

    /// Stops the node in order.
    ///
    /// # Errors
    /// None at present; the server is killed when it does not stop.
    pub async fn stop(&self) -> Result<(), DevstackError> {
        self.process().stop(STOP_GRACE).await;
        Ok(())
    }

    /// Kills the node, as `kill -9` or a crash would. Does not wait.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// Stops the node in order if it still runs, then starts it on the same ports and data.
    ///
    /// # Errors
    /// The server does not start again.
    pub async fn restart(&self) -> Result<(), DevstackError> {
        self.stop().await?;
        self.node.end_left_overs().await?;
        let process = self.node.launch().await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        Ok(())
    }

    /// Freezes the node (SIGSTOP): connections stay open, nothing answers.
    pub fn pause(&self) {
        self.process().signal(Signal::STOP);
    }

    /// Ends [`Self::pause`].
    pub fn resume(&self) {
        self.process().signal(Signal::CONT);
    }
}

impl Drop for RabbitmqServer {
    fn drop(&mut self) {
        if !self.node.is_temporary() {
            self.process().signal(Signal::TERM);
            self.process().wait_blocking(Duration::from_secs(10));
        }
        self.process().kill_and_wait(Duration::from_secs(5));
    }
}

fn is_port_taken(error: &DevstackError) -> bool {
    matches!(error, DevstackError::StartFailed { tail, .. } if tail.contains("eaddrinuse"))
}

#[cfg(test)]
mod tests;
