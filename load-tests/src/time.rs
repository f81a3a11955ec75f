//! One reading of both clocks, so that everything one datagram leads to has one time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sfumato::clock::WallClock;

#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub instant: Instant,
    /// Since the Unix epoch: the clock by which the kernel stamps arrivals.
    pub unix: Duration,
}

impl Now {
    pub fn read() -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { instant: Instant::now(), unix }
    }

    /// NTP timestamp, 32.32 fixed point.
    pub fn ntp(self) -> u64 {
        WallClock::new(self.instant, self.unix).ntp(self.instant)
    }
}
