//! One server process on free ports of the loopback interface, killed when dropped; what it says over HTTP and of
//! itself in `/proc`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::{LOOK_EVERY, PATIENCE};

const HTTP_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Server {
    child: Child,
    address: SocketAddr,
    /// Of metrics and probes.
    operations: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

/// What an HTTP request was answered with.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

/// The same of an answer that need not be text.
pub struct Download {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Download {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Answer {
    /// The first header of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.into_iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Server {
    /// Starts the server built with this test, one shard, and waits until it tells its addresses.
    pub fn start() -> Server {
        Server::start_with(&["--shards", "1"])
    }

    /// The same with two shards, each room spread over both as soon as it has two participants.
    pub fn start_spread() -> Server {
        Server::start_with(&["--shards", "2", "--room-spread", "1"])
    }

    /// The same with further flags.
    pub fn start_with(flags: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sfumato"))
            .args(["--dev", "--bind", "127.0.0.1", "--port", "0", "--udp-port", "0"])
            .args(["--node-ip", "127.0.0.1", "--metrics-port", "0"])
            .args(flags)
            // What else the machine does is not to turn a test's peers away; flags win over variables.
            .envs([("SFUMATO_LIMIT_SHARD_BUSY", "0"), ("SFUMATO_LIMIT_MEMORY", "0")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let log = Arc::default();
        let (found, told) = mpsc::sync_channel(1);
        read_lines(child.stdout.take().expect("piped"), Arc::clone(&log), found.clone());
        read_lines(child.stderr.take().expect("piped"), Arc::clone(&log), found);
        let Ok(operations) = told.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server told no addresses:\n{}", lines(&log));
        };
        // Told before it.
        let address = lines(&log).lines().find_map(address_in).expect("the banner begins with the address");
        Server { child, address, operations, log }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics and probes are.
    pub fn operations(&self) -> SocketAddr {
        self.operations
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Panics with the log when the server is gone.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
            panic!("the server ended ({status}):\n{}", self.log());
        }
        assert!(!self.log().contains("panicked at"), "the server panicked:\n{}", self.log());
    }

    /// Asks the server to end.
    pub fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(killed.expect("there is a kill").success(), "the server had ended:\n{}", self.log());
    }

    /// How the server ended; panics when it does not within `patience`.
    pub async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(start.elapsed() < patience, "the server did not end within {patience:?}:\n{}", self.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether the server has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    pub fn log(&self) -> String {
        lines(&self.log)
    }

    /// A development token.
    pub fn token(&self, room: &str, identity: &str) -> String {
        let body = self.get(&format!("/dev/token?room={room}&identity={identity}"));
        let answer: serde_json::Value = serde_json::from_str(&body).expect("a token comes as JSON");
        answer["token"].as_str().expect("the answer holds a token").to_owned()
    }

    /// A request to the operations port, with an `Authorization` where that is not empty.
    pub fn ask_operations(&self, method: &str, path: &str, authorization: &str) -> Download {
        let headers = [("Authorization", authorization)];
        download(self.operations, method, path, headers.get(usize::from(authorization.is_empty())..).unwrap_or(&[]), "")
    }

    /// Sum of all samples of one metric.
    pub fn metric(&self, name: &str) -> u64 {
        sum(&self.metrics(), name, "")
    }

    /// Datagrams dropped for one reason.
    pub fn dropped(&self, reason: &str) -> u64 {
        let label = format!("reason=\"{reason}\"");
        sum(&self.metrics(), "sfumato_datagrams_dropped_total", &label)
    }

    /// The text of all metrics.
    pub fn metrics(&self) -> String {
        let answer = ask(self.operations, "GET", "/metrics", &[], "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Memory resident now, bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the server runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.expect("VmRSS is told in KiB") * 1024
    }

    /// The body of a 200 answer to GET.
    fn get(&self, path: &str) -> String {
        let answer = self.ask("GET", path, &[], "");
        assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
        answer.body
    }

    /// One HTTP request on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        ask(self.address, method, path, headers, body)
    }
}

fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let Download { status, head, body } = download(address, method, path, headers, body);
    Answer { status, head, body: String::from_utf8(body).expect("the server answers in UTF-8") }
}

fn download(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Download {
    let mut stream = TcpStream::connect_timeout(&address, HTTP_TIMEOUT).expect("the server listens");
    stream.set_read_timeout(Some(HTTP_TIMEOUT)).expect("a timeout above zero");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    // HTTP/1.0: the body ends with the connection and is not chunked.
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n{headers}");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server answers");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head and a body");
    let (head, body) = (String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end + 4..].to_vec());
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    Download { status: status.expect("a status"), head, body }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}\n--- end ---", self.log());
        }
    }
}

/// Datagrams that the kernel dropped at the UDP socket bound to `port`, because its buffer was full.
pub fn kernel_drops(port: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/udp").expect("Linux tells its sockets");
    let of_port = |line: &&str| {
        let local = line.split_whitespace().nth(1).and_then(|local| local.split_once(':'));
        local.is_some_and(|(_, hex)| u16::from_str_radix(hex, 16) == Ok(port))
    };
    let drops = |line: &str| line.split_whitespace().last().and_then(|count| count.parse::<u64>().ok());
    table.lines().skip(1).filter(of_port).filter_map(drops).sum()
}

/// Keeps the lines of one output and tells the address that the banner names last, of the operations server.
fn read_lines(output: impl Read + Send + 'static, log: Arc<Mutex<Vec<String>>>, found: mpsc::SyncSender<SocketAddr>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let operations = address_in(&line).filter(|_| line.trim_start().starts_with("metrics "));
            log.lock().expect("no holder panics").push(line);
            if let Some(address) = operations {
                // Only the first is waited for.
                let _ = found.try_send(address);
            }
        }
    });
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("https://").or_else(|| line.split_once("http://"))?;
    let authority: String = rest.chars().take_while(|c| !"/ \"',)\u{1b}".contains(*c)).collect();
    authority.replace("localhost", "127.0.0.1").parse().ok()
}

fn lines(log: &Mutex<Vec<String>>) -> String {
    log.lock().expect("no holder panics").join("\n")
}

fn sum(text: &str, name: &str, label: &str) -> u64 {
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    let samples = text.lines().filter(of_name).filter(|line| line.contains(label));
    let values = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() as u64
}
