//! A relay between one peer and the server: it sees every datagram of the peer, as an attacker on the path does, and can
//! send from the address that the server takes for the peer's.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

/// Datagrams of the peer kept, the newest.
const KEPT: usize = 64;
const DATAGRAM_BYTES: usize = 2048;

pub struct Relay {
    socket: Arc<UdpSocket>,
    server: SocketAddr,
    seen: Arc<Mutex<VecDeque<Vec<u8>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    pub async fn to(server: SocketAddr) -> Relay {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"));
        let seen = Arc::default();
        let task = tokio::spawn(run(Arc::clone(&socket), server, Arc::clone(&seen)));
        Relay { socket, server, seen, task }
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

async fn run(socket: Arc<UdpSocket>, server: SocketAddr, seen: Arc<Mutex<VecDeque<Vec<u8>>>>) {
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
            Some(server)
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
