//! What is remembered of a subscription so that its quality can be told: when it was observed last, and since when its picture is
//! broken. A freeze is seen by the subscriber's wish for a keyframe (RFC 4585, section 6.3.1) in the midst of a picture, and ends with
//! the next keyframe it is sent, so that it is told shorter than it is by the way there and back.
//!
//! What always holds: whatever a subscriber reports, a stream is observed [`OBSERVED_EVERY`] at most.

use std::time::{Duration, Instant};

use super::Shard;
use super::outbound::Subscription;
use super::source::Source;
use crate::media::forward::SendStream;
use crate::media::keyframe::Wish;
use crate::media::layers::Quality as Named;
use crate::negotiation::MediaKind;
use crate::telemetry::quality::{Quality, ShownLayer, SubscriptionCounts};

/// Browsers report each second, some more often; more than this is not worth to be counted.
const OBSERVED_EVERY: Duration = Duration::from_millis(400);
/// What a peer says of jitter counts for no more: one lie is not to outweigh all others in a sum.
const MOST_JITTER: Duration = Duration::from_secs(10);

#[derive(Default, Debug)]
pub struct Watch {
    observed: Option<Instant>,
    /// Packets the stream had then.
    packets: u64,
    /// Apart: few are.
    broken: Option<Box<Broken>>,
    freezes: u32,
    /// As far as it was counted.
    frozen: Duration,
}

/// Freezes of one subscription so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Freezes {
    pub count: u32,
    pub total: Duration,
    /// The last has not ended.
    pub lasts: bool,
}

#[derive(Debug)]
struct Broken {
    since: Instant,
    /// The time up to here was counted.
    counted: Instant,
    /// Packets the stream had then.
    packets: u64,
}

impl Subscription {
    /// The subscriber reported on the stream, which has taken that in; `round_trip` where the report told it.
    pub fn observe(&mut self, now: Instant, round_trip: Option<Duration>, quality: &Quality) {
        let (watch, packets) = (&mut self.watch, self.stream.packets());
        let soon = watch.observed.is_some_and(|at| now.saturating_duration_since(at) < OBSERVED_EVERY);
        // A stream that pauses is reported on as without loss.
        if soon || packets == watch.packets {
            return;
        }
        (watch.observed, watch.packets) = (Some(now), packets);
        quality.sent.loss.observe(f64::from(self.stream.fraction_lost()) / 256.0);
        quality.sent.jitter.observe_duration(self.stream.jitter().min(MOST_JITTER));
        if let Some(round_trip) = round_trip {
            quality.round_trip_time.observe_duration(round_trip);
        }
    }

    /// The subscriber wants a keyframe. Before its first picture nothing froze, and a wish may cross a keyframe on its way.
    /// True when a freeze begins with it.
    pub fn note_keyframe_request(&mut self, now: Instant, quality: &Quality) -> bool {
        let shown = self.stream.current().is_some() && self.stream.wish(now) == Wish::First;
        if self.watch.broken.is_some() || !shown {
            return false;
        }
        quality.freezes.add(1);
        self.watch.freezes = self.watch.freezes.saturating_add(1);
        let broken = Broken { since: now, counted: now, packets: self.stream.packets() };
        self.watch.broken = Some(Box::new(broken));
        true
    }

    /// As of the last look.
    pub fn freezes(&self) -> Freezes {
        let Watch { freezes, frozen, broken, .. } = &self.watch;
        Freezes { count: *freezes, total: *frozen, lasts: broken.is_some() }
    }

    /// Counts the time since the last look for which the picture was broken.
    fn count_frozen(&mut self, now: Instant, quality: &Quality) {
        let Some(broken) = &mut self.watch.broken else { return };
        let renewed = self.stream.last_keyframe().filter(|at| *at >= broken.since);
        // Of a picture that stopped, nobody waits for the rest.
        let stopped = self.stream.current().is_none() || self.stream.packets() == broken.packets;
        let until = renewed.unwrap_or(if stopped { broken.counted } else { now });
        let passed = until.saturating_duration_since(broken.counted);
        quality.frozen.add(passed.as_micros() as u64);
        self.watch.frozen += passed;
        (broken.counted, broken.packets) = (until, self.stream.packets());
        if renewed.is_some() || stopped {
            self.watch.broken = None;
        }
    }
}

impl Shard {
    /// As often as a peer is reported to: what it gets, and for how long its pictures were broken.
    pub(super) fn observe_subscriptions(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(entry) = self.rooms.get(peer.room) else { return };
        let mut counts = SubscriptionCounts::default();
        for subscription in peer.outbound.subscriptions_mut() {
            subscription.count_frozen(now, &self.counters.quality);
            if let Some(source) = entry.sources.get(subscription.source) {
                counts.add(shown(source, &subscription.stream), subscription.share.given());
            }
        }
        self.counters.quality.layers.replace(&peer.subscription_counts, &counts);
        peer.subscription_counts = counts;
    }
}

/// What a subscriber gets of a source; `None` of audio.
pub(super) fn shown(source: &Source, stream: &SendStream) -> Option<ShownLayer> {
    if source.kind == MediaKind::Audio {
        return None;
    }
    let Some(selected) = stream.selected() else { return Some(ShownLayer::None) };
    let (index, count) = match source.encodings.as_slice() {
        [single] => {
            let count = single.spatial_layers();
            (usize::from(selected.layers.spatial).min(count.saturating_sub(1)), count)
        }
        encodings => (selected.encoding, encodings.len()),
    };
    let named = source.layers.get(index).filter(|_| source.layers.len() == count).map(|layer| layer.quality);
    Some(match named {
        _ if count <= 1 => ShownLayer::Single,
        Some(Named::Low) => ShownLayer::Low,
        Some(Named::Medium) => ShownLayer::Medium,
        Some(Named::High) => ShownLayer::High,
        None if index == 0 => ShownLayer::Low,
        None if index + 1 == count => ShownLayer::High,
        None => ShownLayer::Medium,
    })
}
