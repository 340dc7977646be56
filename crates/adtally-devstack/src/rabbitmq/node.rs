//! One node: its directory, its ports and its start.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use super::host::Host;
use super::{Epmd, RabbitmqOptions, configuration};
use crate::directory::{Entry, ServerDirectory};
use crate::process::{LogTarget, ManagedProcess, ProcessOptions};
use crate::reaper::Stage;
use crate::startup::await_ready;
use crate::{DevstackError, log_excerpt, ports, run, secret};

/// What the log says once all listeners are open.
const READY: &str = "Server startup complete";

#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) management: Option<u16>,
    pub(super) distribution: u16,
}

/// What the nodes of a cluster share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) epmd: Arc<Epmd>,
    pub(super) cookie: String,
    pub(super) password: String,
    /// Names of the nodes that run already, to be joined.
    pub(super) join: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Node {
    options: RabbitmqOptions,
    name: String,
    pub(super) ports: Ports,
    shared: Shared,
    directory: ServerDirectory,
}

impl Node {
    /// Takes the directory and chooses ports; `shared` is that of the cluster to be joined.
    pub(super) async fn open(
        options: RabbitmqOptions,
        shared: Option<Shared>,
    ) -> Result<Self, DevstackError> {
        // RabbitMQ leaves its data readable to all: events, with what they say of visitors.
        let directory = ServerDirectory::open(&options.storage, "rabbitmq", Entry::Closed).await?;
        let shared = match shared {
            Some(shared) => shared.on(&options, &directory).await?,
            None => Shared::for_one(&options, &directory).await?,
        };
        let host = options.host.as_ref().map_or("localhost", |host| &host.name);
        let name = format!("{}@{host}", options.node_name);
        let ports = Ports::choose(&options)?;
        Ok(Self {
            options,
            name,
            ports,
            shared,
            directory,
        })
    }

    pub(super) fn options(&self) -> &RabbitmqOptions {
        &self.options
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Where it listens.
    pub(super) fn address(&self) -> Ipv4Addr {
        address(self.options.host.as_ref())
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.directory.is_temporary()
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.file("rabbitmq.log")
    }

    /// A file or directory of the node.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(super) fn choose_other_ports(&mut self) -> Result<(), DevstackError> {
        self.ports = Ports::choose(&self.options)?;
        Ok(())
    }

    /// Waits until nothing is left of a killed server. The port mapper, which works in the
    /// directory too, stays.
    pub(super) async fn end_left_overs(&self) -> Result<(), DevstackError> {
        self.directory
            .end_left_overs(&["beam.smp", "erl_child_setup"])
            .await
    }

    /// One of RabbitMQ's command-line tools, in the node's environment.
    pub(super) fn tool(&self, name: &str) -> Command {
        let program = self.options.programs.rabbitmq_bin.join(name);
        let (program, args) = Host::command(self.options.host.as_ref(), &program);
        let mut command = Command::new(program);
        run::forget_environment(&mut command, &configuration::FOREIGN);
        command
            .args(args)
            .envs(configuration::environment(self))
            .current_dir(self.directory.path());
        command
    }

    /// Starts the server and waits until it says in its log that it is up.
    pub(super) async fn launch(&self) -> Result<ManagedProcess, DevstackError> {
        configuration::write(self)?;
        self.shared.epmd.ensure_running().await?;
        let log = self.log_file();
        let seen = log_excerpt::begin(&log);
        let program = self.options.programs.rabbitmq_bin.join("rabbitmq-server");
        let (program, args) = Host::command(self.options.host.as_ref(), &program);
        let mut options = ProcessOptions::new(format!("RabbitMQ ({})", self.name), program)
            .args(args)
            .dir(self.directory.path())
            .log(LogTarget::File(log.clone()))
            .stage(Stage::Servers);
        for key in run::environment_with(&configuration::FOREIGN) {
            options = options.env_remove(key);
        }
        for (key, value) in configuration::environment(self) {
            options = options.env(key, value);
        }
        let process = ManagedProcess::spawn(options)?;
        let is_ready = || log_excerpt::added(&log, seen).contains(READY);
        await_ready(&process, (&log, seen), self.options.start_timeout, is_ready).await?;
        Ok(process)
    }
}

impl Ports {
    fn choose(options: &RabbitmqOptions) -> Result<Self, DevstackError> {
        Ok(Self {
            amqp: options.port.map_or_else(ports::free_port, Ok)?,
            management: options.management.then(ports::free_port).transpose()?,
            distribution: ports::free_port()?,
        })
    }
}

impl Shared {
    /// For a node on its own: a port mapper in its directory, the password and cookie kept there.
    async fn for_one(
        options: &RabbitmqOptions,
        directory: &ServerDirectory,
    ) -> Result<Self, DevstackError> {
        let host = options.host.clone();
        Ok(Self {
            epmd: Arc::new(Epmd::start(&options.programs.epmd, directory.path(), host).await?),
            cookie: secret::kept_word(&directory.join("cookie"))?,
            password: secret::kept_word(&directory.join("password"))?,
            join: Vec::new(),
        })
    }

    /// For a further node of a cluster: on a host of its own it has a port mapper of its own, at the
    /// port where the others look for it.
    async fn on(
        mut self,
        options: &RabbitmqOptions,
        directory: &ServerDirectory,
    ) -> Result<Self, DevstackError> {
        if let Some(host) = options.host.clone() {
            let (program, port) = (&options.programs.epmd, self.epmd.port());
            let epmd = Epmd::start_at(program, directory.path(), Some(host), port).await?;
            self.epmd = Arc::new(epmd);
        }
        Ok(self)
    }
}

/// Where the servers of a host listen.
pub(super) fn address(host: Option<&Host>) -> Ipv4Addr {
    host.map_or(Ipv4Addr::LOCALHOST, |host| host.address)
}
