//! Whether a shard that has nothing to do polls a little longer or blocks: waking up costs more than a short wait, but a
//! wait that goes on costs more than waking up.
//!
//! What always holds: after an arrival at most [`WAKE_UP`] is spent polling, so that it never costs more than twice the
//! better choice; with arrivals further apart than that nothing is.

use std::time::{Duration, Instant};

/// What blocking and waking up again costs: measured 10 to 20 us on virtual machines.
pub const WAKE_UP: Duration = Duration::from_micros(20);
/// A gap counts for no more than this, so that a pause is forgotten within a few arrivals.
const LONGEST_GAP: Duration = Duration::from_micros(200);
/// Arrivals the mean gap is taken over.
const MEMORY: u32 = 8;

/// Learns how far arrivals are apart.
pub struct Patience {
    last: Option<Instant>,
    mean_gap: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { last: None, mean_gap: LONGEST_GAP }
    }
}

impl Patience {
    /// Something came.
    pub fn arrived(&mut self, now: Instant) {
        let gap = self.last.replace(now).map_or(LONGEST_GAP, |last| now.saturating_duration_since(last));
        self.mean_gap = (self.mean_gap * (MEMORY - 1) + gap.min(LONGEST_GAP)) / MEMORY;
    }

    /// Whether nothing came after that.
    pub fn is_quiet_since(&self, since: Instant) -> bool {
        self.last.is_none_or(|last| last <= since)
    }

    /// Whether the next arrival is worth waiting for awake.
    pub fn polls(&self, now: Instant) -> bool {
        let waited = self.last.map(|last| now.saturating_duration_since(last));
        self.mean_gap < WAKE_UP && waited.is_some_and(|waited| waited < WAKE_UP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(arrivals: u32, gap: Duration) -> (Patience, Instant) {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        for _ in 0..arrivals {
            now += gap;
            patience.arrived(now);
        }
        (patience, now)
    }

    #[test]
    fn under_load_it_polls_for_as_long_as_waking_up_would_take() {
        let (patience, now) = after(100, WAKE_UP / 4);
        assert!(patience.polls(now + WAKE_UP / 2));
        assert!(!patience.polls(now + WAKE_UP));
    }

    #[test]
    fn polling_in_vain_is_told_from_polling_that_found_something() {
        let (mut patience, now) = after(100, WAKE_UP / 4);
        assert!(patience.is_quiet_since(now));
        patience.arrived(now + WAKE_UP / 4);
        assert!(!patience.is_quiet_since(now));
        assert!(Patience::default().is_quiet_since(now));
    }

    #[test]
    fn with_little_to_do_it_blocks_at_once() {
        let (patience, now) = after(100, 2 * WAKE_UP);
        assert!(!patience.polls(now));
        assert!(!Patience::default().polls(now), "idle");
    }

    #[test]
    fn load_is_noticed_and_forgotten_within_some_arrivals() {
        let (mut patience, mut now) = after(40, WAKE_UP / 10);
        assert!(patience.polls(now));
        now += Duration::from_secs(1);
        patience.arrived(now);
        assert!(!patience.polls(now));
    }
}
