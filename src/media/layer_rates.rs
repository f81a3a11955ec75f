//! How many bits a second each choice of layers of an encoding takes, from its packets as they arrive.
//!
//! What always holds: a packet costs an addition for each choice it belongs to, 16 at most; reading changes nothing; nothing is
//! allocated but when layers appear.

use std::time::{Duration, Instant};

use super::forward::is_needed;
use crate::congestion::bitrate::Bitrate;
use crate::wire::codec::{Layer, PayloadInfo};

/// Bytes are counted in portions of so much time.
const BUCKET: Duration = Duration::from_millis(250);
/// The long window, 4 s: a keyframe of ten frames' size changes it by less than a tenth.
const BUCKETS: u64 = 16;
/// The short one, 1 s: follows an encoder that gets or takes another rate.
const SHORT: u64 = 4;
/// Before that much was seen of a stream nothing can be said: half of it is a keyframe.
const KNOWN_AFTER: Duration = Duration::from_millis(500);
/// Spatial and temporal layers that are told apart; what is above counts as the highest. Encoders have three of each.
const COUNTED: u8 = 4;
/// What a packet gets on its way out beyond what it had as it came: the tag of SRTP and a transport-wide number.
const OVERHEAD: usize = 24;

/// What something takes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rate {
    /// The lower of a short and a long mean: neither a keyframe nor a short burst raises it, and it falls at once.
    pub sustained: Bitrate,
    /// The higher of the two: what has to fit if it is to go well for a while.
    pub peak: Bitrate,
}

impl Rate {
    pub const fn even(bitrate: Bitrate) -> Rate {
        Rate { sustained: bitrate, peak: bitrate }
    }
}

/// Bytes of one choice of layers, in a ring of buckets.
type Ring = [u32; BUCKETS as usize];

/// Of one encoding.
#[derive(Clone, Debug, Default)]
pub struct LayerRates {
    began: Option<Instant>,
    /// The newest bucket that has something, counted from the beginning.
    newest: u64,
    spatial: u8,
    temporal: u8,
    /// By the highest layers that are forwarded: spatial times temporal ones.
    choices: Vec<Ring>,
}

impl LayerRates {
    /// What comes now has nothing to do with what came before.
    pub fn restart(&mut self) {
        self.began = None;
    }

    /// A packet arrived, whose encoding has so many layers.
    pub fn observe(&mut self, now: Instant, info: &PayloadInfo, bytes: usize, spatial: usize, temporal: u8) {
        let count = |layers: u8| layers.clamp(1, COUNTED);
        let spatial = u8::try_from(spatial).unwrap_or(u8::MAX);
        self.shape(count(spatial), count(temporal));
        let bucket = self.advance(now);
        let bytes = u32::try_from(bytes + OVERHEAD).unwrap_or(u32::MAX);
        let (alone, top) = (self.choices.len() == 1, spatial.saturating_sub(1));
        let columns = self.temporal;
        let or_all = |layer: u8, layers: u8| if layer + 1 == layers { u8::MAX } else { layer };
        for (choice, ring) in (0..).zip(&mut self.choices) {
            let spatial = or_all(choice / columns, self.spatial);
            let layers = Layer { spatial, temporal: or_all(choice % columns, columns) };
            if (alone || is_needed(info, layers, top))
                && let Some(counted) = ring.get_mut(bucket)
            {
                *counted = counted.saturating_add(bytes);
            }
        }
    }

    /// What an encoding takes up to these layers, those it does not have included; `None` while that is not known.
    pub fn rate(&self, now: Instant, layers: Layer) -> Option<Rate> {
        let age = now.saturating_duration_since(self.began?);
        if age < KNOWN_AFTER {
            return None;
        }
        let spatial = layers.spatial.min(self.spatial.saturating_sub(1));
        let temporal = layers.temporal.min(self.temporal.saturating_sub(1));
        let ring = self.choices.get(usize::from(spatial * self.temporal + temporal))?;
        let (short, long) = (self.mean(age, ring, SHORT), self.mean(age, ring, BUCKETS - 1));
        Some(Rate { sustained: short.min(long), peak: short.max(long) })
    }

    /// Over so many whole buckets and what there is of the present one.
    fn mean(&self, age: Duration, ring: &Ring, whole: u64) -> Bitrate {
        let present = bucket_of(age);
        let oldest = present.saturating_sub(whole);
        let kept = |bucket: &u64| *bucket <= self.newest && *bucket + BUCKETS > self.newest;
        let counted = (oldest..=present).filter(kept).filter_map(|bucket| ring.get(slot(bucket)));
        let bytes: u64 = counted.map(|bytes| u64::from(*bytes)).sum();
        let since = u32::try_from(oldest).unwrap_or(u32::MAX);
        Bitrate::of(bytes, age.saturating_sub(BUCKET.saturating_mul(since)))
    }

    /// Layers appeared or went: what is known is taken over.
    fn shape(&mut self, spatial: u8, temporal: u8) {
        if (spatial, temporal) == (self.spatial, self.temporal) {
            return;
        }
        let (spatial_before, temporal_before) = (self.spatial, self.temporal);
        let before = std::mem::take(&mut self.choices);
        let ring = |spatial: u8, temporal: u8| {
            let index = spatial.min(spatial_before.saturating_sub(1)) * temporal_before
                + temporal.min(temporal_before.saturating_sub(1));
            before.get(usize::from(index)).copied().unwrap_or_default()
        };
        self.choices = (0..spatial).flat_map(|s| (0..temporal).map(move |t| (s, t))).map(|(s, t)| ring(s, t)).collect();
        (self.spatial, self.temporal) = (spatial, temporal);
    }

    /// Empties the buckets that nothing was counted in. Gives the present one's place.
    fn advance(&mut self, now: Instant) -> usize {
        let Some(began) = self.began else {
            (self.began, self.newest) = (Some(now), 0);
            self.choices.iter_mut().for_each(|ring| *ring = Ring::default());
            return 0;
        };
        let present = bucket_of(now.saturating_duration_since(began)).max(self.newest);
        for bucket in (self.newest + 1..=present).take(BUCKETS as usize) {
            for ring in &mut self.choices {
                ring.get_mut(slot(bucket)).into_iter().for_each(|counted| *counted = 0);
            }
        }
        self.newest = present;
        slot(present)
    }
}

fn bucket_of(age: Duration) -> u64 {
    u64::try_from(age.as_millis() / BUCKET.as_millis()).unwrap_or(u64::MAX / 2)
}

fn slot(bucket: u64) -> usize {
    (bucket % BUCKETS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec::{PayloadDescriptor, Vp8Descriptor, Vp9Descriptor};

    const MS: Duration = Duration::from_millis(1);
    const ALL: Layer = Layer { spatial: 7, temporal: 7 };

    fn plain() -> PayloadInfo {
        PayloadInfo::default()
    }

    fn vp8(temporal: u8) -> PayloadInfo {
        let descriptor = PayloadDescriptor::Vp8(Vp8Descriptor { temporal_id: Some(temporal), ..Default::default() });
        PayloadInfo { descriptor, ..plain() }
    }

    fn vp9(spatial: u8, not_reference_above: bool) -> PayloadInfo {
        let layer = Layer { spatial, temporal: 0 };
        let descriptor = Vp9Descriptor { layer, not_reference_above, ..Default::default() };
        PayloadInfo { descriptor: PayloadDescriptor::Vp9(descriptor), ..plain() }
    }

    /// 1,000 bytes as they leave, every 10 ms: 800 kbit/s.
    fn feed(rates: &mut LayerRates, from: Instant, ms: u32) -> Instant {
        for n in 0..ms / 10 {
            rates.observe(from + n * 10 * MS, &plain(), 1_000 - OVERHEAD, 1, 1);
        }
        from + ms * MS
    }

    fn kbps(rate: Bitrate) -> u64 {
        rate.bps() / 1_000
    }

    #[test]
    fn a_rate_is_known_half_a_second_after_a_stream_began_and_right_from_then_on() {
        let (start, mut rates) = (Instant::now(), LayerRates::default());
        let mut now = start;
        for n in 1..=200u32 {
            now = feed(&mut rates, now, 100);
            match rates.rate(now, ALL) {
                None => assert!(n < 5, "{n}"),
                Some(rate) => {
                    assert!(n >= 5, "{n}");
                    let range = 780..=820;
                    assert!(range.contains(&kbps(rate.sustained)) && range.contains(&kbps(rate.peak)), "{rate:?}");
                }
            }
        }
    }

    #[test]
    fn a_keyframe_raises_the_peak_and_not_what_is_sustained() {
        let (start, mut rates) = (Instant::now(), LayerRates::default());
        let now = feed(&mut rates, start, 6_000);
        rates.observe(now, &plain(), 40_000, 1, 1);
        let soon = feed(&mut rates, now, 300);
        let rate = rates.rate(soon, ALL).unwrap();
        assert!(kbps(rate.peak) > 1_000, "{rate:?}");
        assert!(kbps(rate.sustained) < 900, "{rate:?}");
        let later = feed(&mut rates, soon, 1_200);
        let rate = rates.rate(later, ALL).unwrap();
        assert!((780..=820).contains(&kbps(rate.sustained)), "{rate:?}");
    }

    #[test]
    fn a_stream_that_falls_silent_fades_and_one_that_restarts_is_not_known() {
        let (start, mut rates) = (Instant::now(), LayerRates::default());
        let end = feed(&mut rates, start, 5_000);
        assert_eq!(rates.rate(end + 1_600 * MS, ALL).unwrap().sustained, Bitrate::ZERO);
        assert_eq!(rates.rate(end + 9_000 * MS, ALL), Some(Rate::default()));
        // After a pause longer than the ring nothing old is counted.
        let soon = feed(&mut rates, end + 9_000 * MS, 500);
        let rate = rates.rate(soon, ALL).unwrap();
        assert!(kbps(rate.peak) <= 420, "{rate:?}");
        rates.restart();
        let again = end + 20_000 * MS;
        rates.observe(again, &plain(), 1_000, 1, 1);
        assert_eq!(rates.rate(again + 400 * MS, ALL), None);
    }

    #[test]
    fn temporal_layers_are_summed_from_below() {
        let (start, mut rates) = (Instant::now(), LayerRates::default());
        for n in 0..100u32 {
            for temporal in [0, 2, 1, 2] {
                rates.observe(start + n * 10 * MS, &vp8(temporal), 1_000 - OVERHEAD, 1, 3);
            }
        }
        let of = |temporal| kbps(rates.rate(start + 1_000 * MS, Layer { spatial: 0, temporal }).unwrap().peak);
        assert_eq!([0, 1, 2, 7].map(of), [800, 1_600, 3_200, 3_200]);
    }

    #[test]
    fn a_spatial_layer_that_none_above_refers_to_is_not_counted_to_those_above() {
        let (start, mut rates) = (Instant::now(), LayerRates::default());
        for n in 0..100u32 {
            let now = start + n * 10 * MS;
            [(0, true), (1, true), (2, false)].into_iter().for_each(|(spatial, alone)| {
                rates.observe(now, &vp9(spatial, alone), 1_000 * (usize::from(spatial) + 1) - OVERHEAD, 3, 1);
            });
        }
        let of = |spatial| kbps(rates.rate(start + 1_000 * MS, Layer { spatial, temporal: 0 }).unwrap().peak);
        assert_eq!([0, 1, 2].map(of), [800, 1_600, 2_400]);
    }

    #[test]
    fn layers_that_appear_late_leave_what_was_known() {
        let (start, mut rates) = (Instant::now(), LayerRates::default());
        let now = feed(&mut rates, start, 2_000);
        rates.observe(now, &vp8(2), 1_000 - OVERHEAD, 1, 3);
        let of = |temporal| kbps(rates.rate(now + MS, Layer { spatial: 0, temporal }).unwrap().peak);
        assert!((780..=820).contains(&of(0)) && (780..=820).contains(&of(2)), "{} {}", of(0), of(2));
        rates.observe(now, &vp8(200), 1_000, 200, 200);
        assert_eq!(rates.choices.len(), usize::from(COUNTED * COUNTED), "however many are claimed");
    }
}
