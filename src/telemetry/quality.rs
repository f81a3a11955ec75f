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
/// Bytes a second.
pub struct Estimate;
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

impl Bounds for Estimate {
    // 100 kbit/s to 40 Mbit/s.
    const BOUNDS: &'static [f64] =
        &[12_500.0, 31_250.0, 62_500.0, 125_000.0, 250_000.0, 500_000.0, 1_000_000.0, 2_500_000.0, 5_000_000.0];
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
    /// What the ways to subscribers take, one observation a report interval.
    pub estimate: Histogram<Estimate>,
    /// Changes of what subscribers get because of what their ways take: to less, and to more.
    pub bandwidth_falls: Counter,
    pub bandwidth_rises: Counter,
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

/// What bandwidth leaves of what a subscriber wants of a video track.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Given {
    #[default]
    Enough,
    Less,
    Nothing,
}

/// Each with its label.
const GIVEN: [(Given, &str); 3] = [(Given::Enough, "enough"), (Given::Less, "less"), (Given::Nothing, "nothing")];

impl Given {
    pub fn label(self) -> &'static str {
        GIVEN.iter().find(|(given, _)| *given == self).map_or("", |(_, label)| label)
    }
}

/// Subscriptions of one participant, as they were counted last.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SubscriptionCounts {
    audio: u64,
    video: [u64; LAYERS.len()],
    given: [u64; GIVEN.len()],
}

impl SubscriptionCounts {
    /// `layer`: `None` for audio.
    pub fn add(&mut self, layer: Option<ShownLayer>, given: Given) {
        let Some(layer) = layer else {
            self.audio += 1;
            return;
        };
        self.video.iter_mut().skip(layer as usize).take(1).for_each(|count| *count += 1);
        self.given.iter_mut().skip(given as usize).take(1).for_each(|count| *count += 1);
    }

    fn iter(&self) -> impl Iterator<Item = &u64> {
        self.video.iter().chain([&self.audio]).chain(&self.given)
    }
}

/// Subscriptions of a whole shard.
#[derive(Default, Debug)]
pub struct Layers {
    audio: Counter,
    video: [Counter; LAYERS.len()],
    given: [Counter; GIVEN.len()],
}

impl Layers {
    /// One participant's counts are new.
    pub fn replace(&self, before: &SubscriptionCounts, now: &SubscriptionCounts) {
        let counters = self.video.iter().chain([&self.audio]).chain(&self.given);
        for ((counter, before), now) in counters.zip(before.iter()).zip(now.iter()) {
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

    /// Of video, by what bandwidth leaves of it.
    pub fn by_given(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        GIVEN.iter().zip(&self.given).map(|((_, label), counter)| (*label, counter.get()))
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
        [None, Some(ShownLayer::High), Some(ShownLayer::None)]
            .into_iter()
            .for_each(|layer| first.add(layer, Given::Nothing));
        [None, Some(ShownLayer::High), Some(ShownLayer::Low)]
            .into_iter()
            .for_each(|layer| second.add(layer, Given::Less));
        let given = |layers: &Layers| layers.by_given().map(|(_, count)| count).collect::<Vec<_>>();
        layers.replace(&SubscriptionCounts::default(), &first);
        assert_eq!((layers.audio(), count("high"), count("none"), count("low")), (1, 1, 1, 0));
        assert_eq!(given(&layers), [0, 0, 2], "audio is never limited");
        layers.replace(&first, &second);
        assert_eq!((layers.audio(), count("high"), count("none"), count("low")), (1, 1, 0, 1));
        assert_eq!(given(&layers), [0, 2, 0]);
        layers.replace(&second, &SubscriptionCounts::default());
        assert_eq!(layers.audio() + layers.iter().map(|(_, count)| count).sum::<u64>(), 0);
        assert_eq!(given(&layers), [0, 0, 0]);
    }
}
