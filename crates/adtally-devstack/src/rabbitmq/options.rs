//! How a private RabbitMQ node is set up.

use std::time::Duration;

use super::host::Host;
use crate::directory::Storage;
use crate::packages::ServerPrograms;

/// What [`crate::RabbitmqServer::start`] needs to know.
#[derive(Debug, Clone)]
pub struct RabbitmqOptions {
    pub(super) programs: ServerPrograms,
    pub(super) storage: Storage,
    pub(super) node_name: String,
    pub(super) port: Option<u16>,
    pub(super) heartbeat: Duration,
    pub(super) management: bool,
    pub(super) plugins: Vec<String>,
    pub(super) conf: Vec<String>,
    pub(super) start_timeout: Duration,
    /// The hosts of a cluster, and which of them is the node's; none when all is on this host.
    pub(super) hosts: Vec<Host>,
    pub(super) host: Option<Host>,
}

impl RabbitmqOptions {
    /// The node `adtally@localhost` in a temporary directory on free ports, without plugins.
    pub fn new(programs: &ServerPrograms) -> Self {
        Self {
            programs: programs.clone(),
            storage: Storage::Temporary,
            node_name: "adtally".to_owned(),
            port: None,
            heartbeat: Duration::from_secs(20),
            management: false,
            plugins: Vec::new(),
            conf: Vec::new(),
            start_timeout: Duration::from_secs(120),
            hosts: Vec::new(),
            host: None,
        }
    }

    /// Where the data is kept.
    #[must_use]
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }

    /// The part of the node's name before `@localhost`: letters, digits, `-` and `_`. The stored
    /// data belongs to a name, so a kept directory needs the same one each time.
    #[must_use]
    pub fn node_name(mut self, name: impl Into<String>) -> Self {
        self.node_name = name.into();
        self
    }

    /// A fixed AMQP port instead of a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The heartbeat the server proposes to clients, in whole seconds.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// Enables the management API and UI on a free port. Stopping takes five seconds longer then.
    #[must_use]
    pub fn management(mut self) -> Self {
        self.management = true;
        self
    }

    /// Enables a plugin, for example `rabbitmq_shovel`.
    #[must_use]
    pub fn plugin(mut self, plugin: impl Into<String>) -> Self {
        self.plugins.push(plugin.into());
        self
    }

    /// Adds a line to `rabbitmq.conf`; it wins over ours.
    #[must_use]
    pub fn conf(mut self, line: impl Into<String>) -> Self {
        self.conf.push(line.into());
        self
    }

    /// How long the server may take to start.
    #[must_use]
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_timeout = limit;
        self
    }
}
