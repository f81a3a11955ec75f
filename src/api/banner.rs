//! What the server prints for the human who started it: where it is, how to get in, and what is missing.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::config::Config;

/// `http`, `operations` and `udp` are the addresses that were really bound; `page` tells whether the page was built.
pub fn banner(
    config: &Config,
    http: &[SocketAddr],
    operations: &[SocketAddr],
    udp: &[SocketAddr],
    page: bool,
) -> String {
    let mut text = format!("Sfumato {}\n", env!("CARGO_PKG_VERSION"));
    let mut line = |text_of_line: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {text_of_line}");
    };
    let port = http.first().map_or(config.http.port, |address| address.port());
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", host(http, port));
    match page {
        true => line(format_args!("open    {url}")),
        false => line(format_args!("serves  {url} (the meeting page was not built: install Node and run `make run`)")),
    }
    if config.development {
        line(format_args!(
            "tokens  {url}/dev/token?room=ROOM&identity=NAME (development mode: keys are publicly known)"
        ));
    }
    let ports = udp.iter().map(|address| address.port()).collect::<std::collections::BTreeSet<_>>();
    let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    line(format_args!("media   UDP {ports}"));
    if let Some(address) = operations.first() {
        line(format_args!("metrics http://{}/metrics", reachable(*address)));
    }
    text
}

/// On this machine.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { format!("localhost:{}", address.port()) } else { address.to_string() }
}

/// A name a browser on this machine can open; `localhost` where it will do, as it counts as secure without TLS.
fn host(http: &[SocketAddr], port: u16) -> String {
    let local = |address: &SocketAddr| address.ip().is_loopback() || address.ip().is_unspecified();
    match http.first() {
        Some(address) if !http.iter().any(local) => address.to_string(),
        _ => format!("localhost:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Config {
        let arguments = ["sfumato"].iter().chain(arguments).map(std::ffi::OsString::from);
        crate::config::load(arguments, []).unwrap().config
    }

    #[test]
    fn development_says_where_to_get_a_token_and_what_ports_are_used() {
        let http = ["127.0.0.1:4000".parse().unwrap(), "[::1]:4000".parse().unwrap()];
        let udp = ["0.0.0.0:5000".parse().unwrap(), "[::]:5000".parse().unwrap(), "0.0.0.0:5001".parse().unwrap()];
        let text = banner(&config(&["--dev"]), &http, &["127.0.0.1:6000".parse().unwrap()], &udp, true);
        assert!(text.contains("open    http://localhost:4000\n"), "{text}");
        assert!(text.contains("http://localhost:4000/dev/token?room="), "{text}");
        assert!(text.contains("UDP 5000, 5001\n"), "{text}");
        assert!(text.contains("metrics http://127.0.0.1:6000/metrics\n"), "{text}");
    }

    #[test]
    fn with_a_certificate_the_address_is_one_of_https() {
        let config = config(&["--dev", "--tls-cert", "chain.pem", "--tls-key", "key.pem"]);
        let text = banner(&config, &["127.0.0.1:4000".parse().unwrap()], &[], &[], true);
        assert!(text.contains("open    https://localhost:4000\n") && !text.contains("http://"), "{text}");
    }

    #[test]
    fn without_a_page_or_development_mode_it_says_so() {
        let keys = "app: 0123456789abcdef0123456789abcdef";
        let everywhere = ["[::]:6789".parse().unwrap()];
        let text = banner(&config(&["--keys", keys]), &["192.0.2.1:80".parse().unwrap()], &everywhere, &[], false);
        assert!(text.contains("http://192.0.2.1:80 (the meeting page was not built"), "{text}");
        assert!(text.contains("metrics http://localhost:6789/metrics\n"), "{text}");
        assert!(!text.contains("/dev/token") && !text.contains("0123456789"), "{text}");
    }
}
