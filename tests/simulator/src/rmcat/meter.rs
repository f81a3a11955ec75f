//! What one flow did, in slices of 100 ms: what it sent, what left the bottleneck, what was dropped, how long it waited, and what its
//! sender thought.
//!
//! What always holds: rates are of bits on the wire; a window that holds no time has the rate zero.

use std::time::Duration;

/// What a series is divided into.
pub const SLICE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Slice {
    pub sent_bytes: u64,
    pub arrived_bytes: u64,
    pub sent: u64,
    pub lost: u64,
    /// The longest wait.
    pub queue: Duration,
    /// What the sender took the way for at the slice's end, bits a second.
    pub target: u64,
    /// How long pictures had stood still by then.
    pub frozen: Duration,
}

#[derive(Clone, Debug, Default)]
pub struct Meter {
    pub slices: Vec<Slice>,
    /// When each packet left the bottleneck, and how long it waited.
    pub waits: Vec<(Duration, Duration)>,
}

impl Meter {
    fn slice(&mut self, at: Duration) -> Option<&mut Slice> {
        let index = index(at);
        if self.slices.len() <= index {
            let target = self.slices.last().map_or(0, |slice| slice.target);
            self.slices.resize(index + 1, Slice { target, ..Slice::default() });
        }
        self.slices.get_mut(index)
    }

    pub fn sent(&mut self, at: Duration, bytes: usize, lost: bool) {
        if let Some(slice) = self.slice(at) {
            slice.sent += 1;
            slice.sent_bytes += bytes as u64;
            slice.lost += u64::from(lost);
        }
    }

    pub fn arrived(&mut self, at: Duration, bytes: usize, waited: Duration) {
        self.waits.push((at, waited));
        if let Some(slice) = self.slice(at) {
            slice.arrived_bytes += bytes as u64;
            slice.queue = slice.queue.max(waited);
        }
    }

    /// At the end of a slice, which `at` lies in.
    pub fn thought(&mut self, at: Duration, target: u64, frozen: Duration) {
        if let Some(slice) = self.slice(at) {
            (slice.target, slice.frozen) = (target, frozen);
        }
    }

    /// Mean rate in which it left the bottleneck.
    pub fn arrival_rate(&self, from: Duration, to: Duration) -> f64 {
        self.rate(from, to, |slice| slice.arrived_bytes)
    }

    pub fn sending_rate(&self, from: Duration, to: Duration) -> f64 {
        self.rate(from, to, |slice| slice.sent_bytes)
    }

    fn rate(&self, from: Duration, to: Duration, of: fn(&Slice) -> u64) -> f64 {
        let bytes: u64 = self.between(from, to).iter().map(of).sum();
        let time = (index(to) - index(from)) as f64 * SLICE.as_secs_f64();
        if time > 0.0 { bytes as f64 * 8.0 / time } else { 0.0 }
    }

    /// Slices from one time to another; a flow that fell silent has fewer.
    pub fn between(&self, from: Duration, to: Duration) -> &[Slice] {
        let end = index(to).min(self.slices.len());
        self.slices.get(index(from).min(end)..end).unwrap_or_default()
    }

    /// Share of the packets that were dropped.
    pub fn loss(&self) -> f64 {
        let (sent, lost) = self.slices.iter().fold((0, 0), |(sent, lost), s| (sent + s.sent, lost + s.lost));
        lost as f64 / (sent.max(1)) as f64
    }
}

fn index(at: Duration) -> usize {
    (at.as_micros() / SLICE.as_micros()) as usize
}

/// The value that a share of the values does not exceed (nearest rank); not a number without any.
pub fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * share).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Jain's index of fairness: 1 where all have the same, 1/n where one has all.
pub fn fairness(rates: &[f64]) -> f64 {
    let (sum, squares) = rates.iter().fold((0.0, 0.0), |(sum, squares), rate| (sum + rate, squares + rate * rate));
    if squares > 0.0 { sum * sum / (rates.len() as f64 * squares) } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn rates_are_of_the_window_also_where_a_flow_fell_silent() {
        let mut meter = Meter::default();
        (0..100).for_each(|n| meter.arrived(n * 10 * MS, 1_250, 5 * MS));
        assert_eq!(meter.arrival_rate(Duration::ZERO, 1_000 * MS), 1e6);
        assert_eq!(meter.arrival_rate(500 * MS, 1_500 * MS), 5e5);
        assert_eq!(meter.arrival_rate(2_000 * MS, 3_000 * MS), 0.0);
        assert_eq!(meter.sending_rate(Duration::ZERO, Duration::ZERO), 0.0);
    }

    #[test]
    fn fairness_and_percentiles_are_as_defined() {
        assert_eq!(fairness(&[3.0, 3.0, 3.0]), 1.0);
        assert_eq!(fairness(&[1.0, 0.0, 0.0, 0.0]), 0.25);
        assert!(fairness(&[0.0, 0.0]).is_nan());
        let values: Vec<f64> = (1..=10).rev().map(f64::from).collect();
        assert_eq!((percentile(values.clone(), 0.9), percentile(values, 1.0)), (9.0, 10.0));
        assert!(percentile(Vec::new(), 0.5).is_nan());
    }
}
