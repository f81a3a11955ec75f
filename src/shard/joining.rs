//! How a subscriber comes to a picture: with a keyframe that is in the cache, and all that followed it, where that reaches
//! back to one; else by a keyframe that is asked of the publisher.
//!
//! What always holds: a packet that was sent from the cache is not forwarded again when its batch is; of whoever waits, none is
//! forgotten, since what no keyframe came for is asked for again with every report.

use std::time::Instant;

use super::Shard;
use super::inbound::SourceKey;
use super::outlet::{Cached, Outlet};
use crate::media::keyframe::Wish;

impl Shard {
    /// A subscription waits for a keyframe of an encoding.
    pub(super) fn begin_picture(
        &mut self,
        now: Instant,
        room: usize,
        subscriber: usize,
        source: SourceKey,
        encoding: usize,
    ) {
        if self.begin_from_cache(now, room, subscriber, source, encoding).is_some() {
            self.counters.keyframes_reused.add(1);
            return;
        }
        let subscription = self.peers.get_mut(subscriber).and_then(|peer| peer.outbound.get_mut(source));
        let wish = subscription.map_or(Wish::First, |subscription| subscription.stream.wish(now));
        self.request_keyframe(now, room, source, encoding, wish);
    }

    /// Sends the newest keyframe in the cache and all that followed. `None` when there is none near enough, or it does not serve:
    /// the stream is paused and resumed, and had it before.
    fn begin_from_cache(
        &mut self,
        now: Instant,
        room: usize,
        subscriber: usize,
        source: SourceKey,
        encoding: usize,
    ) -> Option<()> {
        let source_here = self.rooms.get_mut(room)?.sources.get_mut(source)?;
        let peer = self.peers.get_mut(subscriber)?;
        let (mut outlet, outbound) = Outlet::of(peer, &mut self.batch, &self.counters)?;
        let stream = &mut outbound.get_mut(source)?.stream;
        let cache = &source_here.encodings.get(encoding)?.cache;
        let catch_up = cache.since_keyframe(now, stream.reach()?)?;
        stream.begin_catch_up(&catch_up);
        let (mut packets, mut bytes) = (0, 0);
        for extended_sequence in catch_up.numbers {
            let packet = Cached { encoding, extended_sequence, padding: 0 };
            if let Some(len) = outlet.forward(now, source_here, packet, stream) {
                (packets, bytes) = (packets + 1, bytes + len as u64);
            }
        }
        stream.end_catch_up();
        self.counters.packets_out.add(packets);
        self.counters.bytes_out.add(bytes);
        (stream.current() == Some(encoding) && stream.awaits_keyframe().is_none()).then_some(())
    }
}
