//! Small helpers around other programs and `/proc`.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::DevstackError;

/// Runs a program to its end with `input` on its standard input; its trimmed standard output.
pub(crate) fn output(mut command: Command, input: &str) -> Result<String, DevstackError> {
    let path = Path::new(command.get_program()).to_owned();
    let program = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(DevstackError::io("could not run", &path))?;
    if let Some(mut pipe) = child.stdin.take() {
        // A program that refuses early closes its end: its own words below say more.
        let _ = pipe.write_all(input.as_bytes());
    }
    let done = child
        .wait_with_output()
        .map_err(DevstackError::io("could not wait for", &path))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if done.status.success() {
        return Ok(text(&done.stdout));
    }
    let detail = match (text(&done.stderr), text(&done.stdout)) {
        (stderr, _) if !stderr.is_empty() => stderr,
        (_, stdout) if !stdout.is_empty() => stdout,
        _ => done.status.to_string(),
    };
    Err(DevstackError::Program { program, detail })
}

/// [`output`] off the async threads.
pub(crate) async fn output_async(command: Command, input: String) -> Result<String, DevstackError> {
    let path = Path::new(command.get_program()).to_owned();
    match tokio::task::spawn_blocking(move || output(command, &input)).await {
        Ok(result) => result,
        Err(error) => Err(DevstackError::io("could not run", &path)(io::Error::other(
            error,
        ))),
    }
}

/// Names of our environment variables that begin with one of `prefixes`.
pub(crate) fn environment_with(prefixes: &[&str]) -> Vec<OsString> {
    let foreign = |name: &OsString| {
        prefixes
            .iter()
            .any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
    };
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(foreign)
        .collect()
}

/// Keeps such variables from a program.
pub(crate) fn forget_environment(command: &mut Command, prefixes: &[&str]) {
    for name in environment_with(prefixes) {
        command.env_remove(name);
    }
}

/// When a process started, in clock ticks since boot: with its id, its identity.
pub(crate) fn start_time(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; the 20th field after it is the start time.
    stat.rsplit_once(") ")
        .and_then(|(_, fields)| fields.split(' ').nth(19)?.parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Ids of the processes of these names whose working directory is `directory` or below it.
pub(crate) fn servers_in(directory: &Path, names: &[&str]) -> Vec<u32> {
    let Ok(directory) = directory.canonicalize() else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let works_there = |process: &Path| {
        let cwd = fs::read_link(process.join("cwd"));
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        cwd.is_ok_and(|cwd| cwd.starts_with(&directory)) && names.contains(&name.trim())
    };
    entries
        .flatten()
        .filter(|entry| works_there(&entry.path()))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Sends a signal to each process; one that has just ended is no error.
pub(crate) fn signal_all(pids: &[u32], signal: Signal) {
    for pid in pids
        .iter()
        .filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?))
    {
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_quoted_in_its_own_words() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo out; echo no such thing >&2; exit 3"]);
        let error = output(command, "").unwrap_err();
        assert_eq!(error.to_string(), "sh did not succeed: no such thing");
    }

    #[test]
    fn a_program_reads_its_input_and_answers() {
        assert_eq!(
            output(Command::new("/bin/cat"), " hello \n").unwrap(),
            "hello"
        );
    }

    #[test]
    fn our_own_start_time_does_not_change() {
        let pid = std::process::id();
        assert_eq!(start_time(pid).unwrap(), start_time(pid).unwrap());
        assert!(start_time(pid).unwrap() > 0);
    }
}
