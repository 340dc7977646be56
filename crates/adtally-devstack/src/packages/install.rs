//! Installing the server packages with apt-get, without starting or enabling their services.

use std::path::Path;
use std::process::Command;

use super::search::Missing;
use crate::{DevstackError, run};

const SCRIPT: &str = include_str!("install.sh");

/// How we may act as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privilege {
    Root,
    Sudo,
}

/// Whether this is a Debian or Ubuntu on which we can act as root without asking anybody.
pub(super) async fn privilege() -> Option<Privilege> {
    if !Path::new("/usr/bin/apt-get").is_file() || !Path::new("/etc/debian_version").is_file() {
        return None;
    }
    if rustix::process::geteuid().is_root() {
        return Some(Privilege::Root);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "true"]);
    run::output_async(sudo, String::new())
        .await
        .ok()
        .map(|_| Privilege::Sudo)
}

/// Installs what is missing.
pub(super) async fn run(missing: &Missing, privilege: Privilege) -> Result<(), DevstackError> {
    log::info!(
        "installing {} with apt-get; this takes about a minute (their system services stay off)",
        missing.names()
    );
    let mut command = match privilege {
        Privilege::Root => Command::new("/bin/sh"),
        Privilege::Sudo => {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "/bin/sh"]);
            sudo
        }
    };
    command
        .args(["-c", SCRIPT, "adtally-install"])
        .args(missing.packages());
    let done = run::output_async(command, String::new()).await;
    done.map(drop)
        .map_err(|error| DevstackError::InstallFailed {
            missing: missing.names(),
            command: missing.command(),
            detail: match error {
                DevstackError::Program { detail, .. } => last_lines(&detail),
                other => other.to_string(),
            },
        })
}

fn last_lines(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.reverse();
    lines.join(" | ")
}
