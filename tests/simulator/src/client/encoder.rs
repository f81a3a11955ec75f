//! A model of a video encoder: sizes of frames at a rate, keyframes when asked, and a controller that pays for them.
//!
//! What always holds: over a few seconds the rate is kept, keyframes included; a keyframe is several times a delta frame.

use rand::Rng;
use rand::rngs::StdRng;

/// A keyframe against a delta frame, on average: 5 to 8 are usual for a talking head.
const KEYFRAME_FACTOR: f64 = 6.0;
/// Frames differ by so much, evenly distributed about the mean.
const SPREAD: f64 = 0.3;
/// Share of a delta frame that goes into paying for a keyframe, at most.
const REPAYMENT: f64 = 0.25;
/// No frame is smaller, bytes: a payload's head has to fit.
const LEAST_BYTES: usize = 60;

pub struct Encoder {
    /// Bits a second.
    rate: u64,
    fps: u32,
    /// Bytes spent beyond the rate.
    debt: f64,
    random: StdRng,
}

impl Encoder {
    pub fn new(rate: u64, fps: u32, random: StdRng) -> Encoder {
        Encoder { rate, fps: fps.max(1), debt: 0.0, random }
    }

    pub fn rate(&self) -> u64 {
        self.rate
    }

    pub fn set_rate(&mut self, rate: u64) {
        self.rate = rate;
    }

    /// Bytes of the next frame.
    pub fn next_frame(&mut self, keyframe: bool) -> usize {
        let mean = self.rate as f64 / 8.0 / f64::from(self.fps);
        let vary = 1.0 + SPREAD * (self.random.random::<f64>() - 0.5) * 2.0;
        let bytes = if keyframe {
            let bytes = KEYFRAME_FACTOR * mean * vary;
            self.debt += bytes - mean;
            bytes
        } else {
            let repaid = self.debt.min(REPAYMENT * mean).max(0.0);
            self.debt -= repaid;
            (mean - repaid) * vary
        };
        (bytes as usize).max(LEAST_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn rate_over(seconds: u32, keyframe_every: u32) -> (f64, f64) {
        let mut encoder = Encoder::new(1_000_000, 30, StdRng::seed_from_u64(1));
        let (mut deltas, mut bytes) = (Vec::new(), 0);
        for frame in 0..30 * seconds {
            let keyframe = frame % keyframe_every == 0;
            let size = encoder.next_frame(keyframe);
            bytes += size;
            if !keyframe {
                deltas.push(size as f64);
            }
        }
        (bytes as f64 * 8.0 / f64::from(seconds), deltas.iter().sum::<f64>() / deltas.len() as f64)
    }

    #[test]
    fn the_rate_is_kept_with_and_without_keyframes() {
        let (rare, large) = rate_over(60, 10_000);
        let (often, small) = rate_over(60, 60);
        assert!((rare / 1e6 - 1.0).abs() < 0.02, "{rare}");
        assert!((often / 1e6 - 1.0).abs() < 0.03, "{often}");
        assert!(small < 0.95 * large, "delta frames pay for keyframes: {small} {large}");
    }

    #[test]
    fn a_keyframe_is_several_delta_frames() {
        let mut encoder = Encoder::new(1_000_000, 30, StdRng::seed_from_u64(2));
        let keyframes: usize = (0..100).map(|_| encoder.next_frame(true)).sum();
        assert!((5.5..6.5).contains(&(keyframes as f64 / 100.0 / (1e6 / 240.0))), "{keyframes}");
    }
}
