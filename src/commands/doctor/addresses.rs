//! The addresses that are offered to clients as host candidates (RFC 8445, section 5.1.1), and who can send to them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::ports::Ports;
use super::report::Finding;
use crate::config::Config;
use crate::net::addresses::{node_addresses, wildcards};
use crate::server;

const CHECK: &str = "addresses";

pub(super) struct Addresses {
    pub offered: Vec<SocketAddr>,
    /// The machine's own.
    pub own: Vec<IpAddr>,
    /// The operator chose what is offered.
    named: bool,
    development: bool,
}

pub(super) fn find(config: &Config, ports: &Ports) -> Addresses {
    let own = node_addresses(true);
    let named = !config.media.node_ips.is_empty();
    let node = if named { config.media.node_ips.clone() } else { node_addresses(config.development) };
    // A port that is taken is offered by whoever has it.
    let bound = match &ports.media.bound {
        Ok(bound) => bound.clone(),
        Err(_) => expected(config),
    };
    // Shards differ by port only: those of the first tell all.
    let first = bound.first().map_or(0, SocketAddr::port);
    let bound: Vec<SocketAddr> = bound.into_iter().filter(|address| address.port() == first).collect();
    Addresses { offered: server::offered(&bound, &node, named), own, named, development: config.development }
}

/// What the first shard of a server with this configuration is bound to.
fn expected(config: &Config) -> Vec<SocketAddr> {
    let bind = if config.http.bind.is_empty() { wildcards().to_vec() } else { config.http.bind.clone() };
    bind.into_iter().map(|ip| SocketAddr::new(ip, config.media.udp_port)).collect()
}

pub(super) fn judge(addresses: &Addresses) -> Vec<Finding> {
    let offered: Vec<IpAddr> = addresses.offered.iter().map(SocketAddr::ip).collect();
    let list = addresses.offered.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ");
    let only = |of: fn(&IpAddr) -> bool| offered.iter().all(of);
    let first = if offered.is_empty() {
        Finding::fail(CHECK, "none to offer to clients", "name one with --node-ip")
    } else if only(IpAddr::is_loopback) && addresses.development {
        Finding::ok(CHECK, format!("{list}: for clients on this machine alone, as --dev has it"))
    } else if only(IpAddr::is_loopback) {
        Finding::fail(CHECK, format!("{list}: only this machine reaches it"), "name another with --node-ip")
    } else if only(is_private) {
        let advice =
            "for clients elsewhere, name the public address with --node-ip and forward the UDP ports to this machine";
        Finding::warn(CHECK, format!("{list}: reached only from this private network"), advice)
    } else {
        let chosen = if addresses.named { " (as named by --node-ip)" } else { "" };
        Finding::ok(CHECK, format!("{list}{chosen}"))
    };
    let lacks_v6 = !offered.iter().any(|ip| ip.is_ipv6() && !ip.is_loopback());
    let ipv6 = (lacks_v6 && !addresses.development && !offered.is_empty()).then(|| {
        let advice =
            "some mobile networks have IPv6 alone and reach IPv4 by a detour: give the machine an address, or name it";
        Finding::warn("ipv6", "no address of IPv6 is offered", advice)
    });
    std::iter::once(first).chain(ipv6).collect()
}

/// Not reachable from everywhere: private (RFC 1918, RFC 4193), shared (RFC 6598) or loopback.
fn is_private(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || is_shared(*v4),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback(),
    }
}

fn is_shared(v4: Ipv4Addr) -> bool {
    let [first, second, ..] = v4.octets();
    first == 100 && (64..128).contains(&second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Verdict::{self, *};

    fn verdicts(offered: &[&str], development: bool) -> Vec<(&'static str, Verdict)> {
        let offered = offered.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 7882)).collect();
        let findings = judge(&Addresses { offered, own: Vec::new(), named: false, development });
        findings.into_iter().map(|finding| (finding.check, finding.verdict)).collect()
    }

    #[test]
    fn who_can_send_to_the_offered_addresses_is_told() {
        assert_eq!(verdicts(&[], false), [("addresses", Fail)]);
        assert_eq!(verdicts(&["127.0.0.1"], false), [("addresses", Fail), ("ipv6", Warn)]);
        assert_eq!(verdicts(&["127.0.0.1", "::1"], true), [("addresses", Ok)]);
        for private in ["10.0.0.1", "172.31.0.1", "192.168.1.1", "100.64.0.1", "100.127.255.255"] {
            assert_eq!(verdicts(&[private], false), [("addresses", Warn), ("ipv6", Warn)], "{private}");
        }
        assert_eq!(verdicts(&["10.0.0.1", "fd00::1"], false), [("addresses", Warn)]);
        assert_eq!(verdicts(&["198.51.100.1"], false), [("addresses", Ok), ("ipv6", Warn)]);
        assert_eq!(verdicts(&["100.128.0.1", "2001:db8::1"], false), [("addresses", Ok)]);
        assert_eq!(verdicts(&["10.0.0.1", "198.51.100.1", "2001:db8::1"], false), [("addresses", Ok)]);
    }
}
