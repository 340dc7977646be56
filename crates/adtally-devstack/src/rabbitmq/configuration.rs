//! What a node reads: its environment and its configuration files.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::node::Node;
use super::{USER, epmd, host};
use crate::{DevstackError, secret};

/// How soon nodes on hosts of their own notice that another one can't be reached, in seconds; Erlang's
/// own minute is long for a test.
const TICK: u32 = 8;

/// Quorum queues write and sync their log in one call instead of two. A message is on disk before its
/// confirm as with the default, sooner and for less work: see
/// `docs/decisions/0015-settings-of-the-servers.md`.
const ADVANCED: &str = "[{ra, [{wal_write_strategy, o_sync}]}].\n";

/// Inherited variables with these beginnings would reach into the node.
pub(super) const FOREIGN: [&str; 3] = ["RABBITMQ_", "ERL_", "NOTIFY_SOCKET"];

/// Environment of the server and of its command-line tools. Everything that would be read from,
/// or written to, the system's own RabbitMQ is pointed elsewhere.
pub(super) fn environment(node: &Node) -> Vec<(&'static str, OsString)> {
    let path = |name: &str| node.file(name).into_os_string();
    let host = node.options().host.as_ref();
    let mut variables = vec![
        ("HOME", path("home")),
        ("PATH", path_with_erlang(node)),
        ("RABBITMQ_NODENAME", node.name().into()),
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
            node.ports.distribution.to_string().into(),
        ),
        ("RABBITMQ_CTL_DIST_PORT_MIN", "0".into()),
        ("RABBITMQ_CTL_DIST_PORT_MAX", "0".into()),
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            listeners(node).into(),
        ),
        ("RABBITMQ_CTL_ERL_ARGS", listeners(node).into()),
        // Unbound: schedulers bound to processors, as by default, take these from whoever runs there
        // although another one may idle. That pays only where nothing but RabbitMQ runs.
        ("RABBITMQ_SCHEDULER_BIND_TYPE", "u".into()),
        (
            "ERL_EPMD_PORT",
            node.shared().epmd.port().to_string().into(),
        ),
        ("ERL_EPMD_ADDRESS", epmd::addresses(host).into()),
        // No Erlang program started here may start a port mapper that outlives us.
        ("ERL_FLAGS", "-start_epmd false".into()),
        // The script then becomes the virtual machine instead of waiting for it.
        ("RUNNING_UNDER_SYSTEMD", "true".into()),
        ("LC_ALL", "C.UTF-8".into()),
    ];
    if host.is_some() {
        variables.push(("ERL_INETRC", path("inetrc")));
    }
    variables
}

/// Keeps Erlang's own listeners, between nodes and of the tools, on the node's own address.
fn listeners(node: &Node) -> String {
    let address = node.address().octets().map(|octet| octet.to_string());
    let listeners = format!("-kernel inet_dist_use_interface {{{}}}", address.join(","));
    match node.options().host {
        None => listeners,
        Some(_) => format!("{listeners} -kernel net_ticktime {TICK}"),
    }
}

/// The Erlang that the port mapper belongs to comes first: there may be another one.
fn path_with_erlang(node: &Node) -> OsString {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let erlang = node.options().programs.epmd.parent().map(Path::to_owned);
    let places = erlang.into_iter().chain(std::env::split_paths(&inherited));
    std::env::join_paths(places).unwrap_or(inherited)
}

/// Writes the files the node is started with.
pub(super) fn write(node: &Node) -> Result<(), DevstackError> {
    for name in ["conf.d", "home"] {
        let dir = node.file(name);
        fs::create_dir_all(&dir).map_err(DevstackError::io("could not make directory", &dir))?;
    }
    secret::write_private(&node.file("home/.erlang.cookie"), &node.shared().cookie)?;
    secret::write_private(&node.file("enabled_plugins"), &enabled_plugins(node))?;
    secret::write_private(&node.file("advanced.config"), ADVANCED)?;
    secret::write_private(&node.file("inetrc"), &host::inetrc(&node.options().hosts))?;
    secret::write_private(&node.file("rabbitmq.conf"), &rabbitmq_conf(node))
}

fn enabled_plugins(node: &Node) -> String {
    let options = node.options();
    let management = options.management.then_some("rabbitmq_management");
    let plugins = management
        .into_iter()
        .chain(options.plugins.iter().map(String::as_str));
    format!("[{}].\n", plugins.collect::<Vec<_>>().join(","))
}

fn rabbitmq_conf(node: &Node) -> String {
    let (options, shared) = (node.options(), node.shared());
    let mut lines = vec![
        format!("listeners.tcp.1 = {}:{}", node.address(), node.ports.amqp),
        format!("default_user = {USER}"),
        format!("default_pass = {}", shared.password),
        format!("heartbeat = {}", options.heartbeat.as_secs()),
        "disk_free_limit.absolute = 200MB".to_owned(),
        "log.console = true".to_owned(),
    ];
    if let Some(port) = node.ports.management {
        lines.push("management.tcp.ip = 127.0.0.1".to_owned());
        lines.push(format!("management.tcp.port = {port}"));
    }
    if !shared.join.is_empty() {
        lines.push("cluster_formation.peer_discovery_backend = classic_config".to_owned());
        let nodes = shared.join.iter().map(String::as_str).chain([node.name()]);
        lines.extend(nodes.enumerate().map(|(index, name)| {
            format!(
                "cluster_formation.classic_config.nodes.{} = {name}",
                index + 1
            )
        }));
    }
    lines.extend(options.conf.iter().cloned());
    lines.join("\n") + "\n"
}
