//! The accept loop: HTTP/1.1 on every listener, over TLS where the site has it, within bounds, until shutdown.
//!
//! What always holds: at most `limits::HTTP_CONNECTIONS` connections exist, WebSockets among them, and beside them
//! `limits::OPERATIONS_CONNECTIONS` of operators; headers are bounded in
//! size and time; after shutdown was asked nothing is accepted, and what is open has `limits::HTTP_DRAIN` to end.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tower_service::Service;

use super::address_places::Place;
use super::client_address::ClientAddresses;
use super::tls::Tls;
use crate::limits;

/// Pause after a failed accept: out of file descriptors, asking again at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is served on some listeners.
#[derive(Clone)]
pub struct Site {
    pub router: Router,
    /// `None`: plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// `None`: clients are not told apart.
    pub clients: Option<Arc<ClientAddresses>>,
}

impl From<Router> for Site {
    fn from(router: Router) -> Self {
        Self { router, tls: None, clients: None }
    }
}

/// A connection's place among the allowed ones. It is an extension of every request; who keeps the connection after the
/// answer, as a WebSocket does, holds a clone.
#[derive(Clone)]
pub struct ConnectionGuard {
    _permit: Arc<OwnedSemaphorePermit>,
    /// Among those of the peer's address.
    _of_peer: Option<Arc<Place>>,
    /// Among those of the client's, of one request.
    of_client: Option<Arc<Place>>,
}

impl ConnectionGuard {
    /// Keeps a place of the client's address, too.
    pub(super) fn keep(&mut self, place: Option<Arc<Place>>) {
        self.of_client = place;
    }

    #[cfg(test)]
    pub(super) fn for_tests() -> Self {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Self { _permit: Arc::new(permit), _of_peer: None, of_client: None }
    }
}

/// The other end of the connection that a request came by. An extension of every request.
#[derive(Clone, Copy)]
pub(super) struct PeerAddress(pub IpAddr);

/// A connection that was let in.
struct Accepted {
    stream: TcpStream,
    peer: PeerAddress,
    guard: ConnectionGuard,
}

/// The bounds of `limits`, or a test's smaller ones.
struct Bounds {
    connections: u32,
    header_timeout: Duration,
    drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: limits::HTTP_CONNECTIONS,
            header_timeout: limits::HTTP_HEADER_TIMEOUT,
            drain: limits::HTTP_DRAIN,
        }
    }
}

impl Bounds {
    /// Of the operations server: its own places, so that clients cannot take them.
    fn operations() -> Self {
        Self { connections: limits::OPERATIONS_CONNECTIONS, ..Self::default() }
    }
}

/// Serves until `shutdown` is ready and connections have ended or ran out of time. Must run inside a tokio runtime.
pub async fn serve(listeners: Vec<TcpListener>, site: impl Into<Site>, shutdown: impl Future<Output = ()>) {
    serve_within(listeners, site, shutdown, Bounds::default()).await;
}

/// The same for the few connections of operators.
pub async fn serve_operations(listeners: Vec<TcpListener>, router: Router, shutdown: impl Future<Output = ()>) {
    serve_within(listeners, router, shutdown, Bounds::operations()).await;
}

async fn serve_within(
    listeners: Vec<TcpListener>,
    site: impl Into<Site>,
    shutdown: impl Future<Output = ()>,
    bounds: Bounds,
) {
    let site = site.into();
    let places = Arc::new(Semaphore::new(bounds.connections as usize));
    let (stop, stopped) = watch::channel(());
    // Few are waiting here: each acceptor hands over one at a time.
    let (accepted, mut connections) = mpsc::channel(1);
    let mut acceptors = tokio::task::JoinSet::new();
    for listener in listeners {
        acceptors.spawn(accept(listener, places.clone(), site.clients.clone(), accepted.clone()));
    }
    drop(accepted);
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            connection = connections.recv() => match connection {
                Some(accepted) => connect(accepted, site.clone(), stopped.clone(), bounds.header_timeout),
                None => break,
            },
        }
    }
    acceptors.shutdown().await;
    drop(connections);
    drop(stop);
    let ended = places.acquire_many(bounds.connections);
    if tokio::time::timeout(bounds.drain, ended).await.is_err() {
        tracing::info!("connections were still open when the time to end them was over");
    }
}

async fn accept(
    listener: TcpListener,
    places: Arc<Semaphore>,
    clients: Option<Arc<ClientAddresses>>,
    accepted: mpsc::Sender<Accepted>,
) {
    loop {
        // Never closed.
        let Ok(permit) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let admitted = clients.as_ref().map_or(Ok(None), |clients| clients.admit_connection(peer.ip()));
                // Closed at once: an answer would cost more than the connection.
                let Ok(place) = admitted else { continue };
                let guard =
                    ConnectionGuard { _permit: Arc::new(permit), _of_peer: place.map(Arc::new), of_client: None };
                let connection = Accepted { stream, peer: PeerAddress(peer.ip()), guard };
                if accepted.send(connection).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection until it ends; once `stopped` is closed, until its present request is answered.
fn connect(accepted: Accepted, site: Site, mut stopped: watch::Receiver<()>, header_timeout: Duration) {
    let Accepted { stream, peer, guard } = accepted;
    // Signalling messages are small and waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY failed");
    }
    let router = site.router;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(guard.clone());
        request.extensions_mut().insert(peer);
        // A router is always ready.
        router.clone().call(request.map(Body::new))
    });
    tokio::spawn(async move {
        let Some(tls) = site.tls else {
            return exchange(stream, service, stopped, header_timeout).await;
        };
        let stream = tokio::select! {
            stream = tls.accept(stream) => stream,
            _ = stopped.changed() => None,
        };
        if let Some(stream) = stream {
            exchange(stream, service, stopped, header_timeout).await;
        }
    });
}

/// HTTP over a connection, whatever it is made of.
async fn exchange<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S,
    mut stopped: watch::Receiver<()>,
    header_timeout: Duration,
) where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(limits::HTTP_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "HTTP connection failed");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    async fn start() -> (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new().route("/", get(|| std::future::ready("hello")));
        let server = tokio::spawn(serve(vec![listener], router, async move {
            let _ = stopped.await;
        }));
        (address, stop, server)
    }

    /// Never told to stop.
    async fn start_within(bounds: Bounds) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| std::future::ready("hello")));
        let server = serve_within(vec![listener], router, std::future::pending(), bounds);
        (address, tokio::spawn(server))
    }

    async fn exchange(address: std::net::SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn a_join_sized_request_line_is_served_and_a_larger_head_refused() {
        let (address, _stop, _server) = start().await;
        let request = |query: usize, header: usize| {
            let head = format!("GET /?{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", "a".repeat(query));
            format!("{head}X-Pad: {}\r\n\r\n", "b".repeat(header)).into_bytes()
        };
        assert!(exchange(address, &request(60_000, 0)).await.starts_with("HTTP/1.1 200"));
        // What is left unread may reset the connection before the refusal is seen.
        let refusal = exchange(address, &request(0, 2 * limits::HTTP_HEADER_BYTES)).await;
        assert!(refusal.is_empty() || refusal.starts_with("HTTP/1.1 431"), "{refusal}");
    }

    #[tokio::test]
    async fn garbage_is_answered_400() {
        let (address, _stop, _server) = start().await;
        assert!(exchange(address, b"\x16\x03\x01\x02\x00\x01\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    }

    #[tokio::test]
    async fn shutdown_ends_idle_connections_and_stops_accepting() {
        let (address, stop, server) = start().await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut buffer = [0; 512];
        assert!(idle.read(&mut buffer).await.unwrap() > 0);
        stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap();
        assert_eq!(idle.read(&mut buffer).await.unwrap(), 0);
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_client_that_sends_half_a_head_or_nothing_is_dropped() {
        let bounds = Bounds { header_timeout: Duration::from_millis(100), ..Bounds::default() };
        let (address, _) = start_within(bounds).await;
        for sent in [&b"GET / HT"[..], b""] {
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(sent).await.unwrap();
            let mut answer = Vec::new();
            let closed = tokio::time::timeout(Duration::from_secs(5), slow.read_to_end(&mut answer)).await;
            assert!(closed.is_ok(), "still open after {sent:?}");
        }
    }

    #[tokio::test]
    async fn connections_past_the_bound_wait_for_a_place() {
        assert_places(Bounds { connections: 2, ..Bounds::default() }).await;
    }

    #[tokio::test]
    async fn operators_have_a_few_places_of_their_own() {
        assert_places(Bounds::operations()).await;
    }

    /// That many connections are served, and the next when one of them ends.
    async fn assert_places(bounds: Bounds) {
        let places = bounds.connections;
        let (address, _) = start_within(bounds).await;
        let ask = |mut stream: TcpStream| async move {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut buffer = [0; 512];
            let answered = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut buffer)).await;
            (stream, answered.is_ok())
        };
        let mut open = Vec::new();
        for number in 1..=places + 1 {
            let (stream, answered) = ask(TcpStream::connect(address).await.unwrap()).await;
            assert_eq!(answered, number <= places, "connection {number}");
            open.push(stream);
        }
        let mut waiting = open.pop().unwrap();
        drop(open.pop());
        let mut buffer = [0; 512];
        let answered = tokio::time::timeout(Duration::from_secs(5), waiting.read(&mut buffer)).await;
        assert!(answered.unwrap().unwrap() > 0);
    }

    #[tokio::test]
    async fn draining_ends_though_a_connection_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(std::future::pending::<()>));
        let bounds = Bounds { drain: Duration::from_millis(100), ..Bounds::default() };
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve_within(vec![listener], router, async { drop(stopped.await) }, bounds));
        let mut hanging = TcpStream::connect(address).await.unwrap();
        hanging.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap();
    }
}
