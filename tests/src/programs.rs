//! The real binaries, built from the tree as it is.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The path of the binary `name`, up to date.
///
/// Cargo builds the binaries of other packages for no test by itself, and one that lies around
/// may be old: so the first test of a process has cargo look. `ADTALLY_TEST_BINARIES` names a
/// directory of binaries to test instead, as they are.
///
/// # Panics
/// When the binaries do not build.
pub fn path(name: &str) -> PathBuf {
    static PROFILE: OnceLock<PathBuf> = OnceLock::new();
    PROFILE.get_or_init(build).join(name)
}

fn build() -> PathBuf {
    if let Some(ready) = std::env::var_os("ADTALLY_TEST_BINARIES") {
        return ready.into();
    }
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("the test lies in target/<profile>/deps");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--bins"]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    // The variables cargo sets for a test are not for the build of other packages.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_")) {
        cargo.env_remove(name);
    }
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "cargo could not build the binaries");
    profile.to_owned()
}
