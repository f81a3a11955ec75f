//! How a subscriber comes to a picture: with a keyframe that is in the cache, and all that followed it, where that reaches
//! back to one; else by a keyframe that is asked of the publisher.
//!
//! What always holds: a packet that was sent from the cache is not forwarded again when its batch is; of whoever waits, none is
//! forgotten, since what no keyframe came for is asked for again with every report.

use std::time::{Duration, Instant};

use super::Shard;
use super::downlink::Waiting;
use super::inbound::SourceKey;
use super::outbound::Subscription;
use super::outlet::{Cached, Outlet};
use crate::media::keyframe::Wish;
use crate::recorder::decisions::Decision;
use crate::telemetry::traffic::Tally;

/// From the end of a handshake until a client takes media in. Browsers do at once; stacks that set SRTP up beside the handshake
/// (webrtc-rs, Pion) drop what comes in between, and a keyframe that is dropped is missed for longer than this.
pub(super) const CONNECTED_SETTLING: Duration = Duration::from_millis(50);
/// From an answer until a client that is connected already takes media in the sections it fills: the answer travels by another
/// way than media and has to be applied first.
pub(super) const ANSWERED_SETTLING: Duration = Duration::from_millis(100);

impl Shard {
    /// A subscription waits for a keyframe of an encoding. One that is in the cache waits until the client has settled; of one that
    /// is not, the publisher is asked at once, since that takes its time.
    pub(super) fn begin_picture(
        &mut self,
        now: Instant,
        room: usize,
        subscriber: usize,
        source: SourceKey,
        encoding: usize,
    ) {
        if self.begins_when_settled(now, room, subscriber, source, encoding) {
            return;
        }
        if self.begin_from_cache(now, room, subscriber, source, encoding).is_some() {
            self.counters.keyframes_reused.add(1);
            return;
        }
        let subscription = self.peers.get_mut(subscriber).and_then(|peer| peer.outbound.get_mut(source));
        let wish = subscription.map_or(Wish::First, |subscription| subscription.stream.wish(now));
        self.request_keyframe(now, room, source, encoding, wish);
    }

    fn begins_when_settled(
        &mut self,
        now: Instant,
        room: usize,
        subscriber: usize,
        source: SourceKey,
        encoding: usize,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(subscriber).filter(|peer| peer.is_settling(now)) else { return false };
        let Some(reach) = peer.outbound.get_mut(source).and_then(|subscription| subscription.stream.reach()) else {
            return false;
        };
        let source = self.rooms.get(room).and_then(|entry| entry.sources.get(source));
        let cache = source.and_then(|source| source.encodings.get(encoding)).map(|encoding| &encoding.cache);
        cache.is_some_and(|cache| cache.since_keyframe(now, reach).is_some())
    }

    /// A peer came back under another address after a silence longer than the cache reaches: what it missed cannot be sent again,
    /// and by itself it would wait for seconds before it asks.
    pub(super) fn renew_pictures(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get(key).filter(|peer| peer.transport.is_connected()) else { return };
        let room = peer.room;
        let needed = |subscription: &Subscription| Some((subscription.source, subscription.keyframe_needed()?));
        let broken: Vec<_> = peer.outbound.subscriptions().filter_map(needed).collect();
        for (source, encoding) in broken {
            self.request_keyframe(now, room, source, encoding, Wish::First);
        }
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
        let (mut outlet, outbound) = Outlet::of(now, peer, &mut self.batch, &mut self.written, &self.counters)?;
        let subscription = outbound.get_mut(source)?;
        let stream = &mut subscription.stream;
        if outlet.downlink().is_some_and(|downlink| downlink.has_of(source)) && stream.is_catching_up(encoding) {
            return Some(()); // it is on its way
        }
        let cache = &source_here.encodings.get(encoding)?.cache;
        let catch_up = cache.since_keyframe(now, stream.reach()?)?;
        stream.begin_catch_up(encoding, &catch_up);
        let (mut tally, mut held_back) = (Tally::default(), 0);
        for extended_sequence in catch_up.numbers {
            let cached = Cached { encoding, extended_sequence, padding: 0 };
            let cache = &source_here.encodings.get(encoding)?.cache;
            let len = cache.find(extended_sequence).map_or(0, |(_, len)| len);
            if outlet.hold_back(|| Waiting { source, cached, len }) {
                held_back += 1;
            } else if let Some(len) = outlet.forward(source_here, cached, stream) {
                tally.add(source_here.kind, len);
            }
        }
        let packets = tally.packets() + held_back;
        outlet.decided(stream.target().ssrc, Decision::CaughtUp { packets: packets as u32 });
        self.counters.media_sent(&tally);
        let served = stream.current() == Some(encoding) && stream.awaits_keyframe().is_none();
        if tally.packets() > 0 {
            subscription.sent(now, &self.counters);
            peer.progress.forwarded(now, true, &self.counters);
        }
        self.arm_peer(subscriber);
        (served || held_back > 0).then_some(())
    }
}
