//! The window of a TCP sender: CUBIC (RFC 9438) with slow start that ends when round trips grow longer (HyStart++, RFC 9406, its
//! first half).
//!
//! What always holds: the window is one segment at least; it is cut once for each loss that it is told of.

use std::time::Duration;

/// Segments sent at first (RFC 6928).
const INITIAL: f64 = 10.0;
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// Growth of the Reno-friendly estimate: 3 (1 - beta) / (1 + beta).
const FRIENDLY: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// How much longer than the shortest round trips have to be for slow start to end: an eighth, within these.
const GROWN_LEAST: Duration = Duration::from_millis(4);
const GROWN_MOST: Duration = Duration::from_millis(16);
/// Round trips that have to show it.
const GROWN_SAMPLES: u32 = 8;

pub struct Cubic {
    /// Segments.
    window: f64,
    threshold: f64,
    /// Before the last loss.
    greatest: f64,
    /// When growth since the last loss began.
    epoch: Option<Duration>,
    /// Seconds from the epoch until `greatest` is reached again.
    k: f64,
    friendly: f64,
    shortest: Duration,
    grown: u32,
}

impl Default for Cubic {
    fn default() -> Self {
        Cubic {
            window: INITIAL,
            threshold: f64::INFINITY,
            greatest: 0.0,
            epoch: None,
            k: 0.0,
            friendly: 0.0,
            shortest: Duration::MAX,
            grown: 0,
        }
    }
}

impl Cubic {
    pub fn window(&self) -> f64 {
        self.window
    }

    /// A segment arrived, a round trip after it was sent.
    pub fn acked(&mut self, now: Duration, round_trip: Duration, smoothed: Duration) {
        self.shortest = self.shortest.min(round_trip);
        if self.window < self.threshold {
            self.window += 1.0;
            self.look_for_queue(round_trip);
            return;
        }
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => self.begin_epoch(now),
        };
        let time = (now - epoch).as_secs_f64();
        let cubic = |time: f64| C * (time - self.k).powi(3) + self.greatest;
        self.friendly += FRIENDLY / self.window;
        if cubic(time) < self.friendly {
            self.window = self.window.max(self.friendly);
            return;
        }
        let target = cubic(time + smoothed.as_secs_f64()).clamp(self.window, 1.5 * self.window);
        self.window += (target - self.window) / self.window;
    }

    fn look_for_queue(&mut self, round_trip: Duration) {
        let limit = self.shortest + (self.shortest / 8).clamp(GROWN_LEAST, GROWN_MOST);
        self.grown = if round_trip > limit { self.grown + 1 } else { 0 };
        if self.grown >= GROWN_SAMPLES {
            self.threshold = self.window;
        }
    }

    fn begin_epoch(&mut self, now: Duration) -> Duration {
        self.greatest = self.greatest.max(self.window);
        self.k = ((self.greatest - self.window) / C).cbrt();
        self.friendly = self.window;
        self.epoch = Some(now);
        now
    }

    /// Something was lost that was sent after the cut before.
    pub fn lost(&mut self) {
        // Who is still below where it was makes room for others (fast convergence).
        let shrinks = self.window < self.greatest;
        self.greatest = if shrinks { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.window = (self.window * BETA).max(2.0);
        self.threshold = self.window;
        self.epoch = None;
    }

    /// Nothing came for so long that all is taken for lost.
    pub fn timed_out(&mut self) {
        self.lost();
        self.window = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    /// A window's worth of acknowledgements for each round trip; gives the window after each.
    fn rounds(cubic: &mut Cubic, from: u32, count: u32) -> Vec<f64> {
        let round = |n: u32| {
            (0..cubic.window() as usize).for_each(|_| cubic.acked((from + n) * RTT, RTT, RTT));
            cubic.window()
        };
        (0..count).map(round).collect()
    }

    #[test]
    fn slow_start_doubles_until_round_trips_grow() {
        let mut cubic = Cubic::default();
        assert_eq!(rounds(&mut cubic, 0, 3), [20.0, 40.0, 80.0]);
        (0..8).for_each(|_| cubic.acked(4 * RTT, RTT + RTT / 2, RTT));
        let before = cubic.window();
        assert!(rounds(&mut cubic, 5, 1)[0] < 1.3 * before);
    }

    #[test]
    fn after_a_loss_it_comes_back_soon_rests_near_where_it_was_and_goes_on() {
        let mut cubic = Cubic::default();
        rounds(&mut cubic, 0, 3);
        cubic.lost();
        assert_eq!(cubic.window(), 56.0);
        let windows = rounds(&mut cubic, 3, 100);
        let back = windows.iter().position(|window| *window > 78.0).expect("it comes back");
        assert!((15..45).contains(&back), "K is 3.9 s: {back}");
        assert!(windows[99] > 100.0, "{}", windows[99]);
    }

    #[test]
    fn a_timeout_begins_anew() {
        let mut cubic = Cubic::default();
        rounds(&mut cubic, 0, 2);
        cubic.timed_out();
        assert_eq!(cubic.window(), 1.0);
        assert_eq!(rounds(&mut cubic, 3, 3), [2.0, 4.0, 8.0]);
    }
}
