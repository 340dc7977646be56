use std::fs;
use std::path::PathBuf;

use super::*;

const MOMENT: Duration = Duration::from_secs(10);

fn shell(script: &str) -> ProcessOptions {
    ProcessOptions::new("a shell", "/bin/sh").args(["-c", script])
}

/// A log file of one test, removed at its end.
struct Log(PathBuf);

impl Log {
    fn new(test: &str) -> Self {
        Self(std::env::temp_dir().join(format!("adtally-log-{test}-{}", std::process::id())))
    }

    /// Waits until the process has written `words`.
    async fn says(&self, words: &str) {
        let deadline = Instant::now() + MOMENT;
        while !fs::read_to_string(&self.0)
            .unwrap_or_default()
            .contains(words)
        {
            assert!(Instant::now() < deadline, "{words:?} is not in the log");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_process_that_ends_tells_how() {
    let process = ManagedProcess::spawn(shell("exit 7")).unwrap();
    assert_eq!(process.exited().await.code(), Some(7));
    assert!(process.has_exited());
    assert_eq!(process.exited().await.code(), Some(7), "as often as asked");
}

#[tokio::test]
async fn a_process_is_asked_to_stop_before_it_is_killed() {
    let log = Log::new("asked");
    let script = "trap 'exit 3' TERM; echo set; while :; do sleep 0.05; done";
    let options = shell(script).log(LogTarget::File(log.0.clone()));
    let process = ManagedProcess::spawn(options).unwrap();
    log.says("set").await;
    assert_eq!(process.stop(MOMENT).await.code(), Some(3));
}

#[tokio::test]
async fn a_process_that_does_not_stop_is_killed_with_its_children() {
    let log = Log::new("deaf");
    let script = "trap '' TERM; sleep 1000 & echo child $!.; wait";
    let options = shell(script).log(LogTarget::File(log.0.clone()));
    let process = ManagedProcess::spawn(options).unwrap();
    log.says(".").await;
    let status = process.stop(Duration::from_millis(50)).await;
    assert_eq!(status.signal(), Some(9));
    let text = fs::read_to_string(&log.0).unwrap();
    let child: u32 = text
        .trim()
        .trim_start_matches("child ")
        .trim_end_matches('.')
        .parse()
        .unwrap();
    assert_gone(child).await;
}

/// Waits until a process has ended; one that nobody has reaped counts as ended.
async fn assert_gone(pid: u32) {
    let deadline = Instant::now() + MOMENT;
    loop {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "process {pid} still runs: {stat}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_process() {
    let process = ManagedProcess::spawn(shell("sleep 1000")).unwrap();
    let (pid, handle) = (process.pid(), process.clone());
    drop(process);
    assert!(!handle.has_exited(), "a handle is left");
    drop(handle);
    assert_gone(pid).await;
}

#[tokio::test]
async fn a_signal_to_an_ended_process_goes_nowhere() {
    let process = ManagedProcess::spawn(shell("exit 0")).unwrap();
    process.exited().await;
    process.signal(Signal::KILL);
    process.kill();
    assert_eq!(process.stop(MOMENT).await.code(), Some(0));
}

#[tokio::test]
async fn a_process_leads_its_own_group() {
    let process = ManagedProcess::spawn(shell("sleep 1000")).unwrap();
    let group = rustix::process::getpgid(Some(process.inner.pid)).unwrap();
    assert_eq!(group, process.inner.pid);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let options = ProcessOptions::new("it", "/nowhere/adtally-api");
    let error = ManagedProcess::spawn(options).unwrap_err().to_string();
    assert!(
        error.starts_with("could not start /nowhere/adtally-api: "),
        "{error}"
    );
}

#[tokio::test]
async fn arguments_and_variables_arrive_as_they_are() {
    let log = Log::new("arguments");
    let options = shell(r#"printf '%s|' "$@" "$GREETING" "${HOME-none}"; pwd"#)
        .args(["sh", "two words", "$HOME", "'"])
        .env("GREETING", "salut à tous")
        .env_remove("HOME")
        .dir("/usr")
        .log(LogTarget::File(log.0.clone()));
    let process = ManagedProcess::spawn(options).unwrap();
    assert!(process.exited().await.success());
    let text = fs::read_to_string(&log.0).unwrap();
    assert_eq!(text, "two words|$HOME|'|salut à tous|none|/usr\n");
}

#[tokio::test]
async fn a_process_has_no_standard_input_of_ours() {
    let process = ManagedProcess::spawn(shell("read -r line && exit 1; exit 0")).unwrap();
    assert_eq!(process.exited_within(MOMENT).await.unwrap().code(), Some(0));
}
