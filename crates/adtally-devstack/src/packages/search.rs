//! Where server programs are looked for.

use std::ffi::OsString;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

use super::ServerPrograms;
use crate::DevstackError;

/// Places to look in: `root` is `/` but in tests.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) root: PathBuf,
    pub(super) path: OsString,
    pub(super) as_root: bool,
}

/// A server that comes from packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Postgres,
    Rabbitmq,
    Pgbouncer,
}

impl Server {
    pub(super) const ALL: [Self; 3] = [Self::Postgres, Self::Rabbitmq, Self::Pgbouncer];

    pub(super) fn package(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Rabbitmq => "rabbitmq-server",
            Self::Pgbouncer => "pgbouncer",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Rabbitmq => "RabbitMQ",
            Self::Pgbouncer => "PgBouncer",
        }
    }
}

/// Which servers were not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(super) servers: Vec<Server>,
    /// Root needs no `sudo`, and may not have it.
    pub(super) as_root: bool,
}

impl Search {
    pub(super) fn of_this_system() -> Self {
        Self {
            root: PathBuf::from("/"),
            path: std::env::var_os("PATH").unwrap_or_default(),
            as_root: rustix::process::geteuid().is_root(),
        }
    }

    /// Looks only below `root`, where another release was unpacked.
    pub(super) fn below(root: PathBuf) -> Self {
        Self {
            root,
            path: OsString::new(),
            as_root: rustix::process::geteuid().is_root(),
        }
    }

    pub(super) fn find(&self) -> Result<ServerPrograms, Missing> {
        match (self.postgres(), self.rabbitmq(), self.epmd()) {
            (Some(postgres_bin), Some(rabbitmq_bin), Some(epmd)) => Ok(ServerPrograms {
                postgres_bin,
                rabbitmq_bin,
                epmd,
            }),
            (postgres, rabbitmq, epmd) => {
                let postgres = postgres.is_none().then_some(Server::Postgres);
                let rabbitmq = rabbitmq.is_none() || epmd.is_none();
                let rabbitmq = rabbitmq.then_some(Server::Rabbitmq);
                Err(self.missing(postgres.into_iter().chain(rabbitmq).collect()))
            }
        }
    }

    /// The program PgBouncer.
    pub(super) fn pgbouncer(&self) -> Result<PathBuf, Missing> {
        let packaged = self.root.join("usr/sbin");
        let mut places = iter::once(packaged).chain(self.on_path("pgbouncer"));
        let found = places.find_map(|dir| Some(dir.join("pgbouncer")).filter(|it| it.is_file()));
        found.ok_or_else(|| self.missing(vec![Server::Pgbouncer]))
    }

    fn missing(&self, servers: Vec<Server>) -> Missing {
        Missing {
            servers,
            as_root: self.as_root,
        }
    }

    /// The newest packaged PostgreSQL, else the one on the PATH.
    fn postgres(&self) -> Option<PathBuf> {
        let mut versions: Vec<(u32, PathBuf)> = entries(&self.root.join("usr/lib/postgresql"))
            .into_iter()
            .filter_map(|dir| Some((dir.file_name()?.to_str()?.parse().ok()?, dir.join("bin"))))
            .filter(|(_, bin)| is_postgres(bin))
            .collect();
        versions.sort();
        let newest = versions.pop().map(|(_, bin)| bin);
        newest.or_else(|| self.on_path("initdb").find(|bin| is_postgres(bin)))
    }

    /// The scripts proper: what the PATH has may be a wrapper that accepts only root.
    fn rabbitmq(&self) -> Option<PathBuf> {
        let fixed = ["usr/lib/rabbitmq/bin", "opt/rabbitmq/sbin"].map(|dir| self.root.join(dir));
        let versioned = entries(&self.root.join("usr/lib/rabbitmq/lib"));
        let versioned = versioned.into_iter().map(|dir| dir.join("sbin"));
        let on_path = self.on_path("rabbitmq-server");
        fixed
            .into_iter()
            .chain(versioned)
            .chain(on_path)
            .find(|bin| {
                ["rabbitmq-server", "rabbitmqctl", "rabbitmq-env"]
                    .iter()
                    .all(|it| bin.join(it).is_file())
            })
    }

    fn epmd(&self) -> Option<PathBuf> {
        let on_path = self.on_path("epmd");
        let fixed = ["usr/lib/erlang/bin", "usr/bin", "usr/local/lib/erlang/bin"];
        let fixed = fixed.into_iter().map(|dir| self.root.join(dir));
        on_path
            .chain(fixed)
            .map(|bin| bin.join("epmd"))
            .find(|epmd| epmd.is_file())
    }

    /// The real directories, links followed, of a program on the PATH.
    fn on_path(&self, program: &str) -> impl Iterator<Item = PathBuf> {
        std::env::split_paths(&self.path)
            .filter(|dir| dir.is_absolute())
            .filter_map(|dir| dir.join(program).canonicalize().ok())
            .filter_map(|found| found.parent().map(Path::to_owned))
            .collect::<Vec<_>>()
            .into_iter()
    }
}

impl Missing {
    pub(super) fn packages(&self) -> Vec<&'static str> {
        self.servers.iter().map(|server| server.package()).collect()
    }

    pub(super) fn names(&self) -> String {
        let names = self.servers.iter().map(|server| server.name());
        names.collect::<Vec<_>>().join(" and ")
    }

    /// The command a person types.
    pub(super) fn command(&self) -> String {
        let packages = self.packages().join(" ");
        let apt_get = if self.as_root {
            "apt-get"
        } else {
            "sudo apt-get"
        };
        format!("{apt_get} update && {apt_get} install -y --no-install-recommends {packages}")
    }

    pub(crate) fn error(&self) -> DevstackError {
        let verb = if self.packages().len() > 1 {
            "are"
        } else {
            "is"
        };
        let missing = format!("{} {verb}", self.names());
        DevstackError::Missing {
            missing,
            command: self.command(),
        }
    }
}

fn is_postgres(bin: &Path) -> bool {
    ["postgres", "initdb", "psql"]
        .iter()
        .all(|program| bin.join(program).is_file())
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(dir).map(|entries| entries.flatten().map(|entry| entry.path()));
    found.map(Iterator::collect).unwrap_or_default()
}

#[cfg(test)]
mod tests;
