use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::super::search::Server;
use super::*;
use crate::secret::random_word;

/// A directory with a stand-in for apt-get, which notes its arguments and the policy it sees.
struct Stage {
    dir: PathBuf,
}

impl Stage {
    fn new(apt_get_install: &str) -> Self {
        let name = format!("adtally-install-{}", random_word(8));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).unwrap();
        let script = format!(
            "#!/bin/sh\necho \"$@\" >>{0}/asked\nif [ \"$1\" = install ]; then {0}/policy; \
             echo \"policy $?\" >>{0}/asked; {apt_get_install}; fi\n",
            dir.display()
        );
        fs::write(dir.join("apt-get"), script).unwrap();
        fs::set_permissions(dir.join("apt-get"), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn install(&self) -> Result<String, DevstackError> {
        let policy = self.dir.join("policy");
        let mut command = with_script(Command::new("/bin/sh"), &policy, &["one", "two"]);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.dir.display()));
        run::output(command, "")
    }

    fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.dir.join(name)).ok()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn packages_are_installed_while_service_starts_are_denied() {
    let stage = Stage::new("true");
    stage.install().unwrap();
    assert_eq!(
        stage.file("asked").unwrap(),
        "update\ninstall -y --no-install-recommends one two\npolicy 101\n"
    );
    assert_eq!(stage.file("policy"), None, "the policy file does not stay");
}

#[test]
fn a_failed_installation_is_quoted_and_leaves_no_policy() {
    let stage = Stage::new("echo 'E: Unable to locate package one' >&2; exit 100");
    let error = stage.install().unwrap_err();
    let missing = Missing {
        servers: vec![Server::Postgres],
        as_root: false,
    };
    let text = failure(&missing, error).to_string();
    assert_eq!(
        text,
        "PostgreSQL could not be installed (E: Unable to locate package one); try it yourself: \
         sudo apt-get update && sudo apt-get install -y --no-install-recommends postgresql"
    );
    assert_eq!(stage.file("policy"), None);
}

#[test]
fn a_policy_that_was_there_is_put_back() {
    for outcome in ["true", "exit 1"] {
        let stage = Stage::new(outcome);
        fs::write(stage.dir.join("policy"), "#!/bin/sh\nexit 0\n").unwrap();
        assert_eq!(stage.install().is_ok(), outcome == "true");
        assert!(stage.file("asked").unwrap().contains("policy 101"));
        assert_eq!(stage.file("policy").unwrap(), "#!/bin/sh\nexit 0\n");
    }
}

#[test]
fn a_policy_of_ours_that_a_killed_installation_left_is_removed() {
    let stage = Stage::new("true");
    fs::write(
        stage.dir.join("policy"),
        "#!/bin/sh\n# placed by adtally\nexit 101\n",
    )
    .unwrap();
    stage.install().unwrap();
    assert_eq!(stage.file("policy"), None);
}
