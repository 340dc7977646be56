use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::*;
use crate::Storage;
use crate::secret::random_word;
use crate::testing::programs;

async fn options() -> PostgresOptions {
    PostgresOptions::new(&programs().await.unwrap())
}

/// A directory of one test, removed at its end.
struct Kept(PathBuf);

impl Kept {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("adtally-kept-{}", random_word(8)));
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    fn storage(&self) -> Storage {
        Storage::Kept(self.0.join("postgres"))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_temporary_server_answers_and_leaves_nothing() {
    let server = PostgresServer::start(options().await).await.unwrap();
    let (dir, process) = (
        server.data_dir().parent().unwrap().to_owned(),
        server.process(),
    );
    assert_eq!(
        server.psql("SELECT 1; SELECT current_user").await.unwrap(),
        "1\nadtally"
    );
    drop(server);
    assert!(process.has_exited());
    assert!(!dir.exists());
}

#[tokio::test]
async fn data_survives_stop_kill_and_restart_on_the_same_port() {
    let kept = Kept::new();
    let server = PostgresServer::start(options().await.storage(kept.storage()))
        .await
        .unwrap();
    let (url, first) = (server.url(), server.pid());
    server
        .psql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    server.kill();
    assert_eq!(
        server.process().exited().await.to_string(),
        "signal: 9 (SIGKILL)"
    );
    assert!(server.has_exited());
    server.restart().await.unwrap();
    assert_ne!(server.pid(), first);
    assert_eq!((server.url(), server.has_exited()), (url, false));
    server.psql("INSERT INTO t VALUES (2)").await.unwrap();
    server.stop().await;
    drop(server);
    let again = PostgresServer::start(options().await.storage(kept.storage()))
        .await
        .unwrap();
    assert_eq!(again.psql("SELECT sum(n) FROM t").await.unwrap(), "3");
}

#[tokio::test]
async fn a_second_instance_is_told_who_has_the_directory() {
    let kept = Kept::new();
    let asked = options().await.storage(kept.storage());
    let server = PostgresServer::start(asked.clone()).await.unwrap();
    let error = PostgresServer::start(asked).await.unwrap_err();
    let holder = format!("is in use by process {}", std::process::id());
    assert!(error.to_string().contains(&holder), "{error}");
    assert!(
        error.to_string().contains(kept.0.to_str().unwrap()),
        "{error}"
    );
    assert!(!error.is_unavailable());
    assert_eq!(
        server.psql("SELECT 1").await.unwrap(),
        "1",
        "the first one is undisturbed"
    );
}

#[tokio::test]
async fn a_stale_pid_file_is_no_obstacle() {
    let kept = Kept::new();
    let asked = options().await.storage(kept.storage());
    let server = PostgresServer::start(asked.clone()).await.unwrap();
    let pid_file = server.data_dir().join("postmaster.pid");
    server.stop().await;
    drop(server);
    // Its number has become another process's: PostgreSQL itself would refuse to start.
    let other = ManagedProcess::spawn(crate::ProcessOptions::new("other", "/bin/cat")).unwrap();
    let text = format!(
        "{}\n/somewhere\n1700000000\n5432\n\n\n0 0\nready\n",
        other.pid()
    );
    fs::write(&pid_file, text).unwrap();
    let server = PostgresServer::start(asked).await.unwrap();
    assert_eq!(server.psql("SELECT 1").await.unwrap(), "1");
}

#[tokio::test]
async fn an_interrupted_initialisation_is_begun_again() {
    let kept = Kept::new();
    let half_made = kept.0.join("postgres/data.new/base");
    fs::create_dir_all(&half_made).unwrap();
    let server = PostgresServer::start(options().await.storage(kept.storage()))
        .await
        .unwrap();
    assert_eq!(server.psql("SELECT 1").await.unwrap(), "1");
}

#[tokio::test]
async fn a_directory_the_database_user_cannot_reach_still_works() {
    let kept = Kept::new();
    fs::set_permissions(&kept.0, fs::Permissions::from_mode(0o700)).unwrap();
    let server = PostgresServer::start(options().await.storage(kept.storage()))
        .await
        .unwrap();
    server.kill();
    server.process().exited().await;
    server.restart().await.unwrap();
    assert_eq!(server.psql("SELECT 1").await.unwrap(), "1");
}

#[tokio::test]
async fn a_server_that_cannot_start_is_quoted() {
    let asked = options().await.setting("shared_buffers", "lots");
    let error = PostgresServer::start(asked).await.unwrap_err();
    assert!(error.is_unavailable());
    let text = error.to_string();
    assert!(
        text.contains("invalid value for parameter \"shared_buffers\""),
        "{text}"
    );
}

#[tokio::test]
async fn a_fixed_port_that_is_taken_is_an_error_and_never_somebody_elses_server() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let asked = options().await.port(listener.local_addr().unwrap().port());
    let error = PostgresServer::start(asked).await.unwrap_err();
    assert!(
        error.to_string().contains("Address already in use"),
        "{error}"
    );
}

#[tokio::test]
async fn settings_asked_for_win() {
    let asked = options()
        .await
        .max_connections(41)
        .setting("work_mem", "7MB");
    let server = PostgresServer::start(asked.setting("timezone", "Asia/Tehran"))
        .await
        .unwrap();
    let shown = server.psql("SHOW max_connections; SHOW work_mem; SHOW timezone; SHOW fsync");
    assert_eq!(shown.await.unwrap(), "41\n7MB\nAsia/Tehran\noff");
}

#[tokio::test]
async fn a_kept_server_waits_for_the_disk_and_asks_for_its_password() {
    let kept = Kept::new();
    let server = PostgresServer::start(options().await.storage(kept.storage()))
        .await
        .unwrap();
    let shown = server
        .psql("SHOW fsync; SHOW synchronous_commit; SHOW full_page_writes")
        .await;
    assert_eq!(shown.unwrap(), "on\non\non");
    let rules = server
        .psql("SELECT DISTINCT auth_method FROM pg_hba_file_rules")
        .await;
    assert_eq!(rules.unwrap(), "scram-sha-256");
    let mode = fs::metadata(kept.0.join("postgres/password"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0);
}

#[tokio::test]
async fn a_paused_server_answers_only_after_it_is_resumed() {
    let server = PostgresServer::start(options().await).await.unwrap();
    server.pause();
    let answer = server.psql("SELECT 1");
    tokio::pin!(answer);
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut answer).await;
    assert!(waited.is_err(), "it answered while paused: {waited:?}");
    server.resume();
    assert_eq!(answer.await.unwrap(), "1");
}
