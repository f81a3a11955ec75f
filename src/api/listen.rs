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

/// What an address is listened on for, and the flags that say where.
#[derive(Debug, PartialEq, Eq)]
pub struct Purpose {
    pub name: &'static str,
    pub port_flag: &'static str,
    pub address_flag: &'static str,
}

const SIGNALLING: Purpose = Purpose { name: "signalling and page", port_flag: "--port", address_flag: "--bind" };
const OPERATIONS: Purpose =
    Purpose { name: "metrics and probes", port_flag: "--metrics-port", address_flag: "--metrics-bind" };
pub const MEDIA: Purpose = Purpose { name: "media", port_flag: "--udp-port", address_flag: "--bind" };

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    pub address: SocketAddr,
    pub purpose: &'static Purpose,
    pub source: io::Error,
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { address, purpose: Purpose { name, port_flag, address_flag }, source } = self;
        write!(f, "cannot listen on {address} for {name}: ")?;
        match source.kind() {
            ErrorKind::AddrInUse => {
                write!(
                    f,
                    "port {} is taken by another program. Stop it, or choose another port with {port_flag}",
                    address.port()
                )
            }
            ErrorKind::AddrNotAvailable => {
                write!(f, "this machine has no address {}. Choose one of its own with {address_flag}", address.ip())
            }
            ErrorKind::PermissionDenied => {
                write!(f, "port {} needs more rights. Choose one from 1024 up with {port_flag}", address.port())
            }
            _ => write!(f, "{source}"),
        }
    }
}

/// Opens the listeners of signalling and page. Must run inside a tokio runtime.
///
/// Without addresses named, the defaults of [`Config`] that this machine has; all share one port.
pub fn bind(config: &Config) -> Result<Vec<TcpListener>, BindError> {
    bind_some(&SIGNALLING, &config.http.bind, config.http.port, config.development)
}

/// Opens the listeners of the operations server, in the same way.
pub fn bind_operations(config: &Config) -> Result<Vec<TcpListener>, BindError> {
    bind_some(&OPERATIONS, &config.operations.bind, config.operations.port, config.development)
}

fn bind_some(
    purpose: &'static Purpose,
    named: &[IpAddr],
    port: u16,
    development: bool,
) -> Result<Vec<TcpListener>, BindError> {
    let mut attempts = if port == 0 { ANY_PORT_ATTEMPTS } else { 1 };
    loop {
        let outcome = match (named.is_empty(), development) {
            (false, _) => bind_all(named, port, |_, _| false),
            (true, true) => {
                // A machine without IPv6 lacks the second.
                let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                bind_all(&addresses, port, |address, error| address.is_ipv6() && lacks_family(error))
            }
            (true, false) => bind_every_address(port),
        };
        let outcome = outcome.map_err(|(address, source)| BindError { address, purpose, source });
        attempts -= 1;
        match outcome {
            Err(error) if attempts > 0 && error.source.kind() == ErrorKind::AddrInUse => continue,
            outcome => return outcome,
        }
    }
}

/// The address that could not be had, and why.
type Failure = (SocketAddr, io::Error);

/// Of an IPv6 address: there is no IPv6, as far as it matters here. Systems say so in several ways.
fn lacks_family(error: &io::Error) -> bool {
    !matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

/// One listener for both families, or IPv4 alone where there is no IPv6.
fn bind_every_address(port: u16) -> Result<Vec<TcpListener>, Failure> {
    match bind_all(&[Ipv6Addr::UNSPECIFIED.into()], port, |_, _| false) {
        Err((_, error)) if lacks_family(&error) => bind_all(&[Ipv4Addr::UNSPECIFIED.into()], port, |_, _| false),
        outcome => outcome,
    }
}

/// `optional` tells which failures to pass over.
fn bind_all(
    addresses: &[IpAddr],
    port: u16,
    optional: impl Fn(IpAddr, &io::Error) -> bool,
) -> Result<Vec<TcpListener>, Failure> {
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
            Err(error) => return Err((address, error)),
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
        let text = bind_operations(&config(&["--metrics-port", &port])).unwrap_err().to_string();
        assert!(text.contains(&port) && text.contains("--metrics-port") && text.contains("metrics"), "{text}");
    }

    #[tokio::test]
    async fn two_servers_on_one_machine_take_any_free_operations_port() {
        let (first, second) = (bind_operations(&config(&["--metrics-port", "0"])), config(&["--metrics-port", "0"]));
        let (first, second) = (first.unwrap(), bind_operations(&second).unwrap());
        let port = |listeners: &[TcpListener]| listeners[0].local_addr().unwrap().port();
        assert_ne!(port(&first), port(&second));
        assert!(first.iter().all(|listener| listener.local_addr().unwrap().ip().is_loopback()));
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
