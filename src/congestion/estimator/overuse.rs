//! Whether the slope of the delay means that more is sent than the way takes (draft-ietf-rmcat-gcc-02, sections 5.3 and 5.4): the
//! threshold adapts to what the way and its other flows do, so that TCP beside us does not starve us.
//!
//! What always holds: the threshold stays within [`LOWEST`] and [`HIGHEST`].

use super::Micros;
use super::arrival_groups::Delta;

/// Slope times groups: what a slope of one counts as.
const GAIN: f64 = 4.0;
/// Groups beyond which more of them make the slope no surer.
const SUREST: u32 = 60;
const FIRST: f64 = 12.5;
const LOWEST: f64 = 6.0;
const HIGHEST: f64 = 600.0;
/// How fast the threshold rises towards a slope above it and falls towards one below, a millisecond.
const RISE: f64 = 0.0087;
const FALL: f64 = 0.039;
/// A slope so far above the threshold is a spike, to which it does not adapt.
const SPIKE: f64 = 15.0;
/// Time that counts at most between two groups when the threshold adapts, ms.
const LONGEST_STEP: f64 = 100.0;
/// Sent for so long above the threshold before it counts, ms.
const OVERUSING_FOR: f64 = 10.0;

/// How the way is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Usage {
    #[default]
    Normal,
    /// A queue grows.
    Over,
    /// A queue empties.
    Under,
}

pub struct OveruseDetector {
    threshold: f64,
    groups: u32,
    /// How long, ms, and for how many groups the slope has been above the threshold.
    above: Option<(f64, u32)>,
    slope: f64,
    adapted: Option<Micros>,
    usage: Usage,
}

impl Default for OveruseDetector {
    fn default() -> OveruseDetector {
        OveruseDetector { threshold: FIRST, groups: 0, above: None, slope: 0.0, adapted: None, usage: Usage::Normal }
    }
}

impl OveruseDetector {
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The slope after a group.
    pub fn detect(&mut self, slope: f64, delta: &Delta) {
        self.groups = (self.groups + 1).min(SUREST);
        let strength = f64::from(self.groups) * slope * GAIN;
        if strength > self.threshold {
            self.rises(slope, delta.sent as f64 / 1_000.0);
        } else {
            self.above = None;
            self.usage = if strength < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.slope = slope;
        self.adapt(strength.abs(), delta.at);
    }

    fn rises(&mut self, slope: f64, sent: f64) {
        // Half of the time before the first such group was above, as far as one can know.
        let (time, groups) = self.above.map_or((sent / 2.0, 1), |(time, groups)| (time + sent, groups + 1));
        self.above = Some((time, groups));
        if time > OVERUSING_FOR && groups > 1 && slope >= self.slope {
            self.above = Some((0.0, 0));
            self.usage = Usage::Over;
        }
    }

    fn adapt(&mut self, strength: f64, at: Micros) {
        let elapsed = at - self.adapted.replace(at).unwrap_or(at);
        if strength > self.threshold + SPIKE {
            return;
        }
        let speed = if strength < self.threshold { FALL } else { RISE };
        let elapsed = (elapsed as f64 / 1_000.0).clamp(0.0, LONGEST_STEP);
        self.threshold = (self.threshold + speed * (strength - self.threshold) * elapsed).clamp(LOWEST, HIGHEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(detector: &mut OveruseDetector, groups: i64, slope: impl Fn(i64) -> f64) -> Vec<Usage> {
        let mut feed = |i: i64| {
            detector.detect(slope(i), &Delta { sent: 20_000, arrived: 20_000, at: i * 20_000 });
            detector.usage()
        };
        (0..groups).map(&mut feed).collect()
    }

    #[test]
    fn a_slope_that_stays_is_overuse_and_one_group_of_it_is_not() {
        let mut detector = OveruseDetector::default();
        fed(&mut detector, 60, |_| 0.0);
        assert_eq!(fed(&mut detector, 1, |_| 0.2), [Usage::Normal]);
        assert_eq!(fed(&mut detector, 3, |_| 0.2).last(), Some(&Usage::Over));
        assert_eq!(fed(&mut detector, 1, |_| 0.0), [Usage::Normal]);
        assert_eq!(fed(&mut detector, 1, |_| -0.2), [Usage::Under]);
    }

    #[test]
    fn a_slope_that_falls_again_is_no_overuse() {
        let mut detector = OveruseDetector::default();
        fed(&mut detector, 60, |_| 0.0);
        assert!(!fed(&mut detector, 5, |i| 0.3 - 0.05 * i as f64).contains(&Usage::Over));
    }

    #[test]
    fn the_threshold_adapts_and_stays_bounded() {
        let mut detector = OveruseDetector::default();
        fed(&mut detector, 1_000, |_| 0.0);
        assert_eq!(detector.threshold, LOWEST);
        // What other flows make of the delay, a little above: it is lived with.
        fed(&mut detector, 3_000, |i| (detector_level(i) + 8.0) / 240.0);
        assert!(detector.threshold > 2.0 * LOWEST, "{}", detector.threshold);
        let before = detector.threshold;
        fed(&mut detector, 1_000, |_| 1e9);
        assert_eq!(detector.threshold, before, "a spike");
    }

    fn detector_level(i: i64) -> f64 {
        LOWEST + 0.01 * i as f64
    }
}
