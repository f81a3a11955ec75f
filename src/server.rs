//! Composition root: what is started, in which order, and how it stops.
//!
//! Order: bind every port (so that a port that is taken ends the start before anything runs), shards, HTTP. Stop: asked by
//! SIGTERM or SIGINT it drains (`drain`) while HTTP goes on, then HTTP stops accepting, open connections end, shards end; the
//! operations server ends last. A second signal ends it within a moment, whatever it was waiting for.

mod drain;
mod signals;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus::Registry;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::api::health::{self, Health};
use crate::api::tls::{self, TlsError};
use crate::api::{self, BindError, ClientAddresses, Site, Tls};
use crate::clock::WallClock;
use crate::config::Config;
use crate::lifecycle::liveness::Liveness;
use crate::lifecycle::{self, Lifecycle, Phase};
use crate::limits;
use crate::net::addresses::{candidates, node_addresses, wildcards};
use crate::net::drops;
use crate::net::udp::BoundPort;
use crate::room::RoomConfig;
use crate::shard::directory::Directory;
use crate::shard::leg::ShardId;
use crate::shard::mailbox::Message;
use crate::shard::switchboard::Switchboard;
use crate::shard::thread::ShardThread;
use crate::shard::{Shard, ShardConfig};
use crate::signalling::livekit;
use crate::signalling::port::Rooms;
use crate::signalling::whip;
use crate::telemetry::counters::ShardCounters;
use crate::telemetry::prometheus as metrics;
use crate::telemetry::traces::{self, CollectorError, SpanCounters};
use crate::transport::Certificate;
use signals::Signals;

/// Attempts to find consecutive free UDP ports when any will do.
const ANY_PORT_ATTEMPTS: usize = 16;
/// Between the second signal and the end: for connections to say goodbye.
const HURRY: Duration = Duration::from_secs(1);
/// Between two looks whether a shard has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// For a shard to send what it still has. One that is stuck is left behind: the process ends without it.
const SHARD_END: Duration = Duration::from_secs(3);

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("a shard's thread cannot start: {0}")]
    Thread(#[from] io::Error),
    #[error("traces: {0}")]
    Traces(#[from] CollectorError),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("no address to offer to clients: name one with --node-ip")]
    NoCandidates,
}

/// Runs until a signal ends it. Must run inside a tokio runtime.
pub async fn run(config: Config) -> Result<(), ServerError> {
    let registry = Registry::new();
    let signalling_counters = Arc::new(livekit::Counters::new(&registry)?);
    let http_counters = Arc::new(whip::Counters::new(&registry)?);
    let (tracer, collector) = traces::start(&config.traces, SpanCounters::new(&registry)?)?;
    let tls = secure(&config, &registry)?;
    let clients = ClientAddresses::new(&config.clients, &registry)?;
    let listeners = api::bind(&config)?;
    let operations_listeners = api::bind_operations(&config)?;
    let sockets = bind_media(&config)?;
    let inodes: BTreeSet<u64> = sockets.iter().flatten().flat_map(BoundPort::inodes).collect();
    let shards = Shards::start(&config, sockets)?;
    let signals = Signals::listen();
    let lifecycle = Arc::new(Lifecycle::new(&config.overload, shards.counters.len()));
    let watched = shards.mailboxes.iter().cloned().zip(shards.counters.iter().cloned());
    let health = Health { lifecycle: lifecycle.clone(), liveness: Arc::new(Liveness::new(watched)) };
    announce(&config, &listeners, &operations_listeners, &shards);
    let rooms = Rooms::new(shards.mailboxes.clone(), shards.directory.clone(), lifecycle.clone());
    metrics::register(&registry, shards.counters.clone())?;
    if config.operations.compatible_names {
        livekit::metrics::register(&registry, shards.counters.clone())?;
    }
    metrics::register_kernel_drops(&registry, move || drops::dropped(&inodes))?;
    lifecycle::metrics::register(&registry, lifecycle.clone())?;
    let signalling = livekit::router(&config, rooms.clone(), signalling_counters, tracer.clone());
    let answering = whip::router(&config, rooms.clone(), http_counters, tracer);
    let render = Arc::new(move || metrics::render(&registry));
    let (ended, end) = oneshot::channel::<()>();
    let inspector = api::debug::Inspector::new(&shards.mailboxes, shards.directory.clone());
    let debug = api::debug::router(config.keys.clone(), inspector);
    let operations = api::operations::router(render, health::routes(health.clone()).merge(debug));
    // Ready when the sender is dropped, too.
    let operations = api::serve_operations(operations_listeners, operations, async move { _ = end.await });
    let operations = tokio::spawn(operations);
    let router = api::router(signalling, answering, health::routes(health), api::page::embedded);
    let router = api::client_address::told_apart(router, clients.clone());
    let site = Site { router, tls, clients: Some(clients) };
    let measuring = tokio::spawn(lifecycle::keep_measured(lifecycle.clone(), shards.counters.clone()));
    lifecycle.enter(Phase::Serving);
    let farewell = drain::run(rooms, lifecycle, config.drain, signals.clone());
    tokio::select! {
        () = api::serve(listeners, site, farewell) => {}
        () = hurried(&signals) => tracing::warn!("connections were cut"),
    }
    measuring.abort();
    shards.stop().await;
    if let Some(collector) = collector {
        tokio::select! {
            () = collector.stop() => {}
            () = hurried(&signals) => {}
        }
    }
    drop(ended);
    tokio::select! {
        ended = operations => if let Err(error) = ended {
            tracing::error!(%error, "the operations server had ended");
        },
        () = hurried(&signals) => {}
    }
    Ok(())
}

/// TLS of the public port where it is configured, kept current from here on.
fn secure(config: &Config, registry: &Registry) -> Result<Option<Arc<Tls>>, ServerError> {
    let Some(files) = &config.tls else { return Ok(None) };
    let tls = Tls::load(files, tls::Counters::new(registry)?)?;
    tokio::spawn(tls.clone().keep_current());
    Ok(Some(tls))
}

/// Waits until the process was asked to end at once, and a moment longer.
async fn hurried(signals: &Signals) {
    signals.reached(2).await;
    tokio::time::sleep(HURRY).await;
}

/// Prints for the human who started the server where it is.
fn announce(config: &Config, listeners: &[TcpListener], operations: &[TcpListener], shards: &Shards) {
    let bound = |listeners: &[TcpListener]| -> Vec<SocketAddr> {
        listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    };
    let page = api::page::is_built(api::page::embedded);
    print!("{}", api::banner::banner(config, &bound(listeners), &bound(operations), &shards.bound, page));
}

/// The sockets of every shard: each has one for every address, all of a shard on one port, shards on consecutive ports.
pub(crate) fn bind_media(config: &Config) -> Result<Vec<Vec<BoundPort>>, BindError> {
    let first = config.media.udp_port;
    if first != 0 {
        return bind_media_from(config, first);
    }
    let mut last = None;
    for _ in 0..ANY_PORT_ATTEMPTS {
        match bind_media_from(config, 0) {
            Ok(sockets) => return Ok(sockets),
            Err(error) => last = Some(error),
        }
    }
    // At least one attempt was made, so there is an error.
    last.map_or_else(|| Ok(Vec::new()), Err)
}

fn bind_media_from(config: &Config, first: u16) -> Result<Vec<Vec<BoundPort>>, BindError> {
    let mut shards = Vec::new();
    for index in 0..config.media.shards.get() {
        let port = match first {
            0 => 0,
            first => first.saturating_add(u16::try_from(index).unwrap_or(u16::MAX)),
        };
        shards.push(bind_shard(config, port)?);
    }
    Ok(shards)
}

fn bind_shard(config: &Config, port: u16) -> Result<Vec<BoundPort>, BindError> {
    let named = !config.http.bind.is_empty();
    let addresses: Vec<IpAddr> = if named { config.http.bind.clone() } else { wildcards().to_vec() };
    let mut port = port;
    let mut sockets = Vec::new();
    for ip in addresses {
        let address = SocketAddr::new(ip, port);
        match BoundPort::bind(address) {
            Ok(socket) => {
                port = socket.local().port();
                sockets.push(socket);
            }
            // A machine without IPv6 lacks the second wildcard.
            Err(error) if !named && ip.is_ipv6() && error.kind() != io::ErrorKind::AddrInUse => {}
            Err(source) => return Err(BindError { address, purpose: &api::listen::MEDIA, source }),
        }
    }
    Ok(sockets)
}

/// The shard threads, and what the rest of the server holds of them.
struct Shards {
    mailboxes: Vec<mpsc::Sender<Message>>,
    counters: Vec<Arc<ShardCounters>>,
    directory: Arc<Directory>,
    bound: Vec<SocketAddr>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Shards {
    fn start(config: &Config, sockets: Vec<Vec<BoundPort>>) -> Result<Shards, ServerError> {
        let certificate = Arc::new(Certificate::generate());
        let node = match config.media.node_ips.as_slice() {
            [] => node_addresses(config.development),
            named => named.to_vec(),
        };
        let unix_now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = WallClock::new(Instant::now(), unix_now);
        let counters: Vec<Arc<ShardCounters>> = sockets.iter().map(|_| Arc::default()).collect();
        let directory = Arc::new(Directory::new(counters.clone()));
        let mut shards = Shards { mailboxes: Vec::new(), counters, directory, bound: Vec::new(), threads: Vec::new() };
        let boards = Switchboard::connect(sockets.len());
        for ((ports, counters), legs) in sockets.into_iter().zip(shards.counters.clone()).zip(boards) {
            let bound: Vec<SocketAddr> = ports.iter().map(BoundPort::local).collect();
            let offered = offered(&bound, &node, !config.media.node_ips.is_empty());
            if offered.is_empty() {
                return Err(ServerError::NoCandidates);
            }
            let shard = Shard::new(ShardConfig {
                id: ShardId(shards.threads.len()),
                room: RoomConfig {
                    empty_timeout: config.rooms.empty_timeout,
                    departure_timeout: config.rooms.departure_timeout,
                    max_participants: config.rooms.max_participants,
                },
                certificate: certificate.clone(),
                candidates: offered,
                wall,
                random: Box::new(StdRng::from_os_rng()),
                counters: counters.clone(),
                directory: shards.directory.clone(),
                room_spread: config.media.room_spread,
                record_headers: config.media.record_headers,
            });
            let (mailbox, messages) = mpsc::channel(limits::MAILBOX);
            let (index, counted) = (shards.threads.len(), counters.clone());
            let run = move || ShardThread::run(shard, ports, messages, legs, counted);
            shards.threads.push(std::thread::Builder::new().name(format!("shard-{index}")).spawn(run)?);
            shards.mailboxes.push(mailbox);
            shards.bound.extend(bound);
        }
        Ok(shards)
    }

    /// Closes the mailboxes and waits for the threads to send what they still have.
    async fn stop(self) {
        drop(self.mailboxes);
        let late = Instant::now() + SHARD_END;
        for thread in self.threads {
            while !thread.is_finished() && Instant::now() < late {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            if !thread.is_finished() {
                tracing::error!("a shard did not end in time");
                continue;
            }
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a shard could not run"),
                Err(_) => tracing::error!("a shard had ended in a panic"),
            }
        }
    }
}

/// Host candidates. Addresses the operator names may belong to a device in front of this machine (one-to-one NAT), so
/// they are offered whatever the sockets are bound to.
pub(crate) fn offered(bound: &[SocketAddr], node: &[IpAddr], named: bool) -> Vec<SocketAddr> {
    if !named {
        return candidates(bound, node);
    }
    let port = bound.first().map_or(0, SocketAddr::port);
    node.iter().map(|ip| SocketAddr::new(*ip, port)).collect()
}
