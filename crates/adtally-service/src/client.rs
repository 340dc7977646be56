//! Whom a share of something belongs to.

use std::net::IpAddr;

/// The network of a client, as far as one customer of a provider has it to themselves: an IPv4 address
/// or the /64 of an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientNetwork(u128);

impl ClientNetwork {
    /// The network of a client whose address may be unknown; all unknown ones are one.
    #[must_use]
    pub fn of(address: Option<IpAddr>) -> Self {
        address.map_or(Self(0), Self::from)
    }
}

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits() >> 64 << 64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> ClientNetwork {
        ClientNetwork::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn a_network_is_an_ipv4_address_or_half_an_ipv6_one() {
        assert_eq!(network("203.0.113.9"), network("::ffff:203.0.113.9"));
        assert_ne!(network("203.0.113.9"), network("203.0.113.8"));
        assert_eq!(network("2001:db8:1:2::9"), network("2001:db8:1:2:f::"));
        assert_ne!(network("2001:db8:1:2::9"), network("2001:db8:1:3::9"));
        assert_ne!(network("::1"), network("127.0.0.1"));
    }
}
