//! How long packets stand in queues: their one-way delay above the least of the last seconds.
//!
//! What always holds: a queue that stands for longer than [`KEPT`] without ever being short is taken for the way itself: it is not ours to
//! empty, as beside TCP.

use super::Micros;
use super::arrivals::Arrived;

/// The least delay is kept for this to twice this; clocks drift apart by less than a millisecond in the time.
const KEPT: Micros = 10_000_000;

/// Delays are differences of two clocks: only differences of them mean something.
#[derive(Default)]
pub struct QueueDelay {
    /// The least of the time before, and since `began`.
    before: Option<Micros>,
    since: Option<Micros>,
    began: Micros,
    /// Of the feedback that is read.
    least: Option<Micros>,
    /// As the feedback before showed it, and as the last two showed it.
    last: Micros,
    delay: Micros,
}

impl QueueDelay {
    pub fn delay(&self) -> Micros {
        self.delay
    }

    /// A packet arrived.
    pub fn add(&mut self, packet: &Arrived) {
        let delay = packet.arrived - packet.sent;
        self.least = Some(self.least.map_or(delay, |least| least.min(delay)));
    }

    /// A feedback was read: the shortest of its packets' times tells, for frames are queues of their own.
    pub fn read(&mut self, now: Micros) {
        let Some(least) = self.least.take() else { return };
        if now - self.began >= KEPT {
            (self.before, self.since, self.began) = (self.since, None, now);
        }
        self.since = Some(self.since.map_or(least, |since| since.min(least)));
        let base = self.before.into_iter().chain(self.since).min();
        let delay = base.map_or(0, |base| least - base);
        // A spike is no queue.
        self.delay = delay.min(std::mem::replace(&mut self.last, delay));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Micros = 1_000;

    /// A feedback of three packets each 100 ms, of which two waited for longer.
    fn read(queue: &mut QueueDelay, seconds: std::ops::Range<i64>, waited: Micros) -> Micros {
        for i in seconds.start * 10..seconds.end * 10 {
            for more in [30 * MS, 0, 9 * MS] {
                let sent = i * 100 * MS;
                let arrived = sent + 7_777 * MS + waited + more;
                queue.add(&Arrived { number: 0, bytes: 1, sent, arrived });
            }
            queue.read(i * 100 * MS);
        }
        queue.delay()
    }

    #[test]
    fn a_queue_shows_as_what_it_adds_and_is_lived_with_when_it_never_ends() {
        let mut queue = QueueDelay::default();
        assert_eq!(read(&mut queue, 0..5, 0), 0);
        assert_eq!(read(&mut queue, 5..9, 80 * MS), 80 * MS);
        assert_eq!(read(&mut queue, 9..10, 0), 0);
        queue.add(&Arrived { number: 0, bytes: 1, sent: 0, arrived: 9_000 * MS });
        queue.read(10_000 * MS);
        assert_eq!(queue.delay(), 0, "a spike");
        assert_eq!(read(&mut queue, 10..15, 200 * MS), 200 * MS);
        assert_eq!(read(&mut queue, 15..40, 200 * MS), 0);
        assert_eq!(read(&mut queue, 40..41, 0), 0, "shorter than ever");
    }
}
