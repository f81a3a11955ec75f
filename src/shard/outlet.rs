//! Where the packets for one subscriber leave: rewritten from the cache of their encoding, sealed straight into the batch of
//! what is sent (RFC 7667, section 3.7).
//!
//! What always holds: nothing is allocated but the batch's room; a packet that cannot be sealed is counted and harms no other.

use std::time::Instant;

use super::outbound::Outbound;
use super::peer::Peer;
use super::send::{Route, SendBatch};
use super::source::Source;
use crate::media::forward::SendStream;
use crate::telemetry::counters::ShardCounters;
use crate::transport::Transport;
use crate::transport::srtp::Plain;

/// A packet in the cache of a source's encoding, and how it is to leave.
#[derive(Clone, Copy, Debug)]
pub struct Cached {
    pub encoding: usize,
    pub extended_sequence: u64,
    /// Bytes it is padded by.
    pub padding: u8,
}

pub struct Outlet<'a> {
    route: Route,
    transport: &'a mut Transport,
    batch: &'a mut SendBatch,
    counters: &'a ShardCounters,
}

impl<'a> Outlet<'a> {
    /// With what the peer receives; `None` where there is no way to it.
    pub fn of(
        peer: &'a mut Peer,
        batch: &'a mut SendBatch,
        counters: &'a ShardCounters,
    ) -> Option<(Outlet<'a>, &'a mut Outbound)> {
        let route = peer.route().filter(|_| peer.transport.is_connected())?;
        Some((Outlet { route, transport: &mut peer.transport, batch, counters }, &mut peer.outbound))
    }

    /// Sends a packet of the source as a stream's next. Gives the bytes that leave; `None` when it is not for this stream, or
    /// is gone.
    pub fn forward(
        &mut self,
        now: Instant,
        source: &mut Source,
        packet: Cached,
        stream: &mut SendStream,
    ) -> Option<usize> {
        let Source { encodings, extensions, .. } = source;
        let encoding = encodings.get_mut(packet.encoding)?;
        let (record, plain) = encoding.cache.get_mut(packet.extended_sequence)?;
        let out = stream.forward(now, record, extensions, plain, packet.padding)?;
        self.seal(Plain {
            extended_sequence: out.extended_sequence,
            header: out.header,
            prefix: out.prefix,
            payload: plain.get_mut(out.payload)?,
            padding: packet.padding,
        })
    }

    pub fn seal(&mut self, plain: Plain<'_>) -> Option<usize> {
        let transport = &mut *self.transport;
        let sealed = self.batch.push(self.route, |to| transport.seal_rtp(plain, to));
        sealed.inspect_err(|reason| self.counters.dropped.count(*reason)).ok()
    }
}
