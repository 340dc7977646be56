//! Which user PostgreSQL runs as: its server refuses to run as root.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::DevstackError;

/// A user for a child process, when it is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
    /// The user can't pass a directory above the data (say `/root`): the child then gets the
    /// capability to, from util-linux's `setpriv`.
    through: Option<&'static str>,
}

impl Account {
    /// The user for a server whose data is below `dir`; `None` when ours will do.
    ///
    /// Root becomes `postgres`, else the directory's owner, else `nobody`.
    pub(crate) fn for_server(dir: &Path) -> Result<Option<Self>, DevstackError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let owner = fs::metadata(dir).map_err(DevstackError::io("could not look at", dir))?;
        let owner = Some((owner.uid(), owner.gid())).filter(|(uid, _)| *uid != 0);
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let (uid, gid) = find_user(&passwd, "postgres")
            .or(owner)
            .or_else(|| find_user(&passwd, "nobody"))
            .unwrap_or((65_534, 65_534));
        let through = (!can_pass(dir, uid, gid)).then(bypass_capability).flatten();
        Ok(Some(Self { uid, gid, through }))
    }

    /// Gives a file or directory to the user.
    pub(crate) fn own(&self, path: &Path) -> Result<(), DevstackError> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(DevstackError::io(
            "could not give to the database's user",
            path,
        ))
    }

    /// Makes the program whose path and arguments are appended next run as the user.
    pub(crate) fn apply(&self, command: &mut Command) {
        let Some(capability) = self.through else {
            command.uid(self.uid).gid(self.gid);
            return;
        };
        command.arg("setpriv");
        command
            .arg(format!("--reuid={}", self.uid))
            .arg(format!("--regid={}", self.gid));
        command.arg("--clear-groups");
        command.arg(format!("--inh-caps=+{capability}"));
        command.arg(format!("--ambient-caps=+{capability}"));
    }
}

/// User and group id of a user in the text of `/etc/passwd`.
fn find_user(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

/// Whether the user may enter `dir`, which it is going to own, through the directories above it.
fn can_pass(dir: &Path, uid: u32, gid: u32) -> bool {
    let Ok(dir) = dir.canonicalize() else {
        return true;
    };
    dir.ancestors().all(|above| {
        fs::metadata(above).is_ok_and(|found| {
            let bit = match (found.uid() == uid, found.gid() == gid) {
                (true, _) => 0o100,
                (_, true) => 0o010,
                _ => 0o001,
            };
            found.mode() & bit != 0
        })
    })
}

/// The weakest capability we hold that lets a process enter any directory.
fn bypass_capability() -> Option<&'static str> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let bounding = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))?;
    let bounding = u64::from_str_radix(bounding.trim(), 16).ok()?;
    [("dac_read_search", 2), ("dac_override", 1)]
        .into_iter()
        .find_map(|(name, bit)| (bounding >> bit & 1 == 1).then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_exact_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\npostgres2:x:5:6::/:\npostgres:x:101:104:a:/:\n";
        assert_eq!(find_user(passwd, "postgres"), Some((101, 104)));
        assert_eq!(find_user(passwd, "nobody"), None);
    }

    #[test]
    fn a_closed_directory_above_is_noticed() {
        assert!(can_pass(Path::new("/usr"), 65_534, 65_534));
        if let Ok(root) = fs::metadata("/root")
            && root.mode() & 0o007 == 0
        {
            assert!(!can_pass(Path::new("/root"), 65_534, 65_534));
        }
    }
}
