//! The keyframe gate: merges the keyframe requests of all subscribers of one encoding and limits what is asked of the publisher.
//!
//! What always holds: two requests to the publisher are at least [`KEYFRAME_INTERVAL`] apart, whatever is asked of the gate, and
//! no wish is forgotten before it was sent or a keyframe came.

use std::time::{Duration, Instant};

/// Least time between two keyframe requests to the publisher of one encoding.
///
/// A keyframe costs as much as 10 to 20 other frames, so a request per second or two can take a fifth of an encoding's bitrate, and
/// its quality with it. Half a second bounds it at two per second, while a newcomer's first picture is late by 250 ms on average and
/// only when another came just before. It is longer than most round trips, so that a keyframe under way is not asked for twice.
pub const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);

/// Gate of one encoding.
#[derive(Debug, Default)]
pub struct KeyframeGate {
    /// When the next request may be sent; `None` before the first.
    open_at: Option<Instant>,
    /// Somebody waits for a request that was not yet let through.
    waiting: bool,
}

impl KeyframeGate {
    pub fn new() -> KeyframeGate {
        KeyframeGate::default()
    }

    /// A subscriber needs a keyframe. True when a request should be sent now; else it is remembered until [`poll`](Self::poll) lets it pass, or a keyframe arrives.
    pub fn request(&mut self, now: Instant) -> bool {
        self.waiting = true;
        self.poll(now)
    }

    /// A keyframe began to arrive: whoever waited is served.
    pub fn keyframe_arrived(&mut self, _now: Instant) {
        self.waiting = false;
    }

    /// When a remembered request may be sent.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.open_at.filter(|_| self.waiting)
    }

    /// True once when a remembered request may be sent now.
    pub fn poll(&mut self, now: Instant) -> bool {
        let passes = self.waiting && self.open_at.is_none_or(|open_at| now >= open_at);
        if passes {
            self.waiting = false;
            self.open_at = Some(now + KEYFRAME_INTERVAL);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);

    #[test]
    fn the_first_request_passes_at_once_and_a_second_is_remembered() {
        let start = Instant::now();
        let mut gate = KeyframeGate::new();
        assert_eq!(gate.poll_timeout(), None);
        assert!(gate.request(start));
        assert_eq!(gate.poll_timeout(), None, "nobody waits any more");
        assert!(!gate.request(start + TICK));
        assert_eq!(gate.poll_timeout(), Some(start + KEYFRAME_INTERVAL));
        assert!(!gate.poll(start + KEYFRAME_INTERVAL - TICK));
        assert!(gate.poll(start + KEYFRAME_INTERVAL));
        assert!(!gate.poll(start + KEYFRAME_INTERVAL), "once");
    }

    #[test]
    fn a_keyframe_serves_whoever_waits() {
        let start = Instant::now();
        let mut gate = KeyframeGate::new();
        gate.request(start);
        gate.request(start + TICK);
        gate.keyframe_arrived(start + 2 * TICK);
        assert_eq!(gate.poll_timeout(), None);
        assert!(!gate.poll(start + 2 * KEYFRAME_INTERVAL));
        assert!(gate.request(start + 2 * KEYFRAME_INTERVAL), "a new wish passes at once again");
    }

    #[test]
    fn a_storm_passes_at_most_twice_a_second_and_is_not_starved() {
        let start = Instant::now();
        let mut gate = KeyframeGate::new();
        let sent = (0..10_000u32)
            .map(|ms| start + Duration::from_millis(ms.into()))
            .filter(|now| gate.poll(*now) | gate.request(*now) | gate.request(*now))
            .count();
        assert_eq!(sent, 20, "in 10 s");
    }
}
