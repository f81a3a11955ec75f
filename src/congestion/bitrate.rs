//! Bits a second, and what follows from them: bytes in a time, the time bytes take.
//!
//! What always holds: arithmetic saturates; no rate divides by zero.

use std::time::Duration;

/// Bits a second, of UDP payload where nothing else is said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Bitrate(u64);

impl Bitrate {
    pub const ZERO: Bitrate = Bitrate(0);

    pub const fn from_bps(bps: u64) -> Bitrate {
        Bitrate(bps)
    }

    pub const fn from_kbps(kbps: u64) -> Bitrate {
        Bitrate(kbps.saturating_mul(1_000))
    }

    pub const fn bps(self) -> u64 {
        self.0
    }

    /// What so many bytes in a time make; zero where no time passed.
    pub fn of(bytes: u64, time: Duration) -> Bitrate {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Bitrate(bytes.saturating_mul(8_000_000).checked_div(micros).unwrap_or(0))
    }

    /// Bytes that pass in a time.
    pub fn bytes_in(self, time: Duration) -> u64 {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_mul(micros) / 8_000_000
    }

    /// How long so many bytes take; a day where nothing passes.
    pub fn time_for(self, bytes: u64) -> Duration {
        const NEVER: Duration = Duration::from_secs(86_400);
        let micros = bytes.saturating_mul(8_000_000).checked_div(self.0);
        micros.map_or(NEVER, Duration::from_micros).min(NEVER)
    }

    /// Times a factor that is not negative.
    pub fn scaled(self, factor: f64) -> Bitrate {
        Bitrate((self.0 as f64 * factor) as u64)
    }

    pub fn plus(self, other: Bitrate) -> Bitrate {
        Bitrate(self.0.saturating_add(other.0))
    }

    pub fn minus(self, other: Bitrate) -> Bitrate {
        Bitrate(self.0.saturating_sub(other.0))
    }
}

impl std::iter::Sum for Bitrate {
    fn sum<I: Iterator<Item = Bitrate>>(rates: I) -> Bitrate {
        rates.fold(Bitrate::ZERO, Bitrate::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_times_follow_from_a_rate_and_the_extremes_saturate() {
        let rate = Bitrate::from_kbps(800);
        assert_eq!(rate.bytes_in(Duration::from_millis(10)), 1_000);
        assert_eq!(rate.time_for(1_000), Duration::from_millis(10));
        assert_eq!(Bitrate::of(1_000, Duration::from_millis(10)), rate);
        assert_eq!(Bitrate::of(1_000, Duration::ZERO), Bitrate::ZERO);
        assert_eq!(Bitrate::ZERO.time_for(1), Duration::from_secs(86_400));
        assert_eq!(Bitrate::from_bps(u64::MAX).plus(rate).minus(Bitrate::from_bps(u64::MAX)), Bitrate::ZERO);
        assert_eq!([rate, rate].into_iter().sum::<Bitrate>(), Bitrate::from_kbps(1_600));
        assert_eq!(rate.scaled(0.5), Bitrate::from_kbps(400));
    }
}
