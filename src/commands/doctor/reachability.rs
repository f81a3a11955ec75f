//! Whether a datagram to an offered address arrives, sent by this machine to itself. What stands in front of the machine
//! cannot be seen from here.

use std::net::{IpAddr, SocketAddr};

use super::report::Finding;
use crate::net::probe;

const CHECK: &str = "udp reach";

pub(super) struct Reach {
    to: SocketAddr,
    /// Of this machine: a datagram to it takes no detour.
    own: bool,
    arrived: Result<bool, String>,
}

pub(super) fn find(to: SocketAddr, own: &[IpAddr]) -> Reach {
    let arrived = probe::reaches_itself(to).map_err(|error| error.to_string());
    Reach { to, own: own.contains(&to.ip()), arrived }
}

pub(super) fn judge(Reach { to, own, arrived }: &Reach) -> Finding {
    let outside = "let a client from outside try, since many routers send nothing back to the inside";
    match (arrived, own) {
        (Ok(true), _) => {
            Finding::ok(CHECK, format!("a datagram to {to} arrives; firewalls in front of this machine are not seen"))
        }
        (Ok(false), true) => Finding::fail(
            CHECK,
            format!("a datagram to {to} is lost on this machine"),
            "a firewall on it drops UDP: open the port",
        ),
        (Ok(false), false) => {
            Finding::warn(CHECK, format!("unknown for {to}, which is no address of this machine"), outside)
        }
        (Err(error), true) => {
            Finding::fail(CHECK, format!("no datagram can be sent to {to}: {error}"), "look at its routes")
        }
        (Err(error), false) => Finding::warn(CHECK, format!("unknown for {to}: {error}"), outside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Verdict;

    #[test]
    fn what_is_lost_on_the_machine_fails_and_what_lies_in_front_is_unknown() {
        let judged = |own, arrived| judge(&Reach { to: "192.0.2.1:7882".parse().unwrap(), own, arrived }).verdict;
        assert_eq!(judged(true, Ok(true)), Verdict::Ok);
        assert_eq!(judged(true, Ok(false)), Verdict::Fail);
        assert_eq!(judged(false, Ok(false)), Verdict::Warn);
        assert_eq!(judged(true, Err("no route".to_owned())), Verdict::Fail);
        assert_eq!(judged(false, Err("no route".to_owned())), Verdict::Warn);
    }

    #[test]
    fn loopback_reaches_itself() {
        let found = find("127.0.0.1:0".parse().unwrap(), &["127.0.0.1".parse().unwrap()]);
        assert_eq!(judge(&found).verdict, Verdict::Ok);
    }
}
