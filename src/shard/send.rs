//! What a shard wants to send: datagrams gathered into runs for UDP generic segmentation offload.
//!
//! What always holds: a run has one destination, all its datagrams but the last have one size and none is larger, and it
//! keeps the kernel's bounds on count and length. Buffers are reused from batch to batch.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use crate::limits;
use crate::transport::srtp::{MAX_OVERHEAD_BYTES, MAX_PADDING_BYTES};
use crate::wire::rtp::WRITTEN_HEADER_BYTES;

/// Largest datagram that is written: the largest that is received, under a header of our own.
const DATAGRAM_BYTES: usize = limits::DATAGRAM_BYTES + WRITTEN_HEADER_BYTES + MAX_PADDING_BYTES + MAX_OVERHEAD_BYTES;
/// The buffer grows by this, bytes: a run fits.
const GROWTH: usize = 64 * 1024;
/// What the buffer keeps, bytes: more than one subscriber's share of what is read at once. Only a catch-up takes more.
const KEPT: usize = 2 * GROWTH;

/// Most datagrams in one run. The kernel takes 64, but 16 cost hardly more each (62 ns to 46), shallow queues on the way take
/// them, and webrtc-rs loses what comes in longer runs before it has announced the track.
const RUN_DATAGRAMS: usize = 16;
// The largest UDP payload over IPv4 holds any run.
const _: () = assert!(RUN_DATAGRAMS * DATAGRAM_BYTES <= 65_507);

/// The local end of a path: which socket of the shard, and which address of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LocalEnd {
    pub socket: usize,
    /// `None` leaves the choice to the kernel.
    pub ip: Option<IpAddr>,
}

/// A way to a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Route {
    pub to: SocketAddr,
    pub local: LocalEnd,
}

/// A run of datagrams in [`SendBatch::bytes`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    pub route: Route,
    pub range: Range<usize>,
    /// Size of every datagram but the last.
    pub segment: usize,
    datagrams: usize,
    /// A shorter datagram ended the run.
    closed: bool,
}

impl Transmit {
    pub fn datagrams(&self) -> usize {
        self.datagrams
    }
}

/// Everything one batch sends.
#[derive(Default)]
pub struct SendBatch {
    /// Written up to `len`; what follows is room, initialised once.
    bytes: Vec<u8>,
    len: usize,
    transmits: Vec<Transmit>,
}

impl SendBatch {
    /// Appends one datagram: `write` puts it at the start of the slice it is given, which has room for the largest, and
    /// tells its length. When it fails nothing is sent.
    pub fn push<E>(&mut self, route: Route, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
        let start = self.len;
        let written = write(self.room(DATAGRAM_BYTES))?;
        self.add(route, start..start + written);
        Ok(written)
    }

    /// Appends a datagram that is ready.
    pub fn push_bytes(&mut self, route: Route, datagram: &[u8]) {
        let start = self.len;
        if let Some(slot) = self.room(datagram.len()).get_mut(..datagram.len()) {
            slot.copy_from_slice(datagram);
            self.add(route, start..start + datagram.len());
        }
    }

    /// Room for at least `len` bytes behind what is written.
    fn room(&mut self, len: usize) -> &mut [u8] {
        let needed = self.len.saturating_add(len);
        if self.bytes.len() < needed {
            self.bytes.resize(needed.next_multiple_of(GROWTH), 0);
        }
        self.bytes.get_mut(self.len..).unwrap_or_default()
    }

    fn add(&mut self, route: Route, range: Range<usize>) {
        if !range.is_empty() {
            self.len = range.end;
            self.add_to_run(route, range);
        }
    }

    fn add_to_run(&mut self, route: Route, range: Range<usize>) {
        let len = range.len();
        if let Some(run) = self.transmits.last_mut()
            && run.route == route
            && !run.closed
            && len <= run.segment
            && run.datagrams < RUN_DATAGRAMS
        {
            run.range.end = range.end;
            run.datagrams += 1;
            run.closed = len < run.segment;
            return;
        }
        self.transmits.push(Transmit { route, range, segment: len, datagrams: 1, closed: false });
    }

    pub fn transmits(&self) -> &[Transmit] {
        &self.transmits
    }

    /// The bytes of one run.
    pub fn contents(&self, transmit: &Transmit) -> &[u8] {
        self.bytes.get(transmit.range.clone()).unwrap_or_default()
    }

    /// Keeps the memory, but for what is rarely needed.
    pub fn clear(&mut self) {
        self.len = 0;
        if self.bytes.len() > KEPT {
            self.bytes.truncate(KEPT);
            self.bytes.shrink_to_fit();
        }
        self.transmits.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.transmits.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(port: u16) -> Route {
        Route { to: SocketAddr::from(([192, 0, 2, 1], port)), local: LocalEnd { socket: 0, ip: None } }
    }

    fn runs(batch: &SendBatch) -> Vec<(u16, usize, usize)> {
        batch.transmits().iter().map(|t| (t.route.to.port(), t.datagrams(), t.range.len())).collect()
    }

    #[test]
    fn equal_sizes_to_one_destination_join_and_a_shorter_one_ends_the_run() {
        let mut batch = SendBatch::default();
        for size in [100, 100, 60, 100, 120] {
            batch.push_bytes(route(1), &vec![0; size]);
        }
        batch.push_bytes(route(2), &[0; 120]);
        assert_eq!(runs(&batch), [(1, 3, 260), (1, 1, 100), (1, 1, 120), (2, 1, 120)]);
    }

    #[test]
    fn a_run_keeps_the_bound_on_its_count_and_so_on_its_bytes() {
        let mut batch = SendBatch::default();
        (0..17).for_each(|_| batch.push_bytes(route(1), &[0; 1500]));
        assert_eq!(runs(&batch), [(1, 16, 24_000), (1, 1, 1500)]);
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let mut batch = SendBatch::default();
        let failed = batch.push(route(1), |out| {
            out[..4].copy_from_slice(b"half");
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert!(batch.is_empty());
        batch.push_bytes(route(1), b"whole");
        assert_eq!(batch.contents(&batch.transmits()[0]), b"whole");
    }
}
