//! The server under load: one that runs already, or one that is started here on free ports of the loopback interface, bound
//! to cores of its own.
//!
//! What always holds: a server that was started here ends with its owner.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::error::Error;
use crate::signalling::Access;

/// Time for a server to say where it is.
const START: Duration = Duration::from_secs(10);

/// Time between two tries to connect.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A server that is loaded: how to reach it, and its process.
#[derive(Clone)]
pub struct Target {
    pub name: String,
    pub access: Access,
    /// Of one that runs already.
    pub pid: Option<u32>,
    pub launch: Option<Launch>,
}

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Launch {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Cores it may use; empty: all.
    pub cores: Vec<usize>,
    pub ready: Ready,
}

/// How a server that was started shows that it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It says its address.
    Says,
    /// It takes connections there.
    Listens(SocketAddr),
}

/// A server that was started here.
pub struct Launched {
    child: Child,
    /// `http://host:port`, of one that said so.
    pub url: Option<String>,
}

impl Launch {
    /// Sfumato on free ports of the loopback interface, with further arguments.
    pub fn sfumato(program: PathBuf, further: Vec<String>, cores: Vec<usize>) -> Launch {
        let loopback = ["--dev", "--bind", "127.0.0.1", "--port", "0", "--udp-port", "0", "--node-ip", "127.0.0.1"];
        let arguments = loopback.map(str::to_owned).into_iter().chain(further).collect();
        Launch { program, arguments, cores, ready: Ready::Says }
    }

    pub fn start(&self) -> Result<Launched, Error> {
        if let Ready::Listens(address) = self.ready {
            // One that has just ended may leave a helper behind for a moment; whom it answered would not be measured.
            if !looks(|| !takes_connections(address)) {
                return Err(Error::Usage(format!("another server listens at {address}")));
            }
        }
        let own = sched_getaffinity(None).map_err(std::io::Error::from)?;
        // A child inherits what its parent is bound to.
        bind(&self.cores)?;
        let child = self.command().spawn();
        sched_setaffinity(None, &own).map_err(std::io::Error::from)?;
        let mut child = child.map_err(|error| Error::Usage(format!("{}: {error}", self.program.display())))?;
        let url = self.wait(&mut child);
        // Owned before anything can go wrong.
        let launched = Launched { child, url };
        let listens = match self.ready {
            Ready::Says => launched.url.is_some(),
            Ready::Listens(address) => looks(|| takes_connections(address)),
        };
        let silent = || Error::Usage(format!("{} did not begin to serve", self.program.display()));
        listens.then_some(launched).ok_or_else(silent)
    }

    /// Reads what the server says, and gives its address if that is waited for.
    fn wait(&self, child: &mut Child) -> Option<String> {
        let (found, url) = sync_channel(1);
        read_lines(child.stdout.take()?, found.clone());
        read_lines(child.stderr.take()?, found);
        if self.ready == Ready::Says { url.recv_timeout(START).ok() } else { None }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Not a flag, so that an earlier version takes it too.
        command.env("SFUMATO_METRICS_PORT", "0");
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A load test measures what happens past any limit; flags win over variables.
        command.envs([("SFUMATO_LIMIT_SHARD_BUSY", "0"), ("SFUMATO_LIMIT_MEMORY", "0")]);
        command
    }
}

impl Launched {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Whether something becomes true within the time for a start.
fn looks(mut at: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < START {
        if at() {
            return true;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    false
}

fn takes_connections(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, START).is_ok()
}

fn end(child: &mut Child) {
    // One that is gone already has ended.
    let _ = child.kill();
    let _ = child.wait();
}

/// Binds the calling thread, and what it starts from now on, to cores; to none is no change.
pub fn bind(cores: &[usize]) -> Result<(), Error> {
    if cores.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None, &set).map_err(|error| Error::Usage(format!("cores {cores:?}: {error}")))
}

/// Tells the first address in an output, and reads the rest so that the server is never held up.
fn read_lines(output: impl Read + Send + 'static, found: SyncSender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(url) = url_in(&line) {
                // Only the first is waited for.
                let _ = found.try_send(url);
            }
        }
    });
}

fn url_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("http://")?;
    let authority: String = rest.chars().take_while(|c| !"/ \"',)\u{1b}".contains(*c)).collect();
    Some(format!("http://{}", authority.replace("localhost", "127.0.0.1")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_address_is_found_in_what_a_server_says() {
        let line = "  tokens  http://localhost:7880/dev/token?room=ROOM (development mode)";
        assert_eq!(url_in(line).as_deref(), Some("http://127.0.0.1:7880"));
        assert_eq!(url_in("  media   UDP 7882"), None);
    }

    fn launch(program: &str, arguments: &[&str], ready: Ready) -> Launch {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Launch { program: program.into(), arguments, cores: Vec::new(), ready }
    }

    #[test]
    fn what_does_not_start_or_says_nothing_is_an_error() {
        assert!(launch("/nonexistent/server", &[], Ready::Says).start().is_err());
        assert!(launch("/bin/true", &[], Ready::Says).start().is_err(), "ends without a word");
    }

    fn free_address() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[test]
    fn who_listens_already_is_waited_out_and_not_taken_for_the_server() {
        let earlier = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = earlier.local_addr().unwrap();
        let own = std::thread::spawn(move || {
            std::thread::park_timeout(LOOK_EVERY * 4);
            drop(earlier);
            std::thread::park_timeout(LOOK_EVERY * 4);
            TcpListener::bind(address).unwrap()
        });
        let begin = Instant::now();
        let started = launch("/bin/sleep", &["60"], Ready::Listens(address)).start();
        assert!(started.is_ok() && begin.elapsed() >= LOOK_EVERY * 8, "{:?}", begin.elapsed());
        drop(own.join().unwrap());
    }

    #[test]
    fn a_server_is_ready_when_it_says_so_or_takes_connections_and_ends_with_its_owner() {
        let script = ["-c", "echo http://localhost:7; exec sleep 60"];
        let said = launch("/bin/sh", &script, Ready::Says).start().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(said.url.as_deref(), Some("http://127.0.0.1:7"));
        let address = free_address();
        // It listens only after a while, as any server.
        let late = std::thread::spawn(move || {
            std::thread::park_timeout(LOOK_EVERY * 2);
            TcpListener::bind(address).unwrap()
        });
        let ready = Ready::Listens(address);
        let listening = launch("/bin/sleep", &["60"], ready).start().unwrap_or_else(|error| panic!("{error}"));
        drop(late.join().unwrap());
        let processes = [said.pid(), listening.pid()].map(|pid| std::path::PathBuf::from(format!("/proc/{pid}")));
        assert!(processes.iter().all(|process| process.exists()));
        drop((said, listening));
        assert!(!processes.iter().any(|process| process.exists()));
    }
}
