//! Whether the server runs already: then its ports are rightly taken.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::report::Finding;
use crate::commands::healthcheck;
use crate::config::Config;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Running {
    /// With its version, as it names itself.
    Yes(String),
    No,
    /// Any free port is taken, so nobody knows where to look.
    Unknown,
}

pub(super) fn find(config: &Config) -> Running {
    if config.http.port == 0 {
        return Running::Unknown;
    }
    let address = SocketAddr::new(local(config.http.bind.first().copied()), config.http.port);
    // A port of HTTPS answers this in plain HTTP, too.
    let answer = healthcheck::exchange(address, "/livez").ok();
    answer.as_deref().and_then(named).map_or(Running::No, Running::Yes)
}

/// An address that reaches what is bound to `bind`.
fn local(bind: Option<IpAddr>) -> IpAddr {
    bind.filter(|ip| !ip.is_unspecified()).unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// The server's version in an answer of its own.
fn named(answer: &str) -> Option<String> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let mut servers = headers.filter(|(name, _)| name.eq_ignore_ascii_case("server"));
    servers.find_map(|(_, value)| value.strip_prefix("sfumato/")).map(str::to_owned)
}

pub(super) fn judge(running: &Running) -> Finding {
    const CHECK: &str = "server";
    let own = env!("CARGO_PKG_VERSION");
    match running {
        Running::No => Finding::ok(CHECK, "not running with these settings"),
        Running::Unknown => Finding::ok(CHECK, "unknown whether one runs: port 0 takes any free port"),
        Running::Yes(version) if version == own => Finding::ok(CHECK, format!("version {version} is running")),
        Running::Yes(version) => Finding::warn(
            CHECK,
            format!("version {version} is running, this is {own}"),
            "what is found here may not hold for it: ask the program of the same version",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Verdict;

    #[test]
    fn a_server_is_known_by_its_header() {
        let answer =
            |server: &str| format!("HTTP/1.1 503 Service Unavailable\r\nServer: {server}\r\n\r\nServer: sfumato/9");
        assert_eq!(named(&answer("sfumato/1.2.3")).as_deref(), Some("1.2.3"));
        assert_eq!(named(&answer("nginx")), None);
        assert_eq!(named("220 mail.example"), None);
    }

    #[test]
    fn one_of_another_version_is_told_apart() {
        assert_eq!(judge(&Running::Yes(env!("CARGO_PKG_VERSION").to_owned())).verdict, Verdict::Ok);
        assert_eq!(judge(&Running::Yes("0.0.0".to_owned())).verdict, Verdict::Warn);
        assert_eq!(judge(&Running::No).verdict, Verdict::Ok);
        assert!(judge(&Running::Unknown).found.contains("unknown"));
    }

    #[test]
    fn a_wildcard_is_asked_by_loopback() {
        assert_eq!(local(None), Ipv4Addr::LOCALHOST);
        assert_eq!(local(Some("::".parse().unwrap())), Ipv4Addr::LOCALHOST);
        assert_eq!(local(Some("192.0.2.1".parse().unwrap())).to_string(), "192.0.2.1");
    }
}
