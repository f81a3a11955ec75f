//! When to try more again after an attempt that failed.
//!
//! What always holds: an attempt that is taken back soon makes the next wait longer, up to [`LONGEST`]; clearly more bandwidth than
//! the attempt had ends the wait.

use std::time::{Duration, Instant};

use crate::congestion::bitrate::Bitrate;

/// An attempt that lasts for so long was right.
const PROVEN: Duration = Duration::from_secs(30);
/// The wait after a first failure; each further one waits four times as long. So there are no more than four changes in any minute.
const SHORTEST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(120);
const GROWTH: u32 = 4;
/// This much more than what a failed attempt had is another way.
const CLEARLY_MORE: f64 = 1.25;

#[derive(Debug, Default)]
pub struct Backoff {
    /// The last attempt, and what it had.
    attempt: Option<(Instant, Bitrate)>,
    /// Until when less than so much is not tried.
    refused: Option<(Instant, Bitrate)>,
    wait: Duration,
}

impl Backoff {
    /// More was given, out of so much.
    pub fn rose(&mut self, now: Instant, had: Bitrate) {
        self.settle(now);
        self.attempt = Some((now, had));
    }

    /// Something had to be taken back.
    pub fn fell(&mut self, now: Instant) {
        self.settle(now);
        let Some((_, had)) = self.attempt.take() else { return };
        self.wait = (self.wait * GROWTH).clamp(SHORTEST, LONGEST);
        self.refused = Some((now + self.wait, had));
    }

    /// Whether to try with so much.
    pub fn allows(&self, now: Instant, having: Bitrate) -> bool {
        self.refused.is_none_or(|(until, had)| now >= until || having >= had.scaled(CLEARLY_MORE))
    }

    fn settle(&mut self, now: Instant) {
        let proven = |(at, _): &mut (Instant, Bitrate)| now.saturating_duration_since(*at) >= PROVEN;
        if self.attempt.take_if(proven).is_some() {
            self.wait = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);
    const HAD: Bitrate = Bitrate::from_kbps(500);

    #[test]
    fn each_failure_waits_longer_and_a_success_forgives() {
        let (start, mut backoff) = (Instant::now(), Backoff::default());
        let mut now = start;
        for wait in [15, 60, 120, 120] {
            assert!(backoff.allows(now, HAD));
            backoff.rose(now, HAD);
            backoff.fell(now + S);
            assert!(!backoff.allows(now + wait * S, HAD));
            now += (wait + 1) * S;
        }
        backoff.rose(now, HAD);
        backoff.fell(now + PROVEN);
        assert!(backoff.allows(now + PROVEN, HAD), "what had lasted was no failure");
        backoff.rose(now + PROVEN, HAD);
        backoff.fell(now + PROVEN + S);
        assert!(!backoff.allows(now + PROVEN + 15 * S, HAD));
        assert!(backoff.allows(now + PROVEN + 16 * S, HAD), "begins with the shortest again");
    }

    #[test]
    fn clearly_more_bandwidth_ends_the_wait() {
        let (start, mut backoff) = (Instant::now(), Backoff::default());
        backoff.rose(start, HAD);
        backoff.fell(start + S);
        backoff.fell(start + 2 * S);
        assert!(!backoff.allows(start + 3 * S, HAD.scaled(1.2)));
        assert!(backoff.allows(start + 3 * S, HAD.scaled(1.25)));
    }
}
