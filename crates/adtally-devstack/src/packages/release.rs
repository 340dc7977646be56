//! Servers of another Debian release than the system's, unpacked beside it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use super::search::Server;
use crate::{DevstackError, run};

const SCRIPT: &str = include_str!("release.sh");

/// The file that says how a directory was made: one that was made otherwise is made anew.
const RECIPE: &str = "recipe";

/// A Debian release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// PostgreSQL 15, RabbitMQ 3.10, PgBouncer 1.18.
    Debian12,
    /// PostgreSQL 17, RabbitMQ 4.0, PgBouncer 1.24.
    Debian13,
}

impl Release {
    const ALL: [Self; 2] = [Self::Debian12, Self::Debian13];

    fn name(self) -> &'static str {
        match self {
            Self::Debian12 => "debian12",
            Self::Debian13 => "debian13",
        }
    }

    fn codename(self) -> &'static str {
        match self {
            Self::Debian12 => "bookworm",
            Self::Debian13 => "trixie",
        }
    }

    /// Whether this system is of the release, so that its own packages are meant.
    pub(super) fn is_this_system(self) -> bool {
        codename_of_this_system().as_deref() == Some(self.codename())
    }

    /// Unpacks the servers of the release where that was not done before, with apt-get and tar; it
    /// takes half a minute, 0.4 GB and no privilege. The directory that then stands for `/`.
    pub(super) async fn unpacked(self) -> Result<PathBuf, DevstackError> {
        let directory = cache().join(self.name());
        let unpack = move || self.unpack_once(directory);
        let done = tokio::task::spawn_blocking(unpack).await;
        done.unwrap_or_else(|error| Err(self.failed(error.to_string())))
    }

    /// One process does it, the others wait for it.
    fn unpack_once(self, directory: PathBuf) -> Result<PathBuf, DevstackError> {
        let above = directory.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(above).map_err(DevstackError::io("could not make directory", above))?;
        let lock = directory.with_extension("lock");
        let locked = File::create(&lock).and_then(|file| file.lock().map(|()| file));
        let _locked = locked.map_err(DevstackError::io("could not lock", &lock))?;
        let packages = Server::ALL.map(Server::package);
        let recipe = format!("{SCRIPT}\n# {}\n", packages.join(" "));
        let made_by = directory.join(RECIPE);
        if fs::read_to_string(&made_by).is_ok_and(|made_by| made_by == recipe) {
            return Ok(directory);
        }
        self.unpack(&directory, &packages)?;
        fs::write(&made_by, recipe).map_err(DevstackError::io("could not write", &made_by))?;
        Ok(directory)
    }

    fn unpack(self, directory: &Path, packages: &[&str]) -> Result<(), DevstackError> {
        log::warn!(
            "unpacking the servers of {} into {}; this takes about a minute",
            self.name(),
            directory.display()
        );
        let own = codename_of_this_system().unwrap_or_default();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "adtally-release"])
            .arg(directory)
            .args([&own, self.codename()])
            .args(packages);
        // Its own process group: after a Ctrl-C it cleans up behind it.
        command.process_group(0);
        run::output(command, "")
            .map(drop)
            .map_err(|error| self.failed(error.words()))
    }

    fn failed(self, detail: String) -> DevstackError {
        DevstackError::ReleaseFailed {
            release: self.name(),
            detail,
        }
    }
}

impl FromStr for Release {
    type Err = DevstackError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|release| release.name() == text);
        found.ok_or_else(|| DevstackError::UnknownRelease(text.to_owned()))
    }
}

fn codename_of_this_system() -> Option<String> {
    codename(&fs::read_to_string("/etc/os-release").ok()?)
}

/// The release's code name in the text of `/etc/os-release`.
fn codename(os_release: &str) -> Option<String> {
    let mut lines = os_release.lines();
    let value = lines.find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(value.trim_matches('"').to_owned())
}

/// Where unpacked servers are kept. PostgreSQL does not run as root, so root's home won't do.
fn cache() -> PathBuf {
    let home = |name: &str| std::env::var_os(name).filter(|dir| !dir.is_empty());
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/cache/adtally");
    }
    let cache = home("XDG_CACHE_HOME").map(PathBuf::from);
    cache
        .or_else(|| Some(Path::new(&home("HOME")?).join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("adtally")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_known_by_its_name_alone() {
        for release in Release::ALL {
            assert_eq!(release.name().parse::<Release>().unwrap(), release);
        }
        let error = "trixie".parse::<Release>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "there are no servers \"trixie\"; ADTALLY_TEST_SERVERS is debian12 or debian13"
        );
    }

    #[test]
    fn the_system_says_of_which_release_it_is() {
        let text = "VERSION_ID=\"13\"\nVERSION_CODENAME=trixie\nID=debian\n";
        assert_eq!(codename(text).as_deref(), Some("trixie"));
        assert_eq!(codename("ID=arch\n"), None);
    }
}
