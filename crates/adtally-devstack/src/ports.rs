//! Free loopback ports.
//!
//! Ports are taken from below the range the kernel uses for outgoing connections. A client that
//! keeps trying to reach a server that is down would otherwise, sooner or later, be given the
//! server's own port as its local one, connect to itself, and keep the server from coming back.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::DevstackError;

const LOWEST: u16 = 15_000;
const ATTEMPTS: u32 = 2_000;

/// Ports handed out by this process: none is handed out twice.
static TAKEN: LazyLock<Mutex<BTreeSet<u16>>> = LazyLock::new(Mutex::default);

/// A loopback port that is free now, below those the kernel gives to outgoing connections. Another
/// process may still take it first.
///
/// # Errors
/// None was found.
pub fn free_port() -> Result<u16, DevstackError> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let below = first_outgoing_port().max(LOWEST + 1_000);
    for _ in 0..ATTEMPTS {
        let port = rand::random_range(LOWEST..below);
        if !taken.contains(&port) && is_free(port) {
            taken.insert(port);
            return Ok(port);
        }
    }
    Err(DevstackError::NoFreePort)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn first_outgoing_port() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_handed_out_twice() {
        let ports: Vec<u16> = (0..200).map(|_| free_port().unwrap()).collect();
        let distinct: BTreeSet<u16> = ports.iter().copied().collect();
        assert_eq!(distinct.len(), ports.len());
    }

    #[test]
    fn ports_are_never_ones_an_outgoing_connection_could_get() {
        let first = first_outgoing_port();
        for _ in 0..50 {
            let port = free_port().unwrap();
            assert!(port < first, "{port} is in the outgoing range from {first}");
        }
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
    }
}
