//! Feedback that stays out though packets are sent: nothing is known of the way any more, and less and less is sent. When it comes again, the
//! rate comes back within some round trips: that a way was down says nothing of what it takes.
//!
//! What always holds: where nothing is sent nothing is awaited; it falls in steps, and no further than the floor its owner holds; it comes
//! back to what it was and no further.

use super::Micros;
use crate::congestion::bitrate::Bitrate;

/// Feedback comes every 50 to 250 ms.
const SHORTEST: Micros = 500_000;
/// Round trips without any.
const ROUND_TRIPS: i64 = 3;
const STEP: Micros = 500_000;
/// What is left of the rate after a step.
pub const LEFT: f64 = 0.7;
/// The rate comes back twofold in each round trip; in none shorter than feedback takes.
const DOUBLING_LEAST: Micros = 100_000;

#[derive(Default)]
pub struct Blackout {
    /// When the first packet was sent of which nothing is heard.
    unanswered: Option<Micros>,
    steps: u32,
    /// When feedback came again.
    lit: Option<Micros>,
    /// The rate before, until it is reached again, and when it rose last.
    before: Option<Bitrate>,
    rose: Micros,
}

impl Blackout {
    pub fn sent(&mut self, now: Micros) {
        self.unanswered.get_or_insert(now);
    }

    /// Feedback came. True when it had stayed out.
    pub fn answered(&mut self, now: Micros) -> bool {
        self.unanswered = None;
        let was_dark = std::mem::take(&mut self.steps) > 0;
        if was_dark {
            (self.lit, self.rose) = (Some(now), now);
        }
        was_dark
    }

    /// The rate has fallen, and nothing was heard since.
    pub fn is_dark(&self) -> bool {
        self.steps > 0
    }

    /// What was sent then was not lost to a way that takes too little, but to one that was down.
    pub fn hides(&self, sent: Micros) -> bool {
        self.is_dark() || self.lit.is_some_and(|lit| sent < lit)
    }

    /// When the rate falls next.
    pub fn due(&self, rtt: Micros) -> Option<Micros> {
        let patience = (ROUND_TRIPS * rtt).max(SHORTEST);
        self.unanswered.map(|since| since + patience + STEP * i64::from(self.steps))
    }

    /// Whether the rate falls by a step now.
    pub fn falls(&mut self, now: Micros, rtt: Micros, rate: Bitrate) -> bool {
        let falls = self.due(rtt).is_some_and(|due| now >= due);
        if falls && self.steps == 0 {
            self.before = Some(self.before.map_or(rate, |before| before.max(rate)));
        }
        self.steps += u32::from(falls);
        falls
    }

    /// After feedback: the rate on its way back to what it was; no more once a queue grows.
    pub fn recovers(&mut self, now: Micros, rtt: Micros, rate: Bitrate, queue_grows: bool) -> Option<Bitrate> {
        let before = self.before.filter(|_| !self.is_dark())?;
        if queue_grows || rate >= before {
            self.before = None;
            return None;
        }
        let elapsed = now - std::mem::replace(&mut self.rose, now);
        let doublings = elapsed as f64 / rtt.max(DOUBLING_LEAST) as f64;
        Some(rate.scaled(doublings.clamp(0.0, 1.0).exp2()).min(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Micros = 1_000;
    const RATE: Bitrate = Bitrate::from_kbps(1_000);

    /// Dark from half a second to a second.
    fn lit_again() -> Blackout {
        let mut blackout = Blackout::default();
        blackout.sent(0);
        assert!(blackout.falls(500 * MS, 50 * MS, RATE) && blackout.hides(499 * MS));
        assert!(blackout.answered(1_000 * MS));
        blackout
    }

    #[test]
    fn the_rate_comes_back_within_round_trips_and_no_further() {
        let mut blackout = lit_again();
        let rate = |kbps: u64| Some(Bitrate::from_kbps(kbps));
        assert_eq!(blackout.recovers(1_000 * MS, 200 * MS, Bitrate::from_kbps(200), false), rate(200));
        assert_eq!(blackout.recovers(1_200 * MS, 200 * MS, Bitrate::from_kbps(200), false), rate(400));
        assert_eq!(blackout.recovers(9_000 * MS, 200 * MS, Bitrate::from_kbps(400), false), rate(800));
        assert_eq!(blackout.recovers(9_200 * MS, 200 * MS, Bitrate::from_kbps(800), false), Some(RATE));
        assert_eq!(blackout.recovers(9_400 * MS, 200 * MS, RATE, false), None);
        assert_eq!(blackout.recovers(9_600 * MS, 200 * MS, Bitrate::from_kbps(500), false), None, "it was back once");
    }

    #[test]
    fn a_queue_that_grows_ends_it_and_what_was_sent_in_the_dark_tells_of_no_loss() {
        let mut blackout = lit_again();
        assert!(blackout.hides(999 * MS) && !blackout.hides(1_000 * MS));
        assert_eq!(blackout.recovers(1_100 * MS, 100 * MS, Bitrate::from_kbps(200), true), None);
        assert_eq!(blackout.recovers(1_200 * MS, 100 * MS, Bitrate::from_kbps(200), false), None);
    }

    #[test]
    fn it_falls_in_steps_from_half_a_second_on() {
        let mut blackout = Blackout::default();
        assert_eq!(blackout.due(50 * MS), None);
        blackout.sent(100 * MS);
        blackout.sent(400 * MS);
        assert_eq!(blackout.due(50 * MS), Some(600 * MS));
        assert!(!blackout.falls(599 * MS, 50 * MS, RATE));
        assert!(blackout.falls(600 * MS, 50 * MS, RATE) && !blackout.falls(600 * MS, 50 * MS, RATE));
        assert_eq!(blackout.due(50 * MS), Some(1_100 * MS));
        assert!(blackout.answered(900 * MS) && !blackout.answered(901 * MS));
        assert_eq!(blackout.due(50 * MS), None, "until something is sent");
    }

    #[test]
    fn a_long_way_gives_it_more_time() {
        let mut blackout = Blackout::default();
        blackout.sent(0);
        assert_eq!(blackout.due(400 * MS), Some(1_200 * MS));
    }
}
