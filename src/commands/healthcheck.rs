//! `sfumato healthcheck`: asks the server of this machine, on the operations port of its settings, whether it is ready, or
//! alive. For containers that hold nothing else to ask with.
//!
//! What always holds: it ends within [`TIMEOUT`] for each step, says one line, and exits with 0 only when the server
//! answered 200.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction};

use super::{Invocation, Subcommand};
use crate::config::{Config, KeysNeeded};

pub(super) const SUBCOMMAND: Subcommand = Subcommand {
    name: "healthcheck",
    about: "Ask the server on this machine whether it is ready (or alive, with --live); exit with 0 if so, else 1",
    flags,
    keys: KeysNeeded::IfServing,
    run,
};

/// To connect, to be answered.
const TIMEOUT: Duration = Duration::from_secs(3);
/// An answer has a head and one line.
const ANSWER_BYTES: u64 = 8 * 1024;

/// Why there is no answer to tell of.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("the server took any free port: name it with --metrics-port")]
    UnknownPort,
    #[error("no answer from {0}: {1}")]
    Unanswered(SocketAddr, io::Error),
    #[error("what answers at {0} is not this server")]
    Foreign(SocketAddr),
}

fn flags() -> Vec<Arg> {
    let help = "Ask whether the server is alive, also when it takes nobody in";
    vec![Arg::new("live").long("live").action(ArgAction::SetTrue).help(help)]
}

fn run(invocation: &Invocation) -> ExitCode {
    let path = if invocation.flags.get_flag("live") { "/livez" } else { "/readyz" };
    match address(&invocation.config).and_then(|address| ask(address, path)) {
        Ok((200, said)) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Ok((_, said)) => {
            println!("{said}");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Where the server listens: on the first address it is bound to, reached by loopback if that stands for all.
fn address(config: &Config) -> Result<SocketAddr, CheckError> {
    let operations = &config.operations;
    if operations.port == 0 {
        return Err(CheckError::UnknownPort);
    }
    let ip = match operations.bind.first() {
        None | Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => Ipv4Addr::LOCALHOST.into(),
        // Also without IPv6 on this machine: such a socket takes both.
        Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => Ipv4Addr::LOCALHOST.into(),
        Some(named) => *named,
    };
    Ok(SocketAddr::new(ip, operations.port))
}

/// The status and the first line of the answer's body.
fn ask(address: SocketAddr, path: &str) -> Result<(u16, String), CheckError> {
    let answer = exchange(address, path).map_err(|error| CheckError::Unanswered(address, error))?;
    parse(&answer).ok_or(CheckError::Foreign(address))
}

/// The whole answer to a request for `path`, head and body.
pub(super) fn exchange(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // HTTP/1.0: the answer ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/")?.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.lines().next().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn config(arguments: &[&str]) -> Config {
        let arguments = ["sfumato", "--dev"].iter().chain(arguments).map(std::ffi::OsString::from);
        crate::config::load(arguments, []).unwrap().config
    }

    #[test]
    fn the_server_is_found_by_its_settings() {
        let found = |arguments: &[&str]| address(&config(arguments)).map(|address| address.to_string()).ok();
        assert_eq!(found(&[]).as_deref(), Some("127.0.0.1:6789"));
        assert_eq!(found(&["--metrics-port", "80"]).as_deref(), Some("127.0.0.1:80"));
        assert_eq!(found(&["--metrics-bind", "::1", "--metrics-port", "80"]).as_deref(), Some("[::1]:80"));
        assert_eq!(found(&["--metrics-bind", "::"]).as_deref(), Some("127.0.0.1:6789"));
        assert_eq!(found(&["--metrics-bind", "192.0.2.7,127.0.0.1"]).as_deref(), Some("192.0.2.7:6789"));
        assert_eq!(found(&["--metrics-port", "0"]), None, "nobody knows which port it took");
    }

    #[test]
    fn the_status_and_the_first_line_are_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 256];
            let count = stream.read(&mut asked).unwrap();
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nnot ready: draining\nmore\n").unwrap();
            String::from_utf8_lossy(&asked[..count]).into_owned()
        });
        assert_eq!(ask(address, "/readyz").unwrap(), (503, "not ready: draining".to_owned()));
        assert!(server.join().unwrap().starts_with("GET /readyz HTTP/1.0\r\n"));
    }

    #[test]
    fn no_server_and_a_foreign_one_are_errors() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"220 mail\r\n"));
        let error = ask(address, "/livez").unwrap_err();
        server.join().unwrap().unwrap();
        // What is left unread may reset the connection.
        assert!(matches!(error, CheckError::Foreign(_) | CheckError::Unanswered(..)), "{error}");
        assert!(matches!(ask(address, "/livez"), Err(CheckError::Unanswered(..))), "nobody listens any more");
    }
}
