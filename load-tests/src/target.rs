//! The server under load: one that runs already, or one that is started here on free ports of the loopback interface, bound
//! to cores of its own.
//!
//! What always holds: a server that was started here ends with its owner.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::error::Error;

/// Time for a server to say where it is.
const START: Duration = Duration::from_secs(10);

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Launch {
    pub binary: PathBuf,
    /// Beside those that put it on the loopback interface.
    pub arguments: Vec<String>,
    /// Cores it may use; empty: all.
    pub cores: Vec<usize>,
}

/// A server that was started here.
pub struct Launched {
    child: Child,
    /// `http://host:port`
    pub url: String,
}

impl Launch {
    pub fn start(&self) -> Result<Launched, Error> {
        let own = sched_getaffinity(None).map_err(std::io::Error::from)?;
        // A child inherits what its parent is bound to.
        bind(&self.cores)?;
        let child = self.command().spawn();
        sched_setaffinity(None, &own).map_err(std::io::Error::from)?;
        let mut child = child.map_err(|error| Error::Usage(format!("{}: {error}", self.binary.display())))?;
        let (found, url) = sync_channel(1);
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            read_lines(stdout, found.clone());
            read_lines(stderr, found);
        }
        match url.recv_timeout(START) {
            Ok(url) => Ok(Launched { child, url }),
            Err(_) => {
                end(&mut child);
                Err(Error::Usage(format!("{} did not say where it serves", self.binary.display())))
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["--dev", "--bind", "127.0.0.1", "--port", "0", "--udp-port", "0", "--node-ip", "127.0.0.1"]);
        command.args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
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

    #[test]
    fn an_address_is_found_in_what_a_server_says() {
        let line = "  tokens  http://localhost:7880/dev/token?room=ROOM (development mode)";
        assert_eq!(url_in(line).as_deref(), Some("http://127.0.0.1:7880"));
        assert_eq!(url_in("  media   UDP 7882"), None);
    }

    #[test]
    fn what_does_not_start_or_says_nothing_is_an_error() {
        let launch = |binary: &str| Launch { binary: binary.into(), arguments: Vec::new(), cores: Vec::new() };
        assert!(launch("/nonexistent/server").start().is_err());
        assert!(launch("/bin/true").start().is_err(), "ends without a word");
    }
}
