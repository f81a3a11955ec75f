//! A source whose publisher another shard hosts: packets handed over by it are kept and forwarded as if they had come from
//! the network here. And the other side of that: handing over.
//!
//! What always holds: a packet is handed over once per shard, whatever the number of its subscribers there; in the steady
//! state nothing is allocated, since batches come back to be filled again.

use std::time::Instant;

use super::gather::Arrived;
use super::inbound::SourceKey;
use super::leg::{LegMessage, Order, Origin, Report, RoomKey, ShardId, SourceId};
use super::links::{HandedPacket, Links, MediaBatch};
use super::{RoomOnShard, Shard};
use crate::media::keyframe::Wish;
use crate::room::event::Event;
use crate::room::model::LeaveReason;
use crate::telemetry::counters::ShardCounters;

impl Shard {
    /// What is to be taken to the other shards; the caller takes it after every call.
    pub fn links(&mut self) -> &mut Links {
        &mut self.links
    }

    /// Takes packets that another shard handed over. They wait for [`forward`](Self::forward).
    pub fn handle_media(&mut self, now: Instant, from: ShardId, batch: &MediaBatch) {
        let mut rest = batch.bytes.as_slice();
        let mut last = None;
        for handed in &batch.packets {
            let Some((plain, after)) = rest.split_at_checked(handed.len) else { return };
            rest = after;
            // Packets of one source come one after another.
            let place = match last {
                Some((source, place)) if source == handed.source => place,
                _ => self.by_source.get(&handed.source).copied(),
            };
            last = Some((handed.source, place));
            if let Some((room, source)) = place {
                self.take_handed(now, from, room, source, handed, plain);
            }
        }
    }

    fn take_handed(
        &mut self,
        now: Instant,
        from: ShardId,
        room: usize,
        key: usize,
        handed: &HandedPacket,
        plain: &[u8],
    ) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        let Some(source) = entry.sources.get_mut(key).filter(|source| source.origin == Origin::Shard(from)) else {
            return;
        };
        source.observe(now, &handed.packet, plain);
        let Some(encoding) = source.encodings.get_mut(handed.packet.encoding) else { return };
        encoding.mirrored(now, handed.packet.header.ssrc, handed.fraction_lost);
        encoding.cache.insert(now, handed.packet, plain);
        let viewers = source.subscribers.len();
        if entry.gathered.push(Arrived::new(now, key, &handed.packet, plain.len(), viewers)) {
            self.dirty_rooms.push(room);
        }
    }

    /// Takes what another shard has to say, in order.
    pub fn handle_leg(&mut self, now: Instant, from: ShardId, messages: Vec<LegMessage>) {
        for message in messages {
            match message {
                LegMessage::Order(room, order) => {
                    self.carry_out(now, room, order);
                    self.settle(now, room);
                }
                LegMessage::Report(room, report) => {
                    self.take_report(now, from, room.serial, report);
                    self.settle(now, room);
                }
                LegMessage::KeyframeNeeded { source, encoding, wish } => {
                    if let Some((room, source)) = self.by_source.get(&source).copied()
                        && !self.met_keyframe(now, room, source, encoding, wish)
                    {
                        self.request_keyframe(now, room, source, encoding, wish);
                    }
                }
                LegMessage::Lost => self.leg_lost(now, from),
            }
        }
        self.mend_links(now);
        self.count();
    }

    fn met_keyframe(&self, now: Instant, room: usize, source: SourceKey, encoding: usize, wish: Wish) -> bool {
        let source = self.rooms.get(room).and_then(|entry| entry.sources.get(source));
        let encoding = source.and_then(|source| source.encodings.get(encoding));
        encoding.is_some_and(|encoding| encoding.keyframes.met_keyframe(now, wish))
    }

    /// Starts or ends handing a source's packets over to a shard.
    pub(super) fn set_handed(&mut self, source: SourceId, to: ShardId, handed: bool) {
        let Some((room, key)) = self.by_source.get(&source).copied() else { return };
        let Some(source) = self.rooms.get_mut(room).and_then(|entry| entry.sources.get_mut(key)) else {
            return;
        };
        source.handed_to.retain(|shard| *shard != to);
        if handed {
            source.handed_to.push(to);
        }
    }

    /// Puts out whoever depended on links that were lost.
    pub(super) fn mend_links(&mut self, now: Instant) {
        while let Some(shard) = self.links.poll_lost() {
            self.leg_lost(now, shard);
        }
    }

    /// Nothing certain is known any more of what another shard did: whom both had a part in is put out.
    fn leg_lost(&mut self, now: Instant, shard: ShardId) {
        tracing::error!(shard = shard.0, "a shard did not take its messages: participants it shared are put out");
        self.counters.legs_lost.add(1);
        let hosted_there: Vec<(RoomKey, _)> = self.homes.values().flat_map(|home| home.hosted_by(shard)).collect();
        for (room, participant) in hosted_there {
            self.report(now, room, Report::Left { participant, reason: LeaveReason::TransportFailed });
            self.settle(now, room);
        }
        self.abandon(now, LeaveReason::TransportFailed, |key| key.home == shard);
    }

    /// Puts out the participants hosted here of rooms whose home cannot be asked.
    pub(super) fn abandon(&mut self, now: Instant, reason: LeaveReason, of: impl Fn(RoomKey) -> bool) {
        let rooms: Vec<RoomKey> = self.by_key.keys().copied().filter(|key| of(*key)).collect();
        for room in rooms {
            let Some(entry) = self.by_key.get(&room).and_then(|entry| self.rooms.get(*entry)) else { continue };
            let participants: Vec<_> = entry.participants.keys().copied().collect();
            let sources: Vec<SourceId> = entry.sources.iter().map(|(_, source)| source.id).collect();
            for participant in participants {
                self.end_subscriptions(room, participant);
                self.carry_out(now, room, Order::Tell { participant, event: Event::Removed(reason) });
                self.carry_out(now, room, Order::Close { participant });
            }
            for source in sources {
                self.carry_out(now, room, Order::StopSource { source });
            }
        }
    }
}

/// Copies what arrived of sources with subscribers elsewhere into the batches for their shards.
pub(super) fn hand_over(entry: &mut RoomOnShard, links: &mut Links, counters: &ShardCounters) {
    for arrived in entry.gathered.ripe() {
        let Some(source) = entry.sources.get_mut(arrived.source).filter(|source| !source.handed_to.is_empty()) else {
            continue;
        };
        let Some(encoding) = source.encodings.get_mut(arrived.encoding) else { continue };
        let fraction_lost = encoding.fraction_passed_on();
        let Some((packet, plain)) = encoding.cache.get_mut(arrived.extended_sequence) else { continue };
        for shard in &source.handed_to {
            let handed = HandedPacket { source: source.id, packet: *packet, fraction_lost, len: plain.len() };
            counters.leg_packets_out.add(u64::from(links.hand_over(*shard, handed, plain)));
        }
    }
}
