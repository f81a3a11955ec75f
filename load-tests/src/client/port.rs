//! One client's UDP socket: an address of its own, as in reality; received in batches with GRO, sent as runs with GSO.
//!
//! What always holds: nothing here blocks; what the kernel has no room for is counted by the caller as an error.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mio::net::UdpSocket;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};

/// Kernel receive buffer, bytes: the generator may be late by many milliseconds without a server being blamed for it.
const SOCKET_BUFFER: usize = 4 << 20;
/// Receive buffers a call offers; a client seldom has more than one run waiting.
pub const BUFFERS: usize = 4;
/// Longest run that fits one UDP length field over IPv4.
const RUN_BYTES: usize = 65_507;
/// One buffer, bytes: the longest run that GRO makes.
const BUFFER_BYTES: usize = 65_536;

pub struct Port {
    pub socket: UdpSocket,
    state: UdpSocketState,
    server: SocketAddr,
}

/// Receive buffers, shared by all clients.
pub struct Buffers {
    bytes: Vec<u8>,
    metas: [RecvMeta; BUFFERS],
}

/// A run of datagrams: all of `stride` bytes but perhaps the last.
pub struct Run<'a> {
    pub bytes: &'a mut [u8],
    pub stride: usize,
    /// When the kernel took it in, since the Unix epoch.
    pub arrived: Option<Duration>,
}

impl Buffers {
    #[expect(
        clippy::new_without_default,
        reason = "a default could be taken and left, and filling these anew takes longer than receiving"
    )]
    pub fn new() -> Buffers {
        Buffers { bytes: vec![0; BUFFERS * BUFFER_BYTES], metas: [RecvMeta::default(); BUFFERS] }
    }

    /// The runs of the last batch of `count` buffers.
    pub fn runs(&mut self, count: usize) -> impl Iterator<Item = Run<'_>> {
        let filled = self.bytes.chunks_exact_mut(BUFFER_BYTES).zip(&self.metas).take(count);
        filled.filter_map(|(buffer, meta)| {
            let bytes = buffer.get_mut(..meta.len)?;
            Some(Run { bytes, stride: meta.stride.max(1), arrived: meta.timestamp })
        })
    }
}

impl Port {
    /// Bound to a free port of the loopback interface for a server there, else of any interface.
    pub fn bind(server: SocketAddr) -> io::Result<Port> {
        let local: SocketAddr = match (server, server.ip().is_loopback()) {
            (SocketAddr::V4(_), true) => (Ipv4Addr::LOCALHOST, 0).into(),
            (SocketAddr::V4(_), false) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            (SocketAddr::V6(_), true) => (Ipv6Addr::LOCALHOST, 0).into(),
            (SocketAddr::V6(_), false) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(local)?;
        let state = UdpSocketState::new((&socket).into())?;
        // The kernel may give less; what it then drops is told in the report.
        let _ = state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER);
        let _ = state.set_send_buffer_size((&socket).into(), SOCKET_BUFFER);
        Ok(Port { socket, state, server })
    }

    pub fn local_port(&self) -> u16 {
        self.socket.local_addr().map_or(0, |address| address.port())
    }

    /// Buffers filled; below [`BUFFERS`] when nothing is left.
    pub fn receive(&self, buffers: &mut Buffers) -> usize {
        let mut chunks = buffers.bytes.chunks_exact_mut(BUFFER_BYTES);
        let mut slices: [IoSliceMut<'_>; BUFFERS] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        self.state.recv((&self.socket).into(), &mut slices, &mut buffers.metas).unwrap_or(0)
    }

    /// Sends datagrams of `segment` bytes each, the last perhaps shorter.
    pub fn send(&self, contents: &[u8], segment: usize) -> io::Result<()> {
        let segments = self.state.max_gso_segments().min(RUN_BYTES / segment.max(1)).max(1);
        let most = segment.max(1) * segments;
        contents.chunks(most).try_for_each(|run| {
            let segment_size = (run.len() > segment).then_some(segment);
            let transmit = Transmit { destination: self.server, ecn: None, contents: run, segment_size, src_ip: None };
            self.state.try_send((&self.socket).into(), &transmit)
        })
    }
}
