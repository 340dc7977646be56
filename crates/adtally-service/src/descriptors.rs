//! How many files and connections the operating system lets this process hold.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What a process needs beside what its settings say: log, timers, servers, connections to come.
const BESIDE: u64 = 128;

/// Raises the soft limit of open files to the hard one; many systems start processes with 1,024.
pub(crate) fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            log::debug!("the limit of open files cannot be raised: {error}");
        }
    }
}

/// Says so when fewer files may be open than settings reach: `wanted` in all, by the flags `flags`.
pub fn check_descriptors(wanted: u64, flags: &str) {
    let allowed = getrlimit(Resource::Nofile).current;
    if let Some(allowed) = allowed.filter(|allowed| *allowed < wanted.saturating_add(BESIDE)) {
        log::warn!(
            "at most {allowed} files may be open, fewer than {flags} can need ({wanted} and \
             {BESIDE} more): raise the limit (ulimit -n, LimitNOFILE=) or lower the flag"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_open_as_many_files_as_its_hard_limit_says() {
        let hard = getrlimit(Resource::Nofile).maximum;
        raise();
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}
