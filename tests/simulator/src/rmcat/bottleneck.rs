//! The bottleneck of a path: one drop-tail queue for all that goes one way, served at a rate that may change.
//!
//! What always holds: what was taken leaves in order; the queue holds so much time of the present rate, and what it held before the
//! rate fell is not dropped.

use std::collections::VecDeque;
use std::time::Duration;

struct Queued<T> {
    item: T,
    bytes: usize,
    entered: Duration,
}

pub struct Bottleneck<T> {
    /// Bits a second.
    rate: u64,
    /// How much time of the rate waits at most.
    hold: Duration,
    queue: VecDeque<Queued<T>>,
    bytes: usize,
    /// When the first in the queue has left.
    departs: Duration,
    pub dropped: u64,
}

/// What left, and how long it waited, its own time on the wire included.
pub struct Departed<T> {
    pub item: T,
    pub bytes: usize,
    pub waited: Duration,
}

impl<T> Bottleneck<T> {
    pub fn new(rate: u64, hold: Duration) -> Bottleneck<T> {
        Bottleneck { rate: rate.max(1), hold, queue: VecDeque::new(), bytes: 0, departs: Duration::ZERO, dropped: 0 }
    }

    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// The rest of what is on the wire leaves at the new rate.
    pub fn set_rate(&mut self, now: Duration, rate: u64) {
        let rate = rate.max(1);
        let left = self.departs.saturating_sub(now);
        self.departs = now + left.mul_f64(self.rate as f64 / rate as f64);
        self.rate = rate;
    }

    /// False when it does not fit.
    pub fn push(&mut self, now: Duration, item: T, bytes: usize) -> bool {
        let room = self.rate as f64 / 8.0 * self.hold.as_secs_f64();
        if (self.bytes + bytes) as f64 > room && !self.queue.is_empty() {
            self.dropped += 1;
            return false;
        }
        if self.queue.is_empty() {
            self.departs = now + self.time_for(bytes);
        }
        self.bytes += bytes;
        self.queue.push_back(Queued { item, bytes, entered: now });
        true
    }

    /// When something leaves.
    pub fn due(&self) -> Option<Duration> {
        (!self.queue.is_empty()).then_some(self.departs)
    }

    pub fn pop(&mut self, now: Duration) -> Option<Departed<T>> {
        self.due().filter(|due| *due <= now)?;
        let Queued { item, bytes, entered } = self.queue.pop_front()?;
        self.bytes -= bytes;
        let next = self.queue.front().map(|next| next.bytes);
        let waited = self.departs.saturating_sub(entered);
        self.departs += next.map_or(Duration::ZERO, |bytes| self.time_for(bytes));
        Some(Departed { item, bytes, waited })
    }

    /// How long what comes now would wait.
    pub fn delay(&self) -> Duration {
        self.time_for(self.bytes)
    }

    fn time_for(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 * 8.0 / self.rate as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Times at which what was pushed at the beginning leaves, when the rate changes on the way.
    fn departures(packets: usize, change: Option<(Duration, u64)>) -> (Vec<Duration>, u64) {
        let mut bottleneck = Bottleneck::new(8_000_000, 100 * MS);
        let taken = (0..packets).filter(|n| bottleneck.push(Duration::ZERO, *n, 1_000)).count();
        assert_eq!(taken as u64 + bottleneck.dropped, packets as u64);
        let (mut times, mut change) = (Vec::new(), change);
        while let Some(due) = bottleneck.due() {
            if let Some((at, rate)) = change.take_if(|(at, _)| *at <= due) {
                bottleneck.set_rate(at, rate);
                continue;
            }
            let departed = bottleneck.pop(due).expect("it is due");
            assert_eq!(departed.waited, due);
            times.push(due);
        }
        (times, bottleneck.dropped)
    }

    #[test]
    fn what_fits_leaves_in_order_at_the_rate_and_the_rest_is_dropped() {
        let (times, dropped) = departures(120, None);
        assert_eq!((times.len(), dropped), (100, 20));
        assert!((1u32..).zip(&times).all(|(n, at)| *at == n * MS));
    }

    #[test]
    fn when_the_rate_falls_what_waits_takes_longer_and_stays() {
        let (times, _) = departures(100, Some((10 * MS + MS / 2, 4_000_000)));
        assert_eq!(times.len(), 100);
        assert_eq!((times[9], times[10], times[11]), (10 * MS, 11 * MS + MS / 2, 13 * MS + MS / 2));
    }

    #[test]
    fn delay_tells_what_the_next_would_wait() {
        let mut bottleneck = Bottleneck::new(8_000_000, 100 * MS);
        assert!((0..10).all(|n| bottleneck.push(Duration::ZERO, n, 1_000)));
        assert_eq!(bottleneck.delay(), 10 * MS);
        bottleneck.set_rate(Duration::ZERO, 1_000_000);
        assert_eq!(bottleneck.delay(), 80 * MS);
        assert!(!bottleneck.push(Duration::ZERO, 10, 5_000), "the queue holds 12,500 bytes now");
    }
}
