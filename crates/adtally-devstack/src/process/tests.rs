use super::*;

fn shell(script: &str) -> ProcessOptions {
    ProcessOptions::new("a shell", "/bin/sh").args(["-c", script])
}

#[tokio::test]
async fn a_process_that_ends_tells_how() {
    let process = ManagedProcess::spawn(shell("exit 7")).unwrap();
    assert_eq!(process.exited().await.code(), Some(7));
    assert!(process.has_exited());
}
