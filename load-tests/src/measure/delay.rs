//! Distributions of times, in nanoseconds to three digits.
//!
//! What always holds: memory is constant; a value out of range counts as the nearest in range.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest time told apart.
const LONGEST: Duration = Duration::from_secs(60);
const DIGITS: u8 = 3;

/// Times of one kind.
#[derive(Clone)]
pub struct Times(Option<Histogram<u64>>);

/// The percentiles that are told, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Default for Times {
    fn default() -> Self {
        // Constant and valid bounds: this cannot fail, and if it did, nothing would be counted and a report say so.
        Times(Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, DIGITS).ok())
    }
}

impl Times {
    pub fn record(&mut self, time: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    pub fn clear(&mut self) {
        if let Some(histogram) = &mut self.0 {
            histogram.reset();
        }
    }

    /// Milliseconds; `None` of nothing.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(histogram.value_at_quantile(quantile) as f64 / 1e6)
    }

    pub fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.quantile(quantile).unwrap_or_default();
        let (count, max) = self.0.as_ref().map_or((0, 0), |histogram| (histogram.len(), histogram.max()));
        Percentiles { count, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: max as f64 / 1e6 }
    }
}

/// One-way delays of the packets that were decrypted.
#[derive(Clone, Default)]
pub struct Delays {
    /// From the publisher's send call to the kernel's stamp at the subscriber's socket: the server and two passes of the
    /// kernel, not the time until this tool reads.
    pub audio: Times,
    pub video: Times,
    /// Until this tool read them, both kinds.
    pub read: Times,
    /// Stamps that lie before the sending: the wall clock was set back.
    pub backwards: u64,
}

impl Delays {
    pub fn clear(&mut self) {
        self.audio.clear();
        self.video.clear();
        self.read.clear();
        self.backwards = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut times = Times::default();
        for ms in 1..=1_000 {
            times.record(Duration::from_millis(ms));
        }
        let told = times.percentiles();
        assert_eq!(told.count, 1_000);
        for (got, wanted) in [(told.p50, 500.0), (told.p99, 990.0), (told.p999, 999.0), (told.max, 1_000.0)] {
            assert!((got - wanted).abs() / wanted < 0.002, "{got} for {wanted}");
        }
    }

    #[test]
    fn nothing_recorded_is_zero_and_the_longest_is_bounded() {
        let mut times = Times::default();
        assert_eq!(times.percentiles(), Percentiles::default());
        times.record(Duration::from_secs(3_600));
        assert_eq!(times.percentiles().count, 1);
        times.clear();
        assert_eq!(times.percentiles().count, 0);
    }
}
