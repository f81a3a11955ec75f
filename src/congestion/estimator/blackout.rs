//! Feedback that stays out though packets are sent: nothing is known of the way any more, and less and less is sent.
//!
//! What always holds: where nothing is sent nothing is awaited; it falls in steps, and no further than the floor its owner holds.

use super::Micros;

/// Feedback comes every 50 to 250 ms.
const SHORTEST: Micros = 500_000;
/// Round trips without any.
const ROUND_TRIPS: i64 = 3;
const STEP: Micros = 500_000;
/// What is left of the rate after a step.
pub const LEFT: f64 = 0.7;

#[derive(Default)]
pub struct Blackout {
    /// When the first packet was sent of which nothing is heard.
    unanswered: Option<Micros>,
    steps: u32,
}

impl Blackout {
    pub fn sent(&mut self, now: Micros) {
        self.unanswered.get_or_insert(now);
    }

    /// Feedback came. True when it had stayed out.
    pub fn answered(&mut self) -> bool {
        self.unanswered = None;
        std::mem::take(&mut self.steps) > 0
    }

    /// The rate has fallen, and nothing was heard since.
    pub fn is_dark(&self) -> bool {
        self.steps > 0
    }

    /// When the rate falls next.
    pub fn due(&self, rtt: Micros) -> Option<Micros> {
        let patience = (ROUND_TRIPS * rtt).max(SHORTEST);
        self.unanswered.map(|since| since + patience + STEP * i64::from(self.steps))
    }

    /// Whether the rate falls by a step now.
    pub fn falls(&mut self, now: Micros, rtt: Micros) -> bool {
        let falls = self.due(rtt).is_some_and(|due| now >= due);
        self.steps += u32::from(falls);
        falls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Micros = 1_000;

    #[test]
    fn it_falls_in_steps_from_half_a_second_on() {
        let mut blackout = Blackout::default();
        assert_eq!(blackout.due(50 * MS), None);
        blackout.sent(100 * MS);
        blackout.sent(400 * MS);
        assert_eq!(blackout.due(50 * MS), Some(600 * MS));
        assert!(!blackout.falls(599 * MS, 50 * MS));
        assert!(blackout.falls(600 * MS, 50 * MS) && !blackout.falls(600 * MS, 50 * MS));
        assert_eq!(blackout.due(50 * MS), Some(1_100 * MS));
        assert!(blackout.answered() && !blackout.answered());
        assert_eq!(blackout.due(50 * MS), None, "until something is sent");
    }

    #[test]
    fn a_long_way_gives_it_more_time() {
        let mut blackout = Blackout::default();
        blackout.sent(0);
        assert_eq!(blackout.due(400 * MS), Some(1_200 * MS));
    }
}
