//! From what one batch brought to the subscribers, one subscriber at a time (RFC 7667, section 3.7): all that a subscriber gets
//! is sealed one after another and leaves in as few runs as can be, while it is still in the processor's cache.
//!
//! What always holds: only those subscribed to a source of the batch are looked at; audio goes before video; packets of one
//! stream keep their order; nothing is allocated and no clock is read.

use std::time::Instant;

use super::inbound::SourceKey;
use super::mirror::hand_over;
use super::peer::Peer;
use super::send::SendBatch;
use super::source::Source;
use super::{RoomOnShard, Shard};
use crate::media::forward::Packet;
use crate::telemetry::counters::ShardCounters;
use crate::transport::srtp::{MAX_PADDING_BYTES, Plain};

/// A media packet of the present batch, in the cache of its encoding.
pub struct Arrived {
    pub source: SourceKey,
    pub encoding: usize,
    pub extended_sequence: u64,
    is_video: bool,
    /// Of the plain packet, bytes.
    len: usize,
    /// Bytes it is padded by, so that it is as long as its neighbours and leaves in one run with them.
    padding: u8,
    /// Its place in the order of arrival.
    order: usize,
}

impl Arrived {
    pub fn new(source: SourceKey, packet: &Packet, len: usize) -> Arrived {
        Arrived {
            source,
            encoding: packet.encoding,
            extended_sequence: packet.extended_sequence,
            is_video: packet.codec.is_video(),
            len,
            padding: 0,
            order: 0,
        }
    }

    fn stream(&self) -> (bool, SourceKey, usize) {
        (self.is_video, self.source, self.encoding)
    }
}

/// How far the forwarding of one room's batch has come.
#[derive(Default)]
pub struct FanOut {
    room: Option<usize>,
    /// Who gets something of the batch and was not served yet.
    subscribers: Vec<usize>,
    /// Number of the batch: peers remember the last that named them.
    batch: u64,
}

impl Shard {
    /// Forwards what arrived since to one more subscriber, into [`outgoing`](Self::outgoing). False when everybody has theirs:
    /// to be called until then before further datagrams are handled.
    pub fn forward(&mut self, now: Instant) -> bool {
        loop {
            let Some(room) = self.fan_out.room else {
                let Some(room) = self.dirty_rooms.pop() else { return false };
                self.begin_fan_out(room);
                continue;
            };
            let Some(subscriber) = self.fan_out.subscribers.pop() else {
                self.end_fan_out(now, room);
                continue;
            };
            let (Some(entry), Some(peer)) = (self.rooms.get_mut(room), self.peers.get_mut(subscriber)) else {
                continue;
            };
            serve(now, entry, peer, &mut self.batch, &self.counters);
            return true;
        }
    }

    fn begin_fan_out(&mut self, room: usize) {
        self.fan_out.batch += 1;
        self.fan_out.room = Some(room);
        let Some(entry) = self.rooms.get_mut(room) else { return };
        // First, so that the other shards work on it meanwhile.
        hand_over(entry, &mut self.links, &self.counters);
        group(&mut entry.arrivals);
        equalise(&mut entry.arrivals);
        let mut last = None;
        for arrived in &entry.arrivals {
            if last.replace(arrived.source) == Some(arrived.source) {
                continue;
            }
            let Some(source) = entry.sources.get(arrived.source) else { continue };
            for subscriber in &source.subscribers {
                let Some(peer) = self.peers.get_mut(*subscriber) else { continue };
                if std::mem::replace(&mut peer.last_batch, self.fan_out.batch) != self.fan_out.batch {
                    self.fan_out.subscribers.push(*subscriber);
                }
            }
        }
    }

    fn end_fan_out(&mut self, now: Instant, room: usize) {
        self.fan_out.room = None;
        let Some(entry) = self.rooms.get_mut(room) else { return };
        let began = |arrived: &Arrived| entry.sources.get(arrived.source).is_some_and(|s| s.layers_changed);
        let review = entry.arrivals.iter().any(began);
        entry.arrivals.clear();
        if review {
            self.review_layers(now, room);
        }
    }
}

/// Puts streams together, audio first. Unstable sorting with the order of arrival as last key allocates nothing.
fn group(arrivals: &mut [Arrived]) {
    for (order, arrived) in arrivals.iter_mut().enumerate() {
        arrived.order = order;
    }
    arrivals.sort_unstable_by_key(|arrived| (arrived.stream(), arrived.order));
}

/// Pads neighbouring video packets of one stream to one size where they differ by no more than padding can fill.
fn equalise(arrivals: &mut [Arrived]) {
    for stream in arrivals.chunk_by_mut(|a, b| a.is_video && a.stream() == b.stream()) {
        let mut rest = stream;
        while !rest.is_empty() {
            let (stretch, longest) = stretch(rest);
            let (head, tail) = rest.split_at_mut(stretch);
            for arrived in head {
                // No more than MAX_PADDING_BYTES apart.
                arrived.padding = u8::try_from(longest - arrived.len).unwrap_or(0);
            }
            rest = tail;
        }
    }
}

/// How many packets from the first on can be made equal, and how long they become.
fn stretch(arrivals: &[Arrived]) -> (usize, usize) {
    let (mut shortest, mut longest) = (usize::MAX, 0);
    for (count, arrived) in arrivals.iter().enumerate() {
        let (low, high) = (shortest.min(arrived.len), longest.max(arrived.len));
        if high - low > MAX_PADDING_BYTES {
            return (count, longest);
        }
        (shortest, longest) = (low, high);
    }
    (arrivals.len(), longest)
}

/// Seals for one subscriber what it gets of the batch.
fn serve(now: Instant, entry: &mut RoomOnShard, peer: &mut Peer, batch: &mut SendBatch, counters: &ShardCounters) {
    let Some(route) = peer.route().filter(|_| peer.transport.is_connected()) else {
        return;
    };
    let (mut packets, mut bytes) = (0, 0);
    for arrived in &entry.arrivals {
        let (Some(source), Some(subscription)) =
            (entry.sources.get_mut(arrived.source), peer.outbound.get_mut(arrived.source))
        else {
            continue;
        };
        let Source { encodings, extensions, .. } = source;
        let cached = encodings.get_mut(arrived.encoding).and_then(|e| e.cache.get_mut(arrived.extended_sequence));
        let Some((record, plain)) = cached else { continue };
        let Some(out) = subscription.stream.forward(now, record, extensions, plain, arrived.padding) else {
            continue;
        };
        let Some(payload) = plain.get_mut(out.payload) else { continue };
        let plain = Plain {
            extended_sequence: out.extended_sequence,
            header: out.header,
            prefix: out.prefix,
            payload,
            padding: arrived.padding,
        };
        let transport = &mut peer.transport;
        match batch.push(route, |to| transport.seal_rtp(plain, to)) {
            Ok(len) => (packets, bytes) = (packets + 1, bytes + len as u64),
            Err(reason) => counters.dropped.count(reason),
        }
    }
    counters.packets_out.add(packets);
    counters.bytes_out.add(bytes);
}
