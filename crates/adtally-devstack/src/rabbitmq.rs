//! A private RabbitMQ server.

mod cluster;
mod configuration;
mod epmd;
mod host;
mod node;
mod options;

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

pub use self::cluster::RabbitmqCluster;
use self::epmd::Epmd;
pub use self::host::Host;
use self::node::{Node, Shared};
pub use self::options::RabbitmqOptions;
use crate::process::ManagedProcess;
use crate::{DevstackError, run};

const USER: &str = "adtally";

/// How long an orderly stop may take; the management plugin alone needs six seconds.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// How often other ports are tried when somebody else took one that was free.
const PORT_ATTEMPTS: u32 = 5;

/// A running RabbitMQ node that belongs to this process.
///
/// It listens on the loopback address only, with a user of its own, a random password and a
/// private port mapper. Dropping it ends it; so does, through the reaper, the end of this
/// process.
#[derive(Debug)]
pub struct RabbitmqServer {
    process: Mutex<ManagedProcess>,
    // Last: a temporary directory is removed after the process has been killed.
    node: Node,
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
                Err(error) if attempt < PORT_ATTEMPTS && error.is_port_taken() => {
                    attempt += 1;
                    node.choose_other_ports()?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The URL of the virtual host `/`. It holds the password.
    pub fn url(&self) -> String {
        let password = &self.node.shared().password;
        let address = self.node.address();
        format!("amqp://{USER}:{password}@{address}:{}/%2f", self.port())
    }

    /// The AMQP port, the same for the server's whole life, restarts included.
    pub fn port(&self) -> u16 {
        self.node.ports.amqp
    }

    /// The port of the management API and UI, when that plugin was asked for.
    pub fn management_port(&self) -> Option<u16> {
        self.node.ports.management
    }

    /// The user of [`Self::url`] and of the management UI, and its password.
    pub fn credentials(&self) -> (&str, &str) {
        (USER, &self.node.shared().password)
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
        let mut command = self.node.tool("rabbitmqctl");
        command.args(["-q", "-n", self.node_name()]).args(args);
        command
    }

    /// Stops the node in order. It is killed when that takes longer than half a minute.
    pub async fn stop(&self) {
        self.process().stop(STOP_GRACE).await;
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
        self.stop().await;
        self.node.end_left_overs().await?;
        let process = self.node.launch().await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        Ok(())
    }

    /// Freezes the node (SIGSTOP): connections stay open, nothing answers. A frozen node can be
    /// resumed and killed, but not stopped in order.
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
        let process = self.process();
        if !self.node.is_temporary() {
            process.signal(Signal::TERM);
            process.wait_blocking(Duration::from_secs(10));
        }
        process.kill();
        process.wait_blocking(Duration::from_secs(5));
    }
}

#[cfg(test)]
mod tests;
