//! How many connections the operating system lets this process hold.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one; many systems start processes with 1,024.
/// Says so when that is still less than `wanted`.
pub(crate) fn allow(wanted: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            log::debug!("the limit of open files cannot be raised: {error}");
        }
    }
    let allowed = getrlimit(Resource::Nofile).current;
    if let Some(allowed) = allowed.filter(|allowed| *allowed < wanted as u64) {
        log::warn!(
            "at most {allowed} files may be open, fewer than --max-connections {wanted} needs: \
             raise the limit (ulimit -n) or lower the flag"
        );
    }
}
