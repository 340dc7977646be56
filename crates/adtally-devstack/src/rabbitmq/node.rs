//! One node: its directory, its configuration and its start.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Epmd, RabbitmqOptions, Shared, USER, ports, run, secret};
use crate::DevstackError;
use crate::directory::ServerDirectory;
use crate::process::{LogTarget, ManagedProcess, ProcessOptions};
use crate::reaper::Stage;

/// What the log says once all listeners are open.
const READY: &[u8] = b"Server startup complete";

#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) management: Option<u16>,
    distribution: u16,
}

#[derive(Debug)]
pub(super) struct Node {
    options: RabbitmqOptions,
    name: String,
    pub(super) ports: Ports,
    shared: Shared,
    directory: ServerDirectory,
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

impl Node {
    pub(super) async fn open(
        options: RabbitmqOptions,
        shared: Option<Shared>,
    ) -> Result<Self, DevstackError> {
        let storage = options.storage.clone();
        let opened =
            tokio::task::spawn_blocking(move || ServerDirectory::open(&storage, "rabbitmq"));
        let directory = opened.await.map_err(|error| DevstackError::Program {
            program: "opening the data directory".to_owned(),
            detail: error.to_string(),
        })??;
        let shared = match shared {
            Some(shared) => shared,
            None => Shared::for_one(&options, &directory).await?,
        };
        let name = format!("{}@localhost", options.node_name);
        let ports = Ports::choose(&options)?;
        let node = Self {
            options,
            name,
            ports,
            shared,
            directory,
        };
        node.prepare_home()?;
        Ok(node)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn password(&self) -> &str {
        &self.shared.password
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.directory.is_temporary()
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.directory.join("rabbitmq.log")
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.options.programs.rabbitmq_bin.join(name)
    }

    pub(super) fn choose_other_ports(&mut self) -> Result<(), DevstackError> {
        self.ports = Ports::choose(&self.options)?;
        Ok(())
    }

    pub(super) async fn end_left_overs(&self) -> Result<(), DevstackError> {
        // The port mapper works in the first node's directory and stays.
        self.directory
            .wait_for_left_overs(&["beam.smp", "erl_child_setup"])
            .await
    }

    fn prepare_home(&self) -> Result<(), DevstackError> {
        let home = self.directory.join("home");
        fs::create_dir_all(&home).map_err(DevstackError::io("could not make directory", &home))?;
        let cookie = home.join(".erlang.cookie");
        secret::write_private(&cookie, &self.shared.cookie)
    }

    /// Environment of the server and of its command-line tools. Everything that would be read
    /// from, or written to, the system's own RabbitMQ is pointed elsewhere.
    pub(super) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let path = |name: &str| self.directory.join(name).into_os_string();
        let loopback = "-kernel inet_dist_use_interface {127,0,0,1}";
        vec![
            ("HOME", path("home")),
            ("RABBITMQ_NODENAME", OsString::from(&self.name)),
            ("RABBITMQ_BASE", path("")),
            ("RABBITMQ_MNESIA_BASE", path("mnesia")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_LOGS", "-".into()),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            ("RABBITMQ_CONFIG_FILES", path("conf.d")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config")),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
            ("RABBITMQ_GENERATED_CONFIG_DIR", path("generated")),
            ("RABBITMQ_SCHEMA_DIR", path("schema")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
            ("RABBITMQ_PID_FILE", path("rabbitmq.pid")),
            (
                "RABBITMQ_DIST_PORT",
                self.ports.distribution.to_string().into(),
            ),
            ("RABBITMQ_CTL_DIST_PORT_MIN", "0".into()),
            ("RABBITMQ_CTL_DIST_PORT_MAX", "0".into()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", loopback.into()),
            ("RABBITMQ_CTL_ERL_ARGS", loopback.into()),
            ("ERL_EPMD_PORT", self.shared.epmd.port().to_string().into()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            // No Erlang program started here may start a port mapper that outlives us.
            ("ERL_FLAGS", "-start_epmd false".into()),
            // The script then becomes the virtual machine instead of waiting for it.
            ("RUNNING_UNDER_SYSTEMD", "true".into()),
        ]
    }

    fn write_configuration(&self) -> Result<(), DevstackError> {
        let write = |name: &str, text: String| {
            let file = self.directory.join(name);
            fs::write(&file, text).map_err(DevstackError::io("could not write", &file))
        };
        let conf_dir = self.directory.join("conf.d");
        fs::create_dir_all(&conf_dir)
            .map_err(DevstackError::io("could not make directory", &conf_dir))?;
        let management = self.options.management.then_some("rabbitmq_management");
        let plugins: Vec<&str> = management
            .into_iter()
            .chain(self.options.plugins.iter().map(String::as_str))
            .collect();
        write("enabled_plugins", format!("[{}].\n", plugins.join(",")))?;
        write("advanced.config", "[].\n".to_owned())?;
        let file = self.directory.join("rabbitmq.conf");
        secret::write_private(&file, &self.configuration())
    }

    fn configuration(&self) -> String {
        let mut lines = vec![
            format!("listeners.tcp.1 = 127.0.0.1:{}", self.ports.amqp),
            format!("default_user = {USER}"),
            format!("default_pass = {}", self.shared.password),
            format!("heartbeat = {}", self.options.heartbeat.as_secs()),
            "disk_free_limit.absolute = 200MB".to_owned(),
            "log.console = true".to_owned(),
        ];
        if let Some(port) = self.ports.management {
            lines.push("management.tcp.ip = 127.0.0.1".to_owned());
            lines.push(format!("management.tcp.port = {port}"));
        }
        if !self.shared.join.is_empty() {
            lines.push("cluster_formation.peer_discovery_backend = classic_config".to_owned());
            let known = self.shared.join.iter().chain([&self.name]).enumerate();
            lines.extend(known.map(|(index, name)| {
                format!(
                    "cluster_formation.classic_config.nodes.{} = {name}",
                    index + 1
                )
            }));
        }
        lines.extend(self.options.conf.iter().cloned());
        lines.push(String::new());
        lines.join("\n")
    }

    /// Starts the server and waits until it says in its log that it is up.
    pub(super) async fn launch(&self) -> Result<ManagedProcess, DevstackError> {
        self.write_configuration()?;
        self.shared
            .epmd
            .ensure_running(self.directory.path())
            .await?;
        let log = self.log_file();
        let seen = fs::metadata(&log).map_or(0, |found| found.len());
        let mut options = ProcessOptions::new("RabbitMQ", self.program("rabbitmq-server"))
            .dir(self.directory.path())
            .log(LogTarget::File(log.clone()))
            .env_remove("NOTIFY_SOCKET")
            .stage(Stage::Servers);
        for (key, value) in self.environment() {
            options = options.env(key, value);
        }
        let process = ManagedProcess::spawn(options)?;
        self.await_startup(&process, &log, seen).await?;
        Ok(process)
    }

    async fn await_startup(
        &self,
        process: &ManagedProcess,
        log: &Path,
        seen: u64,
    ) -> Result<(), DevstackError> {
        let started = Instant::now();
        let server = format!("RabbitMQ ({})", self.name);
        let log = log.to_owned();
        loop {
            if let Some(status) = process.exit_status() {
                let tail = run::tail(&log, 12);
                return Err(DevstackError::StartFailed {
                    server,
                    status,
                    log,
                    tail,
                });
            }
            if says_ready(&log, seen).is_ok_and(|ready| ready) {
                return Ok(());
            }
            let waited = self.options.start_timeout;
            if started.elapsed() > waited {
                let tail = run::tail(&log, 12);
                return Err(DevstackError::StartTimedOut {
                    server,
                    waited,
                    log,
                    tail,
                });
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

impl Shared {
    /// For a node on its own: a port mapper in its directory, the password and cookie kept there.
    async fn for_one(
        options: &RabbitmqOptions,
        directory: &ServerDirectory,
    ) -> Result<Self, DevstackError> {
        Ok(Self {
            epmd: Arc::new(Epmd::start(&options.programs.epmd, directory.path()).await?),
            cookie: secret::kept_word(&directory.join("cookie"))?,
            password: secret::kept_word(&directory.join("password"))?,
            join: Vec::new(),
        })
    }
}

/// Whether the part of the log after `seen` bytes says that the server is up.
fn says_ready(log: &Path, seen: u64) -> io::Result<bool> {
    let text = fs::read(log)?;
    let new = text
        .get(usize::try_from(seen).unwrap_or(usize::MAX)..)
        .unwrap_or_default();
    Ok(new.windows(READY.len()).any(|window| window == READY))
}
