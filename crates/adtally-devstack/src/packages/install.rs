//! Installing the server packages with apt-get, without starting or enabling their services.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::search::Missing;
use crate::{DevstackError, run};

const SCRIPT: &str = include_str!("install.sh");

/// Asked by Debian's package scripts before they start or stop a service.
const POLICY_FILE: &str = "/usr/sbin/policy-rc.d";

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
    log::warn!(
        "installing {} with apt-get; this takes about a minute (their system services stay off)",
        missing.names()
    );
    let shell = match privilege {
        Privilege::Root => Command::new("/bin/sh"),
        Privilege::Sudo => {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "/bin/sh"]);
            sudo
        }
    };
    let command = with_script(shell, Path::new(POLICY_FILE), &missing.packages());
    let done = run::output_async(command, String::new()).await;
    done.map(drop).map_err(|error| failure(missing, error))
}

fn with_script(mut shell: Command, policy: &Path, packages: &[&str]) -> Command {
    shell
        .args(["-c", SCRIPT, "adtally-install"])
        .arg(policy)
        .args(packages);
    // Its own process group: a Ctrl-C must not leave a package half configured.
    shell.process_group(0);
    shell
}

fn failure(missing: &Missing, error: DevstackError) -> DevstackError {
    DevstackError::InstallFailed {
        missing: missing.names(),
        command: missing.command(),
        detail: error.words(),
    }
}

#[cfg(test)]
mod tests;
