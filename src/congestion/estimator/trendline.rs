//! The slope of the one-way delay over the last groups: positive while a queue grows (libwebrtc's trendline filter, in place of the Kalman
//! filter of draft-ietf-rmcat-gcc-02).
//!
//! What always holds: memory is one fixed window; the slope of less than a window is zero.

use super::Micros;
use super::arrival_groups::Delta;

/// Groups looked at.
const WINDOW: usize = 20;
/// Weight of the past in the smoothed delay.
const SMOOTHING: f64 = 0.9;

/// Milliseconds, both.
#[derive(Clone, Copy, Default)]
struct Point {
    arrived: f64,
    delay: f64,
}

#[derive(Default)]
pub struct Trendline {
    points: [Point; WINDOW],
    next: usize,
    len: usize,
    began: Option<Micros>,
    /// Since the first group, ms.
    delay: f64,
    smoothed: f64,
}

impl Trendline {
    /// A group arrived. The slope: milliseconds of delay gained in each millisecond.
    pub fn add(&mut self, delta: &Delta) -> f64 {
        let began = *self.began.get_or_insert(delta.at);
        self.delay += millis(delta.arrived - delta.sent);
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.delay;
        if let Some(point) = self.points.get_mut(self.next) {
            *point = Point { arrived: millis(delta.at - began), delay: self.smoothed };
        }
        self.next = (self.next + 1) % WINDOW;
        self.len = (self.len + 1).min(WINDOW);
        if self.len == WINDOW { self.slope() } else { 0.0 }
    }

    /// By least squares.
    fn slope(&self) -> f64 {
        let count = WINDOW as f64;
        let (arrived, delay) = self.points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.arrived, y + p.delay));
        let (mean_arrived, mean_delay) = (arrived / count, delay / count);
        let (upper, lower) = self.points.iter().fold((0.0, 0.0), |(upper, lower), point| {
            let x = point.arrived - mean_arrived;
            (upper + x * (point.delay - mean_delay), lower + x * x)
        });
        if lower > 0.0 { upper / lower } else { 0.0 }
    }
}

fn millis(micros: Micros) -> f64 {
    micros as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last slope of groups every 20 ms, each of which arrives `later` us later than it should.
    fn slope(groups: usize, later: impl Fn(usize) -> Micros) -> f64 {
        let mut trendline = Trendline::default();
        let mut at = 1_000_000_000;
        let mut slope = f64::NAN;
        for group in 0..groups {
            at += 20_000 + later(group);
            slope = trendline.add(&Delta { sent: 20_000, arrived: 20_000 + later(group), at });
        }
        slope
    }

    #[test]
    fn a_queue_that_grows_shows_as_its_slope() {
        assert!((slope(100, |_| 2_000) - 2.0 / 22.0).abs() < 0.01);
        assert!((slope(100, |_| -2_000) + 2.0 / 18.0).abs() < 0.01);
    }

    #[test]
    fn jitter_without_a_queue_is_flat() {
        assert_eq!(slope(100, |_| 0), 0.0);
        assert!(slope(101, |group| if group % 2 == 0 { 5_000 } else { -5_000 }).abs() < 0.01);
    }

    #[test]
    fn less_than_a_window_tells_nothing() {
        assert_eq!(slope(WINDOW - 1, |_| 10_000), 0.0);
        assert!(slope(WINDOW, |_| 10_000) > 0.1);
    }

    #[test]
    fn arrivals_at_one_moment_have_no_slope() {
        let mut trendline = Trendline::default();
        let all = (0..100).map(|_| trendline.add(&Delta { sent: 20_000, arrived: 0, at: 7 })).fold(0.0, f64::max);
        assert_eq!(all, 0.0);
    }
}
