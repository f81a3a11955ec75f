//! Telling participants to go elsewhere, a few at a time: another server that takes them in has a handshake and keyframes
//! to make for each. Sans-IO.
//!
//! What always holds: over a spread of N seconds no more than one in N is told in any second, and one; when it is over all
//! have been.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Slices {
    began: Instant,
    spread: Duration,
    total: usize,
    told: usize,
}

impl Slices {
    pub fn new(now: Instant, spread: Duration, total: usize) -> Slices {
        Slices { began: now, spread, total, told: 0 }
    }

    /// How many more may be told now. The first is told at once.
    pub fn due(&self, now: Instant) -> usize {
        if self.is_over(now) {
            return self.total.saturating_sub(self.told);
        }
        let elapsed = now.saturating_duration_since(self.began).as_micros();
        let part = (self.total as u128).saturating_mul(elapsed) / self.spread.as_micros().max(1);
        let may = usize::try_from(part).unwrap_or(usize::MAX).saturating_add(1).min(self.total);
        may.saturating_sub(self.told)
    }

    pub fn told(&mut self, count: usize) {
        self.told = self.told.saturating_add(count);
    }

    pub fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= self.spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are told in each tick.
    fn run(total: usize, spread: Duration, tick: Duration) -> Vec<usize> {
        let start = Instant::now();
        let mut slices = Slices::new(start, spread, total);
        let mut told = Vec::new();
        let mut now = start;
        loop {
            let due = slices.due(now);
            slices.told(due);
            told.push(due);
            if slices.is_over(now) {
                return told;
            }
            now += tick;
        }
    }

    #[test]
    fn over_twenty_seconds_no_more_than_a_twentieth_is_told_in_any_second() {
        for total in [1, 7, 100, 1_234] {
            let told = run(total, Duration::from_secs(20), Duration::from_millis(100));
            assert_eq!(told.iter().sum::<usize>(), total);
            let most = told.windows(10).map(|second| second.iter().sum::<usize>()).max();
            assert!(most <= Some(total.div_ceil(20) + 1), "{total}: {most:?}");
            assert_eq!(told[0], 1, "the first at once");
        }
    }

    #[test]
    fn without_a_spread_all_are_told_at_once_and_nobody_is_nothing_to_do() {
        assert_eq!(run(50, Duration::ZERO, Duration::from_millis(100)), [50]);
        assert_eq!(run(0, Duration::from_secs(1), Duration::from_millis(500)), [0, 0, 0]);
    }

    #[test]
    fn what_a_slow_tick_missed_is_caught_up() {
        let told = run(100, Duration::from_secs(20), Duration::from_secs(7));
        assert_eq!(told, [1, 35, 35, 29]);
    }
}
