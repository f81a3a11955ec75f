//! How late packets of a stream come that were not lost but overtaken (RFC 4737 calls it the reordering late-time offset), and so
//! how long a gap is left alone before anybody is asked to fill it.
//!
//! What always holds: the tolerance lies between [`LEAST`] and [`MOST`].

use std::time::{Duration, Instant};

/// A gap is left alone at least so long: packets sent within one burst overtake each other by some milliseconds.
pub(super) const LEAST: Duration = Duration::from_millis(10);
/// And at most so long: what is lost should be back before viewers notice, even if other packets come very late.
pub(super) const MOST: Duration = Duration::from_millis(100);
/// The greatest lateness of the last one to two of these counts. Where one packet in a hundred is late, a slow stream of 30 packets a
/// second shows one in 3 s.
const WINDOW: Duration = Duration::from_secs(10);

/// One gap in so many is left alone for longer, to see whether it fills by itself.
const TRIAL: u32 = 8;

/// Greatest lateness in the present window and in the one before.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    began: Option<Instant>,
    present: Duration,
    before: Duration,
    /// What came after it was asked for, and may have come anyway: how long after it was missed.
    suspected: Option<Duration>,
    /// Gaps until the next trial.
    trial_in: u32,
}

impl Lateness {
    /// A packet came by itself, so long after it was missed.
    pub fn observe(&mut self, now: Instant, lateness: Duration) {
        self.turn(now);
        self.present = self.present.max(lateness);
    }

    /// A packet came so long after it was missed, and after it was asked for: late, or sent again. Where these look the same, a trial tells:
    /// what is late comes by itself if it is waited for.
    pub fn suspect(&mut self, lateness: Duration) {
        self.suspected = Some(lateness);
    }

    /// How long to leave a gap alone before asking: a quarter more than was needed lately. To be taken once for each gap.
    pub fn tolerance(&mut self, now: Instant) -> Duration {
        self.turn(now);
        let needed = self.present.max(self.before).max(self.trial().unwrap_or_default());
        (needed * 5 / 4).clamp(LEAST, MOST)
    }

    fn trial(&mut self) -> Option<Duration> {
        let suspected = self.suspected?;
        let due = self.trial_in == 0;
        self.trial_in = if due { TRIAL - 1 } else { self.trial_in - 1 };
        due.then_some(suspected)
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(*self.began.get_or_insert(now));
        if age < WINDOW {
            return;
        }
        self.before = if age < 2 * WINDOW { self.present } else { Duration::ZERO };
        self.present = Duration::ZERO;
        self.began = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_lateness_counts_for_one_to_two_windows_and_within_bounds() {
        let (start, mut lateness) = (Instant::now(), Lateness::default());
        let ms = Duration::from_millis;
        assert_eq!(lateness.tolerance(start), LEAST);
        lateness.observe(start, ms(40));
        lateness.observe(start, ms(20));
        assert_eq!(lateness.tolerance(start + WINDOW), ms(50));
        assert_eq!(lateness.tolerance(start + 2 * WINDOW - ms(1)), ms(50));
        assert_eq!(lateness.tolerance(start + 2 * WINDOW), LEAST);
        lateness.observe(start + 2 * WINDOW, ms(90));
        assert_eq!(lateness.tolerance(start + 2 * WINDOW), MOST);
        assert_eq!(lateness.tolerance(start + 9 * WINDOW), LEAST, "nothing was late in the last windows");
    }

    #[test]
    fn what_may_have_been_late_is_waited_for_by_one_gap_in_eight() {
        let (now, mut lateness) = (Instant::now(), Lateness::default());
        let ms = Duration::from_millis;
        lateness.suspect(ms(40));
        let mut waits = || (0..16).map(|_| lateness.tolerance(now)).collect::<Vec<_>>();
        let expected = |n: u32| if n.is_multiple_of(TRIAL) { ms(50) } else { LEAST };
        assert_eq!(waits(), (0..16).map(expected).collect::<Vec<_>>());
    }
}
