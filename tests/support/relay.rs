//! A relay between one peer and the server: it sees every datagram of the peer, as an attacker on the path does, can send from the
//! address that the server takes for the peer's, and loses what it is told to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

/// Datagrams of the peer kept, the newest.
const KEPT: usize = 64;
const DATAGRAM_BYTES: usize = 2048;
/// Shorter RTP is audio, which nobody sends again.
const VIDEO_BYTES: usize = 500;

pub struct Relay {
    socket: Arc<UdpSocket>,
    server: SocketAddr,
    seen: Arc<Mutex<VecDeque<Vec<u8>>>>,
    losses: Arc<Losses>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    pub async fn to(server: SocketAddr) -> Relay {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"));
        let (seen, losses) = (Arc::default(), Arc::<Losses>::default());
        let task = tokio::spawn(run(Arc::clone(&socket), server, Arc::clone(&seen), Arc::clone(&losses)));
        Relay { socket, server, seen, losses, task }
    }

    /// From now on one of so many packets of the peer's video is lost, whether it is sent first or again; 0: none.
    pub fn lose_video(&self, one_of: u32) {
        self.losses.one_of.store(one_of, SeqCst);
    }

    /// Packets of video lost so far.
    pub fn lost(&self) -> u32 {
        self.losses.lost.load(SeqCst)
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("the socket is bound")
    }

    /// The newest datagrams that the peer sent, oldest first.
    pub fn seen(&self) -> Vec<Vec<u8>> {
        self.seen.lock().expect("no holder panics").iter().cloned().collect()
    }

    /// Sends to the server as if it were the peer.
    pub async fn inject(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.server).await.expect("loopback takes datagrams");
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is lost of the peer's video.
#[derive(Default)]
struct Losses {
    one_of: AtomicU32,
    sent: AtomicU32,
    lost: AtomicU32,
}

impl Losses {
    fn loses(&self, datagram: &[u8]) -> bool {
        let is_rtp = matches!(datagram, [0x80..=0xbf, kind, ..] if !(64..=95).contains(&(kind & 0x7f)));
        let one_of = self.one_of.load(SeqCst);
        if !is_rtp || datagram.len() < VIDEO_BYTES || one_of == 0 {
            return false;
        }
        let lost = self.sent.fetch_add(1, SeqCst) % one_of == one_of - 1;
        self.lost.fetch_add(u32::from(lost), SeqCst);
        lost
    }
}

async fn run(socket: Arc<UdpSocket>, server: SocketAddr, seen: Arc<Mutex<VecDeque<Vec<u8>>>>, losses: Arc<Losses>) {
    let mut buffer = [0; DATAGRAM_BYTES];
    let mut peer = None;
    loop {
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let datagram = &buffer[..len];
        let to = if from == server {
            peer
        } else {
            peer = Some(from);
            keep(&seen, datagram);
            Some(server).filter(|_| !losses.loses(datagram))
        };
        if let Some(to) = to {
            let _ = socket.send_to(datagram, to).await;
        }
    }
}

fn keep(seen: &Mutex<VecDeque<Vec<u8>>>, datagram: &[u8]) {
    let mut seen = seen.lock().expect("no holder panics");
    if seen.len() == KEPT {
        seen.pop_front();
    }
    seen.push_back(datagram.to_vec());
}
