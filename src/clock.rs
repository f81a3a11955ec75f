//! Wall-clock time as a function of `Instant`: the core is given one anchor and never asks a clock.

use std::time::{Duration, Instant};

/// Seconds between the NTP era (1900) and the Unix epoch (RFC 5905).
const NTP_UNIX_OFFSET: u64 = 2_208_988_800;

/// Ties an instant to Unix time.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    anchor: Instant,
    unix_at_anchor: Duration,
}

impl WallClock {
    pub fn new(anchor: Instant, unix_at_anchor: Duration) -> WallClock {
        WallClock { anchor, unix_at_anchor }
    }

    pub fn anchor(&self) -> Instant {
        self.anchor
    }

    /// Unix time, milliseconds.
    pub fn unix_ms(&self, now: Instant) -> i64 {
        i64::try_from(self.unix(now).as_millis()).unwrap_or(i64::MAX)
    }

    /// NTP timestamp, 32.32 fixed point (RFC 3550, section 4).
    pub fn ntp(&self, now: Instant) -> u64 {
        let unix = self.unix(now);
        let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
        (unix.as_secs().wrapping_add(NTP_UNIX_OFFSET) << 32) | fraction
    }

    fn unix(&self, now: Instant) -> Duration {
        self.unix_at_anchor + now.saturating_duration_since(self.anchor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_counts_from_1900_with_a_binary_fraction() {
        let start = Instant::now();
        let clock = WallClock::new(start, Duration::from_millis(1_500));
        assert_eq!(clock.unix_ms(start), 1_500);
        assert_eq!(clock.ntp(start), ((NTP_UNIX_OFFSET + 1) << 32) | (1 << 31));
        assert_eq!(clock.unix_ms(start + Duration::from_secs(2)), 3_500);
    }
}
