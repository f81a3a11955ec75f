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
use crate::recorder::Recorder;
use crate::recorder::decisions::Decision;
use crate::recorder::headers::{Direction, Kind};
use crate::telemetry::counters::ShardCounters;
use crate::transport::Transport;
use crate::transport::srtp::Plain;
use crate::wire::Ssrc;

/// A packet in the cache of a source's encoding, and how it is to leave.
#[derive(Clone, Copy, Debug)]
pub struct Cached {
    pub encoding: usize,
    pub extended_sequence: u64,
    /// Bytes it is padded by.
    pub padding: u8,
}

pub struct Outlet<'a> {
    exit: Exit<'a>,
    scratch: &'a mut Scratch,
}

/// What a packet that is written passes through.
struct Exit<'a> {
    now: Instant,
    route: Route,
    transport: &'a mut Transport,
    batch: &'a mut SendBatch,
    counters: &'a ShardCounters,
    recorder: &'a mut Recorder,
}

impl<'a> Outlet<'a> {
    /// With what the peer receives; `None` where there is no way to it.
    pub fn of(
        now: Instant,
        peer: &'a mut Peer,
        batch: &'a mut SendBatch,
        scratch: &'a mut Scratch,
        counters: &'a ShardCounters,
    ) -> Option<(Outlet<'a>, &'a mut Outbound)> {
        let route = peer.route().filter(|_| peer.transport.is_connected())?;
        let (transport, recorder) = (&mut peer.transport, &mut peer.recorder);
        let exit = Exit { now, route, transport, batch, counters, recorder };
        Some((Outlet { exit, scratch }, &mut peer.outbound))
    }

    /// Sends a packet of the source as a stream's next. Gives the bytes that leave; `None` when it is not for this stream, or
    /// is gone.
    pub fn forward(&mut self, source: &mut Source, packet: Cached, stream: &mut SendStream) -> Option<usize> {
        let Source { encodings, extensions, .. } = source;
        let encoding = encodings.get_mut(packet.encoding)?;
        let (record, plain) = encoding.cache.get_mut(packet.extended_sequence)?;
        // Only a keyframe changes what is sent.
        let before = record.info.starts_keyframe.then(|| stream.current());
        let out = stream.forward(self.exit.now, record, extensions, plain, packet.padding, self.scratch)?;
        let sent = self.exit.seal(Plain {
            extended_sequence: out.extended_sequence,
            header: out.header,
            prefix: out.prefix,
            payload: plain.get_mut(out.payload)?,
            padding: packet.padding,
        });
        if before.is_some_and(|before| before != stream.current()) {
            let encoding = u8::try_from(packet.encoding).unwrap_or(u8::MAX);
            self.decided(stream.target().ssrc, Decision::LayerSwitched { encoding });
        }
        sent
    }

    /// Sends again what a subscriber asks for by its number. Gives the bytes that leave, and whether it was the last time.
    pub fn send_again(
        &mut self,
        source: &mut Source,
        stream: &mut SendStream,
        number: u16,
    ) -> Result<(usize, bool), Refusal> {
        let now = self.exit.now;
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
        let bytes = self.exit.seal(plain).ok_or(Refusal::Gone)?;
        Ok((bytes, is_last_time(&found)))
    }

    /// Notes what was decided about one of the subscriber's streams.
    pub fn decided(&mut self, ssrc: Ssrc, decision: Decision) {
        self.exit.recorder.decided(self.exit.now, Some(ssrc), decision);
    }
}

impl Exit<'_> {
    fn seal(&mut self, plain: Plain<'_>) -> Option<usize> {
        let transport = &mut *self.transport;
        let (header, len) = (plain.header, plain.header.len() + plain.payload.len() + usize::from(plain.padding));
        match self.batch.push(self.route, |to| transport.seal_rtp(plain, to)) {
            Ok(sealed) => {
                self.recorder.packet(self.now, Direction::Sent, Kind::Rtp, header, len);
                Some(sealed)
            }
            Err(reason) => {
                self.counters.dropped.count(reason);
                None
            }
        }
    }
}
