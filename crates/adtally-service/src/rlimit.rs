//! The operating system's limit of open files, which connections count as.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What a process needs beside what its settings say: log, timers, servers, connections to come.
const SPARE: u64 = 128;

/// Raises the soft limit of open files to the hard one; many systems start processes with 1,024.
pub(crate) fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            log::debug!("the limit of open files cannot be raised: {error}");
        }
    }
}

/// Warns when fewer files may be open than the settings of `flags` can need: `wanted` in all.
pub fn check_open_files(wanted: u64, flags: &str) {
    let allowed = getrlimit(Resource::Nofile).current;
    if let Some(allowed) = allowed.filter(|allowed| *allowed < wanted.saturating_add(SPARE)) {
        log::warn!(
            "at most {allowed} files may be open, fewer than {flags} can need ({wanted} and \
             {SPARE} more): raise the limit (ulimit -n, LimitNOFILE=) or lower the flag"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_open_as_many_files_as_its_hard_limit_says() {
        let hard = getrlimit(Resource::Nofile).maximum;
        raise_open_files();
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}
