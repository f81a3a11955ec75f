//! A UDP relay in front of a server, which makes loopback a link ([`crate::link`]): each client address gets a socket of its own
//! towards the server, and a link of its own in each direction.
//!
//! What always holds: clients, datagrams under way and time are bounded, and what does not fit is counted; datagrams are not looked
//! into. The clock is read here; the model reads none.

pub mod options;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::link::{Arrivals, Link, LinkConfig, LinkCounters};

/// Client addresses: a browser has one for each of its connections.
const CLIENTS: usize = 64;
/// Datagrams under way in both directions; 25 MB of full ones.
const UNDER_WAY: usize = 16_384;
/// Datagrams read from the server and not looked at yet, of all clients.
const READ_AHEAD: usize = 1_024;
/// Larger than any datagram on a path of 1,500 bytes, and than most on loopback.
const DATAGRAM_BYTES: usize = 9_000;

/// What a relay is to be.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub server: SocketAddr,
    /// From the clients to the server.
    pub up: LinkConfig,
    pub down: LinkConfig,
    pub seed: u64,
    /// Until it ends by itself.
    pub duration: Duration,
}

/// What passed, or did not.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub struct Totals {
    pub clients: usize,
    pub up: Direction,
    pub down: Direction,
    /// Of an address more than may be, or more under way than may be.
    pub refused: u64,
}

/// All links of one direction.
#[derive(Clone, Copy, Default, Debug, Serialize)]
pub struct Direction {
    pub datagrams: u64,
    pub bytes: u64,
    pub lost: u64,
    pub overflowed: u64,
    pub reordered: u64,
    pub duplicated: u64,
}

impl Direction {
    fn add(&mut self, counters: LinkCounters) {
        self.datagrams += counters.sent;
        self.bytes += counters.sent_bytes;
        self.lost += counters.lost;
        self.overflowed += counters.overflowed;
        self.reordered += counters.reordered;
        self.duplicated += counters.duplicated;
    }
}

struct Client {
    address: SocketAddr,
    /// Connected to the server.
    socket: Arc<UdpSocket>,
    up: Link,
    down: Link,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Up,
    Down,
}

/// A datagram under way, ordered by when it arrives.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Duration,
    /// Keeps the order of what arrives at once.
    number: u64,
    client: usize,
    way: Way,
    datagram: Bytes,
}

pub struct Relay {
    config: Config,
    listener: UdpSocket,
    start: Instant,
    clients: Vec<Client>,
    by_address: HashMap<SocketAddr, usize>,
    under_way: BinaryHeap<Reverse<Due>>,
    sent: u64,
    refused: u64,
    /// From the tasks that read what the server sends.
    inbox: mpsc::Receiver<(usize, Bytes)>,
    outlet: mpsc::Sender<(usize, Bytes)>,
    readers: JoinSet<()>,
}

impl Relay {
    pub async fn bind(config: Config) -> std::io::Result<Relay> {
        let (outlet, inbox) = mpsc::channel(READ_AHEAD);
        Ok(Relay {
            listener: UdpSocket::bind(config.listen).await?,
            config,
            start: Instant::now(),
            clients: Vec::new(),
            by_address: HashMap::new(),
            under_way: BinaryHeap::new(),
            sent: 0,
            refused: 0,
            inbox,
            outlet,
            readers: JoinSet::new(),
        })
    }

    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Relays until its time is over or `stop` is ready.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Totals {
        let end = self.start + self.config.duration;
        let relayed = async {
            loop {
                self.step().await;
            }
        };
        tokio::select! {
            () = stop => {}
            _ = timeout_at(end, relayed) => {}
        }
        self.totals()
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals { clients: self.clients.len(), refused: self.refused, ..Totals::default() };
        for client in &self.clients {
            totals.up.add(client.up.counters());
            totals.down.add(client.down.counters());
        }
        totals
    }

    /// One datagram in, or all that have arrived out.
    async fn step(&mut self) {
        let mut buffer = [0; DATAGRAM_BYTES];
        let next = self.under_way.peek().map(|Reverse(due)| self.start + due.at);
        tokio::select! {
            () = sleep_until(next.unwrap_or(self.start)), if next.is_some() => self.deliver().await,
            received = self.listener.recv_from(&mut buffer) => {
                // An error is an earlier datagram's, which somebody refused.
                let Ok((len, address)) = received else { return };
                let datagram = Bytes::copy_from_slice(buffer.get(..len).unwrap_or(&[]));
                match self.client(address).await {
                    Some(client) => self.send(client, Way::Up, datagram),
                    None => self.refused += 1,
                }
            }
            Some((client, datagram)) = self.inbox.recv() => self.send(client, Way::Down, datagram),
        }
    }

    /// The client of an address, made when it is new.
    async fn client(&mut self, address: SocketAddr) -> Option<usize> {
        if let Some(known) = self.by_address.get(&address) {
            return Some(*known);
        }
        if self.clients.len() >= CLIENTS {
            return None;
        }
        let socket = Arc::new(towards(self.config.server).await.ok()?);
        let index = self.clients.len();
        self.readers.spawn(read(index, Arc::clone(&socket), self.outlet.clone()));
        // Other faults on each link, the same in each run.
        let seed = self.config.seed.wrapping_add(2 * index as u64);
        let (up, down) = (Link::new(self.config.up, seed), Link::new(self.config.down, seed.wrapping_add(1)));
        self.clients.push(Client { address, socket, up, down });
        self.by_address.insert(address, index);
        Some(index)
    }

    fn send(&mut self, client: usize, way: Way, datagram: Bytes) {
        let now = self.start.elapsed();
        let Some(entry) = self.clients.get_mut(client) else { return };
        let link = if way == Way::Up { &mut entry.up } else { &mut entry.down };
        let Arrivals { first, second } = link.send(now, datagram.len());
        for at in [first, second].into_iter().flatten() {
            if self.under_way.len() >= UNDER_WAY {
                self.refused += 1;
                continue;
            }
            self.sent += 1;
            self.under_way.push(Reverse(Due { at, number: self.sent, client, way, datagram: datagram.clone() }));
        }
    }

    async fn deliver(&mut self) {
        let now = self.start.elapsed();
        while self.under_way.peek().is_some_and(|Reverse(due)| due.at <= now) {
            let Some(Reverse(due)) = self.under_way.pop() else { return };
            let Some(client) = self.clients.get(due.client) else { continue };
            // What a socket does not take is lost, as on any link.
            let _ = match due.way {
                Way::Up => client.socket.send(&due.datagram).await,
                Way::Down => self.listener.send_to(&due.datagram, client.address).await,
            };
        }
    }
}

async fn towards(server: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr = match (server.ip().is_loopback(), server.is_ipv4()) {
        (true, true) => (Ipv4Addr::LOCALHOST, 0).into(),
        (true, false) => (Ipv6Addr::LOCALHOST, 0).into(),
        (false, true) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        (false, false) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    Ok(socket)
}

/// Hands over what the server sends to one client, until nobody wants it.
async fn read(client: usize, socket: Arc<UdpSocket>, outlet: mpsc::Sender<(usize, Bytes)>) {
    let mut buffer = [0; DATAGRAM_BYTES];
    loop {
        // Refused once is not for ever: the server may not listen yet.
        let Ok(len) = socket.recv(&mut buffer).await else { continue };
        let datagram = Bytes::copy_from_slice(buffer.get(..len).unwrap_or(&[]));
        if outlet.send((client, datagram)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
