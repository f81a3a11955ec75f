//! When to try more again after an attempt that failed.
//!
//! What always holds: an attempt that is taken back soon makes the next wait longer, up to [`LONGEST`]; clearly more bandwidth than
//! the attempt had ends the wait, and what needs less than it did need not wait; a way that collapses says nothing of an attempt.

use std::time::{Duration, Instant};

use crate::congestion::bitrate::Bitrate;

/// An attempt that lasts for so long was right.
const PROVEN: Duration = Duration::from_secs(30);
/// From one attempt to the next: what the first makes of the way shows within this time, unless it turns out to be so much wider.
const SHOWN: Duration = Duration::from_secs(5);
const WIDER: f64 = 2.0;
/// The wait after a first failure; each further one waits four times as long. So there are no more than four changes in any minute.
const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(120);
const GROWTH: u32 = 4;
/// This much more than what a failed attempt had is another way.
const CLEARLY_MORE: f64 = 1.25;

/// Less than this, of what an attempt had, for so long: no attempt makes a way so narrow.
const COLLAPSED: f64 = 0.3;
const COLLAPSING: Duration = Duration::from_secs(8);
/// Of what a failed attempt needed: this much may be tried meanwhile.
const LESS: f64 = 0.9;

/// More was given.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    at: Instant,
    /// What there was, and what was given of it.
    had: Bitrate,
    needed: Bitrate,
    /// By the first of the attempts that were not proven when this one began.
    needed_first: Bitrate,
}

/// An attempt failed.
#[derive(Clone, Copy, Debug)]
struct Failure {
    attempt: Attempt,
    at: Instant,
    /// How long attempts waited before.
    waited: Duration,
    /// Since when the way has taken but a part of what the attempt had.
    narrow_since: Option<Instant>,
}

#[derive(Debug, Default)]
pub struct Backoff {
    attempt: Option<Attempt>,
    failure: Option<Failure>,
    wait: Duration,
}

impl Backoff {
    /// More was given: so much, out of so much.
    pub fn rose(&mut self, now: Instant, had: Bitrate, needed: Bitrate) {
        self.settle(now);
        let needed_first = self.attempt.map_or(needed, |before| before.needed_first);
        self.attempt = Some(Attempt { at: now, had, needed, needed_first });
    }

    /// Whether the last attempt was so short a while ago that nothing can be said of it.
    pub fn is_fresh(&self, now: Instant, having: Bitrate) -> bool {
        let fresh = |attempt: &Attempt| now.saturating_duration_since(attempt.at) < SHOWN;
        self.attempt.is_some_and(|attempt| fresh(&attempt) && having < attempt.had.scaled(WIDER))
    }

    /// Something had to be taken back; so much is left.
    pub fn fell(&mut self, now: Instant, left: Bitrate) {
        self.settle(now);
        let Some(mut attempt) = self.attempt.take() else { return };
        if left < attempt.needed_first {
            attempt.needed = attempt.needed_first;
        }
        let waited = self.wait;
        self.wait = (waited * GROWTH).clamp(SHORTEST, LONGEST);
        self.failure = Some(Failure { attempt, at: now, waited, narrow_since: None });
    }

    /// How much may be given where there is so much.
    pub fn allows(&mut self, now: Instant, having: Bitrate) -> Bitrate {
        let Some(failure) = &mut self.failure else { return having };
        let Failure { attempt, at, waited, .. } = *failure;
        if having >= attempt.had.scaled(COLLAPSED) {
            failure.narrow_since = None;
        } else if now.saturating_duration_since(*failure.narrow_since.get_or_insert(now)) >= COLLAPSING {
            (self.failure, self.wait) = (None, waited);
            return having;
        }
        let refused = now.saturating_duration_since(at) < self.wait && having < attempt.had.scaled(CLEARLY_MORE);
        if refused { having.min(attempt.needed.scaled(LESS)) } else { having }
    }

    fn settle(&mut self, now: Instant) {
        let proven = |attempt: &mut Attempt| now.saturating_duration_since(attempt.at) >= PROVEN;
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
    const NEEDED: Bitrate = Bitrate::from_kbps(400);

    #[test]
    fn each_failure_waits_longer_and_a_success_forgives() {
        let (mut now, mut backoff) = (Instant::now(), Backoff::default());
        for wait in [30, 120, 120, 120] {
            assert_eq!(backoff.allows(now, HAD), HAD);
            backoff.rose(now, HAD, NEEDED);
            now += S;
            backoff.fell(now, HAD.scaled(0.6));
            assert_eq!(backoff.allows(now + (wait - 1) * S, HAD), NEEDED.scaled(LESS), "less need not wait");
            now += wait * S;
        }
        backoff.rose(now, HAD, NEEDED);
        now += PROVEN;
        backoff.fell(now, HAD);
        assert_eq!(backoff.allows(now, HAD), HAD, "what had lasted was no failure");
        backoff.rose(now, HAD, NEEDED);
        backoff.fell(now + S, HAD);
        assert!(backoff.allows(now + 30 * S, HAD) < NEEDED);
        assert_eq!(backoff.allows(now + 31 * S, HAD), HAD, "begins with the shortest again");
    }

    #[test]
    fn clearly_more_bandwidth_ends_the_wait() {
        let (start, mut backoff) = (Instant::now(), Backoff::default());
        backoff.rose(start, HAD, NEEDED);
        backoff.fell(start + S, HAD);
        backoff.fell(start + 2 * S, HAD);
        assert!(backoff.allows(start + 3 * S, HAD.scaled(1.2)) < NEEDED);
        assert_eq!(backoff.allows(start + 3 * S, HAD.scaled(1.25)), HAD.scaled(1.25));
    }

    #[test]
    fn of_attempts_one_after_another_the_first_is_held_against_what_falls_below_it() {
        for (left, refused) in [(300, 400), (450, 600)] {
            let (start, mut backoff) = (Instant::now(), Backoff::default());
            backoff.rose(start, HAD, NEEDED);
            assert!(backoff.is_fresh(start + SHOWN - S, HAD) && !backoff.is_fresh(start + SHOWN, HAD));
            assert!(!backoff.is_fresh(start + S, HAD.scaled(WIDER)), "another way");
            backoff.rose(start + 4 * S, HAD, Bitrate::from_kbps(600));
            backoff.fell(start + 5 * S, Bitrate::from_kbps(left));
            let allowed = backoff.allows(start + 6 * S, HAD.scaled(1.2));
            assert_eq!(allowed, Bitrate::from_kbps(refused).scaled(LESS), "{left}");
        }
    }

    #[test]
    fn a_way_that_collapses_is_not_held_against_an_attempt() {
        let (start, mut backoff) = (Instant::now(), Backoff::default());
        backoff.rose(start, HAD, NEEDED);
        backoff.fell(start + S, HAD);
        let narrow = HAD.scaled(0.2);
        let _ = [2, 5, 6, 13].map(|at| backoff.allows(start + at * S, if at == 5 { HAD } else { narrow }));
        assert!(backoff.allows(start + 13 * S, HAD) < NEEDED, "not without a break");
        let _ = [14, 22].map(|at| backoff.allows(start + at * S, narrow));
        assert_eq!(backoff.allows(start + 15 * S, HAD), HAD);
        backoff.rose(start + 22 * S, HAD, NEEDED);
        backoff.fell(start + 23 * S, HAD);
        assert!(backoff.allows(start + 52 * S, HAD) < NEEDED);
        assert_eq!(backoff.allows(start + 53 * S, HAD), HAD, "the wait did not grow by what was forgiven");
    }
}
