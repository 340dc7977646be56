//! Small file systems, which fill up.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system, until this value is dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// `None` when this user may not mount.
    pub(crate) fn new(options: &[&str], path: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(options).arg(path).status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(path.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: whoever still uses it is about to end.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(&self.0)
            .stderr(Stdio::null())
            .status();
    }
}

/// A small file system of its own.
pub(crate) struct SmallDisk {
    // First: the directory is removed after it.
    _mount: Mount,
    directory: tempfile::TempDir,
}

impl SmallDisk {
    /// A file system of `size`, such as `4m`; `None`, and a line that says so for `row`, when this
    /// user may not mount one.
    pub(crate) fn new(row: &str, size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let options = ["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"];
        let Some(mount) = Mount::new(&options, directory.path()) else {
            println!("{row}: skipped, this user may not mount a small file system");
            return None;
        };
        Some(Self {
            _mount: mount,
            directory,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Takes all room there is, until the value is dropped.
    pub(crate) fn fill(&self) -> Filler {
        let path = self.path().join("filler");
        let mut file = File::create(&path).expect("a file");
        let filled = io::copy(&mut io::repeat(0), &mut file);
        let error = filled.expect_err("the disk is full in the end");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        Filler(path)
    }
}

/// A file that fills a disk.
pub(crate) struct Filler(PathBuf);

impl Drop for Filler {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("the disk has room again");
    }
}
