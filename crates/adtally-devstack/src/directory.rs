//! A server's own directory: one user at a time, and no left-overs.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::secret::random_word;
use crate::{DevstackError, reaper, run};

/// How long a reaper of an earlier run may take to end its servers.
const LEFT_OVER_PATIENCE: Duration = Duration::from_secs(30);

/// What server processes call themselves: a person's shell in the directory is not one.
const SERVER_NAMES: [&str; 5] = ["postgres", "initdb", "beam.smp", "erl_child_setup", "epmd"];

/// Where a server keeps its files.
#[derive(Debug, Clone, Default)]
pub enum Storage {
    /// In a new directory below the system's temporary directory, removed at the end. Nothing is
    /// synchronised to disk.
    #[default]
    Temporary,
    /// In this directory, made when missing and kept.
    Kept(PathBuf),
}

/// The right to use a directory, held by one process at a time.
///
/// It ends with the process; a lock file left by a dead process is no obstacle.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of `dir`, which exists, through the file `lock` in it.
    ///
    /// # Errors
    /// [`DevstackError::DirectoryInUse`] when a living process holds it.
    pub fn acquire(dir: &Path) -> Result<Self, DevstackError> {
        let path = dir.join("lock");
        let refused = |error| DevstackError::io("could not lock", &path)(error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                let pid = Some(pid.trim())
                    .filter(|pid| !pid.is_empty())
                    .unwrap_or("unknown");
                return Err(DevstackError::DirectoryInUse {
                    dir: dir.to_owned(),
                    pid: pid.to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(refused)?;
        Ok(Self { _file: file })
    }
}

/// Who else on this machine may enter a server's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nobody: not all that the server writes there is for its user alone.
    Closed,
    /// Whoever knows a path, and nobody may look around: the server may run as another user.
    Passing,
}

impl Entry {
    fn mode(self) -> u32 {
        match self {
            Self::Closed => 0o700,
            Self::Passing => 0o711,
        }
    }

    /// Takes from the directory at `path` what is beyond this. One of an older build was open to all.
    fn bound(self, path: &Path) -> io::Result<()> {
        let found = fs::metadata(path)?.permissions().mode() & 0o777;
        if found & !self.mode() == 0 {
            return Ok(());
        }
        fs::set_permissions(path, fs::Permissions::from_mode(found & self.mode()))
    }
}

/// A locked directory of one server.
#[derive(Debug)]
pub(crate) struct ServerDirectory {
    path: PathBuf,
    temporary: bool,
    _lock: DirectoryLock,
}

impl ServerDirectory {
    /// Makes and locks the directory, and waits for what an earlier run has left running there.
    pub(crate) async fn open(
        storage: &Storage,
        server: &str,
        entry: Entry,
    ) -> Result<Self, DevstackError> {
        let (path, temporary) = match storage {
            Storage::Temporary => (make_temporary(server, entry)?, true),
            Storage::Kept(path) => (make_kept(path, entry)?, false),
        };
        let lock = DirectoryLock::acquire(&path)?;
        let directory = Self {
            path,
            temporary,
            _lock: lock,
        };
        if !temporary {
            directory.end_left_overs(&SERVER_NAMES).await?;
        }
        Ok(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// Waits until no server of these names works in the directory any more; kills what stays.
    ///
    /// The lock is ours, so nobody else has a claim: these are servers of a killed run, whose
    /// reaper is ending them, or children of a killed server, which end by themselves.
    pub(crate) async fn end_left_overs(&self, names: &[&str]) -> Result<(), DevstackError> {
        let start = Instant::now();
        let mut killed = false;
        loop {
            let pids = run::servers_in(&self.path, names);
            if pids.is_empty() {
                return Ok(());
            }
            if start.elapsed() > LEFT_OVER_PATIENCE * 2 {
                return Err(DevstackError::LeftOver {
                    dir: self.path.clone(),
                    pids,
                });
            }
            if !killed && start.elapsed() > LEFT_OVER_PATIENCE {
                log::warn!(
                    "{}: killing left-over servers {pids:?}",
                    self.path.display()
                );
                run::signal_all(&pids, Signal::KILL);
                killed = true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for ServerDirectory {
    fn drop(&mut self) {
        if !self.temporary {
            return;
        }
        // A killed server's last processes may still write; what stays is the reaper's.
        for _ in 0..20 {
            match fs::remove_dir_all(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    thread::sleep(Duration::from_millis(20));
                }
                _ => return,
            }
        }
    }
}

fn make_kept(path: &Path, entry: Entry) -> Result<PathBuf, DevstackError> {
    // Those above it may hold another server's directory, too.
    let made = DirBuilder::new()
        .recursive(true)
        .mode(Entry::Passing.mode())
        .create(path)
        .and_then(|()| entry.bound(path))
        .and_then(|()| path.canonicalize());
    made.map_err(DevstackError::io("could not make directory", path))
}

fn make_temporary(server: &str, entry: Entry) -> Result<PathBuf, DevstackError> {
    let name = format!("adtally-{server}-{}", random_word(10).to_lowercase());
    let path = std::env::temp_dir().join(name);
    let made = DirBuilder::new()
        .mode(entry.mode())
        .create(&path)
        .and_then(|()| path.canonicalize());
    let path = made.map_err(DevstackError::io("could not make directory", &path))?;
    reaper::remove_at_end(&path)
        .map_err(DevstackError::io("could not arrange the removal of", &path))?;
    Ok(path)
}

#[cfg(test)]
mod tests;
