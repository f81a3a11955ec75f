//! One UDP socket of a shard: batches in, runs out (quinn-udp: recvmmsg with GRO, sendmsg with GSO, both falling back by
//! themselves where the kernel or device refuses).

use std::io::{self, IoSliceMut};
use std::iter;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::task::{Context, Poll, ready};

use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{drops, feedback};
use crate::limits;
use crate::shard::send::{Route, SendBatch, Transmit};

/// Kernel buffers, bytes: 100 ms of a loaded shard, so that a short stall loses nothing. The kernel may give less.
pub(super) const SOCKET_BUFFER: usize = 4 << 20;
/// One receive buffer, bytes: with GRO the kernel may hand over a whole run.
const RECEIVE_BUFFER: usize = 65_536;
/// From one receive buffer to the next: not a power of two, or the datagrams of a batch would all fall on the same lines of
/// the processor's cache.
const STRIDE: usize = RECEIVE_BUFFER + 5 * 64;

/// A bound port that no runtime knows yet.
pub struct BoundPort {
    socket: UdpSocket,
    /// Where transport-wide feedback arrives; `None` where the kernel does not tell it apart.
    feedback: Option<UdpSocket>,
    local: SocketAddr,
}

impl BoundPort {
    pub fn bind(address: SocketAddr) -> io::Result<BoundPort> {
        let socket = open(address)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from(socket);
        let local = socket.local_addr()?;
        // One socket for all serves as well, if at a higher price.
        let feedback = feedback::bind_beside(&socket).ok();
        Ok(BoundPort { socket, feedback, local })
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The numbers under which the kernel lists its sockets.
    pub fn inodes(&self) -> impl Iterator<Item = u64> {
        iter::once(&self.socket).chain(&self.feedback).filter_map(|socket| drops::inode(socket).ok())
    }
}

/// A socket for an address that is not bound yet: IPv6 sockets take IPv6 alone, so that addresses never appear in two forms.
pub(super) fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

pub struct UdpPort {
    socket: AsyncFd<UdpSocket>,
    state: UdpSocketState,
    feedback: Option<(UdpSocket, UdpSocketState)>,
}

/// Buffers of a full batch.
pub const BATCH: usize = BATCH_SIZE;

/// Receive buffers, reused for every batch.
pub struct ReceiveBuffers {
    bytes: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
}

/// One datagram in the receive buffers.
pub struct Received {
    pub from: SocketAddr,
    pub local_ip: Option<IpAddr>,
    pub range: std::ops::Range<usize>,
}

impl Default for ReceiveBuffers {
    fn default() -> Self {
        ReceiveBuffers { bytes: vec![0; BATCH_SIZE * STRIDE], metas: [RecvMeta::default(); BATCH_SIZE] }
    }
}

impl ReceiveBuffers {
    /// How many buffers one call filled.
    fn receive(&mut self, socket: &UdpSocket, state: &UdpSocketState) -> usize {
        let mut chunks = self.bytes.chunks_exact_mut(STRIDE).map(|chunk| chunk.get_mut(..RECEIVE_BUFFER));
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().flatten().unwrap_or_default()));
        state.recv(socket.into(), &mut slices, &mut self.metas).unwrap_or(0)
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The datagrams of the last batch of `count` buffers.
    pub fn datagrams(&self, count: usize, out: &mut Vec<Received>) {
        out.clear();
        for (index, meta) in self.metas.iter().take(count).enumerate() {
            let start = index * STRIDE;
            let end = start + meta.len.min(RECEIVE_BUFFER);
            let stride = meta.stride.max(1);
            let mut at = start;
            while at < end {
                let next = at.saturating_add(stride).min(end);
                if next - at <= limits::DATAGRAM_BYTES {
                    out.push(Received { from: meta.addr, local_ip: meta.dst_ip, range: at..next });
                }
                at = next;
            }
        }
    }
}

fn prepare(socket: &UdpSocket) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(socket.into())?;
    // What the kernel grants is enough to run; less only means less slack.
    let _ = state.set_recv_buffer_size(socket.into(), SOCKET_BUFFER);
    let _ = state.set_send_buffer_size(socket.into(), SOCKET_BUFFER);
    Ok(state)
}

impl UdpPort {
    /// Joins the runtime of the calling thread, which must be the one that uses the port.
    pub fn attach(bound: BoundPort) -> io::Result<UdpPort> {
        let state = prepare(&bound.socket)?;
        let feedback = bound.feedback.map(|socket| prepare(&socket).map(|state| (socket, state))).transpose()?;
        // Not the runtime's own socket: that is told of room to send too, and every send would end in a wake-up.
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for owners that change their descriptor; this one does not"
        )]
        let socket = AsyncFd::with_interest(bound.socket, Interest::READABLE)?;
        Ok(UdpPort { socket, state, feedback })
    }

    /// Ready when datagrams came since the last time it was. They are to be received until there are none.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The kernel tells of each arrival: the next makes it ready again.
        ready!(self.socket.poll_read_ready(cx))?.clear_ready();
        Poll::Ready(Ok(()))
    }

    /// Receives one batch: how many buffers it filled. Fewer than [`BATCH`]: there was no more.
    pub fn receive(&self, buffers: &mut ReceiveBuffers) -> usize {
        buffers.receive(self.socket.get_ref(), &self.state)
    }

    /// The same of transport-wide feedback, of whose arrival nobody is told: where it is told apart it is to be looked for.
    pub fn receive_feedback(&self, buffers: &mut ReceiveBuffers) -> usize {
        self.feedback.as_ref().map_or(0, |(socket, state)| buffers.receive(socket, state))
    }

    /// Sends one run: in one call where the kernel and device can, else datagram by datagram. A full socket buffer drops it,
    /// as a network would.
    pub fn send(&self, batch: &SendBatch, transmit: &Transmit) -> io::Result<()> {
        let contents = batch.contents(transmit);
        if transmit.datagrams() <= self.max_segments() {
            let segment = (transmit.datagrams() > 1).then_some(transmit.segment);
            let sent = self.send_run(transmit.route, contents, segment);
            // A refusal of segmentation teaches `state`; any other error is what it is.
            if sent.is_ok() || transmit.datagrams() <= self.max_segments() {
                return sent;
            }
        }
        contents.chunks(transmit.segment.max(1)).try_for_each(|one| self.send_run(transmit.route, one, None))
    }

    fn send_run(&self, route: Route, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let Route { to: destination, local } = route;
        let datagram = quinn_udp::Transmit { destination, ecn: None, contents, segment_size, src_ip: local.ip };
        self.state.try_send(self.socket.get_ref().into(), &datagram)
    }

    /// Transport-wide feedback comes to a socket of its own.
    pub fn keeps_feedback_apart(&self) -> bool {
        self.feedback.is_some()
    }

    /// Most datagrams the kernel hands over in one buffer; 1 without receive offload.
    pub fn receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    /// Most datagrams the kernel takes in one call; 1 without segmentation offload.
    pub fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }
}
