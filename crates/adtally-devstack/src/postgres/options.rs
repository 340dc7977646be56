//! How a private PostgreSQL server is set up.

use std::time::Duration;

use crate::PostgresServer;
use crate::directory::Storage;
use crate::packages::ServerPrograms;

/// What [`crate::PostgresServer::start`] needs to know.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    pub(super) programs: ServerPrograms,
    pub(super) storage: Storage,
    pub(super) port: Option<u16>,
    pub(super) max_connections: u32,
    pub(super) extra: Vec<(String, String)>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) start_timeout: Duration,
    pub(super) primary: Option<Primary>,
}

/// The server a standby follows.
#[derive(Debug, Clone)]
pub(super) struct Primary {
    pub(super) port: u16,
    pub(super) password: String,
}

impl PostgresOptions {
    /// A server in a temporary directory on a free port, with up to 300 connections.
    pub fn new(programs: &ServerPrograms) -> Self {
        Self {
            programs: programs.clone(),
            storage: Storage::Temporary,
            port: None,
            max_connections: 300,
            extra: Vec::new(),
            environment: Vec::new(),
            start_timeout: Duration::from_secs(60),
            primary: None,
        }
    }

    /// A standby of `primary`: a copy of its data at the first start, then whatever it does. Its
    /// application name is `standby`. `SELECT pg_promote()` makes it a primary.
    #[must_use]
    pub fn standby_of(mut self, primary: &PostgresServer) -> Self {
        self.primary = Some(primary.as_primary());
        self
    }

    /// Where the data is kept. With [`Storage::Temporary`] the server does not wait for the disk;
    /// with [`Storage::Kept`] it is as durable as PostgreSQL's defaults.
    #[must_use]
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }

    /// A fixed port instead of a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// How many sessions there can be at once.
    #[must_use]
    pub fn max_connections(mut self, limit: u32) -> Self {
        self.max_connections = limit;
        self
    }

    /// One more server setting; it wins over ours.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }

    /// One more variable of the server's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// How long the server may take to start, recovery included.
    #[must_use]
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_timeout = limit;
        self
    }

    /// The settings as arguments: `-c name=value`.
    pub(super) fn settings(&self, port: u16, temporary: bool) -> Vec<String> {
        let mut settings = vec![
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            // No socket file: its path would have to be short, the data directory may be deep.
            ("unix_socket_directories", String::new()),
            ("max_connections", self.max_connections.to_string()),
            ("timezone", "UTC".to_owned()),
            ("log_timezone", "UTC".to_owned()),
            ("log_line_prefix", "%m [%p] ".to_owned()),
        ];
        if temporary {
            for name in ["fsync", "full_page_writes"] {
                settings.push((name, "off".to_owned()));
            }
        }
        let extra = self
            .extra
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        settings
            .into_iter()
            .chain(extra)
            .flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")])
            .collect()
    }
}
