//! Where the packets for one subscriber leave: rewritten from the cache of their encoding, sealed straight into the batch of
//! what is sent (RFC 7667, section 3.7).
//!
//! What always holds: nothing is allocated but the batch's room; a packet that cannot be sealed is counted and harms no other.

use std::time::Instant;

use super::outbound::Outbound;
use super::peer::Peer;
use super::send::{Route, SendBatch};
use super::source::Source;
use crate::media::forward::{Refusal, Scratch, SendStream, is_last_time};
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
    scratch: &'a mut Scratch,
    counters: &'a ShardCounters,
}

impl<'a> Outlet<'a> {
    /// With what the peer receives; `None` where there is no way to it.
    pub fn of(
        peer: &'a mut Peer,
        batch: &'a mut SendBatch,
        scratch: &'a mut Scratch,
        counters: &'a ShardCounters,
    ) -> Option<(Outlet<'a>, &'a mut Outbound)> {
        let route = peer.route().filter(|_| peer.transport.is_connected())?;
        Some((Outlet { route, transport: &mut peer.transport, batch, scratch, counters }, &mut peer.outbound))
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
        let out = stream.forward(now, record, extensions, plain, packet.padding, self.scratch)?;
        let plain = Plain {
            extended_sequence: out.extended_sequence,
            header: out.header,
            prefix: out.prefix,
            payload: plain.get_mut(out.payload)?,
            padding: packet.padding,
        };
        seal(self.transport, self.batch, self.route, self.counters, plain)
    }

    /// Sends again what a subscriber asks for by its number. Gives the bytes that leave, and whether it was the last time.
    pub fn send_again(
        &mut self,
        now: Instant,
        source: &mut Source,
        stream: &mut SendStream,
        number: u16,
    ) -> Result<(usize, bool), Refusal> {
        let found = stream.find_lost(now, number)?;
        let Source { encodings, extensions, .. } = source;
        let cache = &mut encodings.get_mut(found.encoding()).ok_or(Refusal::Gone)?.cache;
        let (record, plain) = cache.get_mut(cache.extended(found.input)).ok_or(Refusal::Gone)?;
        let out = stream.retransmit(now, &found, record, extensions, plain, self.scratch)?;
        let plain = Plain {
            extended_sequence: out.extended_sequence,
            header: out.header,
            prefix: out.prefix,
            payload: plain.get_mut(out.payload).ok_or(Refusal::Gone)?,
            padding: 0,
        };
        let bytes = seal(self.transport, self.batch, self.route, self.counters, plain).ok_or(Refusal::Gone)?;
        Ok((bytes, is_last_time(&found)))
    }
}

fn seal(
    transport: &mut Transport,
    batch: &mut SendBatch,
    route: Route,
    counters: &ShardCounters,
    plain: Plain<'_>,
) -> Option<usize> {
    let sealed = batch.push(route, |to| transport.seal_rtp(plain, to));
    sealed.inspect_err(|reason| counters.dropped.count(*reason)).ok()
}
