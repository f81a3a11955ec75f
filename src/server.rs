//! Composition root: what is started, in which order, and how it stops.
//!
//! Order: bind every port (so that a port that is taken ends the start before anything runs), shards, HTTP. Stop: on
//! SIGTERM or SIGINT HTTP stops accepting, participants are told, open connections end, shards end; the operations server ends last.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus::Registry;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::api::{self, BindError};
use crate::clock::WallClock;
use crate::config::Config;
use crate::limits;
use crate::net::addresses::{candidates, node_addresses, wildcards};
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

/// Attempts to find consecutive free UDP ports when any will do.
const ANY_PORT_ATTEMPTS: usize = 16;
/// How long participants have to be told of the end.
const FAREWELL: Duration = Duration::from_secs(3);

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
    #[error("no address to offer to clients: name one with --node-ip")]
    NoCandidates,
}

/// Runs until a signal ends it. Must run inside a tokio runtime.
pub async fn run(config: Config) -> Result<(), ServerError> {
    let registry = Registry::new();
    let signalling_counters = Arc::new(livekit::Counters::new(&registry)?);
    let http_counters = Arc::new(whip::Counters::new(&registry)?);
    let (tracer, collector) = traces::start(&config.traces, SpanCounters::new(&registry)?)?;
    let listeners = api::bind(&config)?;
    let operations_listeners = api::bind_operations(&config)?;
    let sockets = bind_media(&config)?;
    let shards = Shards::start(&config, sockets)?;
    announce(&config, &listeners, &operations_listeners, &shards);
    let rooms = Rooms::new(shards.mailboxes.clone(), shards.directory.clone());
    metrics::register(&registry, shards.counters.clone())?;
    let signalling = livekit::router(&config, rooms.clone(), signalling_counters, tracer.clone());
    let answering = whip::router(&config, rooms.clone(), http_counters, tracer);
    let render = Arc::new(move || metrics::render(&registry));
    let (ended, end) = oneshot::channel::<()>();
    let operations = api::operations::router(render, api::probes());
    // Ready when the sender is dropped, too.
    let operations = api::serve_operations(operations_listeners, operations, async move { _ = end.await });
    let operations = tokio::spawn(operations);
    let router = api::router(signalling, answering, api::probes(), api::page::embedded);
    let farewell = async move {
        ended_by_signal().await;
        tracing::info!("stopping");
        let _ = tokio::time::timeout(FAREWELL, rooms.shut_down()).await;
    };
    api::serve(listeners, router, farewell).await;
    shards.stop();
    if let Some(collector) = collector {
        collector.stop().await;
    }
    drop(ended);
    if let Err(error) = operations.await {
        tracing::error!(%error, "the operations server had ended");
    }
    Ok(())
}

/// Prints for the human who started the server where it is.
fn announce(config: &Config, listeners: &[TcpListener], operations: &[TcpListener], shards: &Shards) {
    let bound = |listeners: &[TcpListener]| -> Vec<SocketAddr> {
        listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    };
    let page = api::page::is_built(api::page::embedded);
    print!("{}", api::banner::banner(config, &bound(listeners), &bound(operations), &shards.bound, page));
}

async fn ended_by_signal() {
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        // Without handlers the signals end the process as they always do.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The sockets of every shard: each has one for every address, all of a shard on one port, shards on consecutive ports.
fn bind_media(config: &Config) -> Result<Vec<Vec<BoundPort>>, BindError> {
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
    fn stop(self) {
        drop(self.mailboxes);
        for thread in self.threads {
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
fn offered(bound: &[SocketAddr], node: &[IpAddr], named: bool) -> Vec<SocketAddr> {
    if !named {
        return candidates(bound, node);
    }
    let port = bound.first().map_or(0, SocketAddr::port);
    node.iter().map(|ip| SocketAddr::new(*ip, port)).collect()
}
