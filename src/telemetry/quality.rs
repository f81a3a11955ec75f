//! What one shard measures of media quality and of its own pace, as histograms: loss, jitter and round trip time from reception reports
//! (RFC 3550, section 6.4), freezes from keyframe requests (RFC 4585, section 6.3.1), layers that subscribers get, delays here.
//!
//! What always holds: one observation is a report, a batch or a look at timers, never a packet.

use super::counters::Counter;
use super::histogram::{Bounds, Histogram};

/// Share of packets: a report tells 256ths.
pub struct LossRatio;
/// Seconds, as are all below.
pub struct Jitter;
pub struct RoundTrip;
pub struct LoopLag;
pub struct ForwardingDelay;

impl Bounds for LossRatio {
    const BOUNDS: &'static [f64] = &[0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
}

impl Bounds for Jitter {
    const BOUNDS: &'static [f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5];
}

impl Bounds for RoundTrip {
    const BOUNDS: &'static [f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0];
}

impl Bounds for LoopLag {
    const BOUNDS: &'static [f64] = &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];
}

impl Bounds for ForwardingDelay {
    const BOUNDS: &'static [f64] =
        &[0.000_05, 0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1];
}

/// The way of media to or from clients, one observation a report on a stream.
#[derive(Default, Debug)]
pub struct PathQuality {
    pub loss: Histogram<LossRatio>,
    pub jitter: Histogram<Jitter>,
}

#[derive(Default, Debug)]
pub struct Quality {
    /// From publishers, by what arrives here.
    pub received: PathQuality,
    /// To subscribers, by what they report.
    pub sent: PathQuality,
    pub round_trip_time: Histogram<RoundTrip>,
    /// Subscribers' pictures that broke.
    pub freezes: Counter,
    /// How long they were broken, microseconds.
    pub frozen: Counter,
    pub layers: Layers,
    /// By how much timers ran late.
    pub loop_lag: Histogram<LoopLag>,
    /// From reading a batch to handing its packets to the kernel.
    pub forwarding_delay: Histogram<ForwardingDelay>,
}

/// What a subscriber gets of a video track.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShownLayer {
    /// Nothing: not wanted, not there, or a keyframe is waited for.
    None,
    /// All there is of a source with one layer.
    Single,
    Low,
    Medium,
    High,
}

/// Every layer with its label.
const LAYERS: [(ShownLayer, &str); 5] = [
    (ShownLayer::None, "none"),
    (ShownLayer::Single, "single"),
    (ShownLayer::Low, "low"),
    (ShownLayer::Medium, "medium"),
    (ShownLayer::High, "high"),
];

/// Subscriptions of one participant, as they were counted last.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SubscriptionCounts {
    audio: u64,
    video: [u64; LAYERS.len()],
}

impl SubscriptionCounts {
    /// `layer`: `None` for audio.
    pub fn add(&mut self, layer: Option<ShownLayer>) {
        match layer {
            None => self.audio += 1,
            Some(layer) => self.video.iter_mut().skip(layer as usize).take(1).for_each(|count| *count += 1),
        }
    }
}

/// Subscriptions of a whole shard.
#[derive(Default, Debug)]
pub struct Layers {
    audio: Counter,
    video: [Counter; LAYERS.len()],
}

impl Layers {
    /// One participant's counts are new.
    pub fn replace(&self, before: &SubscriptionCounts, now: &SubscriptionCounts) {
        let counters = self.video.iter().chain([&self.audio]);
        let before = before.video.iter().chain([&before.audio]);
        for ((counter, before), now) in counters.zip(before).zip(now.video.iter().chain([&now.audio])) {
            counter.add(*now);
            counter.subtract(*before);
        }
    }

    pub fn audio(&self) -> u64 {
        self.audio.get()
    }

    /// Of video, by label.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        LAYERS.iter().zip(&self.video).map(|((_, label), counter)| (*label, counter.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_participants_subscriptions_move_between_layers_and_leave_with_it() {
        let layers = Layers::default();
        let count = |label: &str| layers.iter().find(|(known, _)| *known == label).unwrap().1;
        let (mut first, mut second) = (SubscriptionCounts::default(), SubscriptionCounts::default());
        [None, Some(ShownLayer::High), Some(ShownLayer::None)].into_iter().for_each(|layer| first.add(layer));
        [None, Some(ShownLayer::High), Some(ShownLayer::Low)].into_iter().for_each(|layer| second.add(layer));
        layers.replace(&SubscriptionCounts::default(), &first);
        assert_eq!((layers.audio(), count("high"), count("none"), count("low")), (1, 1, 1, 0));
        layers.replace(&first, &second);
        assert_eq!((layers.audio(), count("high"), count("none"), count("low")), (1, 1, 0, 1));
        layers.replace(&second, &SubscriptionCounts::default());
        assert_eq!(layers.audio() + layers.iter().map(|(_, count)| count).sum::<u64>(), 0);
    }
}
