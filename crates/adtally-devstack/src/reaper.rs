//! The reaper: a shell that outlives this process just long enough to end its children.
//!
//! It reads a pipe whose only write end is held, close-on-exec, by this process. The kernel
//! closes that end whatever happens to us, `kill -9` included; the shell then ends the processes
//! it was told about, stage by stage, and removes scratch directories.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::run::start_time;

const SCRIPT: &str = include_str!("reaper.sh");

static REAPER: LazyLock<Mutex<Reaper>> = LazyLock::new(Mutex::default);

/// The order in which the reaper ends processes; each stage is over before the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// AdTally's own processes.
    Services = 1,
    /// Servers they use.
    Servers = 2,
    /// What servers use.
    Support = 3,
}

#[derive(Default)]
struct Reaper {
    shell: Option<Child>,
    watched: BTreeMap<u32, (String, String)>,
    scratch: Vec<PathBuf>,
}

/// Has `pid` ended with `signal` when this process ends.
pub(crate) fn watch(stage: Stage, pid: u32, signal: Signal) -> io::Result<()> {
    let start = start_time(pid)?;
    let entry = format!("{}:{pid}:{start}:{}", stage as u8, signal.as_raw());
    let mut reaper = REAPER.lock().unwrap_or_else(PoisonError::into_inner);
    let line = format!("watch {entry}");
    reaper
        .watched
        .insert(pid, (format!("{pid}:{start}"), entry));
    reaper.send(&line)
}

/// `pid` has ended: its number may now become another process's.
pub(crate) fn forget(pid: u32) {
    let mut reaper = REAPER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((key, _)) = reaper.watched.remove(&pid)
        && let Err(error) = reaper.send(&format!("forget {key}"))
    {
        log::warn!("the reaper can't be told that process {pid} has ended: {error}");
    }
}

/// Has `directory` removed, with all it holds, after this process has ended.
pub(crate) fn remove_at_end(directory: &Path) -> io::Result<()> {
    let text = directory.to_str().filter(|text| !text.contains('\n'));
    let text = text.ok_or(io::ErrorKind::InvalidFilename)?;
    let mut reaper = REAPER.lock().unwrap_or_else(PoisonError::into_inner);
    reaper.scratch.push(directory.to_owned());
    reaper.send(&format!("scratch {text}"))
}

impl Reaper {
    /// Sends a line to the shell, the first one or one that replaces a killed one.
    fn send(&mut self, line: &str) -> io::Result<()> {
        if let Some(shell) = &mut self.shell
            && write_line(shell, line).is_ok()
        {
            return Ok(());
        }
        // A new one is told everything, this line too.
        self.start()
    }

    fn start(&mut self) -> io::Result<()> {
        if let Some(mut dead) = self.shell.take() {
            log::warn!("the reaper was killed: starting another");
            dead.wait()?;
        }
        let mut shell = spawn_shell()?;
        for (_, entry) in self.watched.values() {
            write_line(&mut shell, &format!("watch {entry}"))?;
        }
        for directory in &self.scratch {
            write_line(&mut shell, &format!("scratch {}", directory.display()))?;
        }
        let pid = shell.id();
        self.shell = Some(shell);
        thread::Builder::new()
            .name("reaper-keeper".to_owned())
            .spawn(move || replace_when_dead(pid))?;
        Ok(())
    }
}

/// A killed shell must not be missed only when something is to be told: what it knew would be lost
/// with the next kill.
fn replace_when_dead(pid: u32) {
    let ended = i32::try_from(pid).ok().and_then(Pid::from_raw).map(|pid| {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::Pid(pid), options)
    });
    let mut reaper = REAPER.lock().unwrap_or_else(PoisonError::into_inner);
    let is_current = reaper.shell.as_ref().is_some_and(|shell| shell.id() == pid);
    if matches!(ended, Some(Ok(_)))
        && is_current
        && let Err(error) = reaper.start()
    {
        log::warn!("the reaper was killed and cannot be replaced: {error}");
    }
}

fn write_line(shell: &mut Child, line: &str) -> io::Result<()> {
    let pipe = shell.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
    pipe.write_all(format!("{line}\n").as_bytes())
}

/// Its own process group: a Ctrl-C in the terminal must not reach it.
fn spawn_shell() -> io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", SCRIPT, "adtally-reaper"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

#[cfg(test)]
mod tests;
