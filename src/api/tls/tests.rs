//! Real handshakes over loopback: what is spoken, what new files change and broken ones do not, and the bounds.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::routing::get;
use prometheus::Registry;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::counters::outcome;
use super::*;
use crate::api::{Site, serve};

const PATIENCE: Duration = Duration::from_secs(10);

/// A self-signed certificate of `localhost` that ends with `year`, and its key, as PEM.
pub(crate) fn issue(year: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 12, 31);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A folder that goes when dropped.
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("sfumato-tls-{}-{:x}", std::process::id(), rand::random::<u64>()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// Both files, written in place.
    pub fn write(&self, (certificate, key): &(String, String)) -> TlsFiles {
        let files = TlsFiles { certificate: self.0.join("tls.crt"), key: self.0.join("tls.key") };
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn load(files: &TlsFiles) -> Result<Arc<Tls>, TlsError> {
    Tls::load(files, Counters::new(&Registry::new()).unwrap())
}

fn load_within(files: &TlsFiles, places: usize, timeout: Duration) -> Arc<Tls> {
    Tls::load_within(files, Counters::new(&Registry::new()).unwrap(), places, timeout).unwrap()
}

async fn start(tls: Arc<Tls>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|mut socket| async move {
            while let Some(Ok(Message::Text(text))) = socket.recv().await {
                let _ = socket.send(Message::Text(text)).await;
            }
        })
    };
    let router = Router::new().route("/", get(|| std::future::ready("hello"))).route("/echo", get(echo));
    let site = Site { router, tls: Some(tls), clients: None };
    tokio::spawn(serve(vec![listener], site, std::future::pending()));
    address
}

fn connector(certificate: &str, alpn: &[&[u8]], versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// A handshake by a client that trusts one certificate alone.
async fn handshake(address: SocketAddr, certificate: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let connector = connector(certificate, &[], rustls::ALL_VERSIONS);
    let stream = TcpStream::connect(address).await?;
    tokio::time::timeout(PATIENCE, connector.connect(ServerName::try_from("localhost").unwrap(), stream)).await.unwrap()
}

async fn ask(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 4096];
    let count = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

/// Waits until `count` handshakes ended so.
async fn counted(tls: &Tls, outcome: &str, count: u64) {
    let reached = async {
        while tls.counters.handshakes(outcome) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let all = || outcome::ALL.map(|outcome| (outcome, tls.counters.handshakes(outcome)));
    assert!(tokio::time::timeout(PATIENCE, reached).await.is_ok(), "no {count} {outcome}: {:?}", all());
    assert_eq!(tls.counters.handshakes(outcome), count);
}

#[tokio::test]
async fn tls_1_3_and_1_2_are_spoken_with_http_1_1_and_nothing_else() {
    let (folder, issued) = (Folder::new(), issue(2040));
    let tls = load(&folder.write(&issued)).unwrap();
    let address = start(tls.clone()).await;
    let name = || ServerName::try_from("localhost").unwrap();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let connector = connector(&issued.0, &[b"h2", b"http/1.1"], &[version]);
        let mut stream = connector.connect(name(), TcpStream::connect(address).await.unwrap()).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ALPN));
        assert!(ask(&mut stream).await.ends_with("\r\n\r\nhello"));
    }
    counted(&tls, outcome::COMPLETED, 2).await;
    let only_h2 = connector(&issued.0, &[b"h2"], rustls::ALL_VERSIONS);
    assert!(only_h2.connect(name(), TcpStream::connect(address).await.unwrap()).await.is_err());
    counted(&tls, outcome::FAILED, 1).await;
}

#[tokio::test]
async fn a_websocket_opens_inside() {
    let (folder, issued) = (Folder::new(), issue(2040));
    let address = start(load(&folder.write(&issued)).unwrap()).await;
    let stream = handshake(address, &issued.0).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async("wss://localhost/echo", stream).await.unwrap();
    assert_eq!(response.status(), 101);
    use futures_util::{SinkExt, StreamExt};
    socket.send(tokio_tungstenite::tungstenite::Message::text("over TLS")).await.unwrap();
    let echoed = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(echoed.into_text().unwrap().as_str(), "over TLS");
}

/// As the kubelet lays a secret out: files are links into `..data`, itself a link that is swapped.
struct Secret {
    folder: Folder,
    generations: std::cell::Cell<u32>,
}

impl Secret {
    fn new(pair: &(String, String)) -> (Secret, TlsFiles) {
        let secret = Secret { folder: Folder::new(), generations: Default::default() };
        secret.swap(pair);
        let file = |name: &str| secret.folder.0.join(name);
        for name in ["tls.crt", "tls.key"] {
            std::os::unix::fs::symlink(Path::new("..data").join(name), file(name)).unwrap();
        }
        let files = TlsFiles { certificate: file("tls.crt"), key: file("tls.key") };
        (secret, files)
    }

    fn swap(&self, (certificate, key): &(String, String)) {
        self.generations.set(self.generations.get() + 1);
        let generation = format!("..{}", self.generations.get());
        let folder = self.folder.0.join(&generation);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("tls.crt"), certificate).unwrap();
        fs::write(folder.join("tls.key"), key).unwrap();
        let new = self.folder.0.join("..data_tmp");
        std::os::unix::fs::symlink(generation, &new).unwrap();
        fs::rename(new, self.folder.0.join("..data")).unwrap();
    }
}

#[tokio::test]
async fn a_swapped_secret_is_for_new_connections_and_old_ones_go_on() {
    let (first, second) = (issue(2040), issue(2041));
    let (secret, files) = Secret::new(&first);
    let tls = load(&files).unwrap();
    let (address, expiry) = (start(tls.clone()).await, tls.counters.expiry());
    let mut old = handshake(address, &first.0).await.unwrap();
    tls.look();
    assert_eq!(tls.counters.reloads(), (0, 0), "nothing has changed");
    secret.swap(&second);
    tls.look();
    assert_eq!(tls.counters.reloads(), (1, 0));
    assert!(tls.counters.expiry() - expiry >= 365 * 86_400, "the expiry is the new one's");
    assert!(ask(&mut old).await.ends_with("hello"));
    assert!(handshake(address, &first.0).await.is_err(), "the old certificate is used no more");
    let mut new = handshake(address, &second.0).await.unwrap();
    assert!(ask(&mut new).await.ends_with("hello"));
}

#[tokio::test]
async fn the_files_are_looked_at_while_the_server_runs() {
    let (first, second) = (issue(2040), issue(2041));
    let (secret, files) = Secret::new(&first);
    let tls = load(&files).unwrap();
    let address = start(tls.clone()).await;
    let looking = tokio::spawn(tls.clone().keep_current());
    secret.swap(&second);
    let taken = async {
        while handshake(address, &second.0).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(
        tokio::time::timeout(reload::INTERVAL + PATIENCE, taken).await.is_ok(),
        "not within {:?}",
        reload::INTERVAL
    );
    looking.abort();
}

#[tokio::test]
async fn broken_files_keep_the_old_certificate_and_are_counted_once() {
    let (first, second) = (issue(2040), issue(2041));
    let broken = [
        ("mismatch", (second.0.clone(), first.1.clone())),
        ("no certificate", (String::new(), second.1.clone())),
        ("no key", (second.0.clone(), "garbage".to_owned())),
        ("half written", (second.0[..200].to_owned(), second.1.clone())),
    ];
    let folder = Folder::new();
    let files = folder.write(&first);
    let tls = load(&files).unwrap();
    let address = start(tls.clone()).await;
    for ((what, pair), times) in broken.iter().zip(1..) {
        folder.write(pair);
        tls.look();
        assert_eq!(tls.counters.reloads().1, times - 1, "{what}: could be seen halfway through a change");
        (0..3).for_each(|_| tls.look());
        assert_eq!(tls.counters.reloads(), (0, times), "{what}");
        assert!(handshake(address, &first.0).await.is_ok(), "{what}");
    }
    fs::remove_file(&files.key).unwrap();
    (0..3).for_each(|_| tls.look());
    assert_eq!(tls.counters.reloads(), (0, 5), "a missing file");
    folder.write(&second);
    tls.look();
    assert_eq!(tls.counters.reloads(), (1, 5));
    assert!(handshake(address, &second.0).await.is_ok());
    // What was refused before may be refused again, and what is in use needs no word.
    folder.write(&second);
    tls.look();
    assert_eq!(tls.counters.reloads(), (1, 5));
}

#[tokio::test]
async fn who_says_nothing_or_half_of_it_is_dropped_in_time() {
    let (folder, issued) = (Folder::new(), issue(2040));
    let tls = load_within(&folder.write(&issued), 8, Duration::from_millis(200));
    let address = start(tls.clone()).await;
    // Nothing; a record that goes on for ever.
    for (sent, times) in [(&[][..], 1), (&[22, 3, 1, 2, 0, 1], 2)] {
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(sent).await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, slow.read(&mut [0; 64])).await;
        assert!(ended.is_ok(), "still open after {sent:?}");
        counted(&tls, outcome::TIMED_OUT, times).await;
    }
    assert_eq!(tls.handshakes.available_permits(), 8, "places are given back");
    assert!(handshake(address, &issued.0).await.is_ok());
}

#[tokio::test]
async fn past_the_bound_handshakes_wait_and_who_waits_too_long_is_dropped() {
    let (folder, issued) = (Folder::new(), issue(2040));
    let tls = load_within(&folder.write(&issued), 1, Duration::from_millis(500));
    let address = start(tls.clone()).await;
    let taken = tls.handshakes.acquire().await.unwrap();
    assert!(handshake(address, &issued.0).await.is_err());
    counted(&tls, outcome::CROWDED_OUT, 1).await;
    let waiting = tokio::spawn(async move { handshake(address, &issued.0).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(taken);
    assert!(waiting.await.unwrap().is_ok());
    // Who says nothing takes no place.
    let _silent = TcpStream::connect(address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(tls.handshakes.available_permits(), 1);
}

#[tokio::test]
async fn plain_http_is_told_what_to_do_and_noise_is_dropped() {
    let (folder, issued) = (Folder::new(), issue(2040));
    let tls = load(&folder.write(&issued)).unwrap();
    let address = start(tls.clone()).await;
    let mut plain = TcpStream::connect(address).await.unwrap();
    let answer = ask(&mut plain).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), "{answer}");
    assert!(answer.contains("Server: sfumato/"), "`doctor` knows it by that: {answer}");
    drop(plain);
    counted(&tls, outcome::PLAIN_HTTP, 1).await;
    for (noise, times) in [(&[0x80, 0x2e, 1][..], 1), (&[22, 3, 1, 0, 5, 9, 9, 9, 9, 9], 2)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(noise).await.unwrap();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap();
        counted(&tls, outcome::FAILED, times).await;
    }
    // A health check that opens and closes is no failure.
    drop(TcpStream::connect(address).await.unwrap());
    assert!(handshake(address, &issued.0).await.is_ok());
    counted(&tls, outcome::FAILED, 2).await;
}

#[test]
fn what_is_wrong_with_files_is_said_with_the_file_and_what_to_do() {
    let folder = Folder::new();
    let (first, second) = (issue(2040), issue(2041));
    let error = |files: &TlsFiles| load(files).err().unwrap().to_string();
    let large = "x".repeat(limits::TLS_FILE_BYTES as usize + 1);
    let lacking = TlsFiles { certificate: folder.0.join("none.crt"), key: folder.0.join("none.key") };
    assert!(error(&lacking).contains("none.crt") && error(&lacking).contains("mounted"));
    let cases = [
        ((String::new(), String::new()), ["tls.crt", "--tls-cert"]),
        ((first.0.clone(), String::new()), ["tls.key", "--tls-key"]),
        (
            (first.0.clone(), second.1.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")),
            ["tls.key", "without a password"],
        ),
        ((first.0.clone(), second.1.clone()), ["tls.key", "does not belong"]),
        ((large, second.1.clone()), ["tls.crt", "larger"]),
    ];
    for (pair, parts) in cases {
        let text = error(&folder.write(&pair));
        assert!(parts.iter().all(|part| text.contains(part)), "{text} lacks one of {parts:?}");
        assert!(!text.contains(second.1.lines().nth(1).unwrap()), "the key shows in {text}");
    }
}

#[test]
fn a_chain_is_judged_by_its_order_and_its_first_end() {
    let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.distinguished_name.push(rcgen::DnType::CommonName, "an authority");
    authority.not_after = rcgen::date_time_ymd(2030, 1, 1);
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let mut own = CertificateParams::new(["sfu.example".to_owned(), "2001:db8::1".to_owned()]).unwrap();
    own.not_after = rcgen::date_time_ymd(2035, 1, 1);
    let own = own.signed_by(&key, &issuer).unwrap();
    let facts = CertificateFacts::read(&[own.der().clone(), root.der().clone()]).unwrap();
    assert_eq!(facts.names, ["sfu.example", "2001:db8::1"]);
    assert_eq!((facts.certificates, facts.in_order, facts.self_signed), (2, true, false));
    assert_eq!(facts.not_after, rcgen::date_time_ymd(2030, 1, 1).unix_timestamp());
    let turned = CertificateFacts::read(&[root.der().clone(), own.der().clone()]).unwrap();
    assert!(!turned.in_order && turned.self_signed);
}

#[test]
fn the_end_is_warned_of_once_a_day_and_anew_for_each_certificate() {
    const DAY: i64 = 86_400;
    let contents = |pair: &(String, String)| Contents::read(&Folder::new().write(pair)).unwrap();
    let (first, second) = (issue(2040), issue(2041));
    let folder = Folder::new();
    let files = folder.write(&first);
    let read = contents(&first);
    let ends = read.parse(&files).unwrap().facts.not_after;
    let mut reloader = reload::Reloader::new(read.digest(), ends);
    assert_eq!(reloader.expiry_warning(ends - 15 * DAY), None);
    assert!(reloader.expiry_warning(ends - 13 * DAY).is_some());
    assert_eq!(reloader.expiry_warning(ends - 13 * DAY + 3), None);
    assert!(reloader.expiry_warning(ends - 12 * DAY).is_some());
    assert!(matches!(reloader.look(&files, Ok(contents(&second))), reload::Look::Loaded(_)));
    assert_eq!(reloader.expiry_warning(ends - 12 * DAY + 3), None, "the new one is far from its end");
}
