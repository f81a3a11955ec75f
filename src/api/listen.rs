//! Listening addresses, and errors that tell what to do when one cannot be had.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::config::Config;

/// Connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;
/// Attempts to find a port that is free on all addresses, when any will do.
const ANY_PORT_ATTEMPTS: usize = 8;

/// An address that cannot be listened on. Also good for other ports than HTTP's.
#[derive(Debug)]
pub struct BindError {
    pub address: SocketAddr,
    /// What it was for, and the flag that sets the port: `("signalling and page", "--port")`.
    pub purpose: &'static str,
    pub flag: &'static str,
    pub source: io::Error,
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { address, purpose, flag, source } = self;
        write!(f, "cannot listen on {address} for {purpose}: ")?;
        match source.kind() {
            ErrorKind::AddrInUse => {
                write!(
                    f,
                    "port {} is taken by another program. Stop it, or choose another port with {flag}",
                    address.port()
                )
            }
            ErrorKind::AddrNotAvailable => {
                write!(f, "this machine has no address {}. Choose one of its own with --bind", address.ip())
            }
            ErrorKind::PermissionDenied => {
                write!(f, "port {} needs more rights. Choose one from 1024 up with {flag}", address.port())
            }
            _ => write!(f, "{source}"),
        }
    }
}

/// Opens the listeners of signalling and page. Must run inside a tokio runtime.
///
/// Without addresses named, the defaults of [`Config`] that this machine has; all share one port.
pub fn bind(config: &Config) -> Result<Vec<TcpListener>, BindError> {
    let named = &config.http.bind;
    let mut attempts = if config.http.port == 0 { ANY_PORT_ATTEMPTS } else { 1 };
    loop {
        let outcome = match (named.is_empty(), config.development) {
            (false, _) => bind_all(named, config.http.port, |_, _| false),
            (true, true) => {
                // A machine without IPv6 lacks the second.
                let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                bind_all(&addresses, config.http.port, |address, error| address.is_ipv6() && lacks_family(error))
            }
            (true, false) => bind_every_address(config.http.port),
        };
        attempts -= 1;
        match outcome {
            Err(error) if attempts > 0 && error.source.kind() == ErrorKind::AddrInUse => continue,
            outcome => return outcome,
        }
    }
}

/// Of an IPv6 address: there is no IPv6, as far as it matters here. Systems say so in several ways.
fn lacks_family(error: &io::Error) -> bool {
    !matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

/// One listener for both families, or IPv4 alone where there is no IPv6.
fn bind_every_address(port: u16) -> Result<Vec<TcpListener>, BindError> {
    match bind_all(&[Ipv6Addr::UNSPECIFIED.into()], port, |_, _| false) {
        Err(error) if lacks_family(&error.source) => bind_all(&[Ipv4Addr::UNSPECIFIED.into()], port, |_, _| false),
        outcome => outcome,
    }
}

/// `optional` tells which failures to pass over.
fn bind_all(
    addresses: &[IpAddr],
    port: u16,
    optional: impl Fn(IpAddr, &io::Error) -> bool,
) -> Result<Vec<TcpListener>, BindError> {
    let mut port = port;
    let mut listeners = Vec::with_capacity(addresses.len());
    // With both families' wildcards named, the IPv6 one must leave IPv4 to the other.
    let both = addresses.iter().any(|ip| *ip == Ipv4Addr::UNSPECIFIED);
    for &ip in addresses {
        let address = SocketAddr::new(ip, port);
        match listen(address, both).and_then(|listener| Ok((listener.local_addr()?.port(), listener))) {
            Ok((bound, listener)) => {
                port = bound;
                listeners.push(listener);
            }
            Err(error) if optional(ip, &error) => {}
            Err(source) => {
                return Err(BindError { address, purpose: "signalling and page", flag: "--port", source });
            }
        }
    }
    Ok(listeners)
}

fn listen(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // A restarted server need not wait for its old connections to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Config {
        let arguments = ["sfumato", "--dev"].iter().chain(arguments).map(std::ffi::OsString::from);
        crate::config::load(arguments, []).unwrap().config
    }

    #[tokio::test]
    async fn development_listens_on_loopback_alone_with_one_port() {
        let listeners = bind(&config(&["--port", "0"])).unwrap();
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()), "{addresses:?}");
        assert!(addresses.iter().all(|address| address.port() == addresses[0].port() && address.port() != 0));
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_its_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let text = bind(&config(&["--port", &port])).unwrap_err().to_string();
        assert!(text.contains(&port) && text.contains("--port") && text.contains("taken"), "{text}");
    }

    #[tokio::test]
    async fn a_foreign_address_is_named() {
        // TEST-NET-1 (RFC 5737) is nobody's.
        let text = bind(&config(&["--bind", "192.0.2.1", "--port", "0"])).unwrap_err().to_string();
        assert!(text.contains("192.0.2.1") && text.contains("--bind"), "{text}");
    }

    #[tokio::test]
    async fn both_wildcards_can_be_named() {
        let listeners = bind(&config(&["--bind", "0.0.0.0,::", "--port", "0"]));
        // A machine without IPv6 refuses the second.
        if std::net::TcpListener::bind("[::1]:0").is_ok() {
            assert_eq!(listeners.unwrap().len(), 2);
        }
    }
}
