//! Whether the server gets its ports: TCP for signalling, UDP for each shard. They are taken as the server would, and given
//! back.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::report::Finding;
use super::running::Running;
use crate::api::{self, BindError};
use crate::config::Config;
use crate::net::udp::BoundPort;
use crate::server;

pub(super) struct Ports {
    http: Port,
    operations: Port,
    /// Of each shard, every address.
    pub media: Port,
}

/// What came of binding: the addresses, or what is in the way.
pub(super) struct Port {
    check: &'static str,
    pub bound: Result<Vec<SocketAddr>, BindError>,
}

/// Must run inside a tokio runtime, as listeners belong to one.
pub(super) fn find(config: &Config) -> Ports {
    let media = server::bind_media(config).map(|shards| shards.iter().flatten().map(BoundPort::local).collect());
    Ports {
        http: Port { check: "tcp port", bound: api::bind(config).map(locals) },
        operations: Port { check: "metrics port", bound: api::bind_operations(config).map(locals) },
        media: Port { check: "udp ports", bound: media },
    }
}

fn locals(listeners: Vec<TcpListener>) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

pub(super) fn judge(ports: &Ports, running: &Running) -> Vec<Finding> {
    [&ports.http, &ports.operations, &ports.media].map(|port| judge_one(port, running)).into()
}

fn judge_one(Port { check, bound }: &Port, running: &Running) -> Finding {
    let runs = matches!(running, Running::Yes(_));
    match bound {
        Ok(addresses) if runs => Finding::warn(
            check,
            format!("free, though a server is running: {}", list(addresses)),
            "the running server has other settings: give this command the same",
        ),
        Ok(addresses) => Finding::ok(check, format!("free: {}", list(addresses))),
        Err(error) if runs && error.source.kind() == ErrorKind::AddrInUse => {
            Finding::ok(check, format!("{} is taken by the running server", error.address))
        }
        // Its text says what to do.
        Err(error) => {
            let text = error.to_string();
            match text.split_once(". ") {
                Some((found, advice)) => Finding::fail(check, found, advice),
                None => Finding::fail(check, text, "the server cannot start like this"),
            }
        }
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::listen::MEDIA;
    use crate::commands::doctor::report::Verdict;

    fn judged(bound: Result<(), ErrorKind>, running: bool) -> Finding {
        let address: SocketAddr = "192.0.2.1:7882".parse().unwrap();
        let bound = bound.map(|()| vec![address]);
        let bound = bound.map_err(|kind| BindError { address, purpose: &MEDIA, source: kind.into() });
        let running = if running { Running::Yes("1".to_owned()) } else { Running::No };
        judge_one(&Port { check: "udp ports", bound }, &running)
    }

    #[test]
    fn a_port_is_free_or_rightly_taken() {
        assert_eq!(judged(Ok(()), false).verdict, Verdict::Ok);
        assert_eq!(judged(Err(ErrorKind::AddrInUse), true).verdict, Verdict::Ok);
        assert_eq!(judged(Ok(()), true).verdict, Verdict::Warn, "the running server has another one");
    }

    #[test]
    fn what_is_in_the_way_is_told_with_what_to_do() {
        for (kind, advice) in [
            (ErrorKind::AddrInUse, "Stop it, or choose another port with --udp-port"),
            (ErrorKind::AddrNotAvailable, "Choose one of its own with --bind"),
            (ErrorKind::OutOfMemory, "the server cannot start like this"),
        ] {
            let finding = judged(Err(kind), false);
            assert_eq!((finding.verdict, finding.advice.as_deref()), (Verdict::Fail, Some(advice)), "{kind}");
        }
        assert_eq!(judged(Err(ErrorKind::AddrNotAvailable), true).verdict, Verdict::Fail);
    }
}
