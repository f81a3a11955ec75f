//! Which addresses a node has, and so which host candidates it offers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The machine's addresses that clients may be able to reach: IPv4 first, loopback last and only when asked for.
/// Link-local addresses are left out: they mean nothing without a zone.
pub fn node_addresses(loopback: bool) -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let mut addresses: Vec<IpAddr> = interfaces.iter().map(|interface| interface.ip()).filter(usable).collect();
    addresses.retain(|address| loopback || !address.is_loopback());
    addresses.sort_by_key(|address| (address.is_loopback(), address.is_ipv6()));
    addresses.dedup();
    addresses
}

fn usable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

/// The wildcard addresses to bind when none is named.
pub fn wildcards() -> [IpAddr; 2] {
    [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]
}

/// Host candidates: the node's addresses that one of the bound sockets serves.
pub fn candidates(bound: &[SocketAddr], node: &[IpAddr]) -> Vec<SocketAddr> {
    let mut candidates = Vec::new();
    for address in node {
        let serves = |socket: &&SocketAddr| {
            socket.ip() == *address || (socket.ip().is_unspecified() && socket.is_ipv4() == address.is_ipv4())
        };
        candidates.extend(bound.iter().find(serves).map(|socket| SocketAddr::new(*address, socket.port())));
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_needs_a_socket_that_serves_its_address() {
        let node: Vec<IpAddr> = ["192.0.2.1", "2001:db8::1", "127.0.0.1"].map(|a| a.parse().unwrap()).to_vec();
        let v4 = ["0.0.0.0:7882".parse().unwrap()];
        let expected: Vec<SocketAddr> = ["192.0.2.1:7882", "127.0.0.1:7882"].map(|a| a.parse().unwrap()).to_vec();
        assert_eq!(candidates(&v4, &node), expected);
        let loopback = ["127.0.0.1:9".parse().unwrap()];
        assert_eq!(candidates(&loopback, &node), ["127.0.0.1:9".parse::<SocketAddr>().unwrap()]);
    }
}
