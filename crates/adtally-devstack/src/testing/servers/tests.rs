use std::process::Command;

use super::*;
use crate::run;
use crate::testing::TestStack;

/// The versions that a Debian release keeps for its whole life.
fn versions(release: Release) -> [&'static str; 3] {
    match release {
        Release::Debian12 => ["15.", "3.10.", "1.18."],
        Release::Debian13 => ["17.", "4.0.", "1.24."],
    }
}

#[tokio::test]
async fn the_servers_are_those_of_the_release_that_is_asked_for() {
    let stack = TestStack::shared();
    let mut pgbouncer = Command::new(pgbouncer().await.unwrap());
    pgbouncer.arg("--version");
    let pgbouncer = run::output(pgbouncer, "").unwrap();
    let found = [
        stack.postgres().psql("SHOW server_version").await.unwrap(),
        stack.rabbitmq().ctl(&["version"]).await.unwrap(),
        pgbouncer.replace("PgBouncer ", ""),
    ];
    if let Some(release) = release().unwrap() {
        for (found, wanted) in found.iter().zip(versions(release)) {
            assert!(found.starts_with(wanted), "{found} instead of {wanted}");
        }
    }
}
