//! Histograms by the Prometheus data model (cumulative when rendered, `le` inclusive) with one writer: a shard's thread observes,
//! whoever renders reads. Relaxed atomics, no lock, nothing allocated after it was made.
//!
//! What always holds: each observation is in exactly one bucket; a snapshot's count is the sum of its buckets.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::counters::Counter;

/// The upper bounds of a kind of histogram, ascending, in the metric's unit; above the last is one bucket more.
pub trait Bounds {
    const BOUNDS: &'static [f64];
}

/// Parts of the unit in which sums are kept: a millionth.
const PARTS: f64 = 1e6;

pub struct Histogram<B> {
    /// One for each bound, and what is above the last; not cumulative.
    buckets: Box<[Counter]>,
    /// In [`PARTS`].
    sum: Counter,
    bounds: PhantomData<B>,
}

impl<B: Bounds> Histogram<B> {
    /// Negative values and what is no number count as 0.
    pub fn observe(&self, value: f64) {
        let value = value.max(0.0);
        let index = B::BOUNDS.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.add(1);
        }
        self.sum.add((value * PARTS).round() as u64);
    }

    /// In seconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(duration.as_secs_f64());
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            bounds: B::BOUNDS,
            buckets: self.buckets.iter().map(Counter::get).collect(),
            sum: self.sum.get() as f64 / PARTS,
        }
    }
}

impl<B: Bounds> Default for Histogram<B> {
    fn default() -> Self {
        let buckets = (0..=B::BOUNDS.len()).map(|_| Counter::default()).collect();
        Histogram { buckets, sum: Counter::default(), bounds: PhantomData }
    }
}

impl<B: Bounds> fmt::Debug for Histogram<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// What a histogram held when it was read.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    pub bounds: &'static [f64],
    /// One more than bounds; not cumulative.
    pub buckets: Vec<u64>,
    pub sum: f64,
}

impl Snapshot {
    /// Of the same kind.
    pub fn add(&mut self, other: &Snapshot) {
        for (own, further) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += further;
        }
        self.sum += other.sum;
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Tenths;

    impl Bounds for Tenths {
        const BOUNDS: &'static [f64] = &[0.1, 0.2, 0.3];
    }

    #[test]
    fn a_value_on_a_bound_is_within_it_and_none_is_lost() {
        let histogram = Histogram::<Tenths>::default();
        [0.05, 0.1, 0.100_001, 0.3, 7.0].into_iter().for_each(|value| histogram.observe(value));
        histogram.observe_duration(Duration::from_millis(200));
        histogram.observe(f64::NAN);
        histogram.observe(-1.0);
        let seen = histogram.snapshot();
        assert_eq!(seen.buckets, [4, 2, 1, 1]);
        assert_eq!(seen.count(), 8);
        assert!((seen.sum - 7.750_001).abs() < 1e-6, "{}", seen.sum);
    }

    #[test]
    fn snapshots_of_shards_are_summed() {
        let shards = [Histogram::<Tenths>::default(), Histogram::<Tenths>::default()];
        shards[0].observe(0.25);
        shards[1].observe(0.25);
        shards[1].observe(1.0);
        let mut sum = shards[0].snapshot();
        sum.add(&shards[1].snapshot());
        assert_eq!((sum.buckets.clone(), sum.count(), sum.sum), (vec![0, 0, 2, 1], 3, 1.5));
    }
}
