//! Freezes of one viewer, as far as its feedback shows them (RFC 4585, section 6.3.1): a decoder that had a picture asks for a keyframe
//! when it cannot go on, and goes on with the next.
//!
//! What always holds: of requests in a row the first begins a freeze, a keyframe ends it; a request that left before its sender can
//! have seen the last keyframe is none. A player that conceals its losses, or waits without asking, is not seen.

use std::time::{Duration, Instant};

/// Round trip that is assumed before one was measured, and how long a frame takes to be decoded.
const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(100);
const DECODING: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct Freezes {
    began: Option<Instant>,
    count: u32,
    total: Duration,
}

/// Freezes so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Freeze {
    pub count: u32,
    /// Until now, the present one included.
    pub total: Duration,
    /// One has not ended.
    pub lasts: bool,
}

impl Freezes {
    /// A request for a keyframe, when the last was `sent`. True when a freeze begins with it.
    pub fn keyframe_requested(&mut self, now: Instant, sent: Instant, round_trip_time: Option<Duration>) -> bool {
        let seen_after = round_trip_time.unwrap_or(DEFAULT_ROUND_TRIP) + DECODING;
        if self.began.is_some() || now.saturating_duration_since(sent) < seen_after {
            return false;
        }
        self.began = Some(now);
        self.count = self.count.saturating_add(1);
        true
    }

    pub fn keyframe_sent(&mut self, now: Instant) {
        if let Some(began) = self.began.take() {
            self.total += now.saturating_duration_since(began);
        }
    }

    pub fn so_far(&self, now: Instant) -> Freeze {
        let present = self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        Freeze { count: self.count, total: self.total + present, lasts: self.began.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_until_a_keyframe_are_one_freeze() {
        let (sent, mut freezes) = (Instant::now(), Freezes::default());
        let at = |ms| sent + Duration::from_millis(ms);
        assert!(freezes.keyframe_requested(at(1_000), sent, None));
        assert!(!freezes.keyframe_requested(at(1_300), sent, None));
        assert_eq!(freezes.so_far(at(1_400)), Freeze { count: 1, total: Duration::from_millis(400), lasts: true });
        freezes.keyframe_sent(at(1_500));
        let ended = Freeze { count: 1, total: Duration::from_millis(500), lasts: false };
        assert_eq!(freezes.so_far(at(9_000)), ended);
    }

    #[test]
    fn who_asks_before_the_last_keyframe_can_have_been_seen_is_not_frozen() {
        let (sent, mut freezes) = (Instant::now(), Freezes::default());
        let at = |ms| sent + Duration::from_millis(ms);
        assert!(!freezes.keyframe_requested(at(149), sent, None));
        assert!(!freezes.keyframe_requested(at(349), sent, Some(Duration::from_millis(300))));
        assert!(freezes.keyframe_requested(at(350), sent, Some(Duration::from_millis(300))));
    }
}
