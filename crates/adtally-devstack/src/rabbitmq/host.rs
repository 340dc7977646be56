//! A host of its own for a node, so that its network can be cut.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// A network namespace with a name and an address that the other nodes reach.
///
/// The namespace exists already. Making one is the caller's business: it needs root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The part of the node's name behind the `@`: no dots.
    pub name: String,
    /// Where the node listens, for clients as for other nodes.
    pub address: Ipv4Addr,
    /// The namespace's name, as `ip netns` knows it.
    pub namespace: String,
}

impl Host {
    /// The program and arguments that run `program` on the host.
    pub(super) fn command(host: Option<&Self>, program: &Path) -> (PathBuf, Vec<OsString>) {
        match host {
            None => (program.to_owned(), Vec::new()),
            Some(host) => {
                let args = ["netns", "exec", &host.namespace].map(OsString::from);
                let args = args.into_iter().chain([program.as_os_str().to_owned()]);
                ("ip".into(), args.collect())
            }
        }
    }
}

/// What Erlang resolves the hosts' names by (its `inetrc`).
pub(super) fn inetrc(hosts: &[Host]) -> String {
    let line = |host: &Host| {
        let address = host.address.octets().map(|octet| octet.to_string());
        format!(
            "{{host, {{{}}}, [\"{}\"]}}.\n",
            address.join(","),
            host.name
        )
    };
    let lines: String = hosts.iter().map(line).collect();
    format!("{lines}{{lookup, [file, native]}}.\n")
}
