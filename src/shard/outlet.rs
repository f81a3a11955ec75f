//! Where the packets for one subscriber leave: rewritten from the cache of their encoding, sealed straight into the batch of
//! what is sent (RFC 7667, section 3.7).
//!
//! What always holds: nothing is allocated but the batch's room; a packet that cannot be sealed is counted and harms no other.

use std::time::Instant;

use super::downlink::{Downlink, Waiting};
use super::outbound::Outbound;
use super::peer::Peer;
use super::send::{Route, SendBatch};
use super::source::Source;
use crate::media::forward::{Cause, Hop, Refusal, Remembered, Scratch, SendStream, is_last_time};
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
    downlink: Option<&'a mut Downlink>,
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
        let downlink = peer.downlink.as_deref_mut();
        let exit = Exit { now, route, transport, batch, counters, recorder, downlink };
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
        let hop = Hop { padding: packet.padding, transport_number: self.exit.number_for(stream) };
        let out = stream.forward(self.exit.now, record, extensions, plain, hop, self.scratch)?;
        let plain = Plain {
            extended_sequence: out.extended_sequence,
            header: out.header,
            prefix: out.prefix,
            payload: plain.get_mut(out.payload)?,
            padding: packet.padding,
        };
        let sent = self.exit.seal(plain, hop.transport_number.is_some());
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
        let found = stream.find_lost(self.exit.now, number)?;
        let bytes = self.repeat(source, stream, &found, Cause::Nack)?;
        Ok((bytes, is_last_time(&found)))
    }

    fn repeat(
        &mut self,
        source: &mut Source,
        stream: &mut SendStream,
        found: &Remembered,
        cause: Cause,
    ) -> Result<usize, Refusal> {
        let Source { encodings, extensions, .. } = source;
        let cache = &mut encodings.get_mut(found.encoding()).ok_or(Refusal::Gone)?.cache;
        let (record, plain) = cache.get_mut(cache.extended(found.input)).ok_or(Refusal::Gone)?;
        let hop = Hop { padding: 0, transport_number: self.exit.number_for(stream) };
        let out = stream.retransmit(self.exit.now, found, cause, record, extensions, plain, hop, self.scratch)?;
        let plain = Plain {
            extended_sequence: out.extended_sequence,
            header: out.header,
            prefix: out.prefix,
            payload: plain.get_mut(out.payload).ok_or(Refusal::Gone)?,
            padding: 0,
        };
        self.exit.seal(plain, hop.transport_number.is_some()).ok_or(Refusal::Gone)
    }

    /// Sends a packet that was sent lately once more, for a probe: so many before the newest. Gives the bytes that leave.
    pub fn repeat_recent(&mut self, source: &mut Source, stream: &mut SendStream, back: u16) -> Option<usize> {
        let found = stream.find_recent(back)?;
        self.repeat(source, stream, &found, Cause::Probe).ok()
    }

    /// Sends padding in the stream's retransmissions. Gives the bytes that leave.
    pub fn pad(&mut self, stream: &mut SendStream) -> Option<usize> {
        let hop = Hop { padding: 0, transport_number: self.exit.number_for(stream) };
        let (extended_sequence, header, padding) = stream.pad(hop, self.scratch)?;
        self.exit.seal(Plain::new(extended_sequence, header, padding), hop.transport_number.is_some())
    }

    /// Lets a packet of video wait if it has to: it is sent by [`next_waiting`](Self::next_waiting)'s caller then.
    pub fn hold_back(&mut self, packet: impl FnOnce() -> Waiting) -> bool {
        let now = self.exit.now;
        let Some(downlink) = &mut self.exit.downlink else { return false };
        downlink.holds_back(now) && downlink.push(now, packet())
    }

    /// What waited and leaves now.
    pub fn next_waiting(&mut self) -> Option<Waiting> {
        let now = self.exit.now;
        self.exit.downlink.as_mut()?.pop(now)
    }

    pub fn downlink(&mut self) -> Option<&mut Downlink> {
        self.exit.downlink.as_deref_mut()
    }

    /// Notes what was decided about one of the subscriber's streams.
    pub fn decided(&mut self, ssrc: Ssrc, decision: Decision) {
        self.exit.recorder.decided(self.exit.now, Some(ssrc), decision);
    }
}

impl Exit<'_> {
    /// The number that the stream's next packet carries, where its packets are numbered.
    fn number_for(&self, stream: &SendStream) -> Option<u16> {
        self.downlink.as_ref().filter(|_| stream.is_numbered()).map(|downlink| downlink.estimator.next_number())
    }

    fn seal(&mut self, plain: Plain<'_>, numbered: bool) -> Option<usize> {
        let transport = &mut *self.transport;
        let (header, len) = (plain.header, plain.header.len() + plain.payload.len() + usize::from(plain.padding));
        match self.batch.push(self.route, |to| transport.seal_rtp(plain, to)) {
            Ok(sealed) => {
                self.recorder.packet(self.now, Direction::Sent, Kind::Rtp, header, len);
                if let Some(downlink) = &mut self.downlink {
                    downlink.sent(self.now, sealed, numbered);
                }
                Some(sealed)
            }
            Err(reason) => {
                self.counters.dropped.count(reason);
                None
            }
        }
    }
}
