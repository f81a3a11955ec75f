//! The whole server over TLS: a client joins by `wss://` in development mode, and `sfumato doctor` finds what is wrong and what
//! is not, with the server running and without.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops where it is wrong")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use livekit_protocol::signal_response::Message as Response;
use prost::Message;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use support::server::Server;
use support::signal::{join_path, join_request};
use support::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A self-signed certificate of `localhost` in files that go when dropped.
struct Certificate {
    folder: PathBuf,
    pem: String,
}

impl Certificate {
    fn issue() -> Certificate {
        let folder =
            std::env::temp_dir().join(format!("sfumato-wss-{}-{:x}", std::process::id(), rand::random::<u64>()));
        fs::create_dir(&folder).expect("a new folder");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        fs::write(folder.join("chain.pem"), &pem).expect("written");
        fs::write(folder.join("key.pem"), key.serialize_pem()).expect("written");
        Certificate { folder, pem }
    }

    fn flags(&self) -> [String; 4] {
        let path = |name: &str| self.folder.join(name).display().to_string();
        ["--tls-cert".to_owned(), path("chain.pem"), "--tls-key".to_owned(), path("key.pem")]
    }

    async fn connect(&self, server: &Server) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        let der = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("a certificate");
        roots.add(der).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(server.address()).await.expect("the server listens");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").expect("a name");
        within("the handshake", connector.connect(name, stream)).await.expect("a handshake")
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_joins_by_wss() {
    let certificate = Certificate::issue();
    let flags = certificate.flags();
    let server = Server::start_with(&flags.each_ref().map(String::as_str));
    let mut stream = certificate.connect(&server).await;
    let ask = b"GET /dev/token?room=tls&identity=alice HTTP/1.0\r\nHost: localhost\r\n\r\n";
    stream.write_all(ask).await.expect("the server reads");
    let mut answer = String::new();
    within("a token", stream.read_to_string(&mut answer)).await.expect("the connection is closed as TLS wants it");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let token: Value = serde_json::from_str(body).expect("JSON");
    let token = token["token"].as_str().expect("a token");

    let path = join_path(token, &join_request(None));
    let stream = certificate.connect(&server).await;
    let joined = tokio_tungstenite::client_async(format!("wss://localhost{path}"), stream);
    let (mut socket, _) = within("the upgrade", joined).await.expect("the server upgrades");
    let first = within("the answer", futures_util::StreamExt::next(&mut socket)).await.expect("open").expect("a frame");
    let response = livekit_protocol::SignalResponse::decode(first.into_data()).expect("a response");
    assert!(matches!(response.message, Some(Response::Join(_))), "{response:?}");
    assert_eq!(server.metric("sfumato_tls_handshakes_total"), 2);
    assert_eq!(server.metric("sfumato_participants"), 1);
}

/// The exit code and what was found, by check.
fn doctor(flags: &[&str]) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sfumato"));
    // What else the machine does is no matter of a test.
    command.env("SFUMATO_LIMIT_MEMORY", "0");
    let output = command.args(["doctor", "--json", "--node-ip", "127.0.0.1"]).args(flags).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let report = serde_json::from_str(&text);
    (output.status.code(), report.unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))))
}

fn verdict<'a>(report: &'a Value, check: &str) -> &'a str {
    let checks = report["checks"].as_array().expect("a list");
    let of = checks.iter().find(|found| found["check"] == check);
    of.and_then(|found| found["verdict"].as_str()).unwrap_or_else(|| panic!("no {check} in {report}"))
}

#[test]
fn doctor_knows_a_running_server_and_a_taken_port() {
    let server = Server::start();
    let (port, metrics) = (server.address().port().to_string(), server.operations().port().to_string());
    let ports = ["--dev", "--bind", "127.0.0.1", "--udp-port", "0", "--metrics-port", &metrics, "--port", &port];
    let (code, report) = doctor(&ports);
    assert_eq!((code, &report["healthy"]), (Some(0), &Value::Bool(true)), "{report}");
    for check in ["server", "tcp port", "metrics port", "addresses", "udp reach", "keys"] {
        assert_eq!(verdict(&report, check), "ok", "{check} in {report}");
    }
    assert!(report["checks"][0]["found"].as_str().expect("text").contains("running"), "{report}");

    // Somebody else's port, and keys for nobody.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let flags = ["--bind", "127.0.0.1", "--udp-port", "0", "--metrics-port", "0", "--port", &port];
    // Who holds the port answers nothing.
    let silent = std::thread::spawn(move || taken.accept().map(drop));
    let (code, report) = doctor(&flags);
    silent.join().expect("no panic").expect("it was asked");
    assert_eq!((code, &report["healthy"]), (Some(1), &Value::Bool(false)), "{report}");
    for (check, expected) in [("keys", "fail"), ("addresses", "fail"), ("certificate", "warn"), ("udp ports", "ok")] {
        assert_eq!(verdict(&report, check), expected, "{check} in {report}");
    }
}

#[test]
fn doctor_reads_the_certificate_and_tells_in_lines() {
    let certificate = Certificate::issue();
    let flags = certificate.flags();
    let free = ["--dev", "--port", "0", "--udp-port", "0", "--metrics-port", "0"];
    let all: Vec<&str> = free.iter().copied().chain(flags.iter().map(String::as_str)).collect();
    let (code, report) = doctor(&all);
    assert_eq!((code, verdict(&report, "certificate")), (Some(0), "warn"), "self-signed: {report}");

    fs::write(certificate.folder.join("key.pem"), "garbage").expect("written");
    let (code, report) = doctor(&all);
    assert_eq!((code, verdict(&report, "certificate")), (Some(1), "fail"), "{report}");

    let output = Command::new(env!("CARGO_BIN_EXE_sfumato")).arg("doctor").args(&all).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let line = text.lines().find(|line| line.starts_with("FAIL  certificate")).expect("a line for it");
    assert!(line.contains("key.pem") && line.contains("  - "), "{line}");
    assert!(text.lines().all(|line| ["ok    ", "warn  ", "FAIL  "].iter().any(|verdict| line.starts_with(verdict))));
}
