//! Hosts of a test's own, between which the network can be cut.

use std::net::Ipv4Addr;
use std::process::{self, Command, Stdio};

use adtally_devstack::Host;

/// Network namespaces on one bridge, until this value is dropped.
pub(crate) struct Hosts {
    bridge: String,
    hosts: Vec<Host>,
}

impl Hosts {
    /// So many hosts; `None`, and a line that says so for `row`, when this user may not make any.
    pub(crate) fn new(row: &str, count: u8) -> Option<Self> {
        let bridge = format!("adt{}", process::id());
        if !ip(&["link", "add", &bridge, "type", "bridge"]) {
            println!("{row}: skipped, this user may not make network namespaces");
            return None;
        }
        // A network of this process: others test here too.
        let [_, _, high, low] = process::id().to_be_bytes();
        let address = |host| Ipv4Addr::new(10, high, low, host);
        let mut made = Self {
            bridge,
            hosts: Vec::new(),
        };
        made.plug_in(address(254));
        for number in 1..=count {
            made.add(number, address(number));
        }
        Some(made)
    }

    /// The tests' own place on the bridge.
    fn plug_in(&self, address: Ipv4Addr) {
        let address = format!("{address}/24");
        must(&["addr", "add", &address, "dev", &self.bridge]);
        must(&["link", "set", &self.bridge, "up"]);
    }

    fn add(&mut self, number: u8, address: Ipv4Addr) {
        let namespace = format!("{}-{number}", self.bridge);
        must(&["netns", "add", &namespace]);
        self.hosts.push(Host {
            name: format!("host{number}"),
            address,
            namespace: namespace.clone(),
        });
        let plug = format!("{}v{number}", self.bridge);
        let pair = ["link", "add", &plug, "type", "veth", "peer", "name", "eth0"];
        must(&[&pair[..], &["netns", &namespace]].concat());
        must(&["link", "set", &plug, "master", &self.bridge, "up"]);
        let address = format!("{address}/24");
        must(&["-n", &namespace, "addr", "add", &address, "dev", "eth0"]);
        for link in ["lo", "eth0"] {
            must(&["-n", &namespace, "link", "set", link, "up"]);
        }
    }

    pub(crate) fn all(&self) -> Vec<Host> {
        self.hosts.clone()
    }

    /// Nothing passes any more between this host and the others; the tests still reach it.
    pub(crate) fn cut_off(&self, host: usize) {
        self.reroute(host, "add");
    }

    /// Ends [`Hosts::cut_off`].
    pub(crate) fn heal(&self, host: usize) {
        self.reroute(host, "del");
    }

    fn reroute(&self, host: usize, how: &str) {
        let cut = &self.hosts[host];
        for other in self.hosts.iter().filter(|other| *other != cut) {
            let other = format!("{}/32", other.address);
            must(&["-n", &cut.namespace, "route", how, "blackhole", &other]);
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in &self.hosts {
            ip(&["netns", "del", &host.namespace]);
        }
        ip(&["link", "del", &self.bridge]);
    }
}

/// Runs `ip`; whether it succeeded.
fn ip(args: &[&str]) -> bool {
    let ran = Command::new("ip").args(args).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}

fn must(args: &[&str]) {
    assert!(ip(args), "ip {}", args.join(" "));
}
