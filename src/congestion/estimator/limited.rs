//! Whether less is sent than may be ("application-limited", as libwebrtc's ALR detector tells it): an SFU nearly always does, for layers
//! come in steps, and then the rate that arrives tells nothing of what the way takes.
//!
//! What always holds: half a second at the target is the most that counts.

use super::Micros;
use crate::congestion::bitrate::Bitrate;

/// Of the target that counts as using it.
const USED: f64 = 0.8;
/// What is saved up or owed at most: time at that rate.
const HORIZON: f64 = 500_000.0;
/// Saved up, of that: limited from here on, and not limited any more below.
const BEGINS: f64 = 0.8;
const ENDS: f64 = 0.5;

pub struct ApplicationLimit {
    /// Bytes a microsecond.
    speed: f64,
    /// Bytes not sent that could have been; negative where more was sent.
    saved: f64,
    at: Micros,
    limited: bool,
}

impl ApplicationLimit {
    pub fn new(target: Bitrate) -> ApplicationLimit {
        let mut limit = ApplicationLimit { speed: 0.0, saved: 0.0, at: 0, limited: false };
        limit.retarget(target);
        limit
    }

    pub fn is_limited(&self) -> bool {
        self.limited
    }

    pub fn retarget(&mut self, target: Bitrate) {
        self.speed = target.bps() as f64 * USED / 8e6;
    }

    pub fn sent(&mut self, now: Micros, bytes: usize) {
        let most = self.speed * HORIZON;
        let elapsed = (now - self.at).max(0) as f64;
        self.at = now;
        self.saved = ((self.saved + self.speed * elapsed).min(most) - bytes as f64).max(-most);
        let share = if self.limited { ENDS } else { BEGINS };
        self.limited = self.saved > most * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is limited after two seconds of so much.
    fn limited(limit: &mut ApplicationLimit, from: Micros, kbps: i64) -> bool {
        let gap = 1_000 * 8_000 / kbps;
        (1..=2_000_000 / gap).for_each(|i| limit.sent(from + i * gap, 1_000));
        limit.is_limited()
    }

    #[test]
    fn a_third_of_the_target_is_limited_and_most_of_it_is_not() {
        let mut limit = ApplicationLimit::new(Bitrate::from_kbps(1_000));
        assert!(!limited(&mut limit, 0, 900));
        assert!(limited(&mut limit, 2_000_000, 300));
        assert!(!limited(&mut limit, 4_000_000, 950));
        limit.retarget(Bitrate::from_kbps(2_000));
        assert!(limited(&mut limit, 6_000_000, 800));
    }

    #[test]
    fn a_pause_is_limited_and_a_burst_after_it_is_not_at_once() {
        let mut limit = ApplicationLimit::new(Bitrate::from_kbps(1_000));
        limit.sent(0, 1_000);
        limit.sent(60_000_000, 1_000);
        assert!(limit.is_limited());
        limited(&mut limit, 60_000_000, 10_000);
        assert!(!limit.is_limited());
    }
}
