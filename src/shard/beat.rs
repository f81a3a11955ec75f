//! What may wait a little is done together, on the beat: a thread that is woken for each of many small things pays more for waking up
//! than for doing them.
//!
//! What always holds: nothing on the beat is early, nor later than `BEAT` and [`SLACK`]; while nobody tells anything no thread is woken to
//! look for it.

use std::time::{Duration, Instant};

/// From one beat to the next: little beside what waits for it, which are reports, feedback of each 100 ms, and what follows from it.
const BEAT: Duration = Duration::from_millis(10);
/// So long what is due on a beat waits for something else to wake the thread: in a call a packet mostly does.
pub const SLACK: Duration = Duration::from_millis(10);
/// So long after feedback a thread is woken to look for more: twice the longest interval of browsers.
const EXPECTED: Duration = Duration::from_millis(500);

/// When something is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// Not before; from then on when a thread is awake.
    pub at: Instant,
    /// A thread is woken for it.
    pub latest: Instant,
}

impl Due {
    /// A thread is woken for it as soon as it is due.
    pub fn is_exact(self) -> bool {
        self.at == self.latest
    }
}

/// What may not wait.
impl From<Instant> for Due {
    fn from(at: Instant) -> Due {
        Due { at, latest: at }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Beat {
    epoch: Instant,
}

impl Beat {
    pub fn new(epoch: Instant) -> Beat {
        Beat { epoch }
    }

    /// The first beat that is not before `at`.
    fn on(self, at: Instant) -> Instant {
        // A second is so many whole beats, and a division of 128 bits would be slow.
        let past = at.saturating_duration_since(self.epoch).subsec_nanos() % BEAT.subsec_nanos();
        if past == 0 { at } else { at + (BEAT - Duration::from_nanos(past.into())) }
    }

    /// For what may wait from `at` on.
    pub fn due(self, at: Instant) -> Due {
        let at = self.on(at);
        Due { at, latest: at + SLACK }
    }

    /// The first beat after `at`.
    fn after(self, at: Instant) -> Instant {
        self.on(at + Duration::from_nanos(1))
    }
}

/// When a thread looks for transport-wide feedback, of whose arrival it is not told (`net/feedback.rs`): once a beat, and once
/// none came for long only when something else wakes it: a packet to forward does, of which feedback follows.
#[derive(Debug)]
pub struct FeedbackWatch {
    beat: Beat,
    next: Instant,
    expected_until: Instant,
}

impl FeedbackWatch {
    pub fn new(now: Instant, beat: Beat) -> FeedbackWatch {
        FeedbackWatch { beat, next: now, expected_until: now }
    }

    /// Whether to look now.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = self.beat.after(now);
        }
        due
    }

    /// There was some.
    pub fn heard(&mut self, now: Instant) {
        self.expected_until = now + EXPECTED;
    }

    /// When a thread that sleeps is to wake for it.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.next < self.expected_until).then_some(self.next + SLACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat() -> (Beat, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (Beat::new(start), move |us| start + Duration::from_micros(us))
    }

    #[test]
    fn the_beat_is_never_early_and_never_a_whole_beat_late() {
        let (beat, at) = beat();
        for (asked, given) in [(0, 0), (1, 10_000), (9_999, 10_000), (10_000, 10_000), (1_000_001, 1_010_000)] {
            assert_eq!(beat.on(at(asked)), at(given), "{asked} us");
            assert_eq!(beat.due(at(asked)), Due { at: at(given), latest: at(given) + SLACK });
        }
        let years = at(3 * 365 * 86_400 * 1_000_000 + 4_000);
        assert_eq!(beat.on(years), years + Duration::from_millis(6));
        assert_eq!(beat.after(at(10_000)), at(20_000));
    }

    #[test]
    fn feedback_is_looked_for_once_a_beat_while_it_is_expected() {
        let (beat, at) = beat();
        let mut watch = FeedbackWatch::new(at(0), beat);
        assert!(watch.is_due(at(3_000)), "something else woke the thread");
        assert_eq!(watch.poll_timeout(), None, "nobody told anything");
        assert!(!watch.is_due(at(9_000)), "once a beat");
        assert!(watch.is_due(at(12_000)));
        watch.heard(at(12_000));
        assert_eq!(watch.poll_timeout(), Some(at(30_000)));
        assert!(watch.is_due(at(509_000)));
        assert_eq!(watch.poll_timeout(), Some(at(520_000)));
        assert!(watch.is_due(at(510_000)));
        assert_eq!(watch.poll_timeout(), None, "nothing for half a second");
    }
}
