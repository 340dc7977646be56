//! How a child process is started.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

use super::{LogTarget, ManagedProcess, Stage};
use crate::account::Account;
use crate::{DevstackError, reaper};

/// The child waits for a line before it becomes the program: were we killed before the reaper
/// knows of it, the line never comes and the child ends by itself.
const GATE: &str = r#"read -r go && exec "$0" "$@" </dev/null"#;

/// What to start, and how. See [`ManagedProcess::spawn`].
#[derive(Debug, Clone)]
pub struct ProcessOptions {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    dir: Option<PathBuf>,
    log: LogTarget,
    stage: Stage,
    stop_signal: Signal,
    account: Option<Account>,
}

impl ProcessOptions {
    /// `name` is for messages; `program` is a path. Standard input is empty, output is dropped,
    /// the environment is inherited, the stop signal is SIGTERM.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            log: LogTarget::Discard,
            stage: Stage::Services,
            stop_signal: Signal::TERM,
            account: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((key.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes an inherited environment variable.
    #[must_use]
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), None));
        self
    }

    /// The working directory.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Where standard output and standard error go.
    #[must_use]
    pub fn log(mut self, log: LogTarget) -> Self {
        self.log = log;
        self
    }

    /// When the reaper ends it, should this process be killed. AdTally's own processes
    /// ([`Stage::Services`]) are the default.
    #[must_use]
    pub fn stage(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self
    }

    /// The signal that asks the process to stop.
    #[must_use]
    pub fn stop_signal(mut self, signal: Signal) -> Self {
        self.stop_signal = signal;
        self
    }

    pub(crate) fn account(mut self, account: Option<Account>) -> Self {
        self.account = account;
        self
    }

    pub(super) fn spawn(self) -> Result<ManagedProcess, DevstackError> {
        let failed = |source: io::Error| DevstackError::Io {
            what: "could not start",
            path: self.program.clone(),
            source,
        };
        if self.program.components().count() > 1 && !self.program.is_file() {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        let mut command = self.command();
        self.log.apply(&self.name, &mut command)?;
        let mut child = command.spawn().map_err(failed)?;
        // The command holds our copies of the log's write end.
        drop(command);
        let pid = Pid::from_child(&child);
        if let Err(error) = reaper::watch(self.stage, child.id(), self.stop_signal)
            .and_then(|()| open_gate(&mut child))
        {
            // Not a program yet, only the shell at the gate.
            let _ = child.kill();
            let _ = child.wait();
            reaper::forget(child.id());
            return Err(failed(error));
        }
        ManagedProcess::watch_child(self.name.clone(), self.stop_signal, child, pid).map_err(failed)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(GATE);
        if let Some(account) = &self.account {
            account.apply(&mut command);
        }
        command.arg(&self.program).args(&self.args);
        for (key, value) in &self.env {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command.stdin(Stdio::piped()).process_group(0);
        command
    }

    /// The program, for messages.
    pub fn program(&self) -> &Path {
        &self.program
    }
}

fn open_gate(child: &mut Child) -> io::Result<()> {
    let mut gate = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    gate.write_all(b"go\n")
}
