//! What the link took whenever it was full: near it, growth is careful (libwebrtc's link capacity estimator).
//!
//! What always holds: a link that is full three deviations below is another one, and the estimate begins anew.

use crate::congestion::bitrate::Bitrate;

/// Weight of a sample.
const WEIGHT: f64 = 0.05;
/// Variance over the estimate, kbit/s.
const FIRST_DEVIATION: f64 = 0.4;
const LEAST_DEVIATION: f64 = 0.4;
const MOST_DEVIATION: f64 = 2.5;
const DEVIATIONS: f64 = 3.0;

#[derive(Clone, Copy)]
pub struct LinkCapacity {
    kbps: Option<f64>,
    deviation: f64,
}

impl Default for LinkCapacity {
    fn default() -> LinkCapacity {
        LinkCapacity { kbps: None, deviation: FIRST_DEVIATION }
    }
}

impl LinkCapacity {
    pub fn rate(&self) -> Option<Bitrate> {
        self.kbps.map(|kbps| Bitrate::from_bps((kbps * 1_000.0) as u64))
    }

    /// So much arrived when the link was full.
    pub fn overused(&mut self, rate: Bitrate) {
        let sample = rate.bps() as f64 / 1_000.0;
        if self.kbps.is_some_and(|kbps| sample < kbps - self.spread(kbps)) {
            self.kbps = None;
        }
        let kbps = self.kbps.map_or(sample, |kbps| kbps + WEIGHT * (sample - kbps));
        let error = kbps - sample;
        let deviation = (1.0 - WEIGHT) * self.deviation + WEIGHT * error * error / kbps.max(1.0);
        self.deviation = deviation.clamp(LEAST_DEVIATION, MOST_DEVIATION);
        self.kbps = Some(kbps);
    }

    fn spread(&self, kbps: f64) -> f64 {
        DEVIATIONS * (self.deviation * kbps).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_samples_slowly_and_is_forgotten_when_another_link_shows() {
        let mut capacity = LinkCapacity::default();
        assert_eq!(capacity.rate(), None);
        capacity.overused(Bitrate::from_kbps(1_000));
        capacity.overused(Bitrate::from_kbps(1_040));
        assert_eq!(capacity.rate(), Some(Bitrate::from_kbps(1_002)));
        capacity.overused(Bitrate::from_kbps(500));
        assert_eq!(capacity.rate(), Some(Bitrate::from_kbps(500)));
    }
}
