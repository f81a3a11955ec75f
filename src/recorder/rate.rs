//! Bits a second from a count of bytes that grows, looked at about once a second.

use std::time::{Duration, Instant};

/// Looks closer together than this tell nothing new.
const LEAST: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    last: Option<(Instant, u64)>,
    bitrate: u32,
}

impl Rate {
    /// `bytes`: all so far. A smaller count than before begins anew. Gives bit/s since the last look.
    pub fn look(&mut self, now: Instant, bytes: u64) -> u32 {
        let (before, counted) = *self.last.get_or_insert((now, bytes));
        let elapsed = now.saturating_duration_since(before);
        if elapsed >= LEAST {
            let bits = bytes.saturating_sub(counted).saturating_mul(8) as f64;
            self.bitrate = (bits / elapsed.as_secs_f64()) as u32;
            self.last = Some((now, bytes));
        }
        self.bitrate
    }

    /// Of the last look.
    pub fn bitrate(&self) -> u32 {
        self.bitrate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_since_the_last_look_whenever_that_was() {
        let (start, mut rate) = (Instant::now(), Rate::default());
        assert_eq!(rate.look(start, 1_000), 0, "what was counted before is of no known time");
        assert_eq!(rate.look(start + Duration::from_millis(1_000), 126_000), 1_000_000);
        assert_eq!(rate.look(start + Duration::from_millis(1_001), 126_100), 1_000_000, "too soon to tell");
        assert_eq!(rate.look(start + Duration::from_millis(3_000), 376_000), 1_000_000);
        assert_eq!(rate.look(start + Duration::from_millis(4_000), 100), 0, "counted anew");
        assert_eq!(rate.look(start + Duration::from_millis(5_000), 125_100), 1_000_000);
    }
}
